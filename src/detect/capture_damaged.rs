//! # What it finds
//! Byte ranges of the input files that could not be read: overwritten records, impossible lengths, a missing end.
//!
//! # Why it matters
//! Packets that stood there are missing, and what is missing looks like loss.
//!
//! # How it decides
//! Every range that the reader had to skip. A file whose last record is incomplete, and nothing else, is information:
//! that is how a capture looks that was copied while it was written. Anything else is a warning.
//!
//! # What it leaves alone
//! Blocks of kinds unknown to the reader, which the format allows.
//!
//! # What it does not claim
//! How many packets were lost: the bytes cannot be read.
//!
//! # References
//! pcap-savefile(5), pcapng draft; FIELD C23.

use crate::capture::{Damage, DamageKind};
use crate::detect::finding::counts;
use crate::detect::group::plural;
use crate::detect::*;

/// Judges by what the files say of themselves.
#[derive(Debug)]
pub(super) struct CaptureDamaged;

impl Detector for CaptureDamaged {
    const RULE: Rule = Rule {
        name: "capture_damaged",
        group: "capture",
        summary: "byte ranges of the files that could not be read",
        variants: &["damaged", "truncated_tail"],
        thresholds: &[],
        source: include_str!("capture_damaged.rs"),
    };

    fn new(_: &Settings) -> Self {
        Self
    }

    fn merge(&mut self, _: Self) {}

    fn finish(self, context: &Context<'_>) -> Verdict {
        let files = context.files.len() as u64;
        let mut verdict = Verdict { assessed: files, unit: "files", ..Verdict::default() };
        for file in context.files.iter().filter(|file| !file.damages.is_empty()) {
            let (variant, severity) = match file.damages.as_slice() {
                [Damage { kind: DamageKind::TruncatedTail, .. }] => ("truncated_tail", Severity::Info),
                _ => ("damaged", Severity::Warning),
            };
            let bytes = file.damaged_bytes;
            let ranges = file.damages.len() as u64 + file.damages_unlisted;
            let place = |Damage { offset, length, reason, .. }: &Damage| {
                format!("{} at offset {offset} ({reason})", plural(*length, "byte"))
            };
            let places: Vec<String> = file.damages.iter().take(3).map(place).collect();
            verdict.findings.push(Finding {
                title: match variant {
                    "damaged" => format!("{} of a capture file could not be read", plural(bytes, "byte")),
                    _ => "A capture file ends inside a record".to_owned(),
                },
                summary: format!("{}: {}.", file.path, places.join("; ")),
                subject: Subject { name: Some(file.path.clone()), ..Subject::default() },
                first_seen: file.first_seen.unwrap_or_default(),
                last_seen: file.last_seen.unwrap_or_default(),
                counts: counts(&[("damaged_ranges", ranges), ("bytes_skipped", bytes)]),
                alternatives: vec![
                    "the file was copied while it was written, or the disk was full",
                    "the file was transferred as text",
                ],
                next_steps: vec!["copy the file again after the capture has ended, and compare checksums"],
                not_claimed: vec!["how many packets stood there"],
                ..Finding::draft(&Self::RULE, variant, severity, Confidence::Confirmed)
            });
        }
        verdict
    }
}
