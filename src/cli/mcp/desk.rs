//! Questions are answered here: captures are analysed, and the last analyses kept.

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use lru::LruCache;
use serde_json::{Value, json};

use super::Problem;
use super::answer::{Answer, Budget, Words, json_of};
use super::folders::Folders;
use super::rows::{Asked, TABLES};
use super::tools::{
    Analyze, Capture, Captures, Explain, Finding, Flow, Incidents, Question, Table as TableQuestion,
};
use crate::capture::{CaptureLimits, Hashes, Reader};
use crate::cli::explain::{self, Topic};
use crate::cli::why::no_such;
use crate::config::Config;
use crate::detect::{RULES, Rule};
use crate::local::{self, Run};
use crate::pipeline::{Outcome, Rows};
use crate::report::model::{CitedIncident, Report};
use crate::report::said::{About, Gather, incident_of};

/// Rows of a page unless asked otherwise, and the most.
const ROWS: (u16, u16) = (50, 1000);

/// Bytes of a row as it comes, to one of an answer: there the columns are named once.
const AS_IT_COMES: usize = 4;

/// What is known of a file without reading it: a changed one is analysed again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Input {
    path: PathBuf,
    bytes: u64,
    changed: Option<SystemTime>,
}

/// What is needed to answer.
pub(super) struct Desk {
    folders: Folders,
    config: Config,
    budget: Budget,
    kept: LruCache<Vec<Input>, Arc<Report>>,
}

impl Desk {
    /// Of these folders; keeps so many analyses, at least one.
    pub(super) fn new(folders: Folders, config: Config, keep: u16, budget: Budget) -> Self {
        let keep = NonZeroUsize::new(keep.into()).unwrap_or(NonZeroUsize::MIN);
        Self { folders, config, budget, kept: LruCache::new(keep) }
    }

    /// The answer to a question.
    pub(super) fn answer(&mut self, question: Question) -> Result<String, Problem> {
        let answer = match question {
            Question::Captures(asked) => self.captures(&asked),
            Question::Analyze(asked) => self.analyze(&asked),
            Question::Incidents(asked) => self.incidents(&asked),
            Question::Finding(asked) => self.finding(&asked),
            Question::Flow(asked) => self.flow(&asked),
            Question::Table(asked) => self.table(asked),
            Question::Explain(asked) => explained(&asked),
        }?;
        Ok(answer.write(self.budget))
    }

    fn captures(&self, asked: &Captures) -> Result<Answer, Problem> {
        let mut answer = Answer::new("captures", Words::Untrusted, "captures");
        let listed = self.folders.list();
        answer.put("all_files_looked_at", &!listed.is_cut)?;
        answer.items(listed.files, asked.offset);
        Ok(answer)
    }

    fn analyze(&mut self, asked: &Analyze) -> Result<Answer, Problem> {
        let report = self.report(&asked.capture)?;
        let mut answer = Answer::new("analyze", Words::Untrusted, "incidents");
        answer.put("verdict", &report.verdict)?;
        answer.put("capture", &report.capture)?;
        answer.put("layers", &report.layers)?;
        answer.put("cleared", &report.cleared)?;
        answer.put("findings_of_no_incident", &report.other)?;
        answer.put("not_assessed", &report.not_assessed)?;
        let lines = report.incidents.iter().map(in_a_line).collect::<Result<_, _>>()?;
        answer.items(lines, asked.offset);
        Ok(answer)
    }

    fn incidents(&mut self, asked: &Incidents) -> Result<Answer, Problem> {
        let report = self.report(&asked.capture)?;
        let ids = || report.incidents.iter().map(|cited| cited.incident.id.as_str());
        if let Some(id) = asked.id.as_deref().filter(|id| !ids().any(|known| known == *id)) {
            return Err(Problem::of(&named(&asked.capture), no_such("incident", id, ids()).to_string()));
        }
        let wanted = |cited: &&CitedIncident| asked.id.as_ref().is_none_or(|id| cited.incident.id == *id);
        let incidents = report.incidents.iter().filter(wanted).map(json_of).collect::<Result<_, _>>()?;
        let mut answer = Answer::new("incidents", Words::Untrusted, "incidents");
        answer.items(incidents, asked.offset);
        Ok(answer)
    }

    fn finding(&mut self, asked: &Finding) -> Result<Answer, Problem> {
        let report = self.report(&asked.capture)?;
        let ids = report.findings.iter().map(|ranked| ranked.id.as_str());
        let ranked = report.finding(&asked.id).ok_or_else(|| {
            Problem::of(&named(&asked.capture), no_such("finding", &asked.id, ids).to_string())
        })?;
        let incident = incident_of(&report, &ranked.id).map(|cited| &cited.incident);
        let mut links = incident.iter().flat_map(|incident| &incident.links);
        let link = links.find(|link| link.finding == ranked.id);
        let mut finding = json_of(ranked)?;
        let frames = finding.as_object_mut().and_then(|finding| finding.remove("evidence"));
        let mut answer = Answer::new("finding", Words::Untrusted, "frames");
        answer.put("finding", &finding)?;
        answer.put("incident", &incident.map(|incident| &incident.id))?;
        answer.put("why_it_belongs_there", &link.map(|link| &link.why))?;
        answer.items(frames.and_then(list).unwrap_or_default(), asked.offset);
        Ok(answer)
    }

    fn flow(&mut self, asked: &Flow) -> Result<Answer, Problem> {
        let inputs = self.inputs(&asked.capture)?;
        let mut gather = Gather::new(About::Flow(asked.flow_id));
        let outcome = self.run(&inputs, &asked.capture, Hashes::Blake3, &mut gather)?;
        let report = self.keep(inputs, &outcome);
        if gather.is_empty() {
            let reason = format!("no flow {}; the table flows lists them by flow_id", asked.flow_id);
            return Err(Problem::of(&named(&asked.capture), reason));
        }
        let said = gather.said(&report, None);
        let mut answer = Answer::new("flow", Words::Untrusted, "rows");
        answer.put("findings", &said.findings)?;
        answer.put("commands", &said.commands)?;
        answer.put("rows_left_out", &said.rows_left_out)?;
        let rows = said.rows.iter().map(json_of).collect::<Result<_, _>>()?;
        answer.items(rows, asked.offset);
        Ok(answer)
    }

    fn table(&mut self, asked: TableQuestion) -> Result<Answer, Problem> {
        let name = named(&asked.capture);
        let (_, read) = TABLES.iter().find(|(table, _)| *table == asked.table).ok_or_else(|| {
            let tables: Vec<&str> = TABLES.iter().map(|(table, _)| *table).collect();
            Problem::of(&name, format!("no table {:?}; there are {}", asked.table, tables.join(", ")))
        })?;
        let inputs = self.inputs(&asked.capture)?;
        let wanted = Asked {
            columns: asked.columns,
            conditions: asked.conditions,
            sort: asked.sort,
            offset: asked.offset,
            most: asked.limit.unwrap_or(ROWS.0).clamp(1, ROWS.1).into(),
            bytes: (self.budget.0 as usize).saturating_mul(AS_IT_COMES),
        };
        let mut run = |rows: &mut (dyn Rows + Send)| self.run(&inputs, &asked.capture, Hashes::None, rows);
        let found = read(&wanted, &mut run).map_err(|problem| Problem::of(&name, problem.reason))?;
        let mut answer = Answer::new("table", Words::Untrusted, "rows");
        answer.put("table", &asked.table)?;
        answer.put("columns", &found.columns)?;
        answer.items = found.rows;
        (answer.offset, answer.is_more) = (asked.offset, found.is_more);
        Ok(answer)
    }

    /// The files of a capture.
    fn inputs(&self, capture: &Capture) -> Result<Vec<Input>, Problem> {
        if capture.names().is_empty() {
            return Err(Problem::new("no capture is named"));
        }
        let input = |name: &String| {
            let path = self.folders.file(name)?;
            let meta = fs::metadata(&path).map_err(|error| Problem::of(name, error.to_string()))?;
            Ok(Input { path, bytes: meta.len(), changed: meta.modified().ok() })
        };
        capture.names().iter().map(input).collect()
    }

    fn run(
        &self,
        inputs: &[Input],
        capture: &Capture,
        hashes: Hashes,
        rows: &mut (dyn Rows + Send),
    ) -> Result<Outcome, Problem> {
        let paths: Vec<PathBuf> = inputs.iter().map(|input| input.path.clone()).collect();
        let limits = CaptureLimits { hashes, ..self.config.capture_limits() };
        let reader = Reader::open(&paths, &limits);
        let outcome =
            reader.and_then(|reader| local::analyze_set(reader, &self.config, Run::default(), rows, &|_| {}));
        outcome.map_err(|error| Problem::of(&named(capture), error.to_string()))
    }

    /// The report on a capture, of before if the files are what they were.
    fn report(&mut self, capture: &Capture) -> Result<Arc<Report>, Problem> {
        let inputs = self.inputs(capture)?;
        if let Some(report) = self.kept.get(&inputs) {
            return Ok(Arc::clone(report));
        }
        let outcome = self.run(&inputs, capture, Hashes::Blake3, &mut NoRows)?;
        Ok(self.keep(inputs, &outcome))
    }

    fn keep(&mut self, inputs: Vec<Input>, outcome: &Outcome) -> Arc<Report> {
        let report = Arc::new(Report::new(outcome, &self.config));
        self.kept.put(inputs, Arc::clone(&report));
        report
    }
}

/// Rows that nobody wants.
struct NoRows;

impl Rows for NoRows {}

/// The capture, as it was asked for.
fn named(capture: &Capture) -> String {
    capture.names().join(", ")
}

/// What a list of incidents says of one.
fn in_a_line(cited: &CitedIncident) -> Result<Value, Problem> {
    let incident = &cited.incident;
    Ok(json!({
        "id": incident.id,
        "severity": json_of(&incident.severity)?,
        "confidence": json_of(&incident.confidence)?,
        "title": incident.title,
        "root": incident.root,
        "symptoms": incident.symptoms.len(),
        "since": json_of(&incident.blast_radius.since)?,
        "until": json_of(&incident.blast_radius.until)?,
    }))
}

fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(list) => Some(list),
        _ => None,
    }
}

/// Words of pcapsy's own.
fn explained(asked: &Explain) -> Result<Answer, Problem> {
    let mut answer = Answer::new("explain", Words::Own, "lines");
    let items = match &asked.name {
        None => {
            answer.noun = "detectors";
            let detector = |rule: &Rule| {
                let group = rule.group.name();
                json!({"name": rule.name, "group": group, "finds": rule.summary})
            };
            RULES.iter().map(detector).collect()
        }
        Some(name) => match explain::find(name, RULES).map_err(|error| Problem::new(error.to_string()))? {
            Topic::Rule(rule) => explain::page(rule).lines().map(Value::from).collect(),
            Topic::Tables(tables) => match tables.as_slice() {
                [table] => {
                    answer.noun = "columns";
                    answer.put("table", &table.name)?;
                    answer.put("rows", &table.doc)?;
                    table.columns.iter().map(json_of).collect::<Result<_, _>>()?
                }
                tables => {
                    answer.noun = "tables";
                    tables.iter().map(|table| json!({"name": table.name, "rows": table.doc})).collect()
                }
            },
        },
    };
    answer.items(items, asked.offset);
    Ok(answer)
}
