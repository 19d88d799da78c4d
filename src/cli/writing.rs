//! What is written when an analysis is over: tables, report, page, packets, manifest, in one folder.

use std::path::PathBuf;
use std::{fs, io};

use crate::capture::FileReport;
use crate::cli::outcome::{Failure, complain};
use crate::cli::progress::Bar;
use crate::cli::redaction::RedactArgs;
use crate::config::Config;
use crate::extract::{self, Again, Conversation, Conversations, ExtractError, Picked};
use crate::humanize::plural;
use crate::pipeline::Outcome;
use crate::report::evidence::{self, EVIDENCE, RedactionNote};
use crate::report::files::{self, TableFiles, WriteError};
use crate::report::folder::ReportFolder;
use crate::report::html::Seen;
use crate::report::manifest::{Manifest, Started};
use crate::report::model::Report;
use crate::report::rca::Zone;
use crate::report::trace::Trace;

/// How a report is written.
pub(super) struct Writing<'a> {
    /// What it was found with.
    pub(super) config: &'a Config,
    /// BLAKE3 of the key log, if there was one.
    pub(super) keylog: Option<String>,
    /// Time zone of the times in documents.
    pub(super) zone: &'a Zone,
    /// Worker threads; 0 for one per core.
    pub(super) threads: usize,
    /// When the run began.
    pub(super) started: Started,
    /// How the packets of the incidents are written, when they are.
    pub(super) evidence: Option<&'a RedactArgs>,
    /// Shows how far it has come.
    pub(super) bar: Bar,
}

impl Writing<'_> {
    /// Completes the files and puts the folder in its place, on the threads of its caller. Says so when that
    /// held the report on something else.
    pub(super) fn write(
        &self,
        outcome: &Outcome,
        report: &Report,
        mut tables: TableFiles,
        folder: ReportFolder,
    ) -> Result<(), Failure> {
        let again = Again::new(&outcome.files, &outcome.chunks, &self.config.capture_limits());
        let again = again.watched(self.bar.again("packets of the incidents"));
        // Once, for the pictures and for the evidence.
        let most = if self.evidence.is_some() { evidence::INCIDENTS } else { Seen::INCIDENTS };
        let picked = evidence::of_incidents(report, most, &again);
        let proof = self.evidence(report, &outcome.files, &again, picked, &folder)?;
        let (traces, why) = match &proof.conversations {
            Ok(conversations) => (conversations.iter().map(Trace::of).collect(), None),
            Err(why) => (Vec::new(), Some(why.clone())),
        };
        let seen = Seen { course: tables.course(), traces, why };
        let mut outputs = tables.finish()?;
        outputs.extend(self.documents(report, &outcome.files, &seen, &folder)?);
        outputs.extend(proof.paths);
        self.bar.clear();
        let manifest =
            Manifest::new(outcome, self.config, self.threads, self.started, folder.path(), &outputs)?;
        let manifest = Manifest { redacted: proof.redacted, keylog: self.keylog.clone(), ..manifest };
        manifest.write(folder.path())?;
        Ok(publish(folder, &manifest)?)
    }

    fn documents(
        &self,
        report: &Report,
        inputs: &[FileReport],
        seen: &Seen,
        folder: &ReportFolder,
    ) -> Result<Vec<PathBuf>, WriteError> {
        let mut outputs = files::write_report(report, inputs, self.zone, folder.path())?;
        outputs.push(files::write_page(report, inputs, self.zone, seen, folder.path())?);
        Ok(outputs)
    }

    /// Writes the packets of the incidents, and keeps the deciding conversations of the first. A report is
    /// whole without them: a stream cannot be read twice, and a file may have been changed meanwhile.
    fn evidence(
        &self,
        report: &Report,
        files: &[FileReport],
        again: &Again,
        picked: Result<Vec<Picked>, ExtractError>,
        folder: &ReportFolder,
    ) -> Result<Proof, Failure> {
        let Some(redact) = self.evidence.filter(|_| !report.incidents.is_empty()) else {
            let conversations = picked.and_then(|picked| extract::conversations(again, drawn(&picked)));
            let conversations = conversations.map_err(|error| error.to_string());
            return Ok(Proof { paths: Vec::new(), redacted: None, conversations });
        };
        let mut redaction = redact.redaction()?;
        let written = picked.and_then(|picked| {
            let mut conversations = Conversations::of(drawn(&picked));
            let (hide, folder) = (redaction.as_mut(), folder.path());
            let paths = evidence::write(report, files, again, &picked, hide, &mut conversations, folder)?;
            Ok((paths, conversations.finish()))
        });
        match written {
            Ok((paths, conversations)) => {
                let labels = (!report.labels.is_empty()).then_some("in the report, in no packet or comment");
                let redacted = redaction.map(|redaction| RedactionNote { labels, ..redaction.note() });
                Ok(Proof { paths, redacted, conversations: Ok(conversations) })
            }
            Err(ExtractError::Write(error)) => {
                Err(WriteError::new(folder.target().join(EVIDENCE), error).into())
            }
            Err(error) => {
                complain(&format!("no evidence/: {error}"));
                // Half a file proves nothing.
                match fs::remove_dir_all(folder.path().join(EVIDENCE)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(WriteError::new(folder.target().join(EVIDENCE), error).into())
                    }
                    _ => {
                        Ok(Proof { paths: Vec::new(), redacted: None, conversations: Err(error.to_string()) })
                    }
                }
            }
        }
    }
}

/// The incidents of which the deciding conversation is drawn.
fn drawn(picked: &[Picked]) -> &[Picked] {
    picked.get(..Seen::INCIDENTS).unwrap_or(picked)
}

/// What the packets of the incidents gave.
struct Proof {
    /// The files of them.
    paths: Vec<PathBuf>,
    /// How they are redacted, when they are.
    redacted: Option<RedactionNote>,
    /// The deciding conversations of the first incidents, or why there are none.
    conversations: Result<Vec<Conversation>, String>,
}

/// Puts the folder in its place.
fn publish(folder: ReportFolder, manifest: &Manifest) -> Result<(), WriteError> {
    let replaced = folder.former().filter(|former| !former.is_of(&manifest.inputs)).map(|former| {
        let first = former.inputs.first().map_or("no capture", |input| &input.path);
        let more = match former.inputs.len().saturating_sub(1) {
            0 => String::new(),
            more => format!(" and {}", plural(more as u64, "other")),
        };
        format!("{}: replaced the report on another capture: {first}{more}", folder.target().display())
    });
    let left = folder.publish()?;
    replaced.iter().for_each(|replaced| complain(replaced));
    if let Some(left) = left {
        complain(&format!("{}: files that are not of the report stay here", left.display()));
    }
    Ok(())
}
