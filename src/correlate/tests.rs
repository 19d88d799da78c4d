//! Correlation over hand-made findings.

use crate::correlate::*;
use crate::detect::{Confidence, Finding, Impact, Interval, Members, Severity, Subject};
use crate::report::tests::finding;
use crate::time::{Span, Timestamp};

fn members<T: Ord + Clone>(values: &[T]) -> Members<T> {
    let mut sample = values.to_vec();
    sample.sort();
    Members { count: sample.len() as u64, at_least: false, sample }
}

/// A finding at `server` about these flows, from second 10 to second 20.
fn found(detector: &'static str, severity: Severity, server: &str, flows: &[u64]) -> Finding {
    let mut one = finding(detector);
    one.variant = "";
    one.severity = severity;
    one.confidence = Confidence::Confirmed;
    one.gates.clear();
    one.title = format!("{detector} at {server}");
    one.subject = Subject { server: Some(server.to_owned()), port: Some(443), ..Subject::default() };
    one.scope.flows = members(flows);
    one.scope.servers = members(&[format!("{server}:443")]);
    one.scope.clients = members(&["10.9.0.1".parse().expect("address")]);
    let (from, until) = (Timestamp(10_000_000_000), Timestamp(20_000_000_000));
    one.scope.intervals = vec![Interval { from, until }];
    (one.first_seen, one.last_seen) = (Some(from), Some(until));
    one
}

fn correlated(findings: &[Finding]) -> Correlated {
    let capture = Some((Timestamp(0), Timestamp(60_000_000_000)));
    let facts = Facts { verdicts: &[], capture, packets: 1000, dropped: Some(0) };
    correlate(findings, &Board::default(), &facts)
}

/// Root and the number of its other findings.
fn outline(correlated: &Correlated) -> Vec<(String, usize)> {
    correlated.incidents.iter().map(|one| (one.root.clone(), one.symptoms.len())).collect()
}

#[test]
fn symptoms_go_to_the_cause_that_covers_most_of_their_flows() {
    let findings = [
        found("mtu_blackhole", Severity::Critical, "10.0.0.1", &[1, 2, 3]),
        found("retransmission", Severity::Warning, "10.0.0.1", &[1, 2, 3, 4]),
        found("retransmission", Severity::Warning, "10.0.0.2", &[7, 8, 9]),
    ];
    let correlated = correlated(&findings);
    assert_eq!(outline(&correlated), [("F-001".to_owned(), 1), ("F-003".to_owned(), 0)]);
    let first = &correlated.incidents[0];
    assert_eq!((first.id.as_str(), first.links[0].tie), ("I-01", Tie::Symptom));
    assert!(first.story.contains("It explains: retransmission at 10.0.0.1."), "{}", first.story);
    assert_eq!(first.place, Where::Network);
}

#[test]
fn what_failed_through_it_counts_and_who_did_it_is_not_whom_it_reached() {
    let failed = |failed_transactions, of_transactions, clients| Impact {
        failed_transactions,
        of_transactions,
        clients,
        ..Impact::default()
    };
    let mut forged = found("rst_injection", Severity::Warning, "10.0.0.1", &[1]);
    forged.impact = failed(1, 10, 1);
    let mut aborted = found("tls_abort", Severity::Warning, "10.0.0.1", &[1, 2, 3, 4, 5]);
    aborted.impact = failed(5, 10, 1);
    let one = &correlated(&[forged, aborted]).incidents[0];
    assert_eq!((one.root.as_str(), one.blast_radius.failed, one.blast_radius.of), ("F-001", 5, 10));
    let mut flood = found("syn_flood", Severity::Critical, "10.0.0.1", &[]);
    flood.impact = Impact::default();
    flood.scope.clients = Members { count: 900, at_least: true, sample: Vec::new() };
    let mut late = found("missing_syn_ack", Severity::Warning, "10.0.0.1", &[7]);
    late.impact = failed(2, 9, 1);
    let one = &correlated(&[flood, late]).incidents[0];
    let radius = &one.blast_radius;
    assert_eq!((one.root.as_str(), radius.clients.count, radius.failed), ("F-001", 1, 2));
}

#[test]
fn what_is_far_apart_in_time_is_no_symptom() {
    let mut late = found("retransmission", Severity::Warning, "10.0.0.1", &[1, 2, 3]);
    let at = Timestamp(20_000_000_000) + Span::secs(31);
    (late.first_seen, late.last_seen) = (Some(at), Some(at));
    let findings = [found("mtu_blackhole", Severity::Critical, "10.0.0.1", &[5]), late];
    assert_eq!(correlated(&findings).incidents.len(), 2);
}

#[test]
fn information_alone_is_no_incident_unless_it_explains_one() {
    let mut info = found("mtu_blackhole", Severity::Info, "10.0.0.1", &[1, 2, 3]);
    info.impact = Impact::default();
    let alone = correlated(std::slice::from_ref(&info));
    assert!(alone.incidents.is_empty());
    assert_eq!(alone.other, ["F-001"]);
    let storm = found("rst_storm", Severity::Critical, "10.0.0.1", &[1, 2, 3]);
    let both = correlated(&[storm, info]);
    assert_eq!(outline(&both), [("F-002".to_owned(), 1)]);
    assert_eq!(both.incidents[0].severity, Severity::Critical);
    assert!(both.other.is_empty());
}

#[test]
fn what_somebody_noticed_is_an_incident_for_information_where_nothing_matters() {
    let mut slow = found("slow_server", Severity::Info, "10.0.0.1", &[1, 2, 3]);
    slow.impact = Impact { seconds_lost: Span::millis(200), ..Impact::default() };
    let alone = correlated(std::slice::from_ref(&slow));
    assert_eq!(
        (outline(&alone), alone.incidents[0].severity),
        (vec![("F-001".to_owned(), 0)], Severity::Info)
    );
    let other = found("tls_alert", Severity::Warning, "10.0.0.2", &[5]);
    assert_eq!(outline(&correlated(&[other, slow])), [("F-001".to_owned(), 0)]);
}

#[test]
fn a_leg_explains_the_one_before_it_and_two_do_not_explain_each_other() {
    let leg = |client: &str, server: &str, flow| {
        let mut leg = found("slow_server", Severity::Warning, server, &[flow]);
        leg.scope.clients = members(&[client.parse().expect("address")]);
        leg
    };
    let findings = [leg("10.9.0.1", "10.0.0.1", 1), leg("10.0.0.1", "10.0.1.1", 2)];
    assert_eq!(outline(&correlated(&findings)), [("F-002".to_owned(), 1)]);
    let findings = [leg("10.0.0.2", "10.0.0.1", 1), leg("10.0.0.1", "10.0.0.2", 2)];
    assert_eq!(outline(&correlated(&findings)), [("F-001".to_owned(), 1)]);
    // A host that asks itself.
    assert_eq!(correlated(&[leg("10.0.0.1", "10.0.0.1", 1)]).incidents.len(), 1);
}

#[test]
fn what_nobody_felt_does_not_explain_what_somebody_did_by_its_place_alone() {
    let mut scan = found("port_scan", Severity::Info, "10.0.0.7", &[7]);
    scan.scope.servers = members(&["10.0.0.7:443".to_owned()]);
    let refused = found("connection_refused", Severity::Critical, "10.0.0.1", &[1, 2, 3]);
    assert_eq!(outline(&correlated(&[refused, scan])), [("F-001".to_owned(), 0)]);
}

#[test]
fn findings_of_a_rule_that_share_a_name_are_one_incident() {
    let mut findings: Vec<Finding> = (1..=30)
        .map(|number| found("dns_servfail", Severity::Warning, &format!("10.0.{number}.1"), &[number]))
        .collect();
    for (number, finding) in findings.iter_mut().enumerate() {
        finding.scope.names = members(&["api.example".to_owned(), format!("n{number}.example")]);
    }
    let correlated = correlated(&findings);
    assert_eq!(outline(&correlated), [("F-001".to_owned(), 29)]);
    let title = &correlated.incidents[0].title;
    assert!(title.ends_with(", and 29 more like it for api.example"), "{title}");
    assert_eq!(correlated.incidents[0].blast_radius.services.count, 30);
}

#[test]
fn seven_hundred_findings_are_a_few_incidents() {
    let mut findings: Vec<Finding> = (0..700)
        .map(|number| {
            let server = format!("10.{}.{}.{}", number / 100, number % 100, number % 7 + 1);
            found("retransmission", Severity::Warning, &server, &[number])
        })
        .collect();
    findings.push(found("dns_unanswered", Severity::Warning, "192.0.2.53", &[9_000]));
    for (number, finding) in findings.iter_mut().enumerate() {
        finding.scope.clients =
            members(&[format!("10.9.{}.{}", number / 200, number % 200).parse().expect("ip")]);
    }
    let correlated = correlated(&findings);
    assert!(correlated.incidents.len() <= 20, "{:?}", outline(&correlated));
    let taken: usize = correlated.incidents.iter().map(|one| 1 + one.symptoms.len()).sum();
    assert_eq!(taken + correlated.other.len(), findings.len(), "each finding has one place");
}

#[test]
fn the_same_flows_are_one_incident_and_no_cause_is_claimed() {
    let findings = [
        found("tls_alert", Severity::Critical, "10.0.0.1", &[1, 2, 3]),
        found("dns_unanswered", Severity::Warning, "10.0.0.1", &[1, 2, 3]),
    ];
    let correlated = correlated(&findings);
    assert_eq!(outline(&correlated), [("F-001".to_owned(), 1)]);
    let first = &correlated.incidents[0];
    assert_eq!(first.links[0].tie, Tie::Together);
    assert!(!first.story.contains("explains"), "{}", first.story);
}

#[test]
fn stories_have_two_to_four_sentences() {
    let findings = [
        found("mtu_blackhole", Severity::Critical, "10.0.0.1", &[1, 2, 3]),
        found("tls_alert", Severity::Warning, "10.0.0.2", &[5]),
    ];
    for incident in correlated(&findings).incidents {
        let count = story::sentences(&incident.story).len();
        assert!((2..=4).contains(&count), "{}", incident.story);
    }
}

#[test]
fn no_network_is_between_a_host_and_itself() {
    let place = |client: &str, server: &str| {
        let mut lost = found("retransmission", Severity::Warning, server, &[1]);
        lost.subject.client = Some(client.to_owned());
        place::Where::of(&lost)
    };
    assert_eq!(place("192.0.2.1", "192.0.2.2"), place::Where::Network);
    assert_eq!(place("127.0.0.1", "127.0.0.1"), place::Where::NotTold);
}
