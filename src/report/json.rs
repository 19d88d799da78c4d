//! The report as JSON, by the schema in `reports/report.schema.json`.

use std::io::{self, Write};

use crate::report::escape;
use crate::report::model::Report;

/// The JSON Schema of the report (draft 2020-12).
pub const SCHEMA: &str = include_str!("../../reports/report.schema.json");

/// Writes the report as indented JSON with a final newline. The same report gives the same bytes.
///
/// # Errors
/// When `out` fails.
pub fn write(report: &Report, mut out: impl Write) -> io::Result<()> {
    escape::write_json(&mut out, report, true)?;
    out.write_all(b"\n")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::Config;
    use crate::report::tests::outcome;

    fn instance() -> Value {
        let mut bytes = Vec::new();
        write(&Report::new(&outcome(), &Config::default()), &mut bytes).expect("memory");
        assert!(!bytes.contains(&0x1b), "an escape sequence from a packet got through");
        serde_json::from_slice(&bytes).expect("json")
    }

    fn problems(instance: &Value) -> Vec<String> {
        let schema = serde_json::from_str(SCHEMA).expect("schema is json");
        let validator = jsonschema::validator_for(&schema).expect("schema is a schema");
        validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect()
    }

    #[test]
    fn a_report_is_valid_by_the_schema() {
        assert_eq!(problems(&instance()), [""; 0]);
    }

    #[test]
    fn the_schema_says_no() {
        let mut surplus = instance();
        surplus["findings"][0]["cause"] = json!("firewall");
        assert_eq!(problems(&surplus).len(), 1);
        let mut missing = instance();
        missing.as_object_mut().expect("object").remove("not_assessed");
        assert_eq!(problems(&missing).len(), 1);
        let mut severity = instance();
        severity["findings"][0]["severity"] = json!("fatal");
        assert_eq!(problems(&severity).len(), 1);
    }
}
