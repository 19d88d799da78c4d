//! `pcapsy.toml`: limits, flow time-outs, detector thresholds. Everything has a default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The whole configuration. Thresholds absent from `detect` have the default of their rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What the run may use.
    pub limits: Limits,
    /// When flows end.
    pub flow: FlowConfig,
    /// Detector name to threshold to value.
    pub detect: BTreeMap<String, BTreeMap<String, f64>>,
}

/// Caps on memory and work. None of them changes a result unless the report says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of capture per unit of parallel work, KiB.
    pub chunk_kib: u32,
    /// Chunks per round; 0 chooses by the number of threads.
    pub round_chunks: u32,
    /// Partitions that the flows are hashed into.
    pub partitions: u32,
    /// Classified segments kept per flow.
    pub events_per_flow: u32,
    /// Out-of-order payload held per direction of a flow, KiB.
    pub reassembly_kib: u32,
    /// Payload of incomplete IP datagrams held at a time, MiB.
    pub fragments_mib: u32,
    /// Largest packet record believed, MiB.
    pub record_mib: u32,
    /// Streams numbered as Wireshark does.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            chunk_kib: 2048,
            round_chunks: 0,
            partitions: 16,
            events_per_flow: 65_536,
            reassembly_kib: 1024,
            fragments_mib: 32,
            record_mib: 64,
            streams: 16_000_000,
        }
    }
}

/// Idle time-outs, in seconds of packet time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlowConfig {
    /// Established TCP. Longer than the idle time-outs of load balancers and NAT gateways (240 to 600 s), so that the
    /// packet that finds its state gone still belongs to its flow.
    pub tcp_idle: u32,
    /// TCP without a completed handshake. Longer than the longest gap of Linux's SYN ladder, 64 s.
    pub tcp_attempt: u32,
    /// TCP closed by both sides or reset.
    pub tcp_closed: u32,
    /// UDP, ICMP and others. Zeek's udp_inactivity_timeout.
    pub udp_idle: u32,
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self { tcp_idle: 3600, tcp_attempt: 130, tcp_closed: 60, udp_idle: 60 }
    }
}

/// The candidate most like `name`, when one is like it at all.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let near = candidates.into_iter().map(|candidate| (strsim::jaro_winkler(name, candidate), candidate));
    near.filter(|(likeness, _)| *likeness > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

impl Config {
    /// x
    pub fn hash(&self) -> String { String::new() }
}
