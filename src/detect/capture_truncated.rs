//! # What it finds
//! Packets of which only the beginning was recorded (snapshot length).
//!
//! # Why it matters
//! Content that was not recorded cannot be read: TLS handshakes, DNS messages, and with a very short snapshot length
//! even TCP options and headers.
//!
//! # How it decides
//! Packets with fewer captured than wire bytes. It is a warning when headers are cut in at least `header_share` of the
//! packets; cut payload alone is information.
//!
//! # What it leaves alone
//! Every count of sequence numbers and lengths: they come from the IP header, not from the captured length.
//!
//! # What it does not claim
//! That anything was lost on the wire.
//!
//! # References
//! pcap-savefile(5) snaplen; FIELD C23.

use crate::detect::finding::counts;
use crate::detect::group::{percent, plural, share};
use crate::detect::*;

/// Judges by the sums over the capture.
#[derive(Debug)]
pub(super) struct CaptureTruncated {
    header_share: f64,
}

impl Detector for CaptureTruncated {
    const RULE: Rule = Rule {
        name: "capture_truncated",
        group: "capture",
        summary: "packets cut by the snapshot length",
        variants: &["payload", "headers"],
        thresholds: &[Threshold {
            key: "header_share",
            default: 0.01,
            unit: "share",
            meaning: "packets with cut headers from which it is a warning",
            source: "judgement: one packet in a hundred hides whole connections",
        }],
        source: include_str!("capture_truncated.rs"),
    };

    fn new(settings: &Settings) -> Self {
        Self { header_share: settings.value("header_share") }
    }

    fn merge(&mut self, _: Self) {}

    fn finish(self, context: &Context<'_>) -> Verdict {
        let totals = context.totals;
        let mut verdict = Verdict { assessed: totals.packets, unit: "packets", ..Verdict::default() };
        if totals.clipped == 0 {
            return verdict;
        }
        let headers = totals.clipped_headers;
        let (variant, severity) = match share(headers, totals.packets) {
            share if headers > 0 && share >= self.header_share => ("headers", Severity::Warning),
            _ => ("payload", Severity::Info),
        };
        let declared = match context.files.iter().map(|file| file.snap_length).filter(|length| *length > 0).min()
        {
            Some(length) => format!(" The files declare a snapshot length of {length} bytes."),
            None => String::new(),
        };
        verdict.findings.push(Finding {
            title: format!("{} of the packets are cut short", percent(totals.clipped, totals.packets)),
            summary: format!(
                "{} were recorded in part, {} of them without complete headers.{declared}",
                plural(totals.clipped, "packet"),
                headers,
            ),
            first_seen: totals.first.unwrap_or_default(),
            last_seen: totals.last.unwrap_or_default(),
            counts: counts(&[
                ("packets_cut", totals.clipped),
                ("packets_with_cut_headers", headers),
                ("packets", totals.packets),
            ]),
            next_steps: vec!["capture with an unlimited snapshot length (tcpdump -s 0)"],
            not_claimed: vec!["that bytes were lost on the wire"],
            ..Finding::draft(&Self::RULE, variant, severity, Confidence::Confirmed)
        });
        verdict
    }
}
