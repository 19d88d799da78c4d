//! # What it finds
//! Packets of which only the beginning was recorded, because they are longer than the snapshot length.
//!
//! # Why it matters
//! Nobody can read what was not recorded: TLS handshakes, DNS messages and, with a very short snapshot
//! length, even TCP options and headers.
//!
//! # How it decides
//! A packet is cut when it has fewer captured bytes than bytes on the wire. `headers`: at least
//! `header_share` of the packets are cut inside a header, which is a warning. `payload`: any other cut, which
//! is information.
//!
//! # What it leaves alone
//! Every count of sequence numbers and lengths: they come from the IP header and not from the captured
//! length.
//!
//! # What it does not claim
//! That bytes were lost on the wire.
//!
//! # References
//! pcap-savefile(5), snapshot length; pcapng interface description block, `SnapLen`; tcpdump(1), `-s`.

use crate::detect::*;

thresholds! {
    /// Judges by the sums over the capture.
    struct CaptureTruncated {
        header_share: f64 = 0.01 "share",
            "packets with cut headers, from which it is a warning",
            "judgement: one packet in a hundred hides whole connections";
    }
}

variants! {
    /// What is cut.
    enum Cut {
        Payload "payload" Info {
            next: NEXT,
            not_claimed: NOT_CLAIMED,
        }
        Headers "headers" Warning {
            next: NEXT,
            not_claimed: NOT_CLAIMED,
        }
    }
}

const NEXT: &[&str] = &["capture with an unlimited snapshot length (tcpdump -s 0)"];
const NOT_CLAIMED: &[&str] = &["that bytes were lost on the wire"];

impl Detector for CaptureTruncated {
    const RULE: Rule = Rule {
        name: "capture_truncated",
        group: Group::Capture,
        summary: "packets cut by the snapshot length",
        judges: "packets",
        variants: Cut::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("capture_truncated.rs"),
    };
    type Variant = Cut;
    type Key = ();
    type Counts = ();
    type Total = ();
    type Notes = ();

    fn conclude(&self, _: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let totals = context.totals;
        if totals.clipped == 0 {
            return Vec::new();
        }
        let headers = totals.clipped_headers;
        let hidden = headers > 0 && share(headers, totals.packets) >= self.header_share;
        let title = format!("{} of the packets are cut short", percent(totals.clipped, totals.packets));
        let cut = plural(totals.clipped, "packet");
        let mut summary = format!("The capture holds only the beginning of {cut}.");
        if headers > 0 {
            summary += &format!(" In {} the cut is inside a header.", plural(headers, "packet"));
        }
        let declared = context.files.iter().map(|file| file.snap_length).filter(|length| *length > 0);
        if let Some(shortest) = declared.min() {
            let shortest = plural(shortest.into(), "byte");
            summary += &format!(" The files declare a snapshot length of {shortest}.");
        }
        let draft = Draft::new(if hidden { Cut::Headers } else { Cut::Payload }, title, summary)
            .count("packets_cut", totals.clipped)
            .count("packets_with_cut_headers", headers)
            .count("packets", totals.packets);
        vec![(draft, Case::between(totals.first, totals.last))]
    }

    fn assessed(&self, _: u64, context: &Context<'_>) -> u64 {
        context.totals.packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_files, in_scene, says_nothing};
    use crate::support::capture::{Capture, Order};
    use crate::support::scenes::Lab;

    const NAME: &str = CaptureTruncated::RULE.name;

    #[test]
    fn it_fires() {
        fires(
            NAME,
            &[
                ("capture_truncated_snaplen", "payload", Severity::Info),
                ("capture_truncated_options", "headers", Severity::Warning),
            ],
        );
        let findings = in_scene(NAME, "capture_truncated_snaplen");
        assert_eq!(findings.len(), 1);
        assert!(findings[0].summary.ends_with("a snapshot length of 96 bytes."), "{}", findings[0].summary);
    }

    /// Bytes that are missing from a stream or from a file are something else.
    #[test]
    fn it_stays_silent() {
        says_nothing(NAME, &["healthy", "capture_loss_unseen", "capture_damaged_tail", "capture_offload"]);
    }

    #[test]
    fn a_snapshot_length_that_cuts_nothing_is_nothing() {
        let mut lab = Lab::new(Capture::default(), 77);
        lab.resolves(1_000, "www.shop.example");
        let longest = lab.capture.packets.iter().map(|packet| packet.frame.len()).max().expect("packets");
        let cut = |length| [("pcap", lab.capture.pcap_as(Order::Little, false, length))];
        assert!(in_files(NAME, &cut(longest as u32)).is_empty());
        assert_eq!(in_files(NAME, &cut(longest as u32 - 1)).len(), 1);
    }
}
