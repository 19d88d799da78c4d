//! Every hand-made capture fires its detector, and the healthy ones fire nothing at warning or above.

#![allow(clippy::print_stdout)]

mod support;

use std::path::Path;

use pcapsy::app::dns::Transaction;
use pcapsy::config::Config;
use pcapsy::detect::{RULES, Severity};
use pcapsy::flow::{Flow, FlowHead};
use pcapsy::local::{self, Run};
use pcapsy::pipeline::Rows;

struct Nothing;

impl Rows for Nothing {
    fn flow(&mut self, _flow: &Flow) {}
    fn transaction(&mut self, _transaction: &Transaction, _flow: &FlowHead) {}
}

/// (detector, variant) of what is at warning or above, by the name of the capture.
fn findings(name: &str) -> Vec<(&'static str, &'static str)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/synthetic/{name}.pcap"));
    let outcome = local::analyze(&[path], &Config::default(), Run::default(), &mut Nothing, &|_| {})
        .expect("it is read");
    let findings = outcome.verdicts.into_iter().flat_map(|(_, verdict)| verdict.findings);
    findings
        .filter(|finding| finding.severity >= Severity::Warning)
        .map(|found| (found.detector, found.variant))
        .collect()
}

/// Capture, detector, variant, and other findings that the same frames justify.
const EXPECTED: &[(&str, &str, &str, &[&str])] = &[
    ("retransmission_rto", "retransmission", "rto", &[]),
    ("retransmission_fast", "retransmission", "fast", &[]),
    ("missing_syn_ack_silent", "missing_syn_ack", "silent", &[]),
    ("rst_storm_no_socket", "rst_storm", "no_socket", &[]),
    ("mtu_blackhole_silent", "mtu_blackhole", "silent", &["retransmission"]),
    ("tls_alert_unknown_ca", "tls_alert", "", &[]),
    ("dns_servfail_unreachable", "dns_servfail", "", &[]),
    ("asymmetric_flow_state", "asymmetric_flow", "state", &["missing_syn_ack", "retransmission"]),
];

#[test]
fn every_situation_fires_its_detector_and_no_other() {
    for (name, detector, variant, others) in EXPECTED {
        let found = findings(name);
        println!("{name}: {found:?}");
        assert!(found.contains(&(*detector, *variant)), "{name}: {found:?}");
        let strangers: Vec<_> =
            found.iter().filter(|(other, _)| other != detector && !others.contains(other)).collect();
        assert!(strangers.is_empty(), "{name}: {strangers:?}");
    }
}

#[test]
fn healthy_traffic_fires_nothing() {
    let healthy =
        support::scenes::all().into_iter().map(|(name, _)| name).filter(|name| name.starts_with("healthy"));
    for name in healthy.chain(["asymmetric_flow_visibility"]) {
        assert_eq!(findings(name), [], "{name}");
    }
}

#[test]
fn every_rule_is_documented_and_every_threshold_has_a_source() {
    for rule in RULES {
        let documentation = rule.documentation();
        for heading in [
            "# What it finds",
            "# Why it matters",
            "# How it decides",
            "# What it does not claim",
            "# References",
        ] {
            assert!(documentation.contains(heading), "{}: {heading}", rule.name);
        }
        assert!(
            rule.thresholds
                .iter()
                .all(|threshold| !threshold.source.is_empty() && !threshold.unit.is_empty())
        );
    }
}
