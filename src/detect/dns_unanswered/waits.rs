//! How long clients waited, and whether for this resolver.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::detect::dns_unanswered::{DnsUnanswered, Silence};
use crate::detect::{Book, Bounded, Case, Distinct, merged};
use crate::dissect::{Direction, Endpoint};
use crate::flow::Flow;
use crate::time::{Span, Timestamp};

/// A client that asks several resolvers at once sends within this time (a millisecond for Windows).
const AT_ONCE: Span = Span::millis(100);

merged! {
    /// Lookups that got a response: by port, ID, name and type, from whom, and when it was asked.
    pub(super) struct Replied(Bounded<u64, Distinct<(Endpoint, Timestamp), 4>, { 1 << 15 }>);
}

impl Replied {
    /// Takes a lookup that `resolver` was asked for at this time, and gave a response to.
    pub(super) fn add(&mut self, lookup: u64, resolver: Endpoint, asked: Timestamp) {
        if let Some(replies) = self.0.observe(lookup, lookup) {
            replies.add((resolver, asked));
        }
    }

    /// Another resolver that gave a response, and that was asked no later than `resolver` was at `asked`:
    /// nobody waited for this one alone.
    pub(super) fn beside(&self, lookup: u64, resolver: Endpoint, asked: Timestamp) -> Option<Endpoint> {
        let replies = self.0.get(&lookup)?.1.iter();
        let mut others = replies.filter(|(other, at)| *other != resolver && *at <= asked + AT_ONCE);
        others.next().map(|(other, _)| *other)
    }
}

/// One in twenty of the resolver's answers takes longer than this: it may have been on its way.
pub(super) fn takes_longer(than: Span, book: &Book<DnsUnanswered>, resolver: Endpoint) -> bool {
    let (_, asked) = book.total(&resolver);
    asked.and_then(|asked| asked.took.quantile(0.95)).is_some_and(|slow| slow > than)
}

/// It is a TCP connection, and the server ends it first.
pub(super) fn is_ended_by_server(flow: &Flow) -> bool {
    let closing = flow.tcp.as_ref().and_then(|tcp| tcp.closing());
    closing.is_some_and(|closing| closing.direction == Direction::ToClient)
}

/// From the query to the answer of another resolver, on average.
pub(super) fn mean(case: &Case<Silence>) -> Span {
    let count = i64::try_from(case.counts.answered_later).unwrap_or(i64::MAX).max(1);
    Span(case.counts.until_answered.0 / count)
}

/// Times in which clients waited for a resolver.
#[derive(Default)]
pub(super) struct Waits(BTreeMap<(Endpoint, IpAddr), Vec<(Timestamp, Timestamp)>>);

impl Waits {
    pub(super) fn add(&mut self, resolver: Endpoint, client: IpAddr, from: Timestamp, waited: Span) {
        self.0.entry((resolver, client)).or_default().push((from, from + waited));
    }

    /// By resolver; what a client waited for several lookups at the same time counts once.
    pub(super) fn sums(self) -> BTreeMap<Endpoint, Span> {
        let mut sums: BTreeMap<Endpoint, Span> = BTreeMap::new();
        for ((resolver, _), mut times) in self.0 {
            times.sort_unstable();
            let (mut sum, mut until) = (Span::ZERO, Timestamp(i64::MIN));
            for (from, to) in times {
                sum += (to - from.max(until)).max(Span::ZERO);
                until = until.max(to);
            }
            *sums.entry(resolver).or_default() += sum;
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::dns_unanswered::tests::{NAME, unanswered};
    use crate::detect::testing::in_traffic;
    use crate::support::dns;
    use crate::support::tcp::{ACK, CLIENT, FIN, PSH, SERVER};

    /// The capture ends 11 s after lookups that a resolver gets, which takes 12 s for each.
    #[test]
    fn what_a_slow_resolver_may_still_answer_is_not_unanswered() {
        for (micros, found) in [(12_000_000, 0), (2_000, 1)] {
            let findings = in_traffic(NAME, |lab| {
                for number in 0..20 {
                    let name = format!("page{number}.shop.example");
                    lab.lookup(number * 1_000_000, micros, &name, dns::A, |id| {
                        dns::response(id, &name, dns::A, dns::NOERROR, &[[10, 1, 2, 80]])
                    });
                }
                (0..6).for_each(|number| {
                    unanswered(lab, 40_000 + number, &format!("api{number}.shop.example"))
                });
                let nobody = (lab.resolver(), 9999);
                lab.udp(51_000_000, (lab.client(7), 9998), nobody, b"the end");
            });
            assert_eq!(findings.len(), found, "{findings:#?}");
        }
    }

    /// Lookups over TCP that the resolver ends with a FIN, or that it never answers.
    #[test]
    fn a_connection_that_the_resolver_ends_is_no_wait() {
        for ends in [true, false] {
            let findings = in_traffic(NAME, |lab| {
                for number in 0..6 {
                    let mut talk = lab.talk(7, (9, 53), 1_000 + number * 9_000, [30, 900]);
                    talk.handshake(&mut lab.capture);
                    let query = dns::query(number as u16, &format!("www{number}.shop.example"), dns::A);
                    let query = [&(query.len() as u16).to_be_bytes()[..], &query].concat();
                    talk.send(&mut lab.capture, CLIENT, PSH | ACK, &query);
                    talk.turn(CLIENT);
                    talk.ack(&mut lab.capture, SERVER, &[]);
                    talk.wait(if ends { 300 } else { 8_000_000 });
                    let side = if ends { SERVER } else { CLIENT };
                    talk.send(&mut lab.capture, side, FIN | ACK, b"");
                    talk.turn(side);
                    talk.ack(&mut lab.capture, 1 - side, &[]);
                }
                lab.resolves(90_000_000, "www.shop.example");
            });
            let [finding] = &findings[..] else { panic!("{findings:#?}") };
            let said = finding.summary.contains("ended the TCP connections of 6 queries");
            assert_eq!((said, finding.summary.contains("and waited")), (ends, !ends), "{finding:#?}");
            assert_eq!(finding.alternatives[0].contains("over TCP"), ends, "{finding:#?}");
        }
    }

    #[test]
    fn waits_at_the_same_time_count_once() {
        let address: IpAddr = "10.0.0.7".parse().expect("an address");
        let (resolver, other) = (Endpoint { address, port: 53 }, Endpoint { address, port: 5353 });
        let mut waits = Waits::default();
        for (from, waited) in [(0, 5), (1, 5), (20, 3), (2, 1)] {
            waits.add(resolver, address, Timestamp(0) + Span::secs(from), Span::secs(waited));
        }
        waits.add(other, address, Timestamp(0), Span::secs(4));
        let sums = waits.sums();
        assert_eq!((sums[&resolver], sums[&other]), (Span::secs(9), Span::secs(4)));
    }
}
