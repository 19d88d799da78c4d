//! # What it finds
//! Conversations whose two directions do not take the same way, as far as the capture can show it.
//!
//! # Why it matters
//! A stateful device drops a connection of which one direction passes elsewhere. And an analysis that sees
//! one direction must not judge the other.
//!
//! # How it decides
//! - `visibility`: packets of one direction only, whose acknowledgements advance or that follow a SYN-ACK.
//!   The other direction exists and does not pass this capture point. The same from one moment on, in
//!   connections that both directions of were captured: what remains acknowledges what did not pass. Or
//!   several repeat their data in vain, while others of the service go on.
//! - `state`: the handshake passed here, the server went on repeating its SYN-ACK, and nothing shows that
//!   it got more than the SYN: no ACK, no SACK, no echo of a later time stamp. Or RSTs that know nothing of
//!   several connections in use come by another link address or with a TTL that their sender does not use.
//!   Their sender goes on after one of them, or one answers a packet that took another way; else the service
//!   goes on with others, and it is possible only. Or only one direction of several connections passes here,
//!   repeats its data in vain, and answers what does not pass.
//! - `path`: answers come from a link address or VLAN that nothing is sent to; those connections fail, and
//!   connections of the same service whose directions match do not.
//! - `loss`: one direction lost at least `factor` times as many segments as the other, and at least `least`.
//!   The other direction carries at least half as many segments.
//!
//! # What it leaves alone
//! - One-way conversations whose acknowledgements do not advance: that is silence (see `missing_syn_ack`).
//!   SYN-ACKs alone: their client may be gone, or never have asked.
//! - Unequal numbers of bytes.
//! - Connections that were refused, or that the client resets at the SYN-ACK, as a scan does.
//! - Other link addresses on the way back that do no harm, and those of virtual routers (VRRP, HSRP, GLBP),
//!   which answer from their own.
//!
//! # What it does not claim
//! Asymmetric routing, or that a device holds state.
//!
//! # References
//! Zeek `possible_split_routing`; pcaptriage R08; RFC 9568 section 7.3.

mod ways;

use serde::{Deserialize, Serialize};

use self::ways::{is_from_another_way, is_from_elsewhere, link_evidence, ways};
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{EventKind, Flow, HandshakeOutcome, Reset, ResetClass, TcpEvent, TcpFlow, Unanswered};
use crate::time::Span;

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
        /// Connections whose other direction is known to go on elsewhere.
        goes_on: u64,
        /// Reset connections whose packets had gone another way just before.
        moved: u64,
        /// Connections whose repeated data nobody acknowledged.
        dead: u64,
        onset: Earliest,
        latest: Latest,
    }
}

counts! {
    /// Connections of a service whose directions take the same way.
    struct Matching {
        failed: u64,
        all: u64,
        /// The last packet of each side in a connection of the service.
        last: [Latest; 2],
    }
}

/// What sets the directions of a connection apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Sign {
    /// Only this direction was captured, and the other is known to exist.
    OneWay(Direction),
    /// Only this direction was captured, and it gets nowhere.
    Half(Direction),
    /// From one moment on only this direction was captured.
    Turned(Direction),
    /// The end of the handshake and all data after it go unheard.
    Unheard,
    /// A device between the hosts resets what they have in use.
    Stranger,
    /// The answers come by a link address or VLAN that nothing is sent to.
    Detour,
    /// Losses.
    Loss,
}

/// Tries of one segment, and the time from the first to the last, from which its connection is dead: as
/// `path_outage` has them.
const TRIES: u32 = 4;
const PATIENCE: Span = Span::secs(3);

/// A pause that is no pause: as `path_outage` has it.
const IN_USE: Span = Span::secs(2);

/// Time in which a direction leaves its connections: as `path_outage` has it.
const TOGETHER: Span = Span::secs(30);

/// Connections of which one direction is dead, from which it is more than an accident.
const SEVERAL: u64 = 3;

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
        &[Explains::by(Meet::Flows, &["rst_storm"]).when(&["state", "path"])];
    type Variant = Difference;
    type Key = (Endpoint, Sign);
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
        if let Some(matching) = book.judged(&flow.server) {
            if ways.is_some() && !detour {
                matching.all += 1;
                matching.failed += u64::from(has_failed(tcp));
            }
            for (last, half) in matching.last.iter_mut().zip(&flow.halves) {
                half.last.into_iter().for_each(|at| last.add(at.time));
            }
        }
        Direction::BOTH.into_iter().for_each(|direction| turned(flow, tcp, direction, book));
        stranger(flow, tcp, book);
        let ends = [flow.first, flow.last];
        let to_server = tcp.side(Direction::ToServer);
        if tcp.handshake.outcome == HandshakeOutcome::AckLost
            && to_server.data_segments > 0
            && let Some(case) = book.case((flow.server, Sign::Unheard))
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
        if detour && let Some(case) = book.case((flow.server, Sign::Detour)) {
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
            // A time-out makes a sender repeat what arrived, too: it stands for one loss.
            let causes = repeats.fast + repeats.time_outs + repeats.tail_loss_probe;
            repeats.lost_before + repeats.lost_after.min(causes)
        });
        let lost: u64 = losses.iter().sum();
        // What nobody acknowledges any more is lost in another way.
        let dead = Direction::BOTH.into_iter().any(|direction| is_dead(tcp, direction).is_some());
        if lost > 0
            && !dead
            && let Some(case) = book.case((flow.server, Sign::Loss))
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
        let groups = book.group(SERVICES, |(_, sign), _| match sign {
            Sign::OneWay(direction) => Some(*direction),
            _ => None,
        });
        let deaf =
            book.group(SEVERAL, |(server, sign), _| Some(server.address).filter(|_| *sign == Sign::Unheard));
        let deaf = deaf.into_iter().map(|CaseGroup { by: host, cases, case }| {
            let of = format!("{host} on {}", plural(cases, "port"));
            let subject = Subject { port: None, ..Subject::of(&case) };
            (unheard(&of, &case).subject(subject).services(cases), case)
        });
        groups.into_iter().map(one_way_capture).chain(deaf).collect()
    }

    fn judge(
        &self,
        key: &Self::Key,
        case: &Case<Uneven>,
        book: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Difference>> {
        let (server, sign) = *key;
        let flows = plural(case.flows(), "connection");
        Some(match sign {
            Sign::OneWay(direction) => visibility(direction, &format!("of {server}"), "server's", &flows),
            Sign::Half(direction) => half(direction, server, case)?,
            Sign::Turned(direction) => since(direction, server, case, book.total(&server).1?)?,
            Sign::Unheard => unheard(&server.to_string(), case),
            Sign::Stranger => reset_in_use(server, case, book.total(&server).1?)?,
            Sign::Detour => self.path(server, case, book.total(&server).1?)?,
            Sign::Loss => self.loss(server, case)?,
        })
    }
}

impl AsymmetricFlow {
    /// Failing must come with the detour: every connection that takes it fails, and most others do not. One
    /// alone may fail for any cause.
    fn path(&self, server: Endpoint, case: &Case<Uneven>, matching: &Matching) -> Option<Draft<Difference>> {
        let harmful = case.failed == case.flows()
            && case.failed > 1
            && matching.all > 0
            && 2 * matching.failed < matching.all;
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
        let Uneven { lost_to_server: there, lost_to_client: back, segments, .. } = case.counts;
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
    // A server goes on when it has the client's ACK; it gives up without.
    let resets: u32 = tcp.resets.iter().map(|reset| reset.count).sum();
    let others = flow.half(direction).packets > u64::from(tcp.handshake.syn_ack_count + resets);
    let answers = direction == Direction::ToClient && tcp.handshake.syn_ack_count > 0 && others;
    let dead = is_dead(tcp, direction).filter(|_| tcp.handshake.outcome == HandshakeOutcome::Midstream);
    let sign = match dead {
        Some(_) if advanced || replies(flow, tcp, direction) => Sign::Half(direction),
        _ if advanced || answers => Sign::OneWay(direction),
        _ => return book.not_judged("one direction only, and nothing shows that the other exists"),
    };
    book.judged(&flow.server);
    let Some(case) = book.case((flow.server, sign)) else { return };
    case.flow(flow, [flow.first, flow.last]);
    if let (Sign::Half(_), Some(dead)) = (sign, dead) {
        case.failed += 1;
        case.lost += dead.last.time - dead.first.time;
        return case.show(dead.first.time.0, flow.id, || tries(&dead));
    }
    case.show(0, flow.id, || {
        let half = flow.half(direction);
        let ends = half.first.into_iter().chain(half.last);
        ends.map(|at| Evidence::new(at, Role::OneWay, "acknowledges packets that are not in the capture"))
            .collect::<Vec<_>>()
    });
}

/// It sends ACKs without data beside what it repeats: they answer packets of the other side.
fn replies(flow: &Flow, tcp: &TcpFlow, direction: Direction) -> bool {
    let side = tcp.side(direction);
    let own =
        side.data_segments + side.keep_alives + side.retransmissions.fin + u64::from(side.fin.is_some());
    let resets: u64 = tcp.resets.iter().map(|reset| u64::from(reset.count)).sum();
    flow.half(direction).packets >= own + resets + 2
}

/// What `direction` repeated in vain, until the end.
fn is_dead(tcp: &TcpFlow, direction: Direction) -> Option<Unanswered> {
    let end = tcp.waits.as_ref()?.unanswered[direction.index()]?;
    (end.tries >= TRIES && end.last.time - end.first.time >= PATIENCE).then_some(end)
}

fn tries(dead: &Unanswered) -> Vec<Evidence> {
    let last = format!("try {}, never acknowledged", dead.tries);
    vec![
        Evidence::new(dead.first, Role::Original, format!("{} bytes", dead.ip_length)),
        Evidence::new(dead.last, Role::Retransmission, last),
    ]
}

/// Both directions were captured, and from one moment on only `direction`: the other goes on elsewhere, or
/// is dead.
fn turned(flow: &Flow, tcp: &TcpFlow, direction: Direction, book: &mut Book<AsymmetricFlow>) {
    let back = direction.reverse();
    let (Some(last), Some(gone)) = (flow.half(direction).last, flow.half(back).last) else { return };
    let worked = tcp.handshake.outcome.is_open() && tcp.sides.iter().all(|side| side.acked_progress > 1);
    // Who is left alone may give up; the other side did not say that it leaves.
    let leaves = tcp.resets.iter().any(|reset| reset.direction == back) || tcp.side(back).fin.is_some();
    let closed = leaves || tcp.side(direction).fin.is_some_and(|fin| fin.packet <= gone.packet);
    if !worked || closed || last.time - gone.time < PATIENCE {
        return;
    }
    let unseen = |event: &&TcpEvent| {
        event.kind == EventKind::AckedUnseen && event.direction == back && event.at.packet > gone.packet
    };
    // One byte may be a probe.
    let acked = tcp.events.iter().find(|event| unseen(event) && event.length > 1);
    let dead = is_dead(tcp, direction).filter(|_| acked.is_none());
    if acked.is_none() && dead.is_none() {
        return;
    }
    let Some(case) = book.case((flow.server, Sign::Turned(direction))) else { return };
    case.flow(flow, [gone, last]);
    case.counts.goes_on += u64::from(acked.is_some());
    case.counts.dead += u64::from(dead.is_some());
    case.counts.onset.add(gone.time);
    case.counts.latest.add(gone.time);
    case.show(gone.time.0, flow.id, || {
        let words = "acknowledges packets that are not in the capture";
        let acked = acked.map(|event| Evidence::new(event.at, Role::OneWay, words));
        let end = Evidence::new(gone, Role::Back, "the last packet of the other direction");
        let tries = dead.iter().flat_map(tries);
        [end].into_iter().chain(acked).chain(tries).collect::<Vec<_>>()
    });
}

/// A RST that knows nothing of a connection in use comes from elsewhere than its sender's packets: a device
/// on the way of one direction sent it. Where the sender goes on after it, or the packet that it answers had
/// taken another way than those before, that is proven.
fn stranger(flow: &Flow, tcp: &TcpFlow, book: &mut Book<AsymmetricFlow>) {
    let worked = tcp.handshake.outcome.is_open() && tcp.sides.iter().all(|side| side.acked_progress > 1);
    let survived = tcp.waits.as_ref().and_then(|waits| waits.survived).map_or(IN_USE, |pause| pause.length());
    let unknown = |reset: &&Reset| {
        reset.class == ResetClass::NoSocket
            && reset.idle <= survived.max(IN_USE)
            && is_from_elsewhere(flow, tcp, reset)
    };
    let Some(reset) = tcp.resets.iter().find(unknown).filter(|_| worked) else { return };
    let Some(case) = book.case((flow.server, Sign::Stranger)) else { return };
    let trips = [tcp.handshake.server_rtt, tcp.handshake.client_rtt].into_iter().flatten();
    let trip = trips.fold(0i64, |sum, trip| sum.saturating_add(trip.0));
    // What was on its way comes within a round trip; later segments were sent after it.
    let late = Span(trip.saturating_mul(2)).max(Span::millis(100));
    let data = tcp.side(reset.direction).transfer.map(|(_, last)| last);
    let goes_on = data.filter(|data| data.time - reset.at.time > late);
    case.flow(flow, [reset.at]);
    case.failed += 1;
    case.counts.goes_on += u64::from(goes_on.is_some());
    case.counts.moved += u64::from(is_from_another_way(flow, reset));
    case.counts.onset.add(reset.at.time);
    case.counts.latest.add(reset.at.time);
    case.show(-i64::from(goes_on.is_some()), flow.id, || {
        let answered = reset.trigger.map(|at| Evidence::new(at, Role::Trigger, "the packet that it answers"));
        let rst = format!("no ACK, seq {}, TTL {}", reset.seq.0, reset.ttl);
        let after = goes_on.map(|at| Evidence::new(at, Role::Data, "its sender goes on after it"));
        let rst = [Evidence::new(reset.at, Role::Reset, rst)];
        answered.into_iter().chain(rst).chain(after).collect::<Vec<_>>()
    });
}

fn side_name(direction: Direction) -> &'static str {
    if direction == Direction::ToServer { "clients'" } else { "server's" }
}

/// Nothing after the SYN reaches the server.
fn unheard(of: &str, case: &Case<Uneven>) -> Draft<Difference> {
    let draft = Draft::new(
        Difference::State,
        format!("{of} acknowledges nothing that its clients send after the SYN"),
        format!(
            "In {} the handshake passed this capture point. The server went on repeating its SYN-ACK, and \
             acknowledged no data of the client.",
            plural(case.flows(), "connection"),
        ),
    );
    draft.confidence(Confidence::Likely).severity(case.severity(case.failed))
}

/// Half of connections that get nowhere.
fn half(direction: Direction, server: Endpoint, case: &Case<Uneven>) -> Option<Draft<Difference>> {
    let side = side_name(direction);
    let draft = Draft::new(
        Difference::State,
        format!("Only the {side} packets of {server} pass here, and get nowhere"),
        format!(
            "The capture shows one direction of {} that began before. The sender repeated the same data for \
             {} in all. Its ACKs answer packets that did not pass here.",
            plural(case.flows(), "connection"),
            case.lost,
        ),
    );
    let draft = draft.severity(case.severity(case.failed).min(Severity::Warning)).direction(direction);
    (case.failed >= SEVERAL).then(|| draft.confidence(Confidence::Likely))
}

/// From one moment on a direction no longer passes.
fn since(
    direction: Direction,
    server: Endpoint,
    case: &Case<Uneven>,
    service: &Matching,
) -> Option<Draft<Difference>> {
    let counts = &case.counts;
    let onset = counts.onset.get()?;
    let back = direction.reverse();
    // Where the other side fell silent to everybody, nothing tells the directions apart.
    let others = service.last[back.index()].get().is_some_and(|last| last - onset > PATIENCE);
    // Clients that leave, do so one by one.
    let together = counts.latest.get().is_some_and(|latest| latest - onset <= TOGETHER);
    let clients = direction == Direction::ToServer || case.affected.clients.count() >= SEVERAL;
    if counts.goes_on == 0 && (counts.dead < SEVERAL || !others || !together || !clients) {
        return None;
    }
    let flows = plural(case.flows(), "connection");
    let moved = match counts.goes_on {
        0 => String::new(),
        count => format!(" In {count} the remaining side acknowledges packets that did not pass here."),
    };
    let dead = match counts.dead {
        0 => String::new(),
        count => format!(" In {count} it repeats its data, and nobody acknowledges that here."),
    };
    let others = if others { " The other direction of other connections still passes." } else { "" };
    let draft = Draft::new(
        Difference::Visibility,
        format!("The {} packets of {flows} of {server} no longer pass this capture point", side_name(back)),
        format!(
            "Since {} the capture shows one direction of {flows} only.{moved}{dead}{others}",
            crate::humanize::whole_seconds(onset)
        ),
    );
    let sure = if counts.goes_on > 0 { Confidence::Likely } else { Confidence::Possible };
    Some(draft.direction(direction).confidence(sure))
}

/// A device resets connections that both hosts have.
fn reset_in_use(server: Endpoint, case: &Case<Uneven>, service: &Matching) -> Option<Draft<Difference>> {
    let Uneven { goes_on, moved, .. } = case.counts;
    let proven = goes_on + moved > 0;
    let (onset, latest) = case.counts.onset.get().zip(case.counts.latest.get())?;
    // Otherwise a host that is gone, and something that answers for it, would look alike.
    let lives = service.last[Direction::ToClient.index()].get().is_some_and(|last| last - latest > PATIENCE);
    if case.failed < SEVERAL || !proven && (latest - onset > TOGETHER || !lives) {
        return None;
    }
    let remarks = [
        (goes_on, "the sender went on with data after it"),
        (moved, "the answered packet had gone to another link address than those before"),
    ];
    let remarks = remarks.iter().filter(|(count, _)| *count > 0);
    let remarks: String = remarks.map(|(count, text)| format!(" In {count} {text}.")).collect();
    let title = plural(case.failed, "connection");
    let draft = Draft::new(
        Difference::State,
        format!("{title} of {server} in use reset by a device that does not know them"),
        format!(
            "Each RST answers a packet of a connection that worked, and comes from elsewhere than its \
             sender's packets.{remarks}",
        ),
    );
    let severity = case.severity(case.failed);
    let draft = draft.could_be([
        "one direction takes another way, on which a stateful device does not know the connections",
        "a stateful device lost its state, or another one took over",
        "a load balancer answers for a member that is gone",
    ]);
    Some(match proven {
        true => draft.severity(severity).confidence(Confidence::Likely),
        false => draft.severity(severity.min(Severity::Warning)).confidence(Confidence::Possible),
    })
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

/// It did not open, or was cut off, or data of the client was never acknowledged. What the server refuses and
/// what the client itself resets, as a half-open scan does, is no failure of a way.
fn has_failed(tcp: &TcpFlow) -> bool {
    use HandshakeOutcome::*;
    if matches!(tcp.handshake.outcome, Refused | Aborted | Unreachable) {
        return false;
    }
    let opened = matches!(tcp.handshake.outcome, HandshakeOutcome::Established | HandshakeOutcome::Midstream);
    let to_server = tcp.side(Direction::ToServer);
    let unheard = to_server.unique_bytes > 0 && to_server.sizes.delivered == 0;
    !opened || unheard || tcp.resets.iter().any(|reset| reset.class.is_harmful())
}

#[cfg(test)]
mod tests;
