//! # What it finds
//! TCP connections that were already running when the capture began.
//!
//! # Why it matters
//! Without the handshake nobody knows the window scale, the maximum segment size (MSS) and who opened the
//! connection.
//!
//! # How it decides
//! The share of TCP connections without a SYN or SYN-ACK, from `share` on.
//!
//! # What it leaves alone
//! Small shares: every capture of a running system has some. RSTs alone: they may be of no connection.
//!
//! # What it does not claim
//! A fault: it is information only.
//!
//! # References
//! RFC 7323 section 2.2 (only SYNs carry the window scale); RFC 9293 section 3.7.1 (only SYNs carry the MSS).

use crate::detect::*;
use crate::flow::{Flow, HandshakeOutcome, Roles};
use crate::humanize::grouped;

thresholds! {
    /// Counts connections without a handshake.
    struct CaptureMidstream {
        share: f64 = 0.1 "share",
            "connections without a handshake, from which it is reported",
            "judgement: one in ten changes what the other findings can say";
    }
}

variants! {
    /// There is one kind.
    enum Kind {
        Midstream "" Info {
            next: &["start the capture before the connections are opened, or restart the client"],
            not_claimed: &["that these connections failed to open"],
        }
    }
}

counts! {
    /// Connections without a handshake.
    struct Running {
        flows_midstream: u64,
        flows_with_inferred_roles: u64,
    }
}

impl Detector for CaptureMidstream {
    const RULE: Rule = Rule {
        name: "capture_midstream",
        group: Group::Capture,
        summary: "connections that were running when the capture began",
        judges: "flows",
        variants: Kind::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("capture_midstream.rs"),
    };
    type Variant = Kind;
    type Key = ();
    type Counts = Running;
    type Total = ();
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        let packets: u64 = flow.halves.iter().map(|half| half.packets).sum();
        let resets: u64 = tcp.resets.iter().map(|reset| u64::from(reset.count)).sum();
        if packets == resets {
            return book.not_judged("RSTs alone, which may be of no connection");
        }
        book.judged(&());
        let handshake = &tcp.handshake;
        let running = handshake.outcome == HandshakeOutcome::Midstream && handshake.syn_ack_count == 0;
        let Some(case) = running.then(|| book.case(())).flatten() else { return };
        case.flow(flow, [flow.first, flow.last]);
        case.counts.flows_midstream += 1;
        case.counts.flows_with_inferred_roles += u64::from(flow.roles != Roles::Handshake);
    }

    fn judge(&self, (): &(), case: &Case<Running>, _: &Book<Self>, _: &Context<'_>) -> Option<Draft<Kind>> {
        let (running, all) = (case.counts.flows_midstream, case.total);
        if share(running, all) < self.share {
            return None;
        }
        let title = format!("{} began before the capture", part_of(running, all, "connections"));
        let mut summary = format!(
            "The capture has no handshake of {} of {}. Their window scale and MSS are unknown.",
            grouped(running),
            plural(all, "connection"),
        );
        if case.counts.flows_with_inferred_roles > 0 {
            let inferred = grouped(case.counts.flows_with_inferred_roles);
            summary += &format!(" In {inferred} of them port or first packet tells client from server.");
        }
        Some(Draft::new(Kind::Midstream, title, summary).count("flows", all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_scene, in_traffic, says_nothing};
    use crate::support::capture::Capture;
    use crate::support::tcp::{CLIENT, RST, SERVER, SYN};

    const NAME: &str = CaptureMidstream::RULE.name;

    #[test]
    fn it_fires() {
        let findings = in_scene(NAME, "capture_midstream");
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
        assert_eq!((findings[0].counts[0].name, findings[0].counts[0].value), ("flows_midstream", 8));
        assert_eq!((findings[0].scope.flows.count, findings[0].scope.servers.count), (8, 1));
    }

    /// SYNs that nobody answers, or answers that nobody sees, are beginnings all the same.
    #[test]
    fn it_stays_silent() {
        says_nothing(NAME, &["healthy", "missing_syn_ack_silent", "missing_syn_ack_late", "rst_storm_abort"]);
    }

    /// A RST answers what went before the capture, or what never was a connection.
    #[test]
    fn resets_alone_are_no_connections() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..9 {
                lab.talk(number, (9, 81), 900, [30, 500]).send(&mut lab.capture, SERVER, RST, b"");
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn a_small_share_is_what_every_capture_has() {
        for (running, found) in [(1, 0), (3, 1)] {
            let findings = in_traffic(NAME, |lab| {
                let mut before = Capture::default();
                for number in 0..20u8 {
                    let mut talk = lab.talk(number, (9, 80), 10 + u64::from(number) * 50, [30, 500]);
                    talk.handshake(if number < running { &mut before } else { &mut lab.capture });
                    talk.exchange(&mut lab.capture, b"GET / HTTP/1.0\r\n\r\n", 300);
                }
                lab.talk(7, (9, 81), 900, [30, 500]).send(&mut lab.capture, CLIENT, SYN, b"");
            });
            assert_eq!(findings.len(), found, "{running} of 21: {findings:#?}");
        }
    }
}
