//! One page of the rows of a table.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::Problem;
use crate::flow::Row;
use crate::pipeline::{Outcome, Rows};
use crate::report::query::Wanted;
use crate::report::table::{
    Certificates, Dns, FileIndex, Files, Flows, Http, Icmp, Services, Streamed, Table, TcpEvents, TcpSides,
    TimelineTable, Tls,
};
use crate::report::table_writer::{Format, TableWriter};

/// Which rows are asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Columns in their order; those that people want most when there are none.
    pub(super) columns: Vec<String>,
    /// Conditions, all of which have to hold.
    pub(super) conditions: Vec<String>,
    /// The column to sort by, with `-` before it for the largest first.
    pub(super) sort: Option<String>,
    /// Rows to skip.
    pub(super) offset: u64,
    /// The most rows after those.
    pub(super) most: usize,
    /// Bytes of rows, from which nobody reads them.
    pub(super) bytes: usize,
}

/// Rows of a table.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Their columns.
    pub(super) columns: Vec<String>,
    /// Their cells, in the order of the columns.
    pub(super) rows: Vec<Value>,
    /// There are more behind them.
    pub(super) is_more: bool,
}

/// Analyses; finished rows go to what it is given.
pub(super) type Run<'r> = dyn FnMut(&mut (dyn Rows + Send)) -> Result<Outcome, Problem> + 'r;

/// Reads the rows of one table.
pub(super) type Reading = fn(&Asked, &mut Run<'_>) -> Result<Found, Problem>;

/// The tables, and what reads them.
pub(super) const TABLES: &[(&str, Reading)] = &[
    (Flows::NAME, read::<Flows>),
    (TcpSides::NAME, read::<TcpSides>),
    (TcpEvents::NAME, read::<TcpEvents>),
    (Dns::NAME, read::<Dns>),
    (Tls::NAME, read::<Tls>),
    (Certificates::NAME, read::<Certificates>),
    (Http::NAME, read::<Http>),
    (Icmp::NAME, read::<Icmp>),
    (Services::NAME, read::<Services>),
    (TimelineTable::NAME, read::<TimelineTable>),
    (Files::NAME, read::<Files>),
];

fn read<T: Streamed>(asked: &Asked, run: &mut Run<'_>) -> Result<Found, Problem> {
    let columns = match asked.columns.as_slice() {
        [] => T::BRIEF.iter().map(|name| (*name).to_owned()).collect(),
        named => named.to_vec(),
    };
    let beyond = asked.offset.saturating_add(asked.most as u64).saturating_add(1);
    let wanted = Wanted { conditions: &asked.conditions, sort: asked.sort.as_deref(), limit: Some(beyond) };
    let lines = Lines::new(asked);
    let writer = TableWriter::<T>::new(Format::Jsonl, lines.clone(), &columns, &wanted).map_err(failed)?;
    let mut rows = OneTable { writer, files: FileIndex::default(), failed: None };
    let outcome = run(&mut rows)?;
    let last = rows.writer.rows(&T::concluded(&outcome));
    rows.failed.map_or(last, Err).map_err(failed)?;
    rows.writer.finish().map_err(failed)?;
    let (kept, is_more) = lines.take();
    let row = |line: &Vec<u8>| {
        let mut cells: Map<String, Value> = serde_json::from_slice(line).unwrap_or_default();
        columns.iter().map(|name| cells.remove(name).unwrap_or_default()).collect()
    };
    Ok(Found { rows: kept.iter().map(row).collect(), columns, is_more })
}

fn failed(error: io::Error) -> Problem {
    Problem::new(error.to_string())
}

/// Rows on their way; the first error stops them.
struct OneTable<T: Table> {
    writer: TableWriter<T>,
    files: FileIndex,
    failed: Option<io::Error>,
}

impl<T: Streamed> Rows for OneTable<T> {
    fn file(&mut self, path: &str, base: u64) {
        self.files.push(path, base);
    }

    fn finished(&mut self, rows: &[Row]) {
        if self.failed.is_none() {
            self.failed = self.writer.rows(&T::finished(rows, &self.files)).err();
        }
    }
}

/// Takes lines, and keeps those of the page.
#[derive(Clone)]
struct Lines(Arc<Mutex<Kept>>);

struct Kept {
    skip: u64,
    most: usize,
    bytes: usize,
    line: Vec<u8>,
    lines: Vec<Vec<u8>>,
    is_more: bool,
}

impl Lines {
    fn new(asked: &Asked) -> Self {
        let (skip, most, bytes) = (asked.offset, asked.most, asked.bytes);
        let (line, lines) = (Vec::new(), Vec::new());
        Self(Arc::new(Mutex::new(Kept { skip, most, bytes, line, lines, is_more: false })))
    }

    /// The lines of the page, and whether there are more behind them.
    fn take(&self) -> (Vec<Vec<u8>>, bool) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut kept.lines), kept.is_more)
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            kept.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut kept.line);
                kept.take(line);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn take(&mut self, line: Vec<u8>) {
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        self.is_more |= self.lines.len() >= self.most || (self.bytes == 0 && !self.lines.is_empty());
        if !self.is_more {
            self.bytes = self.bytes.saturating_sub(line.len());
            self.lines.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::TableDoc;

    fn lines(offset: u64, most: usize, bytes: usize) -> (Vec<String>, bool) {
        let asked = Asked { columns: vec![], conditions: vec![], sort: None, offset, most, bytes };
        let lines = Lines::new(&asked);
        // Cut anywhere, as a buffer cuts.
        let text: String = (0..50).map(|number| format!("[{number}]\n")).collect();
        for piece in text.as_bytes().chunks(7) {
            lines.clone().write_all(piece).expect("memory");
        }
        let (lines, is_more) = lines.take();
        (lines.into_iter().map(|line| String::from_utf8(line).expect("text")).collect(), is_more)
    }

    #[test]
    fn a_page_has_its_rows_and_says_whether_there_are_more() {
        let texts = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        assert_eq!(lines(3, 2, 1_000), (texts(&["[3]\n", "[4]\n"]), true));
        assert_eq!(lines(48, 2, 1_000), (texts(&["[48]\n", "[49]\n"]), false));
        assert_eq!(lines(60, 5, 1_000), (texts(&[]), false));
        // No more bytes are kept than anybody reads, and one line whatever its length.
        assert_eq!(lines(10, 40, 15), (texts(&["[10]\n", "[11]\n", "[12]\n"]), true));
        assert_eq!(lines(10, 40, 0), (texts(&["[10]\n"]), true));
    }

    #[test]
    fn every_table_that_a_run_gives_can_be_asked_for() {
        let known: Vec<&str> = TableDoc::known().iter().map(|table| table.name).collect();
        for (name, _) in TABLES {
            assert!(known.contains(name), "{name}");
        }
        let others = known.iter().filter(|name| !TABLES.iter().any(|(table, _)| table == *name));
        let own = ["incidents", "findings", "evidence", "states", "top", "counters"];
        assert!(others.eq(&own), "others than the tables of a run and of commands");
    }
}
