//! Records that are shorter than their IP headers state: the file was cut after it was captured, or the
//! header is wrong. The number of the next segment shows which length is right.

use super::Sender;
use crate::dissect::Seq;
use crate::flow::sent::Segment;

/// Where a segment ends by its IP header, and where by its record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    header: Seq,
    record: Seq,
}

impl Sender {
    /// The records of this side were right so far: so is this one.
    pub(in crate::flow) fn settle_length(&mut self, segment: &mut Segment) {
        if segment.shortfall > 0 && self.side.lengths_by_record > self.side.lengths_by_header {
            segment.length = segment.length.saturating_sub(std::mem::take(&mut segment.shortfall));
            self.side.lengths_by_record += 1;
        }
    }

    /// A new segment: remembers where it ends when its two lengths differ.
    pub(super) fn doubt_length(&mut self, segment: &Segment) {
        let differs = segment.shortfall > 0 && segment.shortfall <= segment.length && !segment.fin;
        self.ends = differs.then(|| {
            let header = segment.end();
            Ends { header, record: header.plus(0u32.wrapping_sub(segment.shortfall)) }
        });
    }

    /// The next segment decides. Until then, and when nothing decides, the header does: no receiver takes a
    /// datagram that ends early.
    pub(super) fn decide_length(&mut self, segment: &Segment) {
        let Some(ends) = self.ends.filter(|ends| self.next == Some(ends.header)) else { return };
        if segment.seq == ends.header {
            self.side.lengths_by_header += 1;
        } else if segment.seq == ends.record && segment.occupies() {
            self.side.lengths_by_record += 1;
            self.next = Some(ends.record);
            if let Some(last) = self.outstanding.back_mut().filter(|last| last.end == ends.header) {
                last.length = last.length.saturating_sub(ends.header.distance(ends.record));
                last.end = ends.record;
            }
        } else {
            return;
        }
        self.ends = None;
    }
}
