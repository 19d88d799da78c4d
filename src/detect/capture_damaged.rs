//! # What it finds
//! Byte ranges of the input files that could not be read: overwritten records, impossible lengths, a missing
//! end.
//!
//! # Why it matters
//! Packets that stood there are missing, and what is missing looks like loss.
//!
//! # How it decides
//! `truncated_tail`: the last record is incomplete, and nothing else is wrong. That is information, because a
//! capture that was copied while it was written looks like that. `damaged`: any other range that the reader
//! had to skip, a warning.
//!
//! # What it leaves alone
//! Blocks of types unknown to the reader, which the format allows.
//!
//! # What it does not claim
//! How many packets were lost: the bytes cannot be read.
//!
//! # References
//! pcap-savefile(5); pcapng general block structure (both lengths of a block are the same, a reader skips
//! unknown types).

use crate::capture::{Damage, DamageKind, FileReport};
use crate::detect::*;

thresholds! {
    /// Judges by what the files say of themselves.
    struct CaptureDamaged {}
}

variants! {
    /// What is wrong with a file.
    enum Harm {
        Damaged "damaged" Warning {
            could_be: COULD_BE,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
        }
        TruncatedTail "truncated_tail" Info {
            could_be: COULD_BE,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
        }
    }
}

const COULD_BE: &[&str] =
    &["the file was copied while it was written, or the disk was full", "the file was transferred as text"];
const NEXT: &[&str] = &["copy the file again after the capture has ended, and compare checksums"];
const NOT_CLAIMED: &[&str] = &["how many packets stood there"];

/// Ranges that a summary names; all are in the file report.
const NAMED: usize = 3;

impl Detector for CaptureDamaged {
    const RULE: Rule = Rule {
        name: "capture_damaged",
        group: Group::Capture,
        summary: "byte ranges of the files that could not be read",
        judges: "files",
        variants: Harm::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("capture_damaged.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Recording, &["capture_gap", "capture_loss"])];
    type Variant = Harm;
    type Key = ();
    type Counts = ();
    type Total = ();
    type Notes = ();

    fn conclude(&self, _: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let damaged = context.files.iter().filter(|file| !file.damages.is_empty());
        damaged.map(|file| (draft(file), Case::between(file.first_seen, file.last_seen))).collect()
    }

    fn assessed(&self, _: u64, context: &Context<'_>) -> u64 {
        context.files.len() as u64
    }
}

fn draft(file: &FileReport) -> Draft<Harm> {
    let skipped = plural(file.damaged_bytes, "byte");
    let (harm, title) = match file.damages.as_slice() {
        [Damage { kind: DamageKind::TruncatedTail, .. }] => {
            (Harm::TruncatedTail, "A capture file ends inside a record".to_owned())
        }
        _ => (Harm::Damaged, format!("{skipped} of a capture file could not be read")),
    };
    let place = |Damage { offset, length, reason, .. }: &Damage| {
        format!("{} at offset {offset} ({reason})", plural(*length, "byte"))
    };
    let mut places: Vec<String> = file.damages.iter().take(NAMED).map(place).collect();
    let ranges = file.damages.len() as u64 + file.damages_unlisted;
    if let Some(more) = ranges.checked_sub(NAMED as u64).filter(|more| *more > 0) {
        places.push(format!("{} more", plural(more, "range")));
    }
    Draft::new(harm, title, format!("{}: {}.", file.path, places.join("; ")))
        .subject(Subject { name: Some(file.path.clone()), ..Subject::default() })
        .count("damaged_ranges", ranges)
        .count("bytes_skipped", file.damaged_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_files, says_nothing};
    use crate::support::capture::{Capture, Order};
    use crate::support::scenes::Lab;

    const NAME: &str = CaptureDamaged::RULE.name;

    #[test]
    fn it_fires() {
        fires(
            NAME,
            &[
                ("capture_damaged_tail", "truncated_tail", Severity::Info),
                ("capture_damaged_middle", "damaged", Severity::Warning),
            ],
        );
    }

    /// What is missing from connections is not missing from the file.
    #[test]
    fn it_stays_silent() {
        says_nothing(NAME, &["healthy", "healthy_close_notify", "capture_truncated_options", "capture_gap"]);
    }

    /// A pcapng file, and where its blocks end.
    fn blocks() -> (Vec<u8>, Vec<usize>) {
        let mut lab = Lab::new(Capture::default(), 77);
        (1..10).for_each(|number| lab.resolves(number * 100_000, "www.shop.example"));
        let bytes = lab.capture.pcapng(Order::Little, Some(0));
        let (mut at, mut ends) = (0, Vec::new());
        while let Some(length) = bytes.get(at + 4..at + 8) {
            at += u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
            ends.push(at);
        }
        (bytes, ends)
    }

    /// Its reason says how the block "ends", which is not the end of the file.
    #[test]
    fn a_block_in_the_middle_whose_two_lengths_differ_is_no_cut_tail() {
        let (mut bytes, ends) = blocks();
        let (begin, end) = (ends[ends.len() / 2 - 1], ends[ends.len() / 2]);
        bytes[end - 4] ^= 4;
        let findings = in_files(NAME, &[("pcapng", bytes)]);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        let finding = &findings[0];
        assert_eq!((finding.variant, finding.severity), ("damaged", Severity::Warning), "{finding:#?}");
        assert!(finding.subject.name.as_deref().is_some_and(|name| name.ends_with("capture-00.pcapng")));
        assert!(finding.summary.contains(&format!("at offset {begin} (")), "{}", finding.summary);
        assert!(finding.first_seen < finding.last_seen);
    }

    #[test]
    fn every_damaged_file_is_a_finding_and_blocks_of_unknown_types_are_none() {
        let (mut bytes, ends) = blocks();
        let cut = bytes[..bytes.len() - 7].to_vec();
        // The block type of a packet becomes one that nobody has assigned.
        let type_at = ends[ends.len() / 2];
        bytes[type_at..type_at + 4].copy_from_slice(&0x0000_4444u32.to_le_bytes());
        let shorter = cut[..cut.len() - 1].to_vec();
        let findings = in_files(NAME, &[("pcapng", bytes), ("pcapng", cut), ("pcapng", shorter)]);
        let names: Vec<_> = findings.iter().filter_map(|finding| finding.subject.name.as_deref()).collect();
        assert!(names[0].ends_with("01.pcapng") && names[1].ends_with("02.pcapng"), "{names:?}");
        assert_eq!(findings.len(), 2);
        assert!(findings.iter().all(|finding| finding.variant == "truncated_tail"));
    }
}
