//! Records that are shorter than their IP headers state: the file was cut after it was captured, or the
//! header is wrong. Or the header counts the padding of a short frame: Ethernet pads an IP packet to 46
//! octets (IEEE 802.3 section 4A.2.3.2.4), or to 42 beside a VLAN tag. The number of the next segment shows
//! which length is right.

use super::Sender;
use crate::dissect::Seq;
use crate::flow::sent::Segment;

/// Where a segment ends by its IP header, and where by its record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    header: Seq,
    /// For a padded frame, where it begins: any octet but the first may be padding.
    record: Seq,
    padded: bool,
}

impl Sender {
    /// The records of this side were right so far: so is this one.
    pub(in crate::flow) fn settle_length(&mut self, segment: &mut Segment) {
        if segment.shortfall > 0 && self.side.lengths_by_record > self.side.lengths_by_header {
            segment.length = segment.length.saturating_sub(std::mem::take(&mut segment.shortfall));
            self.side.lengths_by_record += 1;
        }
    }

    /// A new segment: remembers where it ends when its two lengths differ, or when its frame may be padded.
    pub(super) fn doubt_length(&mut self, segment: &Segment) {
        let differs = segment.shortfall > 0 && segment.shortfall <= segment.length && !segment.fin;
        let short = matches!(segment.ip_length, 42 | 46) && (2..=6).contains(&segment.length);
        let padded = short && segment.shortfall == 0 && !segment.syn && !segment.fin;
        let header = segment.end();
        let record = if padded { segment.seq } else { header.plus(0u32.wrapping_sub(segment.shortfall)) };
        self.ends = (differs || padded).then_some(Ends { header, record, padded });
    }

    /// The next segment decides. Until then, and when nothing decides, the header does: no receiver takes a
    /// datagram that ends early.
    pub(super) fn decide_length(&mut self, segment: &Segment) {
        let Some(ends) = self.ends.filter(|ends| self.next == Some(ends.header)) else { return };
        // A receiver acknowledges all that it got (RFC 9293 section 3.10.7.4).
        let within = segment.seq.after(ends.record) && segment.seq.before(ends.header);
        let begins = match ends.padded {
            true => within && self.acked == Some(segment.seq),
            false => segment.seq == ends.record,
        };
        if segment.seq == ends.header {
            self.side.lengths_by_header += u64::from(!ends.padded);
        } else if begins && segment.occupies() {
            self.side.lengths_by_record += u64::from(!ends.padded);
            self.next = Some(segment.seq);
            if let Some(last) = self.outstanding.back_mut().filter(|last| last.end == ends.header) {
                last.length = last.length.saturating_sub(ends.header.distance(segment.seq));
                last.end = segment.seq;
            }
        } else {
            return;
        }
        self.ends = None;
    }
}
