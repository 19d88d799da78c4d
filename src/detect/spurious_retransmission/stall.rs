//! Acknowledgements of several servers that one line holds back and lets go at once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::detect::spurious_retransmission::{Needless, SpuriousRetransmission};
use crate::detect::together::{Moments, together};
use crate::detect::*;
use crate::dissect::Direction;
use crate::humanize::whole_seconds;
use crate::time::{Span, Timestamp};

/// Hosts whose ACKs come at the same time, from which what they share is the way to their client.
const TOGETHER: usize = 3;

/// At the same time: within the first time-out of RFC 6298 section 2, which would repeat what is late.
const AT_ONCE: Span = Span::secs(1);

/// A client, and the direction of the data that was held back.
type Way = (IpAddr, Direction);

/// What one stall made several services of a client repeat, as one finding each.
pub(super) fn stalled_clients(
    book: &mut Book<SpuriousRetransmission>,
    held: Span,
) -> Vec<Concluded<SpuriousRetransmission>> {
    let ends = ends(book, held);
    let groups = book.group(1, |(_, direction), case| {
        let way = (*case.affected.clients.only()?, *direction);
        let [from, until] = *ends.get(&way)?;
        let answered = case.counts.answered.get().filter(|_| case.counts.held() >= held)?;
        (from <= answered && answered <= until).then_some((way, from))
    });
    groups.into_iter().filter_map(|group| stall(group, &ends)).collect()
}

/// When the ACKs of most hosts came to a client, the first of them and the last.
fn ends(book: &Book<SpuriousRetransmission>, held: Span) -> BTreeMap<Way, [Timestamp; 2]> {
    let mut answers: BTreeMap<Way, Moments> = BTreeMap::new();
    for ((server, direction), case) in book.cases().filter(|(_, case)| case.counts.held() >= held) {
        if let Some((client, at)) = case.affected.clients.only().zip(case.counts.answered.get()) {
            answers.entry((*client, *direction)).or_default().insert((at, server.address));
        }
    }
    let most = |(way, answers)| Some((way, together(&answers, AT_ONCE, TOGETHER)?));
    answers.into_iter().filter_map(most).collect()
}

fn stall(
    group: CaseGroup<(Way, Timestamp), Needless>,
    ends: &BTreeMap<Way, [Timestamp; 2]>,
) -> Option<Concluded<SpuriousRetransmission>> {
    let CaseGroup { by: (way, _), cases, mut case } = group;
    let [from, until] = *ends.get(&way)?;
    let (client, direction) = way;
    let (held, since) = (case.counts.held(), case.counts.since.get()?);
    case.affected.active.add_range(since, until);
    let which = if direction == Direction::ToServer { "from" } else { "to" };
    let services = plural(cases, "service");
    let summary = format!(
        "{} of {services} repeated data {which} {client} that had arrived, {}. It was not acknowledged for \
         up to {held}. The first was sent at {}, and the ACKs came within {}.",
        plural(case.flows(), "connection"),
        times(case.counts.repeats),
        whole_seconds(since),
        until - from,
    );
    let title = format!("ACKs of {services} held back from {client} for up to {held}, then all at once");
    let title = match direction {
        Direction::ToServer => title,
        Direction::ToClient => format!("ACKs of {client} to {services} held back for up to {held}"),
    };
    let draft = Draft::new(case.counts.cause(), title, summary)
        .severity(Severity::Warning)
        .direction(direction)
        .services(cases)
        .count("services", cases)
        .subject(Subject { server: None, port: None, ..Subject::of(&case) })
        .could_be([
            "the client's line held packets back: a radio link, a full queue, a fail-over",
            "a device that all of it passes stood still",
        ])
        .next(&["capture one hop further, to see where packets are held back"]);
    Some((draft, case))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_traffic, one};
    use crate::support::filler;
    use crate::support::tcp::{CLIENT, SERVER};

    const NAME: &str = SpuriousRetransmission::RULE.name;

    /// Requests to so many hosts, each sent three times, whose ACKs come five seconds later, so far apart.
    fn stalled(hosts: u8, apart: u64) -> Vec<Finding> {
        in_traffic(NAME, |lab| {
            for host in 0..hosts {
                let at = 1_000 + u64::from(host) * apart;
                let mut talk = lab.talk(7, (20 + host, 443), at, [10, 20_000]);
                talk.handshake(&mut lab.capture);
                let segment = talk.send_lost(&mut lab.capture, CLIENT, &filler(1, 400));
                for pause in [800_000, 1_300_000] {
                    talk.wait(pause);
                    talk.resend(&mut lab.capture, &segment);
                }
                talk.wait(2_900_000);
                talk.received(&segment);
                for _ in 0..2 {
                    talk.ack(&mut lab.capture, SERVER, &[(segment.seq, segment.seq.wrapping_add(400))]);
                    talk.wait(3_000);
                }
            }
        })
    }

    #[test]
    fn acks_that_come_together_were_held_back_together() {
        let findings = stalled(4, 100);
        let finding = one(&findings, "acknowledgement", Severity::Warning);
        assert_eq!((findings.len(), finding.impact.services), (1, 4), "{findings:#?}");
        assert!(finding.title.starts_with("ACKs of 4 services held back from"), "{}", finding.title);
        assert!(finding.summary.contains("had arrived, 8 times"), "{}", finding.summary);
        assert_eq!(stalled(2, 100).len(), 2);
        assert_eq!(stalled(4, 20_000).len(), 4);
    }
}
