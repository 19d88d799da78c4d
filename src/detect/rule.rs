//! What a detector is: its rule sheet, its thresholds, its hooks.

use std::collections::BTreeMap;

use crate::app::dns::Transaction;
use crate::detect::{Context, Verdict};
use crate::dissect::PacketRecord;
use crate::flow::{Flow, FlowHead};

/// One number a detector compares with, and whose number it is.
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    /// Key in `pcapsy.toml` under `[detect.<name>]`.
    pub key: &'static str,
    /// Default.
    pub default: f64,
    /// Unit: `s`, `connections`, `share`, `bytes`.
    pub unit: &'static str,
    /// What it decides.
    pub meaning: &'static str,
    /// RFC and section, or the tool whose rule it is, or why this number.
    pub source: &'static str,
}

/// The rule sheet of a detector, as `explain` prints it.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// snake_case name: the same in file, module, TOML, CLI, JSON.
    pub name: &'static str,
    /// `capture`, `path`, `tcp`, `tls`, `dns`, `application`.
    pub group: &'static str,
    /// One line, lowercase, no full stop.
    pub summary: &'static str,
    /// Its variants.
    pub variants: &'static [&'static str],
    /// Its thresholds.
    pub thresholds: &'static [Threshold],
    /// Source text of its file, whose `//!` lines are the full documentation.
    pub source: &'static str,
}

impl Rule {
    /// The documentation: the `//!` lines of the detector's file.
    pub fn documentation(&self) -> String {
        self.source
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n")
    }
}

/// The thresholds in force for one detector: its defaults with the configuration's values over them.
#[derive(Clone, Debug, Default)]
pub struct Settings(BTreeMap<&'static str, f64>);

impl Settings {
    /// The defaults of `rule` with `configured` over them.
    pub fn new(rule: &Rule, configured: Option<&BTreeMap<String, f64>>) -> Self {
        let value = |threshold: &Threshold| {
            configured.and_then(|values| values.get(threshold.key)).copied().unwrap_or(threshold.default)
        };
        Self(rule.thresholds.iter().map(|threshold| (threshold.key, value(threshold))).collect())
    }

    /// The value of `key`, which must be one of the rule's thresholds.
    ///
    /// # Panics
    /// When the detector asks for a threshold that its rule does not declare; a test builds every detector.
    pub fn value(&self, key: &str) -> f64 {
        self.0.get(key).copied().unwrap_or_else(|| panic!("threshold {key} is not declared"))
    }

    /// The value of `key` as a whole number.
    pub fn count(&self, key: &str) -> u64 {
        self.value(key) as u64
    }

    /// The value of `key`, which is in seconds, as a span.
    pub fn span(&self, key: &str) -> crate::time::Span {
        crate::time::Span::from_secs_f64(self.value(key))
    }
}

/// A detector: counts while packets, messages and flows go by, judges when everything was counted.
///
/// One value lives in every partition; they are merged, in any order, before [`Detector::finish`]. So hooks only
/// count, keep the lowest-ordered examples, and never keep "the last" or "the first ten to arrive".
pub trait Detector: Sized + Send {
    /// The rule sheet.
    const RULE: Rule;

    /// An empty detector with these thresholds.
    fn new(settings: &Settings) -> Self;

    /// A packet went by. Duplicate observations come too.
    fn packet(&mut self, _packet: &PacketRecord) {}

    /// A DNS transaction of `flow` was finished.
    fn transaction(&mut self, _transaction: &Transaction, _flow: &FlowHead) {}

    /// A flow was closed.
    fn flow(&mut self, _flow: &Flow) {}

    /// Adds what another partition's detector counted. Commutative and associative.
    fn merge(&mut self, other: Self);

    /// Judges.
    fn finish(self, context: &Context<'_>) -> Verdict;
}
