//! # What it finds
//! Responses that did not fit into a datagram (TC), and what became of the same lookup over TCP.
//!
//! # Why it matters
//! A client that gets a truncated response asks again over TCP. Where TCP port 53 is filtered, long answers
//! never arrive and short ones do: only some names fail, and those always.
//!
//! # How it decides
//! Truncated responses over UDP to one client for the same name and type are one lookup while less than
//! `again` lies between them. What the client did is told by its TCP connections to the same resolver that
//! begin within `together`, and by a whole response for the same name and type, over any transport:
//! - TCP works: a response came over TCP.
//! - TCP is blocked: the client tried, no connection opened, and no whole response came. An attempt counts
//!   when it was refused, or when the capture goes on for `patience` after its first packet.
//! - TCP was not tried: the client asked with more room over UDP, took what it had, or gave up.
//!
//! Severity is the share of the truncated lookups that TCP failed.
//!
//! # What it leaves alone
//! Truncation itself, which is how DNS says that there is more. Servers that answer strangers with empty
//! truncated responses, so that forged sources get nothing: a real client comes back over TCP.
//!
//! # What it does not claim
//! Who blocks TCP: a filter on the path, or a resolver that does not offer it.
//!
//! # References
//! RFC 2181 section 9; RFC 7766 section 5: TCP is required; RFC 9715 on sizes over UDP.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::dns::{Transaction, qtype_name};
use crate::detect::lookups::{Answered, Got, asks_for_name};
use crate::detect::*;
use crate::dissect::{Endpoint, PacketRef};
use crate::flow::{Flow, FlowHead, HandshakeOutcome};
use crate::time::Span;

thresholds! {
    /// Follows truncated responses to TCP.
    struct DnsTruncation {
        again: Span = 1.0 "s",
            "time to the next query for the same, below which both are one lookup",
            "ours: as the other rules for DNS have it";
        together: Span = 10.0 "s",
            "after a truncated response, in which the client's next steps belong to it",
            "resolv.conf(5): timeout 5 s, attempts 2";
        patience: Span = 3.0 "s",
            "how long the capture must go on after the first SYN before silence means something",
            "RFC 6298 section 2: the first two repeats come after 1 s and 3 s";
    }
}

variants! {
    /// What became of it over TCP.
    enum Fallback {
        Works "works" Info {
            could_be: &["answers with many records, or with signatures"],
            next: &["raise the EDNS size to 1232 where it is smaller, so that fewer answers need TCP"],
            not_claimed: &["that anything failed"],
        }
        Blocked "blocked" Critical {
            could_be: &[
                "a filter lets UDP port 53 pass and drops TCP port 53",
                "the resolver does not offer TCP, which RFC 7766 requires",
            ],
            next: &["ask over TCP: dig +tcp @RESOLVER NAME", "allow TCP port 53 beside UDP port 53"],
            not_claimed: &["who blocks TCP"],
            doubted_by: &[QualityIssue::Drops, QualityIssue::Missed],
        }
        NotTried "not_tried" Info {
            could_be: &[
                "the client takes what fits, or gave up before its query over TCP",
                "the client asks again with more room (EDNS)",
                "the query came from a forged address",
            ],
            next: &["ask whether the client's resolver library falls back to TCP"],
            not_claimed: &["that the client lacked anything"],
        }
    }
}

counts! {
    /// What a case counts.
    struct Ends {
        worked: u64,
        not_tried: u64,
        larger_udp: u64,
        open_without_response: u64,
        /// Attempts by how they ended.
        silent: u64,
        refused: u64,
        unreachable: u64,
    }
}

/// What was asked: resolver, client, name, type.
type Question = (Endpoint, IpAddr, String, u16);

/// A truncated response.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Cut {
    case: Case<Ends>,
    asked: PacketRef,
    answered: PacketRef,
}

impl Merge for Cut {
    fn absorb(&mut self, other: Self) {
        // Keys have the packet in them: nothing is ever counted twice under one.
        *self = other;
    }
}

/// A TCP connection to port 53, or the attempt to open one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Attempt {
    first: PacketRef,
    last: PacketRef,
    outcome: HandshakeOutcome,
    watched: Span,
}

impl Merge for Attempt {
    fn absorb(&mut self, other: Self) {
        // Keys have the flow in them: nothing is ever counted twice under one.
        *self = other;
    }
}

merged! {
    /// Truncated responses, TCP connections to port 53, and when clients got whole responses.
    pub(super) struct Seen {
        cuts: Bounded<(Question, u64), Cut, { 1 << 13 }>,
        attempts: Bounded<(IpAddr, Endpoint, u64), Attempt, { 1 << 14 }>,
        udp: Answered,
        tcp: Answered,
    }
}

const DNS: u16 = 53;
const TCP: u8 = 6;

/// Name and type in one, as [`Answered`] takes it.
fn asked_for(name: &str, qtype: u16) -> String {
    format!("{name} {qtype}")
}

impl Detector for DnsTruncation {
    const RULE: Rule = Rule {
        name: "dns_truncation",
        group: Group::Dns,
        summary: "truncated responses, and whether TCP brings the rest",
        judges: "lookups",
        variants: Fallback::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("dns_truncation.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(
        Meet::Service,
        &["missing_syn_ack", "connection_refused", "dns_unanswered", "dns_error", "icmp_unreachable"],
    )
    .when(&["blocked"])];
    type Variant = Fallback;
    type Key = Endpoint;
    type Counts = Ends;
    type Total = ();
    type Notes = Seen;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = flow.tcp.as_ref().filter(|_| flow.server.port == DNS) else { return };
        let key = (flow.client.address, flow.server, flow.id);
        let hash = hash_of(&(flow.client.address, flow.server));
        if let Some(attempt) = book.notes.attempts.observe(hash, key) {
            let (outcome, watched) = (tcp.handshake.outcome, flow.watched_until - flow.last.time);
            *attempt = Attempt { first: flow.first, last: flow.last, outcome, watched };
        }
    }

    fn transaction(&self, transaction: &Transaction, flow: &FlowHead, book: &mut Book<Self>) {
        let (Some(query), Some(response)) = (transaction.query, transaction.response) else {
            return book.not_judged("the query or the response is not in the capture");
        };
        if !asks_for_name(transaction, flow) {
            return book.not_judged("no lookup of a name: NetBIOS, NOTIFY, UPDATE or CHAOS");
        }
        let name = transaction.name.to_ascii_lowercase();
        if !transaction.truncated {
            book.judged(&flow.server);
            let asked = asked_for(&name, transaction.qtype);
            let answered = if flow.protocol == TCP { &mut book.notes.tcp } else { &mut book.notes.udp };
            return answered.add(flow.client.address, &asked, response.time, flow.server);
        }
        let question: Question = (flow.server, flow.client.address, name, transaction.qtype);
        let hash = hash_of(&question);
        let Some(cut) = book.notes.cuts.observe(hash, (question, query.packet)) else { return };
        (cut.asked, cut.answered) = (query, response);
        cut.case.lookup(transaction, flow, response);
        cut.case.show(1, query.packet, || {
            let qtype = qtype_name(transaction.qtype);
            let size = transaction.udp_size.map(|size| format!(", UDP size {size}"));
            let asked = format!("{} {qtype}{}", transaction.name, size.unwrap_or_default());
            [Evidence::new(query, Role::Query, asked), Evidence::new(response, Role::Response, "truncated")]
        });
    }

    fn conclude(&self, book: &mut Book<Self>, _: &Context<'_>) -> Vec<Concluded<Self>> {
        let mut seen = std::mem::take(&mut book.notes);
        let lost = seen.cuts.lost();
        let mut questions: BTreeMap<Question, Vec<Cut>> = BTreeMap::new();
        for ((question, _), cut) in seen.cuts.take_if(|_, _| true) {
            questions.entry(question).or_default().push(cut);
        }
        let mut attempts: BTreeMap<(IpAddr, Endpoint), Vec<&Attempt>> = BTreeMap::new();
        for ((client, resolver, _), _, attempt) in seen.attempts.iter() {
            attempts.entry((*client, *resolver)).or_default().push(attempt);
        }
        for (question, mut cuts) in questions {
            cuts.sort_by_key(|cut| cut.asked);
            let tried = attempts.get(&(question.1, question.0)).map_or(&[][..], Vec::as_slice);
            let again = |one: &Cut, next: &Cut| next.asked.time - one.answered.time < self.again;
            let lookups: Vec<&[Cut]> = cuts.chunk_by(again).collect();
            for (number, lookup) in lookups.iter().enumerate() {
                // What follows the next lookup belongs to that one.
                let next = lookups.get(number + 1).and_then(|next| next.first()).map(|cut| cut.asked.time);
                let tried = tried.iter().copied().filter(|one| next.is_none_or(|next| one.first.time < next));
                self.lookup(&question, lookup, &tried.collect::<Vec<_>>(), &seen, book);
            }
        }
        book.not_judged_many("more names than are kept apart", lost);
        Vec::new()
    }

    fn judge(
        &self,
        key: &Self::Key,
        case: &Case<Ends>,
        _: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Fallback>> {
        let (resolver, counts) = (*key, &case.counts);
        let brought = counts.worked + counts.larger_udp;
        let truncated = brought + counts.open_without_response + counts.not_tried + case.failed;
        let names = &case.affected.names;
        let names = names.only().map_or_else(|| names.of("name"), String::clone);
        let lookups = plural(truncated, "lookup");
        let got = format!("{} got truncated responses in {lookups}, for {names}.", case.clients());
        let ends = [
            (counts.worked, "got the whole answer over TCP"),
            (counts.larger_udp, "got a whole answer over UDP"),
            (counts.not_tried, "did not try TCP"),
            (counts.open_without_response, "opened a TCP connection without a response in it"),
            (case.failed, "tried TCP in vain"),
        ];
        let ends = ends.iter().filter(|(count, _)| *count > 0);
        let ends: Vec<String> = ends.map(|(count, what)| format!("{count} {what}")).collect();
        let mut summary = format!("{got} Of these {}.", ends.join(", "));
        if case.failed == 0 {
            let (variant, title) = match counts.worked {
                0 => (
                    Fallback::NotTried,
                    format!("{resolver} truncates responses, and no answer over TCP follows"),
                ),
                _ => (Fallback::Works, format!("{resolver} truncates responses, and TCP brings the answers")),
            };
            return Some(Draft::new(variant, title, summary).severity(Severity::Info));
        }
        let attempts = [
            (counts.silent, "got no answer to the SYN"),
            (counts.refused, "got a RST"),
            (counts.unreachable, "got an ICMP error"),
        ];
        let attempts = attempts.iter().filter(|(count, _)| *count > 0);
        let attempts: Vec<String> =
            attempts.map(|(count, what)| format!("{} {what}", plural(*count, "connection"))).collect();
        summary += &format!(" {}.", attempts.join(", "));
        let title =
            format!("Long answers of {resolver} do not arrive: TCP port {} does not answer", resolver.port);
        // Of the lookups that needed TCP.
        let needed = case.failed + counts.worked;
        let clients = case.affected.clients.count();
        let severity = Severity::of_failures(case.failed, needed, clients, case.lost);
        Some(Draft::new(Fallback::Blocked, title, summary).severity(severity).count("truncated", truncated))
    }
}

impl DnsTruncation {
    /// Counts a lookup that was truncated; `attempts`: all TCP connections of the client to the resolver.
    fn lookup(
        &self,
        (resolver, client, name, qtype): &Question,
        cuts: &[Cut],
        attempts: &[&Attempt],
        seen: &Seen,
        book: &mut Book<Self>,
    ) {
        let (Some(first), Some(last)) = (cuts.first(), cuts.last()) else { return };
        let (from, within) = (first.answered.time, last.answered.time - first.answered.time + self.together);
        let asked = asked_for(name, *qtype);
        let tcp = seen.tcp.after(*client, &asked, from, within);
        let udp = seen.udp.after(*client, &asked, from, within);
        let tried = attempts.iter().filter(|one| one.first.time >= from && one.first.time - from <= within);
        let tried: Vec<&Attempt> = tried.copied().collect();
        let got = matches!(tcp, Got::At(..)) || matches!(udp, Got::At(..));
        let unknown = tcp == Got::Unknown || udp == Got::Unknown;
        let lasted = |one: &Attempt| one.last.time - one.first.time + one.watched;
        let ended = |one: &Attempt| one.outcome == HandshakeOutcome::Refused || lasted(one) >= self.patience;
        if !got && (unknown || !tried.iter().all(|one| ended(one))) {
            return book.not_judged("the capture ended too soon after the truncated response");
        }
        book.judged(resolver);
        let Some(case) = book.case(*resolver) else { return };
        cuts.iter().for_each(|cut| case.absorb(cut.case.clone()));
        let counts = &mut case.counts;
        match (tcp, udp) {
            (Got::At(..), _) => counts.worked += 1,
            (_, Got::At(..)) => counts.larger_udp += 1,
            _ if tried.is_empty() => counts.not_tried += 1,
            // The port is open: what becomes of a query there is another matter.
            _ if tried.iter().any(|one| one.outcome.is_open()) => counts.open_without_response += 1,
            _ => {
                case.failed += 1;
                let until = tried.iter().map(|one| one.last.time).max().unwrap_or(from);
                case.lost += until - from;
                for one in &tried {
                    let count = match one.outcome {
                        HandshakeOutcome::Refused => &mut counts.refused,
                        HandshakeOutcome::Unreachable => &mut counts.unreachable,
                        _ => &mut counts.silent,
                    };
                    *count += 1;
                }
                case.show(0, first.asked.packet, || {
                    let cut = Evidence::new(first.answered, Role::Response, "truncated");
                    let asked = format!("{name} {}", qtype_name(*qtype));
                    let query = Evidence::new(first.asked, Role::Query, asked);
                    let syns = tried.into_iter().map(|one| (one.first, "to TCP port 53"));
                    let syns = syns.map(|(at, text)| Evidence::new(at, Role::Syn, text));
                    [query, cut].into_iter().chain(syns).collect::<Vec<_>>()
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing};
    use crate::support::dns::{self, A};
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, RST, SERVER, SYN};

    const NAME: &str = DnsTruncation::RULE.name;
    const LONG: &str = "long.shop.example";

    /// A lookup at server 54 by `client`, truncated, at a millisecond.
    fn truncated(lab: &mut Lab, client: u8, at: u64) {
        let (from, resolver) = ((lab.client(client), lab.next_port()), (lab.server(54), 53));
        lab.udp(at * 1_000, from, resolver, &dns::query(from.1, LONG, A));
        let mut answer = dns::response(from.1, LONG, A, dns::NOERROR, &[]);
        answer[2] |= 0x02;
        lab.udp(at * 1_000 + 2_000, resolver, from, &answer);
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u16).to_be_bytes(), message].concat()
    }

    fn over_tcp(lab: &mut Lab, client: u8, at: u64) {
        let mut talk = lab.talk(client, (54, 53), at, [30, 1_500]);
        talk.handshake(&mut lab.capture);
        talk.send(&mut lab.capture, CLIENT, ACK, &framed(&dns::query(77, LONG, A)));
        talk.turn(CLIENT);
        let answer = dns::response(77, LONG, A, dns::NOERROR, &[[10, 77, 2, 80]]);
        talk.send(&mut lab.capture, SERVER, ACK, &framed(&answer));
        talk.close(&mut lab.capture);
    }

    /// A SYN that nobody answers, or that gets a RST.
    fn no_tcp(lab: &mut Lab, client: u8, at: u64, refused: bool) {
        let mut talk = lab.talk(client, (54, 53), at, [30, 1_500]);
        talk.send(&mut lab.capture, CLIENT, SYN, b"");
        if refused {
            talk.turn(CLIENT);
            let mut reset = talk.segment(SERVER, RST | ACK, b"");
            reset.seq = 0;
            talk.record(&mut lab.capture, &reset);
        }
    }

    #[test]
    fn it_fires() {
        fires(NAME, &[("dns_truncation_blocked", "blocked", Severity::Critical)]);
    }

    #[test]
    fn it_stays_silent() {
        says_nothing(NAME, &["healthy_search_list", "healthy_large", "dns_unanswered", "dns_servfail_bogus"]);
    }

    #[test]
    fn a_refused_connection_is_a_warning() {
        let findings = in_traffic(NAME, |lab| {
            truncated(lab, 7, 1_000);
            no_tcp(lab, 7, 1_010, true);
            lab.resolves(20_000_000, "www.shop.example");
        });
        let finding = one(&findings, "blocked", Severity::Warning);
        assert!(finding.summary.contains("1 connection got a RST"), "{}", finding.summary);
    }

    #[test]
    fn an_answer_over_tcp_is_information() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..6 {
                truncated(lab, 7, 1_000 + number * 20_000);
                over_tcp(lab, 7, 1_010 + number * 20_000);
            }
        });
        one(&findings, "works", Severity::Info);
    }

    /// The first connection is lost, the second brings the answer.
    #[test]
    fn a_second_try_that_works_is_information() {
        let findings = in_traffic(NAME, |lab| {
            truncated(lab, 7, 1_000);
            no_tcp(lab, 7, 1_010, false);
            over_tcp(lab, 7, 4_010);
            lab.resolves(30_000_000, "www.shop.example");
        });
        one(&findings, "works", Severity::Info);
    }

    /// The port is open: a server that does not answer there is no filter.
    #[test]
    fn a_connection_that_opens_is_not_blocked() {
        let findings = in_traffic(NAME, |lab| {
            truncated(lab, 7, 1_000);
            let mut talk = lab.talk(7, (54, 53), 1_010, [30, 1_500]);
            talk.handshake(&mut lab.capture);
            talk.close(&mut lab.capture);
            lab.resolves(30_000_000, "www.shop.example");
        });
        one(&findings, "not_tried", Severity::Info);
    }

    #[test]
    fn a_client_that_does_not_try_is_information() {
        let findings = in_traffic(NAME, |lab| {
            (0..9).for_each(|number| truncated(lab, 20 + number, 1_000 + u64::from(number) * 900));
            // Somebody else cannot connect.
            no_tcp(lab, 7, 1_010, false);
            lab.resolves(30_000_000, "www.shop.example");
        });
        one(&findings, "not_tried", Severity::Info);
    }

    #[test]
    fn an_attempt_at_the_end_of_the_capture_is_not_judged() {
        let findings = in_traffic(NAME, |lab| {
            truncated(lab, 7, 1_000);
            no_tcp(lab, 7, 1_010, false);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
