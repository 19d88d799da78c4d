//! Rows in the order of a column, in bounded memory: sorted runs go to a temporary file without a name, and
//! are merged at the end.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::mem::size_of;

use serde::{Deserialize, Serialize};

use crate::report::query::compare;
use crate::report::table::{Column, Table, column};
use crate::report::value::Value;

/// A row: the cell that decides, the time, and the cells to write.
#[derive(Debug, Serialize, Deserialize)]
struct Keyed {
    key: Value<'static>,
    time: Value<'static>,
    cells: Vec<Value<'static>>,
}

impl Keyed {
    /// Bytes of memory that it takes, about.
    fn held(&self) -> usize {
        let text = |value: &Value<'_>| if let Value::Text(text) = value { text.len() } else { 0 };
        let texts: usize = self.cells.iter().chain([&self.key]).map(text).sum();
        size_of::<Self>() + self.cells.len() * size_of::<Value<'static>>() + texts
    }

    /// Values first, and those in the order asked for; equal ones in time order.
    fn order(&self, other: &Self, descending: bool) -> Ordering {
        let known = (self.key == Value::Null).cmp(&(other.key == Value::Null));
        let order = compare(&self.key, &other.key);
        let order = known.then(if descending { order.reverse() } else { order });
        order.then_with(|| compare(&self.time, &other.time))
    }
}

/// The rows of `T` that come first in the order of a column. Rows that are equal there go by time, and else
/// stay in the order they came in; rows without a value come last.
pub struct Sorted<T: Table> {
    by: &'static Column<T>,
    time: Option<&'static Column<T>>,
    descending: bool,
    limit: usize,
    /// Bytes of rows in memory, about, from which they go to the file.
    memory: usize,
    rows: Vec<Keyed>,
    held: usize,
    spilled: Option<Spilled>,
}

/// Rows beyond memory.
struct Spilled {
    file: File,
    /// Where each run ends; it begins where the one before it ends.
    ends: Vec<u64>,
}

impl<T: Table> Sorted<T> {
    /// Bytes of rows in memory: a run this long is read back in a few hundred pieces.
    pub const MEMORY: usize = 32 << 20;
    /// Sorted away when there are so many more than asked for.
    const SPARE: usize = 4096;

    /// By this column, at most so many rows.
    pub fn new(by: &'static Column<T>, descending: bool, limit: u64, memory: usize) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let time = column::<T>("ts").ok();
        Self { by, time, descending, limit, memory, rows: Vec::new(), held: 0, spilled: None }
    }

    /// Takes a row whose cells are those of `columns`.
    ///
    /// # Errors
    /// When rows beyond memory cannot be written.
    pub fn add(&mut self, columns: &[&'static Column<T>], row: &T::Row<'_>) -> io::Result<()> {
        let cells = columns.iter().map(|column| (column.value)(row).into_owned()).collect();
        let time = self.time.map_or(Value::Null, |time| (time.value)(row).into_owned());
        let keyed = Keyed { key: (self.by.value)(row).into_owned(), time, cells };
        self.held += keyed.held();
        self.rows.push(keyed);
        if self.rows.len() >= self.limit.saturating_add(Self::SPARE) {
            self.settle();
        }
        if self.held > self.memory { self.spill() } else { Ok(()) }
    }

    fn settle(&mut self) {
        let descending = self.descending;
        self.rows.sort_by(|one, other| one.order(other, descending));
        if self.rows.len() > self.limit {
            self.rows.truncate(self.limit);
            self.held = self.rows.iter().map(Keyed::held).sum();
        }
    }

    /// Makes a run of the rows in memory.
    fn spill(&mut self) -> io::Result<()> {
        self.settle();
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert(Spilled { file: tempfile::tempfile()?, ends: Vec::new() }),
        };
        let mut end = spilled.ends.last().copied().unwrap_or(0);
        let mut out = BufWriter::new(&mut spilled.file);
        for row in self.rows.drain(..) {
            let bytes = postcard::to_stdvec(&row).map_err(io::Error::other)?;
            out.write_all(&(bytes.len() as u64).to_le_bytes())?;
            out.write_all(&bytes)?;
            end += 8 + bytes.len() as u64;
        }
        out.flush()?;
        drop(out);
        spilled.ends.push(end);
        self.held = 0;
        Ok(())
    }

    /// Hands out the rows, in order, and says how many there were.
    ///
    /// # Errors
    /// When rows beyond memory cannot be read, and those of `write`.
    pub fn finish(mut self, mut write: impl FnMut(Vec<Value<'static>>) -> io::Result<()>) -> io::Result<u64> {
        if self.spilled.is_some() {
            self.spill()?;
        }
        self.settle();
        let Some(Spilled { mut file, ends }) = self.spilled else {
            let rows = self.rows.len() as u64;
            self.rows.into_iter().try_for_each(|row| write(row.cells))?;
            return Ok(rows);
        };
        let starts = [0].into_iter().chain(ends.iter().copied());
        let mut runs: Vec<Run> = starts.zip(&ends).map(|(at, end)| Run::new(at, *end)).collect();
        let descending = self.descending;
        let mut heads = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            heads.extend(run.next(&mut file)?.map(|row| Head { row, run: number, descending }));
        }
        let mut rows = 0;
        while let Some(Head { row, run: number, .. }) = heads.pop() {
            if rows == self.limit as u64 {
                break;
            }
            rows += 1;
            write(row.cells)?;
            if let Some(run) = runs.get_mut(number) {
                heads.extend(run.next(&mut file)?.map(|row| Head { row, run: number, descending }));
            }
        }
        Ok(rows)
    }
}

/// The next row of a run. The greatest of them is the first in the order.
struct Head {
    row: Keyed,
    run: usize,
    descending: bool,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        self.row.order(&other.row, self.descending).then(self.run.cmp(&other.run)).reverse()
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

/// A run on its way back: what was read and not yet used, and where the rest stands.
struct Run {
    at: u64,
    end: u64,
    read: Vec<u8>,
    used: usize,
}

impl Run {
    /// Bytes that are read at a time.
    const PIECE: usize = 64 << 10;

    fn new(at: u64, end: u64) -> Self {
        Self { at, end, read: Vec::new(), used: 0 }
    }

    fn next(&mut self, file: &mut File) -> io::Result<Option<Keyed>> {
        if self.used == self.read.len() && self.at == self.end {
            return Ok(None);
        }
        let length = self.take(file, 8)?.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
        let bytes = self.take(file, usize::try_from(length).map_err(io::Error::other)?)?;
        postcard::from_bytes(bytes).map(Some).map_err(io::Error::other)
    }

    /// The next `count` bytes.
    fn take(&mut self, file: &mut File, count: usize) -> io::Result<&[u8]> {
        let there = self.read.len() - self.used;
        if there < count {
            self.read.drain(..self.used);
            self.used = 0;
            let more = (count - there).max(Self::PIECE) as u64;
            file.seek(SeekFrom::Start(self.at))?;
            let more = file.take(more.min(self.end - self.at)).read_to_end(&mut self.read)?;
            self.at += more as u64;
        }
        let bytes = self.read.get(self.used..self.used + count).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.used += count;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::{FileIndex, FlowRow, Flows};
    use crate::report::tests::flow;

    /// Ten thousand flows, sorted by the parity of their numbers; or by the numbers themselves.
    fn sorted(by: &str, descending: bool, limit: u64, memory: usize) -> Vec<Value<'static>> {
        let by = column::<Flows>(by).expect("a column");
        let columns = [column::<Flows>("flow_id").expect("a column")];
        let mut sorted = Sorted::new(by, descending, limit, memory);
        for number in 0..10_000u64 {
            let files = FileIndex::default();
            let row = FlowRow { flow: &flow(number * 7919 % 10_000), files: &files };
            sorted.add(&columns, &row).expect("room");
        }
        let mut rows = Vec::new();
        let count = sorted.finish(|mut row| {
            rows.append(&mut row);
            Ok(())
        });
        assert_eq!(count.expect("read"), rows.len() as u64);
        rows
    }

    #[test]
    fn the_order_is_the_same_whatever_fits_into_memory() {
        for descending in [false, true] {
            let mut expected: Vec<_> = (0..10_000).map(Value::Number).collect();
            if descending {
                expected.reverse();
            }
            for memory in [usize::MAX, 100_000, 1] {
                assert!(sorted("flow_id", descending, u64::MAX, memory) == expected, "{memory}");
                assert!(sorted("flow_id", descending, 7, memory) == expected[..7], "{memory}");
            }
        }
    }

    #[test]
    fn equal_rows_stay_in_the_order_they_came_in() {
        let came: Vec<_> = (0..10_000u64).map(|number| Value::Number(number * 7919 % 10_000)).collect();
        for memory in [usize::MAX, 100_000] {
            assert!(sorted("proto", false, u64::MAX, memory) == came);
            assert!(sorted("encapsulation", true, 9, memory) == came[..9]);
        }
    }
}
