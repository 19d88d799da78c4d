//! Truth files: what happened in a capture, and how the analysis is held to it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde::Deserialize;
use serde_json::Value;

/// A truth file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Truth {
    /// The severity from which a finding that is not expected is a false alarm.
    forbid_at: String,
    /// Detectors that may speak without being expected.
    #[serde(default)]
    allow: BTreeSet<String>,
    /// Further files of the same incident, beside the capture.
    #[serde(default)]
    files: Vec<PathBuf>,
    /// The rule whose finding the first incident has to have at its root.
    pub incident: Option<String>,
    /// A display filter with which tshark shows the phenomenon, and how many frames it showed when the
    /// capture was made.
    pub shows: Option<String>,
    pub frames: Option<usize>,
    /// What the path did, by direction: frames, dropped, late ...
    #[serde(default)]
    pub relay: toml::Table,
    /// What the hosts' kernels counted, together.
    #[serde(default)]
    pub kernel: toml::Table,
    #[serde(default)]
    expect: Vec<Expect>,
    #[serde(default)]
    event: Vec<Event>,
}

/// Classified segments that must be there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    /// `sent_again`: any kind of retransmission; `retransmitted`: SYN, SYN-ACK, FIN, too, as kernels count.
    kind: String,
    /// Empty: those that were needed; `path_mtu`: those of path MTU discovery; `spurious`: those proven
    /// unnecessary; `any`: all of the kind.
    which: String,
    /// Exactly so many, or a range, for what a kernel of its own will did.
    count: Option<usize>,
    least: Option<usize>,
    most: Option<usize>,
}

const SENT_AGAIN: [&str; 4] =
    ["retransmission", "fast_retransmission", "timeout_retransmission", "tail_loss_probe"];

const CONTROL_AGAIN: [&str; 3] = ["retransmitted_syn", "retransmitted_syn_ack", "retransmitted_fin"];

impl Event {
    fn is(&self, row: &Value) -> bool {
        let kind = row["kind"].as_str().unwrap_or_default();
        let is_kind = match self.kind.as_str() {
            "sent_again" => SENT_AGAIN.contains(&kind),
            "retransmitted" => SENT_AGAIN.contains(&kind) || CONTROL_AGAIN.contains(&kind),
            own => kind == own,
        };
        is_kind
            && match self.which.as_str() {
                "" => row["spurious"].is_null() && row["path_mtu"] == false,
                "path_mtu" => row["path_mtu"] == true,
                "spurious" => !row["spurious"].is_null(),
                which => which == "any",
            }
    }

    fn accepts(&self, count: usize) -> bool {
        let (least, most) = (self.count.or(self.least), self.count.or(self.most));
        least.is_none_or(|least| count >= least) && most.is_none_or(|most| count <= most)
    }

    fn wanted(&self) -> String {
        let bound = |bound: Option<usize>| bound.map_or_else(String::new, |bound| bound.to_string());
        self.count.map_or_else(
            || format!("{}..={}", bound(self.least), bound(self.most)),
            |count| count.to_string(),
        )
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    detector: String,
    variant: Option<String>,
    min_severity: String,
    server: Option<String>,
    port: Option<u64>,
    /// A word of the title or the summary.
    mentions: Option<String>,
    /// The least and the most connections or lookups that failed.
    failed: Option<[u64; 2]>,
}

impl Expect {
    /// The detector, or this variant of it, is not there yet: listed, not failed.
    fn is_pending(&self) -> bool {
        let rule = pcapsy::detect::RULES.iter().find(|rule| rule.name == self.detector);
        let variant = self.variant.as_deref();
        rule.is_none_or(|rule| {
            variant.is_some_and(|variant| rule.variant_names().all(|name| name != variant))
        })
    }

    fn is_met_by(&self, finding: &Value) -> bool {
        let subject = &finding["subject"];
        finding["detector"] == *self.detector
            && self.variant.as_ref().is_none_or(|variant| finding["variant"] == **variant)
            && rank(&finding["severity"]) >= rank(&Value::from(self.min_severity.as_str()))
            && self.server.as_ref().is_none_or(|server| subject["server"] == **server)
            && self.port.is_none_or(|port| subject["port"] == port)
            && self.failed.is_none_or(|[least, most]| {
                finding["impact"]["failed_transactions"]
                    .as_u64()
                    .is_some_and(|failed| (least..=most).contains(&failed))
            })
            && self.mentions.as_ref().is_none_or(|word| {
                let said = |key: &str| finding[key].as_str().is_some_and(|text| text.contains(word.as_str()));
                said("title") || said("summary")
            })
    }

    fn label(&self) -> String {
        format!("{} {}", self.detector, self.variant.as_deref().unwrap_or("")).trim_end().to_owned()
    }
}

/// Words of causes and of blame: titles and summaries say what the frames show.
const CAUSES: &[&str] = &[
    "because",
    "due to",
    "caused",
    "firewall",
    "attack",
    "malicious",
    "poison",
    "crash",
    "healthy",
    "fault",
];

/// What a finding says that the frames cannot show. What it quotes, others say.
fn overclaims(finding: &Value) -> Option<String> {
    let said = |key: &str| {
        let own = finding[key].as_str().unwrap_or_default().split('"').step_by(2);
        own.collect::<Vec<_>>().join(" ").to_lowercase()
    };
    let text = format!("{} {}", said("title"), said("summary"));
    CAUSES.iter().find(|word| text.contains(**word)).map(|word| format!("\"{word}\" in: {text}"))
}

/// A severity as a number; one that nobody knows is a mistake in a truth file or a report.
fn rank(severity: &Value) -> usize {
    let known = ["info", "warning", "critical"];
    known.iter().position(|name| severity == name).unwrap_or_else(|| panic!("severity {severity}"))
}

/// What the analysis of one capture is worth.
#[derive(Default)]
pub struct Score {
    pub expected: usize,
    pub pending: Vec<String>,
    pub missing: Vec<String>,
    pub unasked: Vec<String>,
}

impl Score {
    pub const HEADING: &str = "capture                                expected found missing false";

    /// Analyses the capture and compares.
    pub fn of(path: &Path) -> Self {
        let truth = Truth::beside(path);
        let inputs = truth.inputs(path);
        let report = json(&analyze(&inputs, "", "2"));
        let mut score = Self::default();
        let (pending, expected): (Vec<&Expect>, Vec<&Expect>) =
            truth.expect.iter().partition(|expect| expect.is_pending());
        score.expected = expected.len();
        score.pending = pending.iter().map(|expect| expect.label()).collect();
        let unmet =
            expected.iter().filter(|expect| !list(&report).iter().any(|finding| expect.is_met_by(finding)));
        score.missing.extend(unmet.map(|expect| {
            let said: Vec<String> = list(&report).iter().map(label).collect();
            format!("{} is missing; found {said:?}", expect.label())
        }));
        let rows = if truth.event.is_empty() { Vec::new() } else { events(&inputs) };
        for event in &truth.event {
            let count = rows.iter().filter(|row| event.is(row)).count();
            if !event.accepts(count) {
                score.missing.push(format!("{count} of {} {} {}", event.wanted(), event.kind, event.which));
            }
        }
        let limit = rank(&Value::from(truth.forbid_at.as_str()));
        let asked_for = |finding: &Value| {
            let detector = finding["detector"].as_str().unwrap_or_default();
            truth.allow.contains(detector) || truth.expect.iter().any(|expect| expect.detector == detector)
        };
        let unasked =
            list(&report).iter().filter(|finding| rank(&finding["severity"]) >= limit && !asked_for(finding));
        score.unasked = unasked
            .map(|finding| format!("{}: {}", label(finding), finding["title"].as_str().unwrap_or_default()))
            .chain(list(&report).iter().filter_map(overclaims))
            .collect();
        score
    }

    pub fn line(&self, path: &Path) -> String {
        let (missing, found) = (self.missing.len(), self.expected.saturating_sub(self.missing.len()));
        format!("{:38} {:>8} {found:>5} {missing:>7} {:>5}", name(path), self.expected, self.unasked.len())
    }

    /// Everything that is not as it must be, each with the capture's name.
    pub fn wrong(&self, path: &Path) -> Vec<String> {
        self.missing.iter().chain(&self.unasked).map(|text| format!("{}: {text}", name(path))).collect()
    }
}

impl Truth {
    /// The capture, and further files of the same incident.
    pub fn inputs(&self, path: &Path) -> Vec<PathBuf> {
        let others = self.files.iter().map(|file| path.with_file_name(file));
        std::iter::once(path.to_owned()).chain(others).collect()
    }

    pub fn beside(path: &Path) -> Self {
        let path = path.with_extension("toml");
        let text = fs::read_to_string(&path).expect("a truth file for every capture");
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

/// The captures of a folder of `testdata` that have a truth file of their own name, sorted.
pub fn captures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder);
    let entries = fs::read_dir(folder).expect("the captures are there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "pcap" || ending == "pcapng"));
    files.sort();
    files
}

pub fn name(path: &Path) -> String {
    path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The JSON report, run from an empty folder so that no configuration of the caller is read.
pub fn analyze(inputs: &[PathBuf], configuration: &str, threads: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("cut.toml");
    fs::write(&config, configuration).expect("written");
    let output = Command::cargo_bin("pcapsy")
        .expect("built")
        .current_dir(folder.path())
        .args([
            "analyze",
            "--json",
            "--no-files",
            "--set",
            "--fail-on",
            "never",
            "--quiet",
            "--threads",
            threads,
        ])
        .arg("--config")
        .arg(&config)
        .args(inputs)
        .output()
        .expect("run");
    let code = output.status.code();
    // 3: the capture is damaged on purpose; what was read is reported all the same.
    assert!(matches!(code, Some(0 | 3)), "{inputs:?}: {code:?} {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The rows of `pcapsy events`.
fn events(inputs: &[PathBuf]) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::cargo_bin("pcapsy").expect("built");
    let command =
        command.current_dir(folder.path()).args(["events", "--quiet", "--set", "--format", "jsonl"]);
    let output = command.args(inputs).output().expect("run");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| json(line.as_bytes())).collect()
}

pub fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

fn list(report: &Value) -> &[Value] {
    report["findings"].as_array().map_or(&[], Vec::as_slice)
}

fn label(finding: &Value) -> String {
    let text = |key: &str| finding[key].as_str().unwrap_or_default();
    format!("{} {} ({})", text("detector"), text("variant"), text("severity"))
}
