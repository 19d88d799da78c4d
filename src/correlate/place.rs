//! Where an incident is to be looked for, and in which layer.

use serde::Serialize;

use crate::detect::{Finding, Group, RULES};
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
        let data_to_client = finding.subject.direction == Some(Direction::ToClient);
        match (finding.detector, finding.variant) {
            ("asymmetric_flow", "visibility") => Self::Capture,
            ("asymmetric_flow", "state" | "path") => Self::Middlebox,
            ("icmp_unreachable", variant) if variant.contains("prohibited") => Self::Middlebox,
            ("icmp_unreachable", variant) if variant.contains("port") => Self::Server,
            ("rst_injection" | "idle_timeout", _) => Self::Middlebox,
            ("missing_syn_ack", "late") | ("connection_refused" | "slow_server" | "http_error", _) => {
                Self::Server
            }
            ("missing_syn_ack", "lost_return") => Self::Network,
            ("rst_storm", "refused" | "no_socket") => Self::Server,
            ("zero_window", _) => {
                if data_to_client {
                    Self::Client
                } else {
                    Self::Server
                }
            }
            ("keepalive_race" | "half_close_leak" | "tls_certificate", _) => Self::Server,
            ("port_reuse" | "port_scan" | "syn_flood" | "connection_churn", _) => Self::Client,
            ("retransmission" | "spurious_retransmission" | "reordering" | "asymmetric_flow", _) => {
                Self::Network
            }
            ("arp_unanswered" | "duplicate_ip", _) => Self::Network,
            (name, _) => match group(name) {
                Some(Group::Capture) => Self::Capture,
                Some(Group::Path) => Self::Network,
                Some(Group::Dns) => Self::Resolver,
                _ => Self::NotTold,
            },
        }
    }
}

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
        match (detector, group(detector)) {
            ("arp_unanswered" | "duplicate_ip", _) => Self::Link,
            (_, Some(Group::Capture)) => Self::Capture,
            (_, Some(Group::Path)) => Self::Network,
            (_, Some(Group::Tls)) => Self::Tls,
            (_, Some(Group::Dns)) => Self::Dns,
            (_, Some(Group::Application)) => Self::Application,
            (_, Some(Group::Tcp) | None) => Self::Transport,
        }
    }
}

fn group(detector: &str) -> Option<Group> {
    RULES.iter().find(|rule| rule.name == detector).map(|rule| rule.group)
}
