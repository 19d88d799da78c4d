//! # What it finds
//! Receivers that do not read: they close their TCP window, and the sender has to wait.
//!
//! # Why it matters
//! Nothing is lost, and still nothing moves. The network is not the reason: the receiving host has no room.
//!
//! # How it decides
//! A closed window lasts from the first announcement of zero to the first larger one, to a RST, or to the end
//! of the flow. It held somebody up when the sender probed it, or had unacknowledged data. Those of
//! `noticed` and more are counted, by who closed the window: `server` or `client`.
//!
//! It is a warning when a server kept its window closed for `stall` in one piece, or when `stuck` connections
//! ended with a window that a client had closed for so long. Everything else is information: a receiver may
//! read as slowly as it likes.
//!
//! `window_full`: a sender filled the receiver's window to the last byte at least `full` times in a
//! connection. The window limits the throughput there. That is information.
//!
//! # What it leaves alone
//! - A window of zero in a RST or a SYN, and one that opens again within `noticed`.
//! - Closed windows that nobody waited for.
//! - Printers, which hold jobs back with their window.
//! - Everything, when the clock of the capture stepped back by more than a minute.
//!
//! # What it does not claim
//! Why the receiver does not read: that is inside the host. A window inside TLS or HTTP/2 is not visible.
//!
//! # References
//! RFC 9293 section 3.8.6.1 (zero-window probes); RFC 6429 (persist condition); RFC 7323 section 2.

use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Closure, EventKind, Flow, Reopened, TcpFlow};
use crate::time::Span;

thresholds! {
    /// Counts closed windows by service and by who closed them.
    struct ZeroWindow {
        noticed: Span = 0.2 "s",
            "closed window, below which nobody notices",
            "Linux TCP_RTO_MIN, when the first probe is sent";
        stall: Span = 10.0 "s",
            "closed window of a server, from which it is a warning",
            "ours: the wait that makes a user give up";
        stuck: u64 = 3.0 "connections",
            "connections that end with the closed window of a client, from which it is a warning",
            "ours: one may be a paused player";
        full: u64 = 20.0 "segments",
            "segments of a connection that fill the window, from which it limits the throughput",
            "ours: the start of a transfer may fill a window a few times";
    }
}

variants! {
    /// Who holds the sender up, and how.
    enum Reader {
        Server "server" Info {
            could_be: &[
                "the server application is busy, blocked or stopped, and does not read its socket",
                "the server passes data on to something slower",
            ],
            next: &[
                "list receive queues on the server while it happens: ss -tn, column Recv-Q",
                "see what the server process waits for",
            ],
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
        Client "client" Info {
            could_be: &[
                "the client application processes data more slowly than it arrives",
                "the client is paused on purpose, as a player is",
                "the client is a proxy that passes data on to something slower",
            ],
            next: &["list receive queues on the client while it happens: ss -tn, column Recv-Q"],
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
        Full "window_full" Info {
            could_be: &[
                "the receive buffer is small for the bandwidth and the round trip",
                "the receiver reads more slowly than the sender sends",
            ],
            next: &["compare the receive buffer (Linux tcp_rmem) with bandwidth times round trip"],
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
    }
}

const NOT_CLAIMED: &[&str] = &["a fault of the network", "why the receiver does not read"];
const DOUBTED: &[QualityIssue] = &[QualityIssue::Drops, QualityIssue::Missed];

/// Printers: RFC 1179, RFC 8010, and the raw port of JetDirect. They hold jobs back with their window.
const PRINTERS: [u16; 3] = [515, 631, 9100];

counts! {
    /// What a case counts beside its flows.
    struct Closures {
        closed_windows: u64,
        probes: u64,
        longest_ms: Most,
        /// Connections whose window was closed to the end.
        never_opened: u64,
        /// Connections that a RST ended while the window was closed.
        reset: u64,
        /// Connections with one closed window of a stall's length.
        stalled: u64,
        /// Those of them that ended with it.
        stuck: u64,
        full_segments: u64,
    }
}

impl Detector for ZeroWindow {
    const RULE: Rule = Rule {
        name: "zero_window",
        group: Group::Tcp,
        summary: "receivers that close their window and make the sender wait",
        judges: "flows",
        variants: Reader::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("zero_window.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Flows, &["http_error"])];
    type Variant = Reader;
    type Key = (Endpoint, Reader);
    type Counts = Closures;
    type Total = ();
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = flow.tcp.as_ref().filter(|tcp| tcp.sides.iter().any(|side| side.data_segments > 0))
        else {
            return;
        };
        if flow.is_one_way() {
            return book.not_judged("one direction only");
        }
        book.judged(&flow.server);
        for (closer, reader) in [(Direction::ToClient, Reader::Server), (Direction::ToServer, Reader::Client)]
        {
            self.closed(flow, tcp, closer, reader, book);
        }
        self.full(flow, tcp, book);
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        book.without_time(context);
        Vec::new()
    }

    fn judge(
        &self,
        (server, reader): &Self::Key,
        case: &Case<Closures>,
        _: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Reader>> {
        let counts = &case.counts;
        let flows = plural(case.flows(), "connection");
        if *reader == Reader::Full {
            let title = format!("The receive window limits transfers of {server}");
            let summary = format!(
                "{} filled the receiver's window to the last byte in {flows}.",
                plural(counts.full_segments, "segment"),
            );
            return Some(Draft::new(*reader, title, summary));
        }
        let title = match reader {
            Reader::Server => format!("{server} does not read what its clients send"),
            _ => format!("Clients do not read what {server} sends"),
        };
        let ends = [
            (counts.never_opened, "In {} the window stayed closed to the end."),
            (counts.reset, "In {} a RST came while the window was closed."),
        ];
        let ends = ends.iter().filter(|(count, _)| *count > 0);
        let ends: String = ends
            .map(|(count, text)| format!(" {}", text.replace("{}", &plural(*count, "connection"))))
            .collect();
        let summary = format!(
            "{flows} of {} stood still for {} while the receive window was closed. The longest wait was {}. \
             The senders probed {}.{ends}",
            case.clients(),
            case.lost,
            Span::millis(counts.longest_ms.get() as i64),
            if counts.probes == 0 { "never".to_owned() } else { times(counts.probes) },
        );
        let severity = match reader {
            Reader::Server if PRINTERS.contains(&server.port) => Severity::Info,
            Reader::Server if counts.stalled > 0 => Severity::Warning,
            Reader::Client if counts.stuck >= self.stuck => Severity::Warning,
            _ => Severity::Info,
        };
        Some(Draft::new(*reader, title, summary).severity(severity))
    }
}

impl ZeroWindow {
    /// The times in which the sender of `closer`'s direction kept its window closed.
    fn closed(&self, flow: &Flow, tcp: &TcpFlow, closer: Direction, reader: Reader, book: &mut Book<Self>) {
        let closures = tcp.waits.iter().flat_map(|waits| &waits.closures[closer.index()]);
        let noticed = |one: &&Closure| one.held_up() && one.length() >= self.noticed;
        let closures: Vec<&Closure> = closures.filter(noticed).collect();
        let Some(longest) = closures.first() else { return };
        let Some(case) = book.case((flow.server, reader)) else { return };
        case.flow(flow, closures.iter().flat_map(|one| [one.closed, one.until]));
        let waited = closures.iter().fold(Span::ZERO, |sum, one| sum + one.length());
        let ended = |end: Reopened| u64::from(closures.iter().any(|one| one.end == end));
        let stalled = u64::from(longest.length() >= self.stall);
        case.lost += waited;
        case.failed += stalled;
        let counts = &mut case.counts;
        counts.closed_windows += closures.len() as u64;
        counts.probes += closures.iter().map(|one| u64::from(one.probes)).sum::<u64>();
        counts.longest_ms.add(longest.length().0.unsigned_abs() / 1_000_000);
        counts.never_opened += ended(Reopened::Never);
        counts.reset += ended(Reopened::Reset);
        counts.stalled += stalled;
        counts.stuck += if longest.end == Reopened::Opened { 0 } else { stalled };
        case.show(waited.0.saturating_neg(), flow.id, || {
            let end = |one: &Closure| match one.end {
                Reopened::Opened => {
                    Some(Evidence::new(one.until, Role::WindowUpdate, format!("{} later", one.length())))
                }
                Reopened::Reset => Some(Evidence::new(one.until, Role::Reset, "the window was still closed")),
                Reopened::Never => None,
            };
            let shown = closures
                .iter()
                .flat_map(|one| [Some(Evidence::new(one.closed, Role::ZeroWindow, "window 0")), end(one)]);
            let probes = tcp.events.iter().filter(|event| event.kind == EventKind::WindowProbe);
            let probes = probes.take(2).map(|event| Some(Evidence::new(event.at, Role::WindowProbe, "")));
            shown.chain(probes).flatten().collect::<Vec<_>>()
        });
    }

    fn full(&self, flow: &Flow, tcp: &TcpFlow, book: &mut Book<Self>) {
        let full = || tcp.events.iter().filter(|event| event.kind == EventKind::WindowFull);
        let count = full().count() as u64;
        if count < self.full {
            return;
        }
        let Some(case) = book.case((flow.server, Reader::Full)) else { return };
        case.flow(flow, full().map(|event| event.at));
        case.counts.full_segments += count;
        case.show(-(count as i64), flow.id, || {
            full()
                .take(3)
                .map(|event| Evidence::new(event.at, Role::Data, "fills the window"))
                .collect::<Vec<_>>()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing, silent};
    use crate::support::filler;
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, FIN, RST, SERVER, Talk};

    const NAME: &str = ZeroWindow::RULE.name;

    /// `closer` closes its window for so many seconds while the other side sends, which probes meanwhile.
    /// Without `opens` the window stays closed.
    fn closed(lab: &mut Lab, closer: usize, port: u16, seconds: u64, opens: bool) -> Talk {
        let mut talk = lab.talk(7, (9, port), 10, [30, 1_500]);
        lab.http(&mut talk, 300);
        talk.wait(200_000);
        let window = talk.ends[closer].window;
        talk.stream(&mut lab.capture, 1 - closer, &filler(5, 20_000));
        talk.ends[closer].window = 0;
        talk.ack(&mut lab.capture, closer, &[]);
        let end = talk.now + seconds * 1_000_000;
        let mut wait = 220_000;
        while talk.now + wait < end {
            talk.wait(wait);
            let mut probe = talk.segment(1 - closer, ACK, b"");
            probe.seq = probe.seq.wrapping_sub(1);
            talk.record(&mut lab.capture, &probe);
            talk.turn(1 - closer);
            talk.ack(&mut lab.capture, closer, &[]);
            wait *= 2;
        }
        talk.now = end;
        if opens {
            talk.ends[closer].window = window;
            talk.ack(&mut lab.capture, closer, &[]);
            talk.turn(closer);
            talk.stream(&mut lab.capture, 1 - closer, &filler(6, 20_000));
            talk.close(&mut lab.capture);
        }
        talk
    }

    #[test]
    fn it_fires() {
        fires(NAME, &[("zero_window", "server", Severity::Warning)]);
    }

    #[test]
    fn it_stays_silent() {
        says_nothing(NAME, &["healthy_large", "healthy_resets", "rst_storm_abort"]);
        silent(NAME, &["retransmission_rto", "blind_keepalive_race"]);
    }

    #[test]
    fn a_server_that_does_not_read_for_long_is_a_warning() {
        let findings = in_traffic(NAME, |lab| _ = closed(lab, SERVER, 9092, 14, true));
        let finding = one(&findings, "server", Severity::Warning);
        assert!(finding.impact.seconds_lost > Span::secs(13), "{finding:#?}");
        assert_eq!(findings.len(), 1);
    }

    #[test]
    fn a_client_that_pauses_is_information() {
        let findings = in_traffic(NAME, |lab| _ = closed(lab, CLIENT, 80, 14, true));
        one(&findings, "client", Severity::Info);
    }

    #[test]
    fn clients_that_stay_stuck_are_a_warning() {
        let findings = in_traffic(NAME, |lab| (0..3).for_each(|_| _ = closed(lab, CLIENT, 80, 20, false)));
        let finding = one(&findings, "client", Severity::Warning);
        assert_eq!(finding.impact.failed_transactions, 3);
    }

    #[test]
    fn a_printer_may_take_its_time() {
        let findings = in_traffic(NAME, |lab| _ = closed(lab, SERVER, 9100, 40, true));
        one(&findings, "server", Severity::Info);
    }

    #[test]
    fn a_second_in_a_bulk_transfer_is_information() {
        let findings = in_traffic(NAME, |lab| _ = closed(lab, SERVER, 9092, 1, true));
        one(&findings, "server", Severity::Info);
    }

    /// A receiver that closed its window long ago, and whom nobody wants to send anything.
    #[test]
    fn a_closed_window_that_nobody_waits_for_is_nothing() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 80), 10, [30, 1_500]);
            lab.http(&mut talk, 300);
            talk.ends[CLIENT].window = 0;
            talk.ack(&mut lab.capture, CLIENT, &[]);
            talk.wait(30_000_000);
            talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn a_reset_has_no_window() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 80), 10, [30, 1_500]);
            lab.http(&mut talk, 300);
            talk.send(&mut lab.capture, SERVER, RST | ACK, b"");
            talk.wait(30_000_000);
            talk.send(&mut lab.capture, CLIENT, ACK, b"x");
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
