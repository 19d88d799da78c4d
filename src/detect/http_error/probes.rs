//! One client that asks in HTTP what never speaks it.

use std::net::IpAddr;

use crate::detect::http_error::{Failures, HttpError, PORTS, Problem};
use crate::detect::ports::is_known;
use crate::detect::*;

/// Services of one client that never speak HTTP and get few requests each, from which they are one finding.
const LEAST: u64 = 5;

/// The services that end the connections of one client each time, below `errors` requests each: all of them
/// are one client that asks about, and each alone would be information only.
pub(super) fn of_one_client(book: &mut Book<HttpError>, errors: u64) -> Vec<Concluded<HttpError>> {
    let speak = std::mem::take(&mut book.notes.speak);
    let groups = book.group(LEAST, |(server, problem), case| {
        let silent = *problem == Problem::Unanswered && speak.get(server).is_none();
        let alone = case.affected.clients.only().filter(|_| silent && case.failed < errors);
        alone.copied().filter(|_| !is_known(server.port) || PORTS.contains(&server.port))
    });
    book.notes.speak = speak;
    groups.into_iter().map(finding).collect()
}

fn finding(group: CaseGroup<IpAddr, Failures>) -> Concluded<HttpError> {
    let CaseGroup { by: client, cases, case } = group;
    let (services, requests) = (plural(cases, "service"), plural(case.failed, "request"));
    let title = format!("{services} end the connections of {client} without an answer to HTTP");
    let summary = format!("{client} sent {requests} to {services}. None of them speaks HTTP in the capture.");
    let subject = Subject { client: Some(client.to_string()), ..Subject::default() };
    let draft = Draft::new(Problem::Unanswered, title, summary).subject(subject);
    (draft.severity(Severity::Info), case)
}
