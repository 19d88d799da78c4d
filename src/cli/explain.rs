//! `pcapsy explain`: what a detector looks for, its thresholds and their sources; the columns of a table.

use std::io::{self, Write};

use clap::Args;

use crate::cli::catalogue::{Sheet, list};
use crate::cli::outcome::{Exit, Failure};
use crate::cli::stdout::stdout;
use crate::config::{Config, nearest};
use crate::detect::{RULES, Rule, scale};
use crate::report::escape;
use crate::report::table::{TableDoc, word};

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A detector, a table, or the word tables for all tables [default: list the detectors]
    #[arg(value_name = "NAME", conflicts_with = "config")]
    name: Option<String>,
    /// Print a pcapsy.toml with every setting, its default and its meaning
    #[arg(long, conflicts_with = "json")]
    config: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// Prints what was asked for.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut out = stdout()?.lock();
        match self.name.as_deref() {
            _ if self.config => write!(out, "{}", Config::default_toml())?,
            None => list(RULES, self.json, &mut out)?,
            Some(name) => match find(name, RULES)? {
                Topic::Rule(rule) if self.json => json(&Sheet::of(rule), &mut out)?,
                Topic::Rule(rule) => write!(out, "{}", page(rule))?,
                Topic::Tables(tables) if self.json => json(&tables, &mut out)?,
                Topic::Tables(tables) => {
                    for (number, table) in tables.iter().enumerate() {
                        let gap = if number == 0 { "" } else { "\n" };
                        write!(out, "{gap}{}", table.markdown())?;
                    }
                }
            },
        }
        out.flush()?;
        Ok(Exit::Clean)
    }
}

/// What a name stands for.
pub(super) enum Topic<'r> {
    Rule(&'r Rule),
    Tables(Vec<TableDoc>),
}

/// What is called so.
pub(super) fn find<'r>(name: &str, rules: &'r [Rule]) -> Result<Topic<'r>, Failure> {
    if let Some(rule) = rules.iter().find(|rule| rule.name == name) {
        return Ok(Topic::Rule(rule));
    }
    let tables = TableDoc::known();
    if name == "tables" {
        return Ok(Topic::Tables(tables));
    }
    if let Some(table) = tables.iter().find(|table| table.name == name) {
        return Ok(Topic::Tables(vec![table.clone()]));
    }
    let known =
        rules.iter().map(|rule| rule.name).chain(tables.iter().map(|table| table.name)).chain(["tables"]);
    let hint = match nearest(name, known) {
        Some(near) => format!("did you mean {near}?"),
        None => "pcapsy detectors lists the detectors".to_owned(),
    };
    Err(Failure::Usage(format!("no detector or table {name:?}; {hint}")))
}

/// Everything there is to know of a detector.
pub(super) fn page(rule: &Rule) -> String {
    let mut text =
        format!("{} ({}): {}\n\n{}", rule.name, rule.group.name(), rule.summary, rule.documentation());
    let names: Vec<&str> = rule.variant_names().collect();
    if !names.is_empty() {
        text += &format!("\nvariants: {}\n", names.join(", "));
    }
    for variant in rule.variants.iter().filter(|variant| !variant.could_be.is_empty()) {
        let name = if variant.name.is_empty() { rule.name } else { variant.name };
        text += &format!("\n{name}, {} as a rule\n", word(&variant.severity));
        for (label, lines) in
            [("could be", variant.could_be), ("next", variant.next), ("not claimed", variant.not_claimed)]
        {
            for (number, line) in lines.iter().enumerate() {
                text += &format!("  {:12}{line}\n", if number == 0 { label } else { "" });
            }
        }
    }
    text += &format!("\n{}", scale::words());
    if let Some(own) = scale::own(rule) {
        text += &format!("{} goes by {own}.\n", rule.name);
    }
    if !rule.thresholds.is_empty() {
        text += &format!("\nthresholds, in pcapsy.toml under [detect.{}]:\n", rule.name);
        for threshold in rule.thresholds {
            text += &format!("  {} = {} ({})\n", threshold.key, threshold.default, threshold.unit);
            text += &format!("      {}; {}\n", threshold.meaning, threshold.source);
        }
    }
    text
}

fn json<T: serde::Serialize>(value: &T, out: &mut dyn Write) -> io::Result<()> {
    escape::write_json(&mut *out, value, true)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::RULES;

    #[test]
    fn a_page_has_documentation_variants_and_sourced_thresholds() {
        let Ok(Topic::Rule(rule)) = find("quiet_rule", &RULES) else { panic!("not found") };
        let page = page(rule);
        for text in [
            "quiet_rule (path): packets above a size never arrive\n",
            "## What it does\nIt looks.\n",
            "variants: silent, icmp_ignored\n",
            "  min_tries = 3 (tries)\n",
            "RFC 8899 section 5.1.2",
            "Severity is what it cost, on one scale for all rules:",
        ] {
            assert!(page.contains(text), "{text}\n--\n{page}");
        }
        assert!(!page.contains("fn code"));
    }

    #[test]
    fn unknown_names_suggest_the_nearest() {
        let message = |name| find(name, &RULES).err().expect(name).to_string();
        assert_eq!(message("quite_rule"), "no detector or table \"quite_rule\"; did you mean quiet_rule?");
        assert_eq!(message("flow"), "no detector or table \"flow\"; did you mean flows?");
        assert_eq!(message("xyzzy"), "no detector or table \"xyzzy\"; pcapsy detectors lists the detectors");
    }
}
