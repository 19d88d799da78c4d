//! `pcapsy detectors`: the catalogue of detectors.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::cli::outcome::{Exit, Failure};
use crate::cli::stdout::stdout;
use crate::detect::{Group, RULES, Rule, Severity, Threshold, VariantSheet};
use crate::report::escape;

/// Arguments of `detectors`.
#[derive(Debug, Args)]
pub(super) struct Detectors {
    /// Print the whole catalogue as JSON
    #[arg(long)]
    json: bool,
}

impl Detectors {
    /// Prints the catalogue.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        list(RULES, self.json, &mut stdout()?.lock())?;
        Ok(Exit::Clean)
    }
}

/// A rule sheet as the JSON catalogue has it.
#[derive(Debug, Serialize)]
pub(super) struct Sheet {
    name: &'static str,
    group: Group,
    summary: &'static str,
    variants: Vec<VariantEntry>,
    thresholds: Vec<ThresholdSheet>,
    documentation: String,
}

#[derive(Debug, Serialize)]
struct VariantEntry {
    name: &'static str,
    severity: Severity,
    could_be: &'static [&'static str],
    next: &'static [&'static str],
    not_claimed: &'static [&'static str],
}

impl VariantEntry {
    fn of(sheet: &VariantSheet) -> Self {
        let VariantSheet { name, severity, could_be, next, not_claimed, .. } = *sheet;
        Self { name, severity, could_be, next, not_claimed }
    }
}

#[derive(Debug, Serialize)]
struct ThresholdSheet {
    key: &'static str,
    default: f64,
    unit: &'static str,
    meaning: &'static str,
    source: &'static str,
}

impl Sheet {
    /// Of a rule.
    pub(super) fn of(rule: &Rule) -> Self {
        let threshold = |threshold: &Threshold| ThresholdSheet {
            key: threshold.key,
            default: threshold.default,
            unit: threshold.unit,
            meaning: threshold.meaning,
            source: threshold.source,
        };
        Self {
            name: rule.name,
            group: rule.group,
            summary: rule.summary,
            variants: rule.variants.iter().map(VariantEntry::of).collect(),
            thresholds: rule.thresholds.iter().map(threshold).collect(),
            documentation: rule.documentation(),
        }
    }
}

/// Writes the rules by group, one line each, or all there is to know as JSON.
pub(super) fn list(rules: &[Rule], json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        escape::write_json(&mut *out, &rules.iter().map(Sheet::of).collect::<Vec<_>>(), true)?;
        return writeln!(out);
    }
    let width = rules.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
    let mut groups: Vec<Group> = Vec::new();
    for rule in rules {
        if !groups.contains(&rule.group) {
            groups.push(rule.group);
        }
    }
    for group in groups {
        writeln!(out, "{}", group.name())?;
        for rule in rules.iter().filter(|rule| rule.group == group) {
            writeln!(out, "  {:width$}  {}", rule.name, rule.summary)?;
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::RULES;

    #[test]
    fn the_list_goes_by_group() {
        let mut bytes = Vec::new();
        list(&RULES, false, &mut bytes).expect("memory");
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.starts_with("path\n  noisy_rule  packets above a size never arrive\n"), "{text}");
    }

    #[test]
    fn the_catalogue_has_thresholds_and_documentation() {
        let mut bytes = Vec::new();
        list(&RULES, true, &mut bytes).expect("memory");
        let value: serde_json::Value = serde_json::from_slice(&bytes).expect("json");
        assert_eq!(value[1]["thresholds"][0]["default"], 3.0);
        assert_eq!(
            value[1]["documentation"],
            "Packets above a size never arrive.\n\n## What it does\nIt looks.\n"
        );
    }
}
