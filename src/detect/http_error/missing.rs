//! Servers that have not what clients ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::app::http::Exchange;
use crate::detect::http_error::{Failures, HttpError, Problem};
use crate::detect::*;
use crate::dissect::{Endpoint, PacketRef};
use crate::flow::FlowHead;

/// Server and client.
type Pair = (Endpoint, IpAddr);

merged! {
    /// Answers by server and client, and those of them that say that nothing is there.
    pub(super) struct Missing {
        answers: Bounded<Pair, u64, { 1 << 13 }>,
        missing: Bounded<Pair, Case<Failures>>,
    }
}

impl Missing {
    /// Takes a request; `asked` is its first packet.
    pub(super) fn add(&mut self, exchange: &Exchange, flow: &FlowHead, asked: PacketRef) {
        let Some((status, response)) = exchange.status.zip(exchange.response) else { return };
        let pair = (flow.server, flow.client.address);
        self.answers.count(pair).into_iter().for_each(|answers| *answers += 1);
        // RFC 9110 sections 15.5.5 and 15.5.11.
        let gone = matches!(status, 404 | 410);
        let Some(case) = gone.then(|| self.missing.count(pair)).flatten() else { return };
        case.exchange(exchange, flow);
        case.failed += 1;
        case.counts.paths.add(exchange.path().to_owned());
        case.counts.statuses.add(status);
        case.show(0, asked.packet, || {
            let line = format!("{} {}", exchange.method, exchange.path());
            let request = Evidence::new(asked, Role::Request, line);
            [request, Evidence::new(response, Role::Response, format!("{status}"))]
        });
    }

    /// Servers that had nothing for most requests of a client, `least` or more; but for those in `told`.
    pub(super) fn conclude(mut self, least: u64, told: &BTreeSet<Endpoint>) -> Vec<Concluded<HttpError>> {
        let mut servers: BTreeMap<Endpoint, Case<Failures>> = BTreeMap::new();
        for ((server, client), mut case) in self.missing.take_if(|_, case| case.failed >= least) {
            let of = self.answers.get(&(server, client)).map_or(0, |(_, answers)| *answers);
            if 2 * case.failed > of && of > 0 && !told.contains(&server) {
                let sum = servers.entry(server).or_default();
                case.total = of;
                sum.total += of;
                sum.absorb(case);
            }
        }
        servers.into_iter().map(finding).collect()
    }
}

fn finding((server, mut case): (Endpoint, Case<Failures>)) -> Concluded<HttpError> {
    let (missing, requests) = (case.failed, plural(case.total, "request"));
    let status = case.counts.statuses.only().map_or("404 or 410".to_owned(), |status| match status {
        404 => "404 (Not Found)".to_owned(),
        _ => "410 (Gone)".to_owned(),
    });
    let whose = case.affected.clients.only().map_or_else(|| case.clients(), IpAddr::to_string);
    let title = format!("{server} answers {missing} of {requests} of {whose} with {status}");
    let summary = format!("It has nothing at {} that they asked for.", case.counts.paths.of("path"));
    // Nobody failed who got an answer.
    case.failed = 0;
    (Draft::new(Problem::NotFound, title, summary).severity(Severity::Info), case)
}
