//! Text to configuration, with errors that name the line and the nearest key.

use std::ops::Range;

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Config, SETTINGS};
use crate::detect::Rule;

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {message}")]
pub struct ConfigError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

type Entry<'t> = (&'t Spanned<toml::de::DeString<'t>>, &'t Spanned<DeValue<'t>>);

struct Reader<'t> {
    text: &'t str,
    rules: &'static [Rule],
}

/// Reads `text` against these rules.
pub(super) fn parse(text: &str, rules: &'static [Rule]) -> Result<Config, ConfigError> {
    let reader = Reader { text, rules };
    let table =
        DeTable::parse(text).map_err(|error| reader.error(error.span(), error.message().to_owned()))?;
    for (section, value) in table.get_ref() {
        let name: &str = section.get_ref();
        let table = match (name, value.get_ref()) {
            ("limits" | "flow" | "detect", DeValue::Table(table)) => table,
            ("limits" | "flow" | "detect", _) => return Err(reader.at(value, format!("{name} is a table"))),
            _ => return Err(reader.unknown(section, "section", ["limits", "flow", "detect"])),
        };
        for entry in table.iter() {
            if name == "detect" {
                reader.check_detector(entry)?
            } else {
                reader.check_setting(name, entry)?
            }
        }
    }
    toml::from_str(text).map_err(|error| reader.error(error.span(), error.message().to_owned()))
}

impl Reader<'_> {
    fn check_setting(&self, section: &str, (key, value): Entry<'_>) -> Result<(), ConfigError> {
        let name: &str = key.get_ref();
        let settings = || SETTINGS.iter().filter(|setting| setting.section == section);
        let Some(setting) = settings().find(|setting| setting.key == name) else {
            return Err(self.unknown(
                key,
                &format!("setting in [{section}]"),
                settings().map(|setting| setting.key),
            ));
        };
        let (low, high) = setting.range;
        let number = match value.get_ref() {
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        match number {
            Some(number) if (i128::from(low)..=i128::from(high)).contains(&number) => Ok(()),
            _ => Err(self.at(value, format!("{section}.{name} is a whole number from {low} to {high}"))),
        }
    }

    fn check_detector(&self, (key, value): Entry<'_>) -> Result<(), ConfigError> {
        let name: &str = key.get_ref();
        let Some(rule) = self.rules.iter().find(|rule| rule.name == name) else {
            return Err(self.unknown(key, "detector", self.rules.iter().map(|rule| rule.name)));
        };
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.at(value, format!("detect.{name} is a table of thresholds")));
        };
        for (key, value) in table.iter() {
            let threshold: &str = key.get_ref();
            let mut known = rule.thresholds.iter().map(|threshold| threshold.key);
            if !known.any(|known| known == threshold) {
                let known = rule.thresholds.iter().map(|threshold| threshold.key);
                return Err(self.unknown(key, &format!("threshold of {name}"), known));
            }
            let number = match value.get_ref() {
                DeValue::Integer(number) => {
                    i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64)
                }
                DeValue::Float(number) => number.as_str().parse().ok(),
                _ => None,
            };
            if !number.is_some_and(|number: f64| number.is_finite() && number >= 0.0) {
                return Err(self.at(value, format!("detect.{name}.{threshold} is a number, 0 or more")));
            }
        }
        Ok(())
    }

    fn unknown<'c>(
        &self,
        key: &Spanned<toml::de::DeString<'_>>,
        kind: &str,
        candidates: impl IntoIterator<Item = &'c str> + Clone,
    ) -> ConfigError {
        let name: &str = key.get_ref();
        let hint = match nearest(name, candidates.clone()) {
            Some(near) => format!("; did you mean {near}?"),
            None => format!("; there are {}", candidates.into_iter().collect::<Vec<_>>().join(", ")),
        };
        self.error(Some(key.span()), format!("no {kind} {name:?}{hint}"))
    }

    fn at<T>(&self, place: &Spanned<T>, message: String) -> ConfigError {
        let span = place.span();
        let found = self.text.get(span.clone()).unwrap_or_default().lines().next().unwrap_or_default();
        self.error(Some(span), format!("{message}, not {found}"))
    }

    fn error(&self, span: Option<Range<usize>>, message: String) -> ConfigError {
        let start = span.map_or(0, |span| span.start).min(self.text.len());
        let line = self.text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count() + 1;
        ConfigError { line, message }
    }
}

/// The candidate most like `name`, when one is like it at all.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let near = candidates.into_iter().map(|candidate| (strsim::jaro_winkler(name, candidate), candidate));
    near.filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::detect::{Group, Threshold};

    const NOISY: Rule = Rule {
        name: "noisy_rule",
        group: Group::Path,
        summary: "packets above a size never arrive",
        judges: "flows",
        variants: &[],
        thresholds: &[Threshold {
            key: "min_tries",
            default: 3.0,
            unit: "tries",
            meaning: "how often a packet is sent before its size is suspected",
            source: "RFC 8899 section 5.1.2",
        }],
        source: "",
    };
    pub(in crate::config) static RULES: [Rule; 2] = [NOISY, Rule { name: "quiet_rule", ..NOISY }];

    fn error(text: &str) -> String {
        parse(text, &RULES).expect_err(text).to_string()
    }

    #[test]
    fn values_are_read_over_the_defaults() {
        let config =
            parse("[limits]\npartitions = 4\n[detect.noisy_rule]\nmin_tries = 5\n", &RULES).expect("valid");
        assert_eq!(config.limits.partitions, 4);
        assert_eq!(config.flow, Config::default().flow);
        assert_eq!(config.thresholds_of(&RULES)["noisy_rule"]["min_tries"], 5.0);
        assert_eq!(config.thresholds_of(&RULES)["quiet_rule"]["min_tries"], 3.0);
        assert_eq!(parse("", &RULES).expect("valid"), Config::default());
    }

    #[test]
    fn unknown_names_are_errors_that_name_the_nearest_and_the_line() {
        assert_eq!(
            error("[limits]\n\npartition = 4"),
            "line 3: no setting in [limits] \"partition\"; did you mean partitions?"
        );
        assert_eq!(error("[limit]\n"), "line 1: no section \"limit\"; did you mean limits?");
        assert_eq!(
            error("[detect.nosy_rule]\n"),
            "line 1: no detector \"nosy_rule\"; did you mean noisy_rule?"
        );
        assert_eq!(
            error("[detect.noisy_rule]\nmin_try = 1\n"),
            "line 2: no threshold of noisy_rule \"min_try\"; did you mean min_tries?"
        );
        assert_eq!(error("[zzz]\n"), "line 1: no section \"zzz\"; there are limits, flow, detect");
    }

    #[test]
    fn values_out_of_range_are_errors() {
        assert_eq!(
            error("[limits]\npartitions = 0"),
            "line 2: limits.partitions is a whole number from 1 to 4096, not 0"
        );
        assert_eq!(error("limits = 3"), "line 1: limits is a table, not 3");
        assert!(error("[flow]\ntcp_idle = 1.5").contains("not 1.5"));
        assert!(error("[detect.noisy_rule]\nmin_tries = -1").contains("0 or more, not -1"));
        assert!(error("[detect.noisy_rule]\nmin_tries = nan").contains("not nan"));
        assert!(error("[limits\n").starts_with("line 1: "));
    }
}
