//! # What it finds
//! Requests on idle connections that meet the FIN of the server on the way, and are reset.
//!
//! # Why it matters
//! The server is healthy and did nothing wrong, and still a request fails now and then: a proxy answers 502.
//!
//! # How it decides
//! After a pause of `idle` or more the server sent a FIN and the client data, within a second. The FIN does
//! not acknowledge the data, and the data does not acknowledge the FIN: each was sent before the other
//! arrived. The server answered with a RST.
//!
//! It is a warning when at least `races` requests of a service were lost so, and information otherwise. The
//! idle limit of the server is the silence before its FINs, over all connections of the service.
//!
//! # What it leaves alone
//! - A FIN without a pause before it: the server has another reason to close.
//! - Data after a FIN that its sender had acknowledged.
//! - Connections that died without a FIN (see `idle_timeout`).
//! - Everything, when the clock of the capture stepped back by more than a minute.
//!
//! # What it does not claim
//! That the request was not repeated on another connection, or what the client was told.
//!
//! # References
//! RFC 9112 section 9.3.1 and 9.5 (idle connections, retries); RFC 9293 section 3.10.7.1.

use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Breaker, Crossing, Flow};
use crate::time::Span;

thresholds! {
    /// Counts requests that met a FIN, by service.
    struct KeepaliveRace {
        races: u64 = 3.0 "connections",
            "requests of a service that met a FIN, from which it is a warning",
            "ours: once in a while it happens to every pool";
        idle: Span = 0.75 "s",
            "pause before the FIN and the data, below which the connection was not idle",
            "ours: servers keep idle connections for a second and more";
    }
}

variants! {
    /// There is one kind.
    enum Race {
        Race "" Warning {
            could_be: &[
                "the server closes idle connections a moment before its client stops using them",
                "the server was stopped in order, and closed its idle connections",
            ],
            next: &[
                "let the client or proxy drop idle connections earlier than the server closes them",
                "let the server keep idle connections longer than the client uses them",
            ],
            not_claimed: &["that the request was not repeated", "what the client was told"],
            doubted_by: &[QualityIssue::Drops],
        }
    }
}

counts! {
    /// What a case counts beside its flows.
    struct Races {
        least_idle_ms: Least,
        most_idle_ms: Most,
    }
}

counts! {
    /// FINs of the server after a pause.
    struct Closed {
        closed_idle: u64,
        least_idle_ms: Least,
        most_idle_ms: Most,
    }
}

fn millis(span: Span) -> u64 {
    (span.0.max(0) / 1_000_000).unsigned_abs()
}

/// The silence before the FIN: of the pause and of what came before the FIN after it.
fn silence(crossing: &Crossing) -> Span {
    crossing.idle + (crossing.fin.time - crossing.data.time).max(Span::ZERO)
}

impl Detector for KeepaliveRace {
    const RULE: Rule = Rule {
        name: "keepalive_race",
        group: Group::Tcp,
        summary: "requests on idle connections that meet the server's FIN and are reset",
        judges: "flows",
        variants: Race::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("keepalive_race.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Upstream, &["http_error"])];
    type Variant = Race;
    type Key = Endpoint;
    type Counts = Races;
    type Total = Closed;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        if flow.is_one_way() {
            return book.not_judged("one direction only");
        }
        let total = book.judged(&flow.server);
        let Some(waits) = &tcp.waits else { return };
        let fin = waits.closing.filter(|pause| pause.with == Breaker::Fin && pause.by == Direction::ToClient);
        let crossing = waits
            .crossing
            .filter(|crossing| crossing.by == Direction::ToClient && crossing.idle >= self.idle);
        let idle = crossing.as_ref().map(silence).or(fin.map(|pause| pause.length()));
        if let (Some(total), Some(idle)) = (total, idle) {
            total.closed_idle += 1;
            total.least_idle_ms.add(millis(idle));
            total.most_idle_ms.add(millis(idle));
        }
        let Some(crossing) = crossing else { return };
        let Some(case) = book.case(flow.server) else { return };
        case.flow(flow, [crossing.fin, crossing.data, crossing.reset]);
        case.failed += 1;
        case.counts.least_idle_ms.add(millis(crossing.idle));
        case.counts.most_idle_ms.add(millis(crossing.idle));
        case.show(crossing.idle.0, flow.id, || {
            [
                Evidence::new(crossing.data, Role::Data, "does not acknowledge the FIN"),
                Evidence::new(crossing.fin, Role::Fin, "does not acknowledge the data"),
                Evidence::new(crossing.reset, Role::Reset, "the answer to the data"),
            ]
        });
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        book.without_time(context);
        Vec::new()
    }

    fn judge(
        &self,
        server: &Endpoint,
        case: &Case<Races>,
        book: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Race>> {
        let closed = book.total(server).1.cloned().unwrap_or_default();
        let counts = &case.counts;
        let (requests, clients) = (plural(case.failed, "request"), case.clients());
        let verb = if case.failed == 1 { "was" } else { "were" };
        let summary = format!(
            "{requests} of {clients} met the FIN of the server on the way and {verb} reset. The connections \
             had been silent for {}. The server closed {} after {} of silence.",
            range(counts.least_idle_ms, counts.most_idle_ms),
            plural(closed.closed_idle, "connection"),
            range(closed.least_idle_ms, closed.most_idle_ms),
        );
        let title = format!("Requests to {server} are lost on idle connections that it closes");
        let severity = if case.failed >= self.races { Severity::Warning } else { Severity::Info };
        Some(
            Draft::new(Race::Race, title, summary)
                .severity(severity)
                .count("closed_idle", closed.closed_idle),
        )
    }
}

/// `5.00 s`, `5.00 s to 65.0 s`.
fn range(least: Least, most: Most) -> String {
    let text = |millis: u64| Span::millis(millis as i64).to_string();
    match (text(least.get()), text(most.get())) {
        (least, most) if least == most => least,
        (least, most) => format!("{least} to {most}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing};
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, FIN, RST, SERVER};

    const NAME: &str = KeepaliveRace::RULE.name;

    /// The server closes after so many milliseconds, and a request meets its FIN. With `far` the capture
    /// point is at the server: the FIN is recorded before the request.
    fn race(lab: &mut Lab, at: u64, idle: u64, far: bool) {
        let mut talk = lab.talk(7, (9, 8080), at, if far { [9_000, 30] } else { [30, 9_000] });
        lab.http(&mut talk, 400);
        talk.wait(idle * 1_000);
        let fin = talk.segment(SERVER, FIN | ACK, b"");
        let request = talk.segment(CLIENT, ACK, b"GET /next HTTP/1.1\r\n\r\n");
        let order = if far { [&fin, &request] } else { [&request, &fin] };
        for segment in order {
            talk.record(&mut lab.capture, segment);
            talk.sent(segment);
            talk.wait(4_000);
        }
        talk.wait(9_000);
        let mut reset = talk.segment(SERVER, RST, b"");
        reset.seq = fin.seq.wrapping_add(1);
        talk.record(&mut lab.capture, &reset);
    }

    #[test]
    fn it_fires() {
        fires(
            NAME,
            &[("keepalive_race", "", Severity::Warning), ("blind_keepalive_race", "", Severity::Info)],
        );
    }

    #[test]
    fn it_stays_silent() {
        says_nothing(NAME, &["healthy_resets", "healthy_large", "idle_timeout_silent", "rst_storm_abort"]);
    }

    #[test]
    fn at_the_server_the_fin_comes_first() {
        let findings =
            in_traffic(NAME, |lab| (0..4).for_each(|number| race(lab, 10 + number * 700, 5_000, true)));
        let finding = one(&findings, "", Severity::Warning);
        assert!(finding.summary.contains("after 5.00 s of silence"), "{}", finding.summary);
    }

    #[test]
    fn two_in_a_day_happen_to_every_pool() {
        let findings =
            in_traffic(NAME, |lab| (0..2).for_each(|number| race(lab, 10 + number * 700, 60_000, false)));
        one(&findings, "", Severity::Info);
    }

    /// Without a pause the server has another reason to close.
    #[test]
    fn a_busy_connection_that_is_closed_is_no_race() {
        let findings =
            in_traffic(NAME, |lab| (0..4).for_each(|number| race(lab, 10 + number * 700, 20, false)));
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// The client had acknowledged the FIN, and sends all the same.
    #[test]
    fn data_long_after_the_fin_is_no_race() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4 {
                let mut talk = lab.talk(7, (9, 8080), 10 + number * 700, [30, 9_000]);
                lab.http(&mut talk, 400);
                talk.wait(5_000_000);
                talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
                talk.turn(SERVER);
                talk.ack(&mut lab.capture, CLIENT, &[]);
                talk.wait(300_000);
                talk.send_lost(&mut lab.capture, CLIENT, b"GET /next HTTP/1.1\r\n\r\n");
                talk.turn(CLIENT);
                let reset = talk.segment(SERVER, RST, b"");
                talk.record(&mut lab.capture, &reset);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// Half closed in order: the server takes what the client still sends.
    #[test]
    fn a_server_that_goes_on_reading_is_no_race() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4 {
                let mut talk = lab.talk(7, (9, 8080), 10 + number * 700, [30, 9_000]);
                lab.http(&mut talk, 400);
                talk.wait(5_000_000);
                let late = talk.send_lost(&mut lab.capture, CLIENT, b"the rest");
                talk.wait(3_000);
                talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
                talk.turn(CLIENT);
                talk.received(&late);
                talk.ack(&mut lab.capture, SERVER, &[]);
                talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
                talk.turn(CLIENT);
                talk.ack(&mut lab.capture, SERVER, &[]);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
