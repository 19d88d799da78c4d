//! What can be asked, and with which arguments. The schemas that a client sees are those of these types.

use std::sync::Arc;

use rmcp::handler::server::tool::schema_for_input;
use rmcp::model::{Tool, ToolAnnotations};
use rmcp::schemars::{self, JsonSchema};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Problem;

/// A capture: a file, or the files of one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(untagged)]
pub(super) enum Capture {
    /// A path as the tool captures lists it, or one below a folder.
    One(String),
    /// Files that are one capture, in time order, as a ring of dumpcap writes them.
    Several(Vec<String>),
}

impl Capture {
    /// The names, as given.
    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

/// Which captures there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(deny_unknown_fields, default)]
pub(super) struct Captures {
    /// Skip so many: next_offset of the page before.
    pub(super) offset: u64,
}

/// What happened in a capture, in short.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(deny_unknown_fields)]
pub(super) struct Analyze {
    /// The capture.
    pub(super) capture: Capture,
    /// Skip so many incidents: next_offset of the page before.
    #[serde(default)]
    pub(super) offset: u64,
}

/// Incidents with all that is said of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(deny_unknown_fields)]
pub(super) struct Incidents {
    /// The capture.
    pub(super) capture: Capture,
    /// Only this one, such as I-01.
    #[serde(default)]
    pub(super) id: Option<String>,
    /// Skip so many: next_offset of the page before.
    #[serde(default)]
    pub(super) offset: u64,
}

/// One finding and its frames.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(deny_unknown_fields)]
pub(super) struct Finding {
    /// The capture.
    pub(super) capture: Capture,
    /// The finding, such as F-001.
    pub(super) id: String,
    /// Skip so many frames: next_offset of the page before.
    #[serde(default)]
    pub(super) offset: u64,
}

/// One flow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(deny_unknown_fields)]
pub(super) struct Flow {
    /// The capture.
    pub(super) capture: Capture,
    /// The flow: flow_id of the tables, or one of scope.flows.sample of a finding.
    pub(super) flow_id: u64,
    /// Skip so many rows: next_offset of the page before.
    #[serde(default)]
    pub(super) offset: u64,
}

/// Rows of a table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// The capture.
    pub(super) capture: Capture,
    /// flows, tcp_sides, tcp_events, dns, tls, certificates, http, icmp, services, timeline or files.
    pub(super) table: String,
    /// Columns in their order; without them those that matter most. The tool explain lists all of a table.
    #[serde(default)]
    pub(super) columns: Vec<String>,
    /// Conditions that all have to hold, such as id.resp_p=443 or duration>1.5: column, one of = != < <= > >=
    /// ~ (contains), value; - stands for no value.
    #[serde(default, rename = "where")]
    pub(super) conditions: Vec<String>,
    /// The column to sort by, with - before it for the largest first. Without it: by time.
    #[serde(default)]
    pub(super) sort: Option<String>,
    /// The most rows, 50 without it, at most 1000.
    #[serde(default)]
    pub(super) limit: Option<u16>,
    /// Skip so many rows: next_offset of the page before.
    #[serde(default)]
    pub(super) offset: u64,
}

/// What a detector looks for, or what a column means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(deny_unknown_fields, default)]
pub(super) struct Explain {
    /// A detector or a table; without it all detectors are listed.
    pub(super) name: Option<String>,
    /// Skip so many lines: next_offset of the page before.
    pub(super) offset: u64,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Captures(Captures),
    Analyze(Analyze),
    Incidents(Incidents),
    Finding(Finding),
    Flow(Flow),
    Table(Table),
    Explain(Explain),
}

/// The schema of arguments, or why there is none.
type Schema = Result<Arc<Map<String, Value>>, String>;

/// A tool: name, what it does, the schema of its arguments, and how they are read.
struct Sheet {
    name: &'static str,
    about: &'static str,
    schema: fn() -> Schema,
    read: fn(Map<String, Value>) -> Result<Question, Problem>,
}

const SHEETS: [Sheet; 7] = [
    Sheet {
        name: "captures",
        about: "Lists the captures in the folders that may be read.",
        schema: schema_for_input::<Captures>,
        read: |arguments| Ok(Question::Captures(read(arguments)?)),
    },
    Sheet {
        name: "analyze",
        about: "Analyses a capture: the verdict, what was looked at, the incidents in a line each, the \
            layers, what is well, and what could not be judged. Begin here.",
        schema: schema_for_input::<Analyze>,
        read: |arguments| Ok(Question::Analyze(read(arguments)?)),
    },
    Sheet {
        name: "incidents",
        about: "What happened: each incident with its story, whom it reached, what sets it apart from \
            healthy traffic, why which findings belong to it, what is not known, and what to do next.",
        schema: schema_for_input::<Incidents>,
        read: |arguments| Ok(Question::Incidents(read(arguments)?)),
    },
    Sheet {
        name: "finding",
        about: "One finding of a detector, with the frames that prove it and the tshark commands that \
            show them.",
        schema: schema_for_input::<Finding>,
        read: |arguments| Ok(Question::Finding(read(arguments)?)),
    },
    Sheet {
        name: "flow",
        about: "Everything that is said of one flow: its rows in all tables, findings, and a tshark command. \
            Reads the capture again.",
        schema: schema_for_input::<Flow>,
        read: |arguments| Ok(Question::Flow(read(arguments)?)),
    },
    Sheet {
        name: "table",
        about: "Rows of a table that meet conditions, in the order of a column. Reads the capture again.",
        schema: schema_for_input::<Table>,
        read: |arguments| Ok(Question::Table(read(arguments)?)),
    },
    Sheet {
        name: "explain",
        about: "What a detector looks for, its thresholds and their sources, or what the columns of a table \
            mean.",
        schema: schema_for_input::<Explain>,
        read: |arguments| Ok(Question::Explain(read(arguments)?)),
    },
];

/// The tools as a client sees them.
///
/// # Errors
/// When an argument has no schema.
pub(super) fn list() -> Result<Vec<Tool>, String> {
    let hints =
        || ToolAnnotations::new().read_only(true).destructive(false).idempotent(true).open_world(false);
    let tool = |sheet: &Sheet| Ok(Tool::new(sheet.name, sheet.about, (sheet.schema)()?).annotate(hints()));
    SHEETS.iter().map(tool).collect()
}

impl Question {
    /// Of a call.
    pub(super) fn new(tool: &str, arguments: Map<String, Value>) -> Result<Self, Problem> {
        match SHEETS.iter().find(|sheet| sheet.name == tool) {
            Some(sheet) => (sheet.read)(arguments),
            None => {
                let names: Vec<&str> = SHEETS.iter().map(|sheet| sheet.name).collect();
                Err(Problem::new(format!("no tool {tool:?}; there are {}", names.join(", "))))
            }
        }
    }
}

fn read<T: DeserializeOwned>(arguments: Map<String, Value>) -> Result<T, Problem> {
    serde_json::from_value(Value::Object(arguments)).map_err(|error| Problem::new(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn question(tool: &str, arguments: Value) -> Result<Question, String> {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        Question::new(tool, arguments).map_err(|problem| problem.reason)
    }

    #[test]
    fn a_capture_is_one_file_or_several() {
        let asked = |capture: Value| question("analyze", json!({"capture": capture}));
        let names = |question| match question {
            Ok(Question::Analyze(of)) => of.capture.names().to_vec(),
            other => panic!("{other:?}"),
        };
        assert_eq!(names(asked(json!("a.pcap"))), ["a.pcap"]);
        assert_eq!(names(asked(json!(["a.pcap", "b.pcap"]))), ["a.pcap", "b.pcap"]);
        assert!(asked(json!(7)).is_err());
    }

    #[test]
    fn what_is_wrong_with_a_call_is_said() {
        let error = |tool, arguments| question(tool, arguments).expect_err(tool);
        assert!(error("analyse", json!({})).starts_with("no tool \"analyse\"; there are captures, analyze"));
        assert!(error("finding", json!({"capture": "a"})).contains("missing field `id`"));
        assert!(error("table", json!({"capture": "a", "table": "dns", "filter": "x"})).contains("`filter`"));
        assert!(error("captures", json!({"offset": -1})).contains("-1"));
    }

    #[test]
    fn every_tool_has_a_schema_that_names_and_explains_its_arguments() {
        let tools = list().expect("schemas");
        assert_eq!(tools.len(), SHEETS.len());
        for tool in &tools {
            let properties = tool.input_schema["properties"].as_object().expect("properties");
            assert!(properties.contains_key("offset") && !properties.is_empty(), "{}", tool.name);
            for (name, schema) in properties {
                let is_explained = schema["description"].as_str().is_some_and(|text| !text.is_empty());
                assert!(is_explained, "{} {name}: {schema}", tool.name);
            }
            let hints = tool.annotations.as_ref().expect("hints");
            assert_eq!((hints.read_only_hint, hints.open_world_hint), (Some(true), Some(false)));
        }
        let table = tools.iter().find(|tool| tool.name == "table").expect("there");
        assert_eq!(table.input_schema["required"], json!(["capture", "table"]));
        assert!(table.input_schema["properties"].get("where").is_some());
    }
}
