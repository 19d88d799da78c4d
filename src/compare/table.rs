//! The table of packets that did not arrive as they were sent.

use super::pair::{Event, Fate, Place, Shown};
use super::sides::Way;
use crate::report::table::{Column, Table, columns, word};

/// One packet.
#[derive(Clone, Copy)]
pub struct BetweenRow<'a> {
    /// What is said of it.
    pub event: &'a Event<'a>,
}

impl BetweenRow<'_> {
    fn shown(&self) -> &Shown {
        self.event.shown
    }

    fn place(&self, first: bool) -> Option<&Place> {
        if first { self.shown().a.as_ref() } else { self.shown().b.as_ref() }
    }

    fn name(&self, first: bool) -> &str {
        let [a, b] = self.event.points;
        if first == (self.event.way == Way::Forth) { &a.name } else { &b.name }
    }
}

/// The table of packets that were lost, made up or changed between two points.
#[derive(Debug)]
pub struct Between;

impl Table for Between {
    const NAME: &'static str = "between";
    const DOC: &'static str = "One row per packet that was lost, made up or changed between two points.";
    const BRIEF: &'static [&'static str] =
        &["what", "from", "to", "frame_a", "frame_b", "kind", "source", "destination", "length"];
    const COLUMNS: &'static [Column<Self>] = BETWEEN;
    type Row<'a> = BetweenRow<'a>;
}

const BETWEEN: &[Column<Between>] = columns! { Between:
    "what" Text "lost; absent (nothing of its conversation arrived); missed (acknowledged, so the capture \
        missed it); injected (a reset that was not sent); only_arrived; changed"
        = |row| row.event.fate.as_ref().map_or("changed", word::<Fate>);
    "field" Text "what was changed" = |row| row.event.field.as_ref().map(|(field, ..)| word(field));
    "sent" Text "its value as it was sent" = |row| row.event.field.as_ref().map(|(_, sent, _)| sent.as_str());
    "arrived" Text "its value as it arrived"
        = |row| row.event.field.as_ref().map(|(.., arrived)| arrived.as_str());
    "from" Text "point where the packet is first" = |row| row.name(true);
    "to" Text "point where it arrives" = |row| row.name(false);
    "time_a" Time "when A recorded it, by its own clock" = |row| row.place(true).map(|place| place.time);
    "file_a" Text "its file in A" = |row| row.place(true).map(|place| place.file.as_str());
    "frame_a" U64 "its frame number there" = |row| row.place(true).map(|place| place.frame);
    "time_b" Time "when B recorded it, by its own clock" = |row| row.place(false).map(|place| place.time);
    "file_b" Text "its file in B" = |row| row.place(false).map(|place| place.file.as_str());
    "frame_b" U64 "its frame number there" = |row| row.place(false).map(|place| place.frame);
    "kind" Text "kind of packet" = |row| word(&row.shown().kind);
    "source" Text "from whom, as it was sent" = |row| row.shown().source.as_str();
    "destination" Text "to whom" = |row| row.shown().destination.as_str();
    "seq" U32 "TCP sequence number" = |row| row.shown().seq;
    "length" U32 "bytes of payload" = |row| row.shown().length;
};
