//! # What it finds
//! Connections that were silent for a while and died on the next packet: something on the way, or the other
//! end, had forgotten them.
//!
//! # Why it matters
//! The first request after a quiet time hangs or fails, and the next one works. Nobody sees that in a test.
//!
//! # How it decides
//! A pause is a time without packets in which nothing was on its way. It is survived when the other side
//! acknowledges the packet that broke it. It is fatal when the client broke it and the server
//! - `silent`: sent nothing any more, while the client sent at least `tries` segments, or
//! - `reset`: answered with a RST, within 3 s of the client's last try.
//!
//! The limit lies between the longest survived and the shortest fatal pause of the service.
//!
//! It is a warning when `connections` or more died of data, and not of a keep-alive, all after longer pauses
//! than any that was survived, and the service answered other packets later. Their pauses lasted `idle` or
//! more, or connections that opened after the first death died in the same way. Otherwise it is information.
//!
//! # What it leaves alone
//! - Services that reset as many connections in use: it is how they end them, as LDAP servers do.
//! - Pauses that a side ended itself with FIN or RST, and requests that met such a FIN on the way (see
//!   `keepalive_race`).
//! - Clients that fall silent: they may be gone.
//! - Services that lost connections in the middle of activity, too (see `path_outage`).
//! - Everything, when the clock of the capture stepped back by more than a minute.
//!
//! # What it does not claim
//! Which device forgot the connections, or that the limit is a setting.
//!
//! # References
//! RFC 5382 section 5 (NAT session time-outs); RFC 1122 section 4.2.3.6 (keep-alives); RFC 9293 section
//! 3.10.7.1 (a host without the connection answers with RST).

use std::collections::{BTreeMap, BTreeSet};

use crate::detect::*;
use crate::dissect::{Direction, Endpoint, PacketRef};
use crate::flow::{Breaker, FatalPause, Flow, TcpFlow};
use crate::time::Span;

thresholds! {
    /// Counts pauses by service and by what became of the connection.
    struct IdleTimeout {
        least: Span = 2.0 "s",
            "pause, below which nothing is an idle time-out",
            "ours: the shortest limit in use, gunicorn's keep-alive";
        idle: Span = 30.0 "s",
            "pause, from which a death alone points to an idle time-out",
            "ours: half the shortest common limit of load balancers and NAT gateways, 60 s";
        tries: u64 = 3.0 "segments",
            "segments without an answer, from which a connection is dead",
            "ours: the first and two repeats by time-out (RFC 6298)";
        connections: u64 = 2.0 "connections",
            "dead connections, from which it is a warning",
            "ours: one may be an accident";
    }
}

variants! {
    /// What became of the first packet after the pause.
    enum Death {
        Silent "silent" Warning {
            could_be: &[
                "a firewall, NAT or load balancer dropped its state of idle connections",
                "the address moved to another host or member of a cluster meanwhile",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
        Reset "reset" Warning {
            could_be: &[
                "a firewall, NAT or load balancer dropped its state of idle connections",
                "the server dropped idle connections, and its FIN did not arrive",
                "the server process or host was restarted meanwhile",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
    }
}

const NEXT: &[&str] = &[
    "compare the limit with the idle time-outs of every firewall, NAT and load balancer on the way",
    "send keep-alives more often than the limit (tcp_keepalive_time), or close idle connections earlier",
];
const NOT_CLAIMED: &[&str] = &["which device forgot the connections", "that the limit is a setting"];

counts! {
    /// What a case counts beside its flows.
    struct Deaths {
        tries: u64,
        /// Connections that data met dead, and not a keep-alive.
        met_by_data: u64,
        shortest_died_ms: Least,
        longest_died_ms: Most,
        first_death: Earliest,
        /// When the last of the dead connections was opened.
        last_start: Latest,
    }
}

counts! {
    /// What is counted of every connection of a service.
    struct Lived {
        /// The longest pause that was survived, milliseconds.
        longest_survived_ms: Most,
        /// When the server sent something, last.
        last_heard: Latest,
        /// Connections that died in the middle of activity.
        died_active: u64,
        /// Connections that the server ended by RST without a pause.
        reset_active: u64,
        survived: u64,
    }
}

fn millis(span: Span) -> u64 {
    (span.0.max(0) / 1_000_000).unsigned_abs()
}

impl Detector for IdleTimeout {
    const RULE: Rule = Rule {
        name: "idle_timeout",
        group: Group::Tcp,
        summary: "connections that die on the first packet after a silence",
        judges: "flows",
        variants: Death::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("idle_timeout.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[
        Explains::by(Meet::Flows, &["retransmission", "rst_storm"]),
        Explains::by(Meet::Service, &["rst_storm", "half_close_leak"]),
    ];
    type Variant = Death;
    type Key = (Endpoint, Death);
    type Counts = Deaths;
    type Total = Lived;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = flow.tcp.as_ref().filter(|tcp| tcp.handshake.outcome.is_open()) else { return };
        if flow.is_one_way() {
            return book.not_judged("one direction only");
        }
        let waits = tcp.waits.as_deref();
        let survived = waits.and_then(|waits| waits.survived).map_or(Span::ZERO, |pause| pause.length());
        let died = self.death(flow, tcp);
        let to_server = waits.and_then(|waits| waits.unanswered[Direction::ToServer.index()]);
        if let Some(lived) = book.judged(&flow.server) {
            if survived >= self.least {
                lived.longest_survived_ms.add(millis(survived));
                lived.survived += 1;
            }
            if let Some(last) = flow.half(Direction::ToClient).last {
                lived.last_heard.add(last.time);
            }
            let active = died.is_none() && tcp.resets.is_empty();
            let repeated = to_server.is_some_and(|end| u64::from(end.tries) > self.tries);
            lived.died_active += u64::from(active && repeated);
            lived.reset_active += u64::from(died.is_none() && is_ended_by_reset(tcp));
        }
        let Some((death, fatal)) = died else { return };
        let pause = fatal.pause;
        let Some(case) = book.case((flow.server, death)) else { return };
        let last = fatal.reset.unwrap_or(fatal.last_try);
        case.flow(flow, [pause.after, last]);
        case.failed += 1;
        case.lost += last.time - pause.after.time;
        let counts = &mut case.counts;
        counts.tries += u64::from(fatal.tries);
        counts.met_by_data += u64::from(pause.with == Breaker::Data);
        counts.shortest_died_ms.add(millis(pause.length()));
        counts.longest_died_ms.add(millis(pause.length()));
        counts.first_death.add(pause.after.time);
        counts.last_start.add(flow.first.time);
        case.show(pause.length().0, flow.id, || {
            let after = format!("after {}", pause.length());
            let end = match fatal.reset {
                Some(reset) => Evidence::new(reset, Role::Reset, "the answer"),
                None => Evidence::new(fatal.last_try, Role::Retransmission, "no answer"),
            };
            [
                Evidence::new(pause.before, Role::BeforePause, ""),
                Evidence::new(pause.after, Role::AfterPause, after),
                end,
            ]
        });
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        book.without_time(context);
        let ends: BTreeMap<Endpoint, u64> =
            book.totals().map(|(server, _, lived)| (*server, lived.reset_active)).collect();
        let usual = book.take(|(server, death), case| {
            *death == Death::Reset && ends.get(server).is_some_and(|ended| *ended >= case.failed)
        });
        let flows = usual.iter().map(|(_, case)| case.flows()).sum();
        book.not_judged_many("the service resets connections in use, too", flows);
        let broken = book.totals().filter(|(_, _, lived)| lived.died_active > 0);
        let broken: BTreeSet<Endpoint> = broken.map(|(server, _, _)| *server).collect();
        let active = book.take(|(server, _), _| broken.contains(server));
        let flows = active.iter().map(|(_, case)| case.flows()).sum();
        book.not_judged_many("connections of the service died in activity, too", flows);
        Vec::new()
    }

    fn judge(
        &self,
        (server, death): &Self::Key,
        case: &Case<Deaths>,
        book: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Death>> {
        let counts = &case.counts;
        let lived = book.total(server).1.cloned().unwrap_or_default();
        let (shortest, survived) = (counts.shortest_died_ms.get(), lived.longest_survived_ms.get());
        let first_death = counts.first_death.get()?;
        let in_order = survived < shortest;
        let answers = lived.last_heard.get() > Some(first_death);
        let again = counts.last_start.get() > Some(first_death);
        let long = Span::millis(shortest as i64) >= self.idle;
        // A keep-alive finds out before anybody asks for something.
        let met = counts.met_by_data;
        let warns = met >= self.connections && in_order && answers && (long || again);
        let seconds = |millis: u64| Span::millis(millis as i64).to_string();
        let title = match death {
            Death::Silent => format!("{server} no longer answers connections that were idle"),
            Death::Reset => format!("Idle connections to {server} are reset on their next packet"),
        };
        let flows = plural(case.failed, "connection");
        let what = match death {
            Death::Silent => format!("got no answer to {}", plural(counts.tries, "segment")),
            Death::Reset => "got a RST".to_owned(),
        };
        let range = match (seconds(shortest), seconds(counts.longest_died_ms.get())) {
            (least, most) if least == most => least,
            (least, most) => format!("{least} to {most}"),
        };
        let limit = match survived {
            0 => String::new(),
            _ if in_order => {
                format!(" The longest pause that a connection survived was {}.", seconds(survived))
            }
            _ => format!(" Another connection survived {}.", seconds(survived)),
        };
        let later = if answers { " The service answered other packets later." } else { "" };
        let found = match met {
            0 => " Keep-alives found that out, and no data was lost.",
            _ => "",
        };
        let summary =
            format!("{flows} of {} {what} after a pause of {range}.{found}{limit}{later}", case.clients());
        // New connections work: it is a failure in part, however many wait.
        let severity = if warns { Severity::Warning } else { Severity::Info };
        let confidence = if warns { Confidence::Likely } else { Confidence::Possible };
        let draft = Draft::new(*death, title, summary).severity(severity).confidence(confidence);
        Some(draft.count("longest_survived_ms", survived))
    }
}

impl IdleTimeout {
    /// How the connection died on the first packet after a pause.
    fn death(&self, flow: &Flow, tcp: &TcpFlow) -> Option<(Death, FatalPause)> {
        let waits = tcp.waits.as_ref().filter(|waits| waits.crossing.is_none())?;
        let fatal = waits.fatal?;
        let pause = fatal.pause;
        let asked = matches!(pause.with, Breaker::Data | Breaker::KeepAlive);
        let before = |fin: Option<PacketRef>| fin.is_some_and(|fin| fin.packet < fatal.last_try.packet);
        let closing = before(tcp.side(Direction::ToClient).fin)
            || tcp.side(Direction::ToServer).fin.is_some_and(|fin| fin.packet < pause.after.packet);
        // The client said goodbye, as TLS and LDAP do, and closed: nobody misses the connection.
        let goodbye = tcp
            .side(Direction::ToServer)
            .fin
            .zip(fatal.reset)
            .is_some_and(|(fin, reset)| fin.packet < reset.packet);
        let closing = closing || goodbye;
        if !asked || closing || fatal.heard || pause.by == Direction::ToClient || pause.length() < self.least
        {
            return None;
        }
        let quoted = flow.icmp_errors.iter().any(|error| error.at.packet > pause.after.packet);
        match fatal.reset {
            // What comes later is no answer: the other side closes when it likes.
            Some(reset) if reset.time - fatal.last_try.time >= PROMPT => None,
            Some(_) => Some((Death::Reset, fatal)),
            None if u64::from(fatal.tries) >= self.tries && !quoted => Some((Death::Silent, fatal)),
            None => None,
        }
    }
}

/// An answer takes a round trip, and none in use takes as long (RFC 6298 section 2 waits 1 s at first).
const PROMPT: Span = Span::secs(3);

/// The server ended it by RST, and the client had not closed it.
fn is_ended_by_reset(tcp: &TcpFlow) -> bool {
    let fin = tcp.side(Direction::ToServer).fin.map_or(u64::MAX, |fin| fin.packet);
    tcp.resets.iter().any(|reset| reset.direction == Direction::ToClient && reset.at.packet < fin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing};
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, FIN, RST, SERVER, Talk};

    const NAME: &str = IdleTimeout::RULE.name;

    /// A connection that is used, pauses for so many seconds, and is used again.
    fn pauses(lab: &mut Lab, port: u16, at: u64, seconds: u64) -> Talk {
        let mut talk = lab.talk(7, (9, port), at, [30, 4_000]);
        lab.http(&mut talk, 300);
        talk.wait(seconds * 1_000_000);
        talk
    }

    /// The client sends a request again and again, and gets no answer.
    fn asks_in_vain(lab: &mut Lab, talk: &mut Talk, times: u32) {
        let request = talk.send_lost(&mut lab.capture, CLIENT, b"again");
        for number in 0..times {
            talk.wait(230_000 << number);
            talk.resend(&mut lab.capture, &request);
        }
    }

    fn works(lab: &mut Lab, port: u16, at: u64) {
        let mut talk = lab.talk(7, (9, port), at, [30, 4_000]);
        lab.http(&mut talk, 300);
        talk.close(&mut lab.capture);
    }

    fn reset(lab: &mut Lab, talk: &mut Talk) {
        talk.send_lost(&mut lab.capture, CLIENT, b"again");
        talk.turn(CLIENT);
        let expects = talk.ends[CLIENT].expects;
        let mut reset = talk.segment(SERVER, RST, b"");
        reset.seq = expects;
        talk.record(&mut lab.capture, &reset);
    }

    #[test]
    fn it_fires() {
        fires(NAME, &[("idle_timeout_silent", "silent", Severity::Warning)]);
    }

    #[test]
    fn it_stays_silent() {
        says_nothing(
            NAME,
            &["healthy_resets", "blind_keepalive_race", "retransmission_rto", "rst_storm_abort"],
        );
    }

    #[test]
    fn the_limit_is_between_what_survived_and_what_died() {
        let findings = in_traffic(NAME, |lab| {
            let mut lives = pauses(lab, 5432, 10, 290);
            lives.exchange(&mut lab.capture, b"again", 200);
            for number in 0..3 {
                let mut talk = pauses(lab, 5432, 500 + number * 900, 360 + number);
                reset(lab, &mut talk);
            }
            works(lab, 5432, 500_000);
        });
        let finding = one(&findings, "reset", Severity::Warning);
        assert!(
            finding.summary.contains("6 min") || finding.summary.contains("360 s"),
            "{}",
            finding.summary
        );
        assert!(finding.summary.contains("survived was 290 s"), "{}", finding.summary);
    }

    #[test]
    fn one_death_is_information() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = pauses(lab, 5432, 10, 400);
            asks_in_vain(lab, &mut talk, 6);
            works(lab, 5432, 500_000);
        });
        one(&findings, "silent", Severity::Info);
    }

    /// Chrome asks every 45 s whether an idle connection is still there; when it is not, nobody misses it.
    #[test]
    fn what_a_keep_alive_finds_dead_costs_nobody_anything() {
        for (asks, severity) in [(false, Severity::Info), (true, Severity::Warning)] {
            let findings = in_traffic(NAME, |lab| {
                for number in 0..3 {
                    let mut talk = pauses(lab, 443, 500 + number * 900, 45);
                    if asks {
                        reset(lab, &mut talk);
                        continue;
                    }
                    let mut probe = talk.segment(CLIENT, ACK, b"");
                    probe.seq = probe.seq.wrapping_sub(1);
                    talk.record(&mut lab.capture, &probe);
                    talk.turn(CLIENT);
                    let mut reset = talk.segment(SERVER, RST, b"");
                    reset.seq = talk.ends[CLIENT].expects;
                    talk.record(&mut lab.capture, &reset);
                }
                works(lab, 443, 500_000);
            });
            let finding = one(&findings, "reset", severity);
            assert_eq!(finding.summary.contains("Keep-alives found that out"), !asks, "{}", finding.summary);
        }
    }

    /// Longer pauses were survived: it was not the length.
    #[test]
    fn no_limit_where_longer_pauses_were_survived() {
        let findings = in_traffic(NAME, |lab| {
            let mut lives = pauses(lab, 5432, 10, 600);
            lives.exchange(&mut lab.capture, b"again", 200);
            for number in 0..3 {
                let mut talk = pauses(lab, 5432, 500 + number * 900, 40);
                reset(lab, &mut talk);
            }
        });
        one(&findings, "reset", Severity::Info);
    }

    /// Everything of the host is silent: that is no matter of idle connections.
    #[test]
    fn a_service_that_answers_nobody_later_is_information() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..3 {
                let mut talk = pauses(lab, 5432, 500 + number * 10, 40);
                asks_in_vain(lab, &mut talk, 6);
            }
        });
        one(&findings, "silent", Severity::Info);
    }

    #[test]
    fn connections_that_die_in_activity_are_not_idle() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..3 {
                let mut talk = pauses(lab, 5432, 500 + number * 10, 40);
                asks_in_vain(lab, &mut talk, 6);
                let mut busy = lab.talk(8, (9, 5432), 39_000, [30, 4_000]);
                lab.http(&mut busy, 300);
                asks_in_vain(lab, &mut busy, 6);
            }
            works(lab, 5432, 500_000);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn a_server_that_closes_idle_connections_forgets_nothing() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..3 {
                let mut talk = pauses(lab, 80, 10 + number * 400, 65);
                talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
                talk.turn(SERVER);
                talk.ack(&mut lab.capture, CLIENT, &[]);
                reset(lab, &mut talk);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// TLS and LDAP clients say goodbye and close; servers that closed long ago answer with a RST.
    #[test]
    fn a_goodbye_that_is_reset_was_not_missed() {
        let findings = |closes: bool| {
            in_traffic(NAME, |lab| {
                for number in 0..3 {
                    let mut talk = pauses(lab, 389, 10 + number * 400, 65);
                    talk.send_lost(&mut lab.capture, CLIENT, b"unbind");
                    if closes {
                        talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
                    }
                    talk.turn(CLIENT);
                    let mut reset = talk.segment(SERVER, RST, b"");
                    reset.seq = talk.ends[CLIENT].expects;
                    talk.record(&mut lab.capture, &reset);
                }
                works(lab, 389, 500_000);
            })
        };
        assert_eq!(findings(false).len(), 1);
        assert!(findings(true).is_empty());
    }

    /// An LDAP server resets whoever says unbind, however long the connection was silent.
    #[test]
    fn a_service_that_ends_all_connections_by_rst_forgets_nothing() {
        for (ended, found) in [(0, 1), (4, 0)] {
            let findings = in_traffic(NAME, |lab| {
                for number in 0..3 + ended {
                    let seconds = if number < 3 { 5 } else { 0 };
                    let mut talk = pauses(lab, 389, 10 + number * 40_000, seconds);
                    reset(lab, &mut talk);
                }
                works(lab, 389, 500_000);
            });
            assert_eq!(findings.len(), found, "{findings:#?}");
        }
    }

    #[test]
    fn the_end_of_the_capture_is_no_silence() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..3 {
                let mut talk = pauses(lab, 80, 10 + number * 40, 65);
                talk.send_lost(&mut lab.capture, CLIENT, b"again");
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// The client tries once, and the server closes what it holds half a minute later.
    #[test]
    fn a_reset_that_comes_late_is_no_answer() {
        for (after, found) in [(35_000_000, 0), (0, 1)] {
            let findings = in_traffic(NAME, |lab| {
                for number in 0..3 {
                    let mut talk = pauses(lab, 5432, 500 + number * 900, 45);
                    talk.send_lost(&mut lab.capture, CLIENT, b"again");
                    talk.turn(CLIENT).wait(after);
                    let closed = talk.segment(SERVER, RST, b"");
                    talk.record(&mut lab.capture, &closed);
                }
                works(lab, 5432, 500_000);
            });
            assert_eq!(findings.len(), found, "{findings:#?}");
        }
    }
}
