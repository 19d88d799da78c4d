//! `counters`: one row per counter of the capture.

use super::{Column, Table, columns};
use crate::report::counters::Counter;

/// A counter and its value.
#[derive(Clone, Copy, Debug)]
pub struct CounterRow {
    /// What is counted.
    pub counter: Counter,
    /// How many.
    pub value: u64,
}

/// The table of counters.
#[derive(Debug)]
pub struct CounterTable;

impl Table for CounterTable {
    const NAME: &'static str = "counters";
    const DOC: &'static str = "One row per counter, grouped as `netstat -s` groups those of a host. A \
        host counts what it sends and what it gets; here every packet that was captured counts once.";
    const BRIEF: &'static [&'static str] = &["group", "value", "counter", "meaning"];
    const COLUMNS: &'static [Column<Self>] = COUNTER;
    type Row<'a> = CounterRow;
}

const COUNTER: &[Column<CounterTable>] = columns! { CounterTable:
    "group" Text "icmp, ip, tcp, udp" = |row| row.counter.group;
    "counter" Text "its name" = |row| row.counter.name;
    "value" U64 "how many" = |row| row.value;
    "meaning" Text "what is counted" = |row| row.counter.meaning;
    "linux" Text "the counter of Linux that is nearest to it; null when there is none"
        = |row| row.counter.linux;
};
