//! Which findings can be causes of which: what the rules declare, and what is declared for rules to come.

use crate::detect::{EXPLAINS, Explains, Finding, Meet};

/// What rules of the catalogue explain that are not in this build, or that do not declare it themselves.
const AWAITED: &[(&str, &[Explains])] = &[
    (
        "path_outage",
        &[
            Explains::by(Meet::Flows, &["retransmission", "tls_stall", "slow_server", "rst_storm"]),
            Explains::by(
                Meet::Server,
                &["missing_syn_ack", "dns_unanswered", "echo_loss", "health_check", "retransmission"],
            ),
        ],
    ),
    (
        "routing_loop",
        &[
            Explains::by(
                Meet::Host,
                &["missing_syn_ack", "dns_unanswered", "echo_loss", "path_outage", "icmp_unreachable"],
            ),
            Explains::by(Meet::Flows, &["missing_syn_ack", "retransmission"]),
        ],
    ),
    (
        "arp_unanswered",
        &[Explains::by(
            Meet::Host,
            &[
                "icmp_unreachable",
                "missing_syn_ack",
                "dns_unanswered",
                "echo_loss",
                "path_outage",
                "retransmission",
            ],
        )],
    ),
    (
        "icmp_unreachable",
        &[
            Explains::by(Meet::Flows, &["missing_syn_ack", "retransmission"]),
            Explains::by(
                Meet::Service,
                &["missing_syn_ack", "dns_unanswered", "health_check", "connection_refused"],
            ),
            Explains::by(Meet::Server, &["echo_loss", "path_outage"]),
            Explains::by(Meet::Upstream, &["http_error", "dns_servfail"]),
        ],
    ),
    (
        "duplicate_ip",
        &[Explains::by(
            Meet::Host,
            &[
                "rst_storm",
                "rst_injection",
                "retransmission",
                "missing_syn_ack",
                "connection_refused",
                "path_outage",
                "echo_loss",
                "asymmetric_flow",
                "tls_abort",
            ],
        )],
    ),
    ("fragment_loss", &[Explains::by(Meet::Server, &["dns_unanswered", "dns_slow", "echo_loss"])]),
    (
        "latency_shift",
        &[
            Explains::by(Meet::Service, &["slow_server", "spurious_retransmission"]),
            Explains::by(Meet::Server, &["dns_slow"]),
        ],
    ),
    (
        "syn_flood",
        &[Explains::by(
            Meet::Service,
            &["missing_syn_ack", "retransmission", "rst_storm", "connection_refused", "slow_server"],
        )],
    ),
    (
        "port_scan",
        &[Explains::by(
            Meet::Clients,
            &["connection_refused", "missing_syn_ack", "rst_storm", "icmp_unreachable"],
        )],
    ),
    (
        "rst_injection",
        &[
            Explains::by(Meet::Flows, &["rst_storm", "tls_abort", "retransmission", "http_error"]),
            // Who is reset right after the ClientHello has sent too little to know its TTL by.
            Explains::by(Meet::Service, &["tls_abort"]),
        ],
    ),
    (
        "idle_timeout",
        &[
            Explains::by(Meet::Flows, &["retransmission", "rst_storm", "tls_abort", "path_outage"]),
            Explains::by(Meet::Service, &["rst_storm", "half_close_leak"]),
        ],
    ),
    (
        "keepalive_race",
        &[
            Explains::by(Meet::Flows, &["rst_storm", "http_error"]),
            Explains::by(Meet::Upstream, &["http_error"]),
        ],
    ),
    ("zero_window", &[Explains::by(Meet::Flows, &["retransmission", "slow_server", "path_outage"])]),
    ("reordering", &[Explains::by(Meet::Flows, &["spurious_retransmission"])]),
    (
        "port_reuse",
        &[
            Explains::by(Meet::Flows, &["missing_syn_ack", "retransmission", "rst_storm"]),
            Explains::by(Meet::Service, &["missing_syn_ack"]),
        ],
    ),
    (
        "slow_server",
        &[
            Explains::by(Meet::Flows, &["http_error"]),
            Explains::by(Meet::Service, &["http_error"]),
            Explains::by(Meet::Upstream, &["http_error"]),
        ],
    ),
    (
        "missing_syn_ack",
        &[Explains::by(Meet::Flows, &["retransmission"]), Explains::by(Meet::Upstream, &["http_error"])],
    ),
    // Of one source: what it gets is not what the service does to everybody.
    ("health_check", &[Explains::by(Meet::Flows, &["missing_syn_ack", "connection_refused"])]),
    (
        "tls_certificate",
        &[
            Explains::by(Meet::Flows, &["tls_alert", "tls_abort"]),
            Explains::by(Meet::Service, &["tls_alert", "tls_abort"]),
        ],
    ),
    ("tls_stall", &[Explains::by(Meet::Flows, &["tls_abort"])]),
    (
        "dns_conflict",
        &[Explains::by(
            Meet::Names,
            &["tls_certificate", "tls_alert", "tls_abort", "missing_syn_ack", "connection_refused"],
        )],
    ),
    ("dns_unexpected_resolver", &[Explains::by(Meet::Names, &["tls_certificate", "tls_alert"])]),
    ("dns_error", &[Explains::by(Meet::Upstream, &["dns_servfail"])]),
    ("dns_truncation", &[Explains::by(Meet::Service, &["missing_syn_ack", "connection_refused"])]),
];

/// What findings of this rule and variant explain.
pub(super) fn explained_by(cause: &Finding) -> impl Iterator<Item = &'static Explains> {
    let (detector, variant) = (cause.detector, cause.variant);
    let declared = EXPLAINS.iter().chain(AWAITED).filter(move |(name, _)| *name == detector);
    let edges = declared.flat_map(|(_, edges)| *edges);
    edges.filter(move |edge| edge.when.is_empty() || edge.when.contains(&variant))
}

/// Rules that a finding of `detector` can be a symptom of.
pub(super) fn is_symptom(detector: &str) -> bool {
    let edges = EXPLAINS.iter().chain(AWAITED).flat_map(|(_, edges)| *edges);
    edges.flat_map(|edge| edge.symptoms).any(|symptom| *symptom == detector)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::detect::RULES;

    /// Every rule, those to come included.
    const CATALOGUE: &[&str] = &[
        "capture_loss",
        "capture_duplicates",
        "capture_truncated",
        "capture_offload",
        "capture_disorder",
        "capture_midstream",
        "capture_damaged",
        "capture_gap",
        "mtu_blackhole",
        "pmtud",
        "asymmetric_flow",
        "path_outage",
        "routing_loop",
        "icmp_unreachable",
        "arp_unanswered",
        "duplicate_ip",
        "fragment_loss",
        "latency_shift",
        "echo_loss",
        "retransmission",
        "spurious_retransmission",
        "reordering",
        "missing_syn_ack",
        "connection_refused",
        "rst_storm",
        "rst_injection",
        "idle_timeout",
        "keepalive_race",
        "zero_window",
        "syn_flood",
        "port_scan",
        "half_close_leak",
        "port_reuse",
        "tls_alert",
        "tls_stall",
        "tls_certificate",
        "tls_abort",
        "dns_servfail",
        "dns_error",
        "dns_unanswered",
        "dns_slow",
        "dns_truncation",
        "dns_conflict",
        "dns_unexpected_resolver",
        "dns_search_list",
        "slow_server",
        "http_error",
        "health_check",
        "connection_churn",
    ];

    fn edges() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
        let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (cause, explains) in EXPLAINS.iter().chain(AWAITED) {
            let symptoms = explains.iter().flat_map(|edge| edge.symptoms).copied();
            edges.entry(cause).or_default().extend(symptoms);
        }
        edges
    }

    #[test]
    fn nothing_explains_itself_however_long_the_way() {
        let edges = edges();
        for start in edges.keys() {
            let (mut seen, mut next) = (BTreeSet::new(), vec![*start]);
            while let Some(rule) = next.pop() {
                for symptom in edges.get(rule).into_iter().flatten().copied() {
                    assert_ne!(symptom, *start, "{start} explains itself, by way of {rule}");
                    if seen.insert(symptom) {
                        next.push(symptom);
                    }
                }
            }
        }
    }

    #[test]
    fn the_relation_names_rules_of_the_catalogue() {
        let known = |name: &str| CATALOGUE.contains(&name) || RULES.iter().any(|rule| rule.name == name);
        for (cause, symptoms) in edges() {
            assert!(known(cause), "{cause} is no rule");
            assert!(symptoms.iter().all(|symptom| known(symptom)), "{cause} explains {symptoms:?}");
        }
    }

    #[test]
    fn variants_that_explain_something_exist() {
        for (cause, explains) in EXPLAINS.iter().chain(AWAITED) {
            let Some(rule) = RULES.iter().find(|rule| rule.name == *cause) else { continue };
            for variant in explains.iter().flat_map(|edge| edge.when) {
                assert!(rule.variant_names().any(|name| name == *variant), "{cause} has no {variant}");
            }
        }
    }
}
