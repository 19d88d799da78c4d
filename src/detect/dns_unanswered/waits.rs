//! How long clients waited, and whether for this resolver.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::detect::{Bounded, Distinct, merged};
use crate::dissect::Endpoint;
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
