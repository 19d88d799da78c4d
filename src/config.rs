//! `pcapsy.toml`: limits, flow time-outs, detector thresholds. Everything has a default.
//!
//! ```toml
//! [limits]
//! events_per_flow = 1000
//! [detect.tls_stall]
//! seconds = 5
//! ```
//!
//! A key that does not exist is an error that names the nearest one: a threshold that silently does nothing
//! is worse than none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::capture::CaptureLimits;
use crate::detect::{Detectors, RULES, Rule};
use crate::flow::FlowLimits;
use crate::time::Span;

mod read;
mod sample;
mod shares;

pub use read::{ConfigError, nearest};

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

impl Config {
    /// How captures are read.
    pub fn capture_limits(&self) -> CaptureLimits {
        CaptureLimits {
            chunk_bytes: self.limits.chunk_bytes(),
            max_record: self.limits.record_mib.saturating_mul(1 << 20),
            ..CaptureLimits::default()
        }
    }

    /// When flows end, and what one flow may hold.
    pub fn flow_limits(&self) -> FlowLimits {
        let secs = |seconds: u32| Span::secs(i64::from(seconds));
        FlowLimits {
            tcp_idle: secs(self.flow.tcp_idle),
            tcp_attempt: secs(self.flow.tcp_attempt),
            tcp_closed: secs(self.flow.tcp_closed),
            udp_idle: secs(self.flow.udp_idle),
            events: self.limits.events_per_flow,
            reassembly: self.limits.reassembly_kib as usize * 1024,
        }
    }

    /// Reads `text`, the contents of a `pcapsy.toml`.
    ///
    /// # Errors
    /// When it is not TOML, names something that does not exist, or a value is out of range; with the line.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        read::parse(text, RULES)
    }

    /// The configuration with every default, as a commented `pcapsy.toml`.
    pub fn default_toml() -> String {
        sample::default_toml(RULES)
    }

    /// The thresholds in force, of every detector: configured ones over the defaults.
    pub fn thresholds(&self) -> BTreeMap<&'static str, BTreeMap<&'static str, f64>> {
        self.thresholds_of(RULES)
    }

    /// The detectors with the thresholds in force, and tables as large as the memory allows.
    pub fn detectors(&self) -> Detectors {
        Detectors::new(&self.detect).narrowed(self.limits.table_halvings())
    }

    fn thresholds_of(&self, rules: &'static [Rule]) -> BTreeMap<&'static str, BTreeMap<&'static str, f64>> {
        let values = |rule: &'static Rule| {
            let configured = self.detect.get(rule.name);
            let values = rule.thresholds.iter();
            values.map(|threshold| (threshold.key, threshold.value(configured))).collect()
        };
        rules.iter().map(|rule| (rule.name, values(rule))).collect()
    }

    /// BLAKE3 over the canonical JSON of what can change a result: caps, time-outs, thresholds in force.
    ///
    /// How the work is cut (chunks, rounds, partitions) is left out, because it cannot.
    pub fn hash(&self) -> String {
        #[derive(Serialize)]
        struct Effective<'c> {
            limits: BTreeMap<&'static str, u32>,
            flow: &'c FlowConfig,
            detect: BTreeMap<&'static str, BTreeMap<&'static str, f64>>,
        }
        let settings =
            SETTINGS.iter().filter(|setting| setting.section == "limits" && setting.changes_results);
        let effective = Effective {
            limits: settings.map(|setting| (setting.key, (setting.value)(self))).collect(),
            flow: &self.flow,
            detect: self.thresholds(),
        };
        let json = serde_json::to_vec(&effective).unwrap_or_default();
        blake3::hash(&json).to_hex().to_string()
    }
}

/// Caps on memory and work. None of them changes a result unless the report says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory of the whole run, MiB; pages of mapped captures do not count. Open flows may take what stream
    /// numbers, packets and rows under way, the program itself and a quarter for the tables of the detectors
    /// leave. Above that, those that were silent longest are closed, open connections last. In little memory
    /// the tables keep fewer keys and threads share them. Below 64 the program may need more than that.
    pub memory_mib: u32,
    /// Bytes of capture per unit of parallel work, KiB; less in little memory.
    pub chunk_kib: u32,
    /// Chunks per round; 0 chooses by threads and packets.
    pub round_chunks: u32,
    /// Partitions that the flows are hashed into; fewer in little memory.
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
            memory_mib: 1024,
            chunk_kib: 512,
            round_chunks: 0,
            partitions: 16,
            events_per_flow: 65_536,
            reassembly_kib: 1024,
            fragments_mib: 32,
            record_mib: 64,
            streams: 6_000_000,
        }
    }
}

/// Idle time-outs, in seconds of packet time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlowConfig {
    /// Established TCP. Load balancers and NAT gateways forget a connection after 240 to 600 s. This is
    /// longer, so the packet that finds the state gone still belongs to its flow.
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

/// A setting of `[limits]` or `[flow]`: where it stands, what it may be, what it means.
pub struct Setting {
    /// `limits` or `flow`.
    pub section: &'static str,
    /// Its key.
    pub key: &'static str,
    /// Lowest and highest value.
    pub range: (u32, u32),
    /// What it means, with the unit.
    pub doc: &'static str,
    /// It can change a result (when the cap acts, or the time-out ends a flow).
    pub changes_results: bool,
    /// Its value in a configuration.
    pub value: fn(&Config) -> u32,
}

macro_rules! settings {
    ($($section:ident . $key:ident in $low:literal, $high:literal $changes:literal $doc:literal;)*) => {
        /// Every setting of `[limits]` and `[flow]`.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            section: stringify!($section),
            key: stringify!($key),
            range: ($low, $high),
            doc: $doc,
            changes_results: $changes,
            value: |config| config.$section.$key,
        },)*];
    };
}

settings! {
    limits.memory_mib in 1, 1048576 true "memory, MiB, held within a half from 64 on by closing idle flows";
    limits.chunk_kib in 16, 1048576 false "bytes of capture per unit of parallel work, KiB";
    limits.round_chunks in 0, 65536 false "chunks per round; 0 chooses by threads and packets";
    limits.partitions in 1, 4096 false "partitions that the flows are hashed into";
    limits.events_per_flow in 1, 4294967295 true "classified segments kept per flow";
    limits.reassembly_kib in 1, 1048576 true "out-of-order payload held per direction of a flow, KiB";
    limits.fragments_mib in 1, 65536 true "payload of incomplete IP datagrams held at a time, MiB";
    limits.record_mib in 1, 2047 true "largest packet record believed, MiB";
    limits.streams in 0, 4294967295 true "TCP streams numbered as Wireshark does";
    flow.tcp_idle in 1, 604800 true "idle established TCP ends, s; NAT gateways: 240 to 600 s";
    flow.tcp_attempt in 1, 604800 true "idle TCP without a handshake ends, s; Linux: 64 s between SYNs";
    flow.tcp_closed in 1, 604800 true "idle closed or reset TCP ends, s";
    flow.udp_idle in 1, 604800 true "idle UDP, ICMP and others end, s; Zeek's udp_inactivity_timeout";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_settings_is_complete_and_allows_the_defaults() {
        let json = serde_json::to_value(Config::default()).expect("json");
        for section in ["limits", "flow"] {
            let keys: Vec<&String> = json[section].as_object().expect("section").keys().collect();
            let listed: Vec<&str> = SETTINGS
                .iter()
                .filter(|setting| setting.section == section)
                .map(|setting| setting.key)
                .collect();
            assert_eq!(keys.len(), listed.len());
            assert!(keys.iter().all(|key| listed.contains(&key.as_str())), "{keys:?}");
        }
        for setting in SETTINGS {
            let (low, high) = setting.range;
            let value = (setting.value)(&Config::default());
            assert_eq!(json[setting.section][setting.key], value);
            assert!((low..=high).contains(&value), "{}", setting.key);
        }
    }

    #[test]
    fn the_hash_follows_what_can_change_results_and_nothing_else() {
        let mut config = Config::default();
        config.limits.partitions = 3;
        config.limits.chunk_kib = 64;
        assert_eq!(config.hash(), Config::default().hash());
        config.flow.udp_idle = 61;
        assert_ne!(config.hash(), Config::default().hash());
    }
}
