//! Configuration to text: every default, with what it means.

use std::fmt::Write as _;

use super::{Config, SETTINGS};
use crate::detect::Rule;

pub(super) fn default_toml(rules: &[Rule]) -> String {
    let mut text = "# pcapsy.toml: every setting with its default.\n".to_owned();
    let mut section = "";
    let config = Config::default();
    for setting in SETTINGS {
        if setting.section != section {
            section = setting.section;
            let _ = write!(text, "\n[{section}]\n");
        }
        let (low, high) = setting.range;
        let _ = writeln!(text, "# {} ({low} to {high})", setting.doc);
        let _ = writeln!(text, "{} = {}", setting.key, (setting.value)(&config));
    }
    for rule in rules.iter().filter(|rule| !rule.thresholds.is_empty()) {
        let _ = write!(text, "\n# {}\n[detect.{}]\n", rule.summary, rule.name);
        for threshold in rule.thresholds {
            let _ = writeln!(text, "# {}, {}; {}", threshold.meaning, threshold.unit, threshold.source);
            let _ = writeln!(text, "{} = {}", threshold.key, threshold.default);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read::tests::RULES;

    #[test]
    fn the_sample_reads_back_as_the_defaults() {
        let text = default_toml(&RULES);
        let config = super::super::read::parse(&text, &RULES).expect("valid");
        assert_eq!(config.limits, Config::default().limits);
        assert_eq!(config.flow, Config::default().flow);
        assert_eq!(config.detect["noisy_rule"]["min_tries"], 3.0);
        assert!(text.contains("# how often a packet is sent before its size is suspected, tries; RFC 8899"));
    }
}
