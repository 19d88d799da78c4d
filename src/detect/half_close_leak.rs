//! # What it finds
//! Connections that one side closed and the other never does: they stay half closed, in CLOSE_WAIT.
//!
//! # Why it matters
//! Each keeps a socket and its memory. A process that never closes runs out of descriptors, and then accepts
//! nobody any more.
//!
//! # How it decides
//! One side sent a FIN, which was acknowledged. The other sent neither FIN nor RST nor data after it, until
//! the capture ended or the flow was given up. Such connections are counted by service and by who does not
//! close: `server` or `client`.
//!
//! From `leaks` connections on they are reported, or from `few` that stayed so for `patience`. It is a
//! warning when `leaks` connections stayed half closed by a server for `patience`, and those are at least
//! half of all that its clients closed. Everything else is information.
//!
//! # What it leaves alone
//! - Connections on which data goes on after the FIN: half closed on purpose.
//! - Single connections.
//! - TIME-WAIT, which is the orderly end of a connection.
//! - A FIN that nobody acknowledged, and flows with bytes that the capture missed.
//! - Everything, when the clock of the capture stepped back by more than a minute.
//!
//! # What it does not claim
//! That the process leaks descriptors: the socket table of the host is not visible.
//!
//! # References
//! RFC 9293 section 3.6 (closing a connection, CLOSE-WAIT); Linux tcp_fin_timeout, 60 s.

use crate::detect::*;
use crate::dissect::{Direction, Endpoint, PacketRef};
use crate::flow::{Flow, TcpFlow};
use crate::time::Span;

thresholds! {
    /// Counts half-closed connections by service and by who does not close.
    struct HalfCloseLeak {
        patience: Span = 60.0 "s",
            "time after the FIN, from which the other side has forgotten to close",
            "Linux tcp_fin_timeout: the peer gives the connection up";
        young: Span = 2.0 "s",
            "time after the FIN, below which the other side may be about to close",
            "ours: an application closes at once or after its last answer";
        leaks: u64 = 20.0 "connections",
            "half-closed connections of a service, from which they are reported at any age, or are a warning",
            "ours: no pool is closed at one end only by accident";
        few: u64 = 3.0 "connections",
            "half-closed connections of a service for `patience`, from which they are reported",
            "ours: one or two may be long requests";
    }
}

variants! {
    /// Who does not close.
    enum Side {
        Server "server" Info {
            could_be: &[
                "the server application does not close connections when its client does",
                "the server application is blocked and does not notice the FIN",
            ],
            next: &["list sockets in CLOSE-WAIT on the server and their process: ss -tnp state close-wait"],
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
        Client "client" Info {
            could_be: &[
                "a pool of the client keeps connections that the server closed until they are used again",
                "the client application does not close its connections",
            ],
            next: &["list sockets in CLOSE-WAIT on the client and their process: ss -tnp state close-wait"],
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
    }
}

const NOT_CLAIMED: &[&str] = &["that the process runs out of descriptors"];
const DOUBTED: &[QualityIssue] = &[QualityIssue::Drops, QualityIssue::Missed];

counts! {
    /// What a case counts beside its flows.
    struct HalfClosed {
        half_closed: u64,
        /// Those that stayed so for the patience.
        for_long: u64,
        longest_ms: Most,
    }
}

counts! {
    /// What is counted of every connection of a service that a FIN ended, by who closed first.
    struct Closed {
        by_client: u64,
        by_server: u64,
    }
}

impl Detector for HalfCloseLeak {
    const RULE: Rule = Rule {
        name: "half_close_leak",
        group: Group::Tcp,
        summary: "connections that one side closed and the other side does not",
        judges: "flows",
        variants: Side::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("half_close_leak.rs"),
    };
    type Variant = Side;
    type Key = (Endpoint, Side);
    type Counts = HalfClosed;
    type Total = Closed;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        let fin = |direction: Direction| tcp.side(direction).fin;
        let (client, server) = (fin(Direction::ToServer), fin(Direction::ToClient));
        let Some(first) = client.into_iter().chain(server).min_by_key(|fin| fin.packet) else { return };
        if flow.is_one_way() || tcp.sides.iter().any(|side| side.missed_bytes > 0) {
            return book.not_judged("not every packet was captured");
        }
        let by_client = client == Some(first);
        if let Some(closed) = book.judged(&flow.server) {
            closed.by_client += u64::from(by_client);
            closed.by_server += u64::from(!by_client);
        }
        let (closer, side) = match by_client {
            true => (Direction::ToServer, Side::Server),
            false => (Direction::ToClient, Side::Client),
        };
        let held = flow.watched_until - first.time;
        if !is_half_closed(tcp, closer, first) || held < self.young {
            return;
        }
        let Some(case) = book.case((flow.server, side)) else { return };
        case.flow(flow, [first, flow.last]);
        case.failed += 1;
        case.counts.half_closed += 1;
        case.counts.for_long += u64::from(held >= self.patience);
        case.counts.longest_ms.add((held.0 / 1_000_000).unsigned_abs());
        case.show(held.0.saturating_neg(), flow.id, || {
            let last = flow.half(closer.reverse()).last;
            let last = last.map(|at| Evidence::new(at, Role::Ack, "acknowledges the FIN, no FIN of its own"));
            let fin = Evidence::new(first, Role::Fin, format!("{held} without another"));
            [Some(fin), last].into_iter().flatten()
        });
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        book.without_time(context);
        Vec::new()
    }

    fn judge(
        &self,
        (server, side): &Self::Key,
        case: &Case<HalfClosed>,
        book: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Side>> {
        let counts = &case.counts;
        if counts.half_closed < self.leaks && counts.for_long < self.few {
            return None;
        }
        let closed = book.total(server).1.cloned().unwrap_or_default();
        let (of, closer) = match side {
            Side::Server => (closed.by_client, "client"),
            Side::Client => (closed.by_server, "server"),
        };
        let title = match side {
            Side::Server => format!("{server} does not close connections that its clients closed"),
            Side::Client => format!("Clients do not close connections that {server} closed"),
        };
        let long = match counts.for_long {
            0 => String::new(),
            count => format!(" {} for {} or longer.", plural(count, "connection"), self.patience),
        };
        let summary = format!(
            "{} of {} that the {closer} closed stayed half closed. The FIN was acknowledged; no FIN, no RST \
             and no data followed. The longest stayed so for {}.{long}",
            plural(counts.half_closed, "connection"),
            plural(of, "connection"),
            Span::millis(counts.longest_ms.get() as i64),
        );
        let most = share(counts.for_long, of) >= Severity::MOST;
        let severity = match side {
            Side::Server if counts.for_long >= self.leaks && most => Severity::Warning,
            _ => Severity::Info,
        };
        Some(Draft::new(*side, title, summary).severity(severity))
    }
}

/// `closer` sent the acknowledged FIN `fin`, and the other side nothing but ACKs after it.
fn is_half_closed(tcp: &TcpFlow, closer: Direction, fin: PacketRef) -> bool {
    let other = tcp.side(closer.reverse());
    let goes_on = other.transfer.is_some_and(|(_, last)| last.packet > fin.packet);
    tcp.side(closer).fin_ack.is_some() && other.fin.is_none() && !goes_on && tcp.resets.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing};
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, FIN, RST, SERVER, Talk};

    const NAME: &str = HalfCloseLeak::RULE.name;

    /// A connection that `closer` closes; the other side acknowledges the FIN.
    fn half_closed(lab: &mut Lab, closer: usize, at: u64) -> Talk {
        let mut talk = lab.talk(7, (9, 8097), at, [30, 1_500]);
        lab.http(&mut talk, 300);
        talk.send(&mut lab.capture, closer, FIN | ACK, b"");
        talk.turn(closer);
        talk.ack(&mut lab.capture, 1 - closer, &[]);
        talk
    }

    /// Something at the millisecond `at`, so that the capture goes on.
    fn later(lab: &mut Lab, at: u64) {
        let mut talk = lab.talk(8, (10, 80), at, [30, 1_500]);
        lab.http(&mut talk, 300);
        talk.close(&mut lab.capture);
    }

    #[test]
    fn it_fires() {
        fires(NAME, &[("half_close_leak", "server", Severity::Warning)]);
    }

    #[test]
    fn it_stays_silent() {
        says_nothing(NAME, &["healthy_resets", "healthy_large", "keepalive_race", "blind_port_reuse"]);
    }

    #[test]
    fn many_that_are_young_are_information() {
        let findings = in_traffic(NAME, |lab| {
            (0..24).for_each(|number| _ = half_closed(lab, CLIENT, 10 + number * 100));
            later(lab, 8_000);
        });
        one(&findings, "server", Severity::Info);
    }

    #[test]
    fn a_pool_that_keeps_closed_connections_is_information() {
        let findings = in_traffic(NAME, |lab| {
            (0..30).for_each(|number| _ = half_closed(lab, SERVER, 10 + number * 100));
            later(lab, 120_000);
        });
        one(&findings, "client", Severity::Info);
    }

    #[test]
    fn a_few_for_long_are_information() {
        let findings = in_traffic(NAME, |lab| {
            (0..4).for_each(|number| _ = half_closed(lab, CLIENT, 10 + number * 100));
            later(lab, 120_000);
        });
        one(&findings, "server", Severity::Info);
    }

    #[test]
    fn a_minority_is_information() {
        let findings = in_traffic(NAME, |lab| {
            (0..20).for_each(|number| _ = half_closed(lab, CLIENT, 10 + number * 100));
            for number in 0..30 {
                let mut talk = lab.talk(7, (9, 8097), 4_000 + number * 50, [30, 1_500]);
                lab.http(&mut talk, 300);
                talk.close(&mut lab.capture);
            }
            later(lab, 120_000);
        });
        one(&findings, "server", Severity::Info);
    }

    /// The client has sent everything, and the server still answers.
    #[test]
    fn data_after_the_fin_is_half_closed_on_purpose() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..30 {
                let mut talk = half_closed(lab, CLIENT, 10 + number * 100);
                talk.wait(5_000_000);
                talk.send(&mut lab.capture, SERVER, ACK, b"the answer");
                talk.turn(SERVER);
                talk.ack(&mut lab.capture, CLIENT, &[]);
            }
            later(lab, 120_000);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn a_reset_closes() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..30 {
                let mut talk = half_closed(lab, CLIENT, 10 + number * 100);
                talk.wait(3_000_000);
                talk.send(&mut lab.capture, SERVER, RST | ACK, b"");
            }
            later(lab, 120_000);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn the_end_of_the_capture_is_no_leak() {
        let findings =
            in_traffic(NAME, |lab| (0..30).for_each(|number| _ = half_closed(lab, CLIENT, 10 + number)));
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
