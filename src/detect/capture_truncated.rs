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
//! is information. `rewritten`: records that are whole, and shorter than their IP headers state. A program
//! cut the file and forgot the lengths. The numbers of the next segments tell which length is right. The IP
//! header is, as long as nothing speaks for the record.
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
use crate::flow::Flow;

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
        Rewritten "rewritten" Info {
            could_be: &[
                "a program cut the packets and wrote the new lengths as the original ones",
                "a program changed the IP headers",
            ],
            next: &["analyse the file as it was captured"],
            not_claimed: NOT_CLAIMED,
        }
    }
}

const NEXT: &[&str] = &["capture with an unlimited snapshot length (tcpdump -s 0)"];
const NOT_CLAIMED: &[&str] = &["that bytes were lost on the wire"];

counts! {
    /// Segments whose record is shorter than their header states, by what the next segment shows.
    struct Lengths {
        by_header: u64,
        by_record: u64,
    }
}

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
    type Notes = Lengths;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        for side in flow.tcp.iter().flat_map(|tcp| &tcp.sides) {
            book.notes.by_header += side.lengths_by_header;
            book.notes.by_record += side.lengths_by_record;
        }
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let totals = context.totals;
        let rewritten = rewritten(&book.notes, totals);
        let rewritten = rewritten.map(|draft| (draft, Case::between(totals.first, totals.last)));
        if totals.clipped == 0 {
            return rewritten.into_iter().collect();
        }
        let headers = totals.clipped_headers;
        let hidden = headers > 0 && share(headers, totals.packets) >= self.header_share;
        let title = format!("{} are cut short", part_of(totals.clipped, totals.packets, "packets"));
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
        [(draft, Case::between(totals.first, totals.last))].into_iter().chain(rewritten).collect()
    }

    fn assessed(&self, _: u64, context: &Context<'_>) -> u64 {
        context.totals.packets
    }
}

/// Records that were cut behind the capturing program's back.
fn rewritten(lengths: &Lengths, totals: &Totals) -> Option<Draft<Cut>> {
    let records = totals.cut_records;
    let title = match records {
        0 => return None,
        1 => "1 record is shorter than its IP header states".to_owned(),
        _ => format!("{} are shorter than their IP headers state", plural(records, "record")),
    };
    let goes_on = |count: u64, what: &str| match count {
        0 => String::new(),
        _ => format!(" After {} the numbers go on by the {what}.", plural(count, "segment")),
    };
    let summary = format!(
        "The bytes beyond the record are not in the file.{}{} Lengths are those of {}.",
        goes_on(lengths.by_header, "header"),
        goes_on(lengths.by_record, "record"),
        if lengths.by_record > lengths.by_header {
            "the records where these go on so"
        } else {
            "the headers"
        },
    );
    let draft = Draft::new(Cut::Rewritten, title, summary);
    Some(
        draft
            .count("records", records)
            .count("by_header", lengths.by_header)
            .count("by_record", lengths.by_record),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_files, in_scene, says_nothing};
    use crate::support::capture::{Capture, Order};
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, SERVER, Segment};

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

    /// Records of a hundred bytes whose headers state four hundred: cut, or wrongly stated.
    #[test]
    fn the_next_segment_tells_which_length_is_right() {
        for cut in [true, false] {
            let mut capture = Capture::default();
            let mut talk = Lab::new(Capture::default(), 77).talk(7, (9, 80), 10, [30, 6_000]);
            talk.handshake(&mut capture);
            for _ in 0..12 {
                let data = talk.segment(CLIENT, ACK, &[b'x'; 400]);
                let mut frame = talk.frame(&data);
                frame.truncate(frame.len() - 300);
                capture.record(talk.now, frame);
                let sent = Segment { payload: vec![0; if cut { 400 } else { 100 }], ..data };
                talk.sent(&sent);
                talk.received(&sent);
                talk.turn(CLIENT);
                talk.ack(&mut capture, SERVER, &[]);
            }
            talk.close(&mut capture);
            let file = [("pcap", capture.pcap())];
            let findings = in_files(NAME, &file);
            let [finding] = &findings[..] else { panic!("{findings:#?}") };
            assert_eq!((finding.variant, finding.severity), ("rewritten", Severity::Info));
            let counts: Vec<_> = finding.counts.iter().map(|count| (count.name, count.value)).collect();
            assert_eq!(counts, [("records", 12), (if cut { "by_header" } else { "by_record" }, 12)]);
            for other in ["capture_loss", "retransmission"] {
                let found = in_files(other, &file);
                assert!(found.is_empty(), "{cut}: {found:#?}");
            }
        }
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
