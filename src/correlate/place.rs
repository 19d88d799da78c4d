//! Where an incident is to be looked for, and in which layer.

use serde::Serialize;

use crate::detect::{Finding, Group, RULES, Subject};
use crate::dissect::Direction;

/// Where to look, as far as the frames tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Where {
    /// Between the hosts.
    Network,
    /// At the server.
    Server,
    /// At the client.
    Client,
    /// At a resolver, or behind it.
    Resolver,
    /// At a device on the path that holds state or filters.
    Middlebox,
    /// At the recording.
    Capture,
    /// These frames do not tell.
    NotTold,
}

impl Where {
    /// As the text says it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Network => "the network between them",
            Self::Server => "the server",
            Self::Client => "the client",
            Self::Resolver => "the resolver, or what is behind it",
            Self::Middlebox => "a device on the path",
            Self::Capture => "the recording",
            Self::NotTold => "not told by these frames",
        }
    }

    /// What the frames of a finding tell.
    pub(super) fn of(finding: &Finding) -> Self {
        let Subject { client, server, .. } = &finding.subject;
        let one_host = client.is_some() && client == server;
        match (named(PLACES, finding), finding.subject.direction) {
            // No network is between a host and itself.
            (Some(Self::Network), _) if one_host => Self::NotTold,
            (Some(place), _) => place,
            // A sender filled the window of the side that it sends to.
            (None, Some(Direction::ToClient)) => Self::Client,
            (None, Some(Direction::ToServer)) => Self::Server,
            (None, None) => Self::NotTold,
        }
    }
}

/// Something for findings of a rule: of these variants, or of all where none is named.
pub(super) type Named<T> = (&'static str, &'static [&'static str], T);

/// What the first entry that names the rule and variant of `finding` says.
pub(super) fn named<T: Copy>(table: &[Named<T>], finding: &Finding) -> Option<T> {
    let names = |(rule, variants, _): &&Named<T>| {
        *rule == finding.detector && (variants.is_empty() || variants.contains(&finding.variant))
    };
    table.iter().find(names).map(|(.., entry)| *entry)
}

/// Where to look for what a rule found. Findings of no entry say it by their direction.
const PLACES: &[Named<Where>] = {
    use Where::*;
    &[
        ("capture_loss", &[], Capture),
        ("capture_duplicates", &[], Capture),
        ("capture_truncated", &[], Capture),
        ("capture_offload", &[], Capture),
        ("capture_disorder", &[], Capture),
        ("capture_midstream", &[], Capture),
        ("capture_damaged", &[], Capture),
        ("capture_gap", &[], Capture),
        ("mtu_blackhole", &[], Network),
        ("asymmetric_flow", &["visibility"], Capture),
        ("asymmetric_flow", &["state", "path"], Middlebox),
        ("asymmetric_flow", &["loss"], Network),
        ("path_outage", &[], Network),
        ("icmp_unreachable", &["admin_prohibited"], Middlebox),
        ("icmp_unreachable", &["port", "protocol"], Server),
        ("icmp_unreachable", &[], Network),
        ("routing_loop", &[], Network),
        ("pmtud", &[], Network),
        ("echo_loss", &["no_answer"], NotTold),
        ("echo_loss", &[], Network),
        ("arp_unanswered", &[], Network),
        ("duplicate_ip", &[], Network),
        ("fragment_loss", &[], Network),
        ("latency_shift", &[], Network),
        ("retransmission", &[], Network),
        ("spurious_retransmission", &[], Network),
        ("reordering", &[], Network),
        // A SYN without an answer, or with a late one: dropped on the way, or by the server.
        ("missing_syn_ack", &["silent", "late"], NotTold),
        ("missing_syn_ack", &["lost_return", "ack_lost", "cut_off"], Network),
        ("connection_refused", &["filtered"], Middlebox),
        ("connection_refused", &[], Server),
        ("rst_storm", &["refused", "no_socket"], Server),
        ("rst_storm", &["abort", "mixed"], NotTold),
        ("zero_window", &["server"], Server),
        ("zero_window", &["client"], Client),
        ("idle_timeout", &[], Middlebox),
        ("keepalive_race", &[], Server),
        ("half_close_leak", &["server"], Server),
        ("half_close_leak", &["client"], Client),
        ("port_reuse", &[], Client),
        ("syn_flood", &["reflected"], NotTold),
        ("syn_flood", &[], Client),
        ("port_scan", &[], Client),
        ("rst_injection", &[], Middlebox),
        // One side rejects what the other sent: either may be wrong.
        ("tls_alert", &[], NotTold),
        ("tls_certificate", &[], Server),
        ("tls_stall", &["server_hello", "server_finished"], Server),
        ("tls_stall", &["client_hello", "server_flight"], Network),
        ("tls_stall", &["client_flight"], Client),
        ("quic", &["fall_back"], Middlebox),
        ("quic", &["unanswered", "version"], NotTold),
        ("quic", &[], Server),
        ("tls_abort", &["plain_text"], Client),
        ("tls_abort", &["not_tls", "starttls_refused"], Server),
        ("tls_abort", &["reset_after_hello", "no_alert"], NotTold),
        ("dns_servfail", &[], Resolver),
        ("dns_unanswered", &["silent"], NotTold),
        ("dns_unanswered", &["partial"], Resolver),
        ("dns_error", &[], Resolver),
        ("dns_slow", &[], Resolver),
        ("dns_truncation", &["blocked"], NotTold),
        ("dns_truncation", &["works"], Resolver),
        ("dns_truncation", &["not_tried"], Client),
        ("dns_conflict", &[], Resolver),
        ("dns_unexpected_resolver", &[], Client),
        ("dns_search_list", &[], Client),
        ("slow_server", &[], Server),
        ("http_error", &["reset_on_path"], Middlebox),
        ("http_error", &[], Server),
        ("health_check", &["silent"], Network),
        ("health_check", &["refused", "failing"], Server),
        ("health_check", &["stopped"], Client),
        ("connection_churn", &[], Client),
    ]
};

/// Rules about link addresses.
const LINK: &[&str] = &["arp_unanswered", "duplicate_ip"];

/// A layer of the stack, the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The recording itself.
    Capture,
    /// Link addresses, ARP.
    Link,
    /// IP: paths, sizes, ICMP.
    Network,
    /// TCP.
    Transport,
    /// TLS.
    Tls,
    /// DNS.
    Dns,
    /// What the applications do.
    Application,
}

impl Layer {
    /// The layers of the stack, bottom up.
    pub const STACK: [Self; 6] =
        [Self::Link, Self::Network, Self::Transport, Self::Tls, Self::Dns, Self::Application];

    /// As the text says it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Link => "link",
            Self::Network => "network",
            Self::Transport => "transport",
            Self::Tls => "TLS",
            Self::Dns => "DNS",
            Self::Application => "application",
        }
    }

    /// The layer that a rule is about.
    pub(super) fn of(detector: &str) -> Self {
        match group(detector) {
            _ if LINK.contains(&detector) => Self::Link,
            Some(Group::Capture) => Self::Capture,
            Some(Group::Path) => Self::Network,
            Some(Group::Tls) => Self::Tls,
            Some(Group::Dns) => Self::Dns,
            Some(Group::Application) => Self::Application,
            Some(Group::Tcp) | None => Self::Transport,
        }
    }
}

fn group(detector: &str) -> Option<Group> {
    RULES.iter().find(|rule| rule.name == detector).map(|rule| rule.group)
}

/// Names in a table that no rule or variant of the catalogue has.
#[cfg(test)]
pub(super) fn unknown<T>(table: &[Named<T>]) -> Vec<String> {
    let is_known = |(rule, variants, _): &&Named<T>| {
        RULES.iter().find(|known| known.name == *rule).is_some_and(|known| {
            variants.iter().all(|variant| known.variants.iter().any(|sheet| sheet.name == *variant))
        })
    };
    table
        .iter()
        .filter(|entry| !is_known(entry))
        .map(|(rule, variants, _)| format!("{rule} {variants:?}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_says_where_to_look() {
        assert_eq!(unknown(PLACES), [""; 0]);
        for rule in RULES {
            for sheet in rule.variants.iter().filter(|sheet| sheet.name != "window_full") {
                let said = PLACES.iter().any(|(name, variants, _)| {
                    *name == rule.name && (variants.is_empty() || variants.contains(&sheet.name))
                });
                assert!(said, "{} {}", rule.name, sheet.name);
            }
        }
    }

    #[test]
    fn layers_name_rules() {
        assert!(LINK.iter().all(|name| RULES.iter().any(|rule| rule.name == *name)));
    }
}
