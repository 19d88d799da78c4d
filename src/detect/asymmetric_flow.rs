//! # What it finds
//! Conversations whose two directions do not take the same way, as far as the capture can show it.
//!
//! # Why it matters
//! A stateful device drops a connection of which one direction passes elsewhere. And an analysis that sees
//! one direction must not judge the other.
//!
//! # How it decides
//! - `visibility`: packets of one direction only, whose acknowledgements advance or whose SYN-ACKs answer.
//!   The other direction exists and does not pass this capture point.
//! - `state`: the handshake passed here, the server went on repeating its SYN-ACK, and no data of the client
//!   was acknowledged.
//! - `path`: answers come from a link address or VLAN that nothing is sent to; those connections fail, and
//!   connections of the same service whose directions match do not.
//! - `loss`: one direction lost at least `factor` times as many segments as the other, and at least `least`.
//!   The other direction carries at least half as many segments.
//!
//! # What it leaves alone
//! - One-way conversations whose acknowledgements do not advance: that is silence (see `missing_syn_ack`).
//! - Unequal numbers of bytes.
//! - Other link addresses on the way back that do no harm, and those of virtual routers (VRRP, HSRP, GLBP),
//!   which answer from their own.
//!
//! # What it does not claim
//! Asymmetric routing, or that a device holds state.
//!
//! # References
//! Zeek `possible_split_routing`; pcaptriage R08; RFC 9568 section 7.3.

use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, Half, HandshakeOutcome, LinkUse, TcpEvent, TcpFlow};

thresholds! {
    /// Counts conversations by how their directions differ.
    struct AsymmetricFlow {
        factor: u64 = 5.0 "times", "losses of one direction against the other", "pcaptriage R08, 5 times";
        least: u64 = 20.0 "segments", "losses in the worse direction", "pcaptriage R08, 20";
    }
}

variants! {
    /// How the directions differ.
    enum Difference {
        Visibility "visibility" Info {
            could_be: &["a mirror port copies one direction only", "the answer takes another path"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTS,
        }
        State "state" Critical {
            could_be: &[
                "a device behind the capture point drops packets of connections whose SYN-ACK it did not see",
                "the server's accept queue is full",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTS,
        }
        Path "path" Warning {
            could_be: &[
                "a stateful device on one of the ways sees half of each connection",
                "two devices share one address, and one of them is at fault",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTS,
        }
        // `retransmission` says what the losses cost. That they are one-sided says where to look.
        Loss "loss" Info {
            could_be: &["one direction of a link or path is overloaded or faulty"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTS,
        }
    }
}

const NEXT: &[&str] =
    &["capture at both hosts at the same time", "compare link addresses, VLANs and TTLs of both directions"];
const NOT_CLAIMED: &[&str] = &["asymmetric routing", "that a device holds state"];
const DOUBTS: &[QualityIssue] = &[QualityIssue::Drops, QualityIssue::Missed];

counts! {
    /// What a case counts beside its flows.
    struct Uneven {
        lost_to_server: u64,
        lost_to_client: u64,
        segments: [u64; 2],
    }
}

counts! {
    /// Connections of a service whose directions take the same way.
    struct Matching {
        failed: u64,
        all: u64,
    }
}

/// One-way services listed one by one; more are a property of the capture.
const SERVICES: u64 = 8;

impl Detector for AsymmetricFlow {
    const RULE: Rule = Rule {
        name: "asymmetric_flow",
        group: Group::Path,
        summary: "conversations whose directions do not take the same way",
        judges: "flows",
        variants: Difference::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("asymmetric_flow.rs"),
    };
    const CASES: usize = 1 << 14;
    const EXPLAINS: &'static [Explains] =
        &[Explains::by(Meet::Flows, &["retransmission", "rst_storm", "http_error"]).when(&["state", "path"])];
    type Variant = Difference;
    type Key = (Endpoint, Difference, Option<Direction>);
    type Counts = Uneven;
    type Total = Matching;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        if flow.is_one_way() {
            return one_way(flow, tcp, book);
        }
        let ways = ways(flow);
        let detour = ways.as_ref().is_some_and(|(there, back)| !there.iter().any(|way| back.contains(way)));
        if let Some(matching) = book.judged(&flow.server)
            && ways.is_some()
            && !detour
        {
            matching.all += 1;
            matching.failed += u64::from(has_failed(tcp));
        }
        let ends = [flow.first, flow.last];
        let to_server = tcp.side(Direction::ToServer);
        if tcp.handshake.outcome == HandshakeOutcome::AckLost
            && to_server.data_segments > 0
            && let Some(case) = book.case((flow.server, Difference::State, None))
        {
            case.flow(flow, ends);
            case.failed += 1;
            case.show(0, flow.id, || {
                let replies = tcp.handshake.syn_acks.iter();
                let replies = replies.map(|at| Evidence::new(*at, Role::SynAck, "the server asks again"));
                let passed = |at| Evidence::new(at, Role::Ack, "the client's answer passed here");
                replies.chain(tcp.handshake.ack.map(passed)).collect::<Vec<_>>()
            });
        }
        if detour && let Some(case) = book.case((flow.server, Difference::Path, None)) {
            case.flow(flow, ends);
            case.failed += u64::from(has_failed(tcp));
            case.show(0, flow.id, || {
                let first = |direction: Direction| {
                    flow.half(direction).links.first().map(|link| link_evidence(direction, link))
                };
                Direction::BOTH.into_iter().filter_map(first).collect::<Vec<_>>()
            });
        }
        let losses = Direction::BOTH.map(|direction| {
            let repeats = &tcp.side(direction).retransmissions;
            repeats.lost_before + repeats.lost_after
        });
        let lost: u64 = losses.iter().sum();
        if lost > 0
            && let Some(case) = book.case((flow.server, Difference::Loss, None))
        {
            case.flow(flow, ends);
            case.counts.lost_to_server += losses[0];
            case.counts.lost_to_client += losses[1];
            case.counts.segments.absorb([0, 1].map(|index: usize| tcp.sides[index].data_segments));
            case.show(-(lost as i64), flow.id, || {
                let repeats = tcp.events.iter().filter(|event| event.kind.is_data_retransmission());
                let again =
                    |event: &TcpEvent| Evidence::new(event.at, Role::Retransmission, event.kind.name());
                repeats.take(6).map(again).collect::<Vec<_>>()
            });
        }
    }

    fn conclude(&self, book: &mut Book<Self>, _: &Context<'_>) -> Vec<Concluded<Self>> {
        let groups = book.group(SERVICES, |(_, difference, direction), _| {
            direction.filter(|_| *difference == Difference::Visibility)
        });
        groups.into_iter().map(one_way_capture).collect()
    }

    fn judge(
        &self,
        key: &Self::Key,
        case: &Case<Uneven>,
        book: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Difference>> {
        let (server, difference, direction) = *key;
        let flows = plural(case.flows(), "connection");
        Some(match difference {
            Difference::Visibility => visibility(direction?, &format!("of {server}"), "server's", &flows),
            Difference::State => Draft::new(
                difference,
                format!("{server} acknowledges nothing that its clients send after the SYN"),
                format!(
                    "In {flows} the handshake passed this capture point. The server went on repeating its \
                     SYN-ACK, and acknowledged no data of the client."
                ),
            )
            .confidence(Confidence::Likely)
            .severity(case.severity(case.failed)),
            Difference::Path => self.path(server, case, book.total(&server).1?)?,
            Difference::Loss => self.loss(server, case)?,
        })
    }
}

impl AsymmetricFlow {
    /// Failing must come with the detour: every connection that takes it fails, and most others do not.
    fn path(&self, server: Endpoint, case: &Case<Uneven>, matching: &Matching) -> Option<Draft<Difference>> {
        let harmful = case.failed == case.flows() && matching.all > 0 && 2 * matching.failed < matching.all;
        harmful.then(|| {
            Draft::new(
                Difference::Path,
                format!("Connections to {server} fail when the answers come another way"),
                format!(
                    "{} got answers from a link address or VLAN that nothing is sent to, and all of them \
                     failed. Of {} with one way for both directions {} failed.",
                    plural(case.flows(), "connection"),
                    matching.all,
                    matching.failed,
                ),
            )
            .confidence(Confidence::Likely)
        })
    }

    fn loss(&self, server: Endpoint, case: &Case<Uneven>) -> Option<Draft<Difference>> {
        let Uneven { lost_to_server: there, lost_to_client: back, segments } = case.counts;
        let (most, least) = (there.max(back), there.min(back));
        let [worse, better] = if there >= back { segments } else { [segments[1], segments[0]] };
        // A direction that carries next to no data has next to nothing to lose.
        let comparable = 2 * better >= worse;
        (comparable && most >= self.least && most >= self.factor * least).then(|| {
            Draft::new(
                Difference::Loss,
                format!("Packets of one direction are lost on the way between {server} and its clients"),
                format!(
                    "In {} the network lost {} to the server and {} to the client.",
                    plural(case.flows(), "connection"),
                    plural(there, "segment"),
                    plural(back, "segment"),
                ),
            )
            .confidence(Confidence::Likely)
        })
    }
}

fn one_way(flow: &Flow, tcp: &TcpFlow, book: &mut Book<AsymmetricFlow>) {
    let seen = |direction: &Direction| flow.half(*direction).packets > 0;
    let Some(direction) = Direction::BOTH.into_iter().find(seen) else { return };
    // What it acknowledges is the other side's data: that moved, so the other side is there.
    let advanced = tcp.side(direction.reverse()).acked_progress > 0;
    let answers = direction == Direction::ToClient && tcp.handshake.syn_ack_count > 0;
    if !advanced && !answers {
        return book.not_judged("one direction only, and nothing shows that the other exists");
    }
    book.judged(&flow.server);
    let Some(case) = book.case((flow.server, Difference::Visibility, Some(direction))) else { return };
    case.flow(flow, [flow.first, flow.last]);
    case.show(0, flow.id, || {
        let half = flow.half(direction);
        let ends = half.first.into_iter().chain(half.last);
        ends.map(|at| Evidence::new(at, Role::OneWay, "acknowledges packets that are not in the capture"))
    });
}

fn visibility(direction: Direction, of: &str, server: &str, flows: &str) -> Draft<Difference> {
    let side = if direction == Direction::ToServer { "clients'" } else { server };
    let title = format!("Only the {side} packets {of} pass this capture point");
    let summary = format!(
        "The capture shows one direction of {flows} only, and its acknowledgements advance. The other \
         direction exists and was not captured."
    );
    Draft::new(Difference::Visibility, title, summary).direction(direction)
}

fn one_way_capture(group: CaseGroup<Direction, Uneven>) -> Concluded<AsymmetricFlow> {
    let CaseGroup { by: direction, cases, case } = group;
    let flows = plural(case.flows(), "connection");
    let draft = visibility(direction, &format!("of {}", plural(cases, "service")), "servers'", &flows);
    let subject = Subject { protocol: Some("tcp"), direction: Some(direction), ..Subject::default() };
    (draft.subject(subject).services(cases), case)
}

/// The far end of a way: link address and VLAN.
type Way = ([u8; 6], u16);

/// The far ends of the ways there and back. `None` when the capture does not show both, or shows packets at
/// several points. `None`, too, when a virtual router's address is among them.
fn ways(flow: &Flow) -> Option<(Vec<Way>, Vec<Way>)> {
    let [there, back] = &flow.halves;
    let unclear = |half: &Half| half.copies > 0 || half.links.len() == LinkUse::MAX || half.links.is_empty();
    if unclear(there) || unclear(back) {
        return None;
    }
    let there: Vec<Way> = there.links.iter().map(|link| (link.destination, link.vlan)).collect();
    let back: Vec<Way> = back.links.iter().map(|link| (link.source, link.vlan)).collect();
    let known = |(address, _): &Way| *address != [0; 6] && !is_virtual(*address);
    (there.iter().all(known) && back.iter().all(known)).then_some((there, back))
}

/// Addresses of virtual routers: VRRP (RFC 9568 section 7.3), HSRP versions 1 and 2, GLBP.
fn is_virtual(address: [u8; 6]) -> bool {
    matches!(
        address,
        [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, _]
            | [0x00, 0x00, 0x0c, 0x07, 0xac, _]
            | [0x00, 0x00, 0x0c, 0x9f, 0xf0..=0xff, _]
            | [0x00, 0x05, 0x73, 0xa0..=0xaf, _, _]
            | [0x00, 0x07, 0xb4, _, _, _]
    )
}

/// It did not open, or was cut off, or data of the client was never acknowledged.
fn has_failed(tcp: &TcpFlow) -> bool {
    let opened = matches!(tcp.handshake.outcome, HandshakeOutcome::Established | HandshakeOutcome::Midstream);
    let to_server = tcp.side(Direction::ToServer);
    let unheard = to_server.unique_bytes > 0 && to_server.sizes.delivered == 0;
    !opened || unheard || tcp.resets.iter().any(|reset| reset.class.is_harmful())
}

fn link_evidence(direction: Direction, link: &LinkUse) -> Evidence {
    let address = |bytes: [u8; 6]| bytes.map(|byte| format!("{byte:02x}")).join(":");
    let role = if direction == Direction::ToServer { Role::There } else { Role::Back };
    let (source, destination) = (address(link.source), address(link.destination));
    Evidence::new(link.first, role, format!("from {source} to {destination}, VLAN {}", link.vlan))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_scene, one, silent};

    const NAME: &str = AsymmetricFlow::RULE.name;

    #[test]
    fn it_fires() {
        fires(
            NAME,
            &[
                ("asymmetric_flow_visibility", "visibility", Severity::Info),
                ("asymmetric_flow_path", "path", Severity::Warning),
                ("asymmetric_flow_state", "state", Severity::Critical),
                ("asymmetric_flow_loss", "loss", Severity::Info),
            ],
        );
    }

    #[test]
    fn it_stays_silent() {
        silent(
            NAME,
            &[
                "missing_syn_ack_silent",
                "retransmission_rto",
                "capture_duplicates_routed",
                "healthy_resets",
                "healthy_large",
            ],
        );
    }

    #[test]
    fn shares_are_of_all_connections_of_the_service() {
        let findings = in_scene(NAME, "asymmetric_flow_path");
        let impact = one(&findings, "path", Severity::Warning).impact;
        assert!(impact.failed_transactions < impact.of_transactions, "{impact:?}");
    }
}
