//! Parquet by polars: rows are collected into row groups, written and forgotten.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use polars::prelude::*;
use polars_parquet::write::{CompressedPage, ParquetType, WriteOptions};
use polars_utils::compression::ZstdLevel;
use rayon::prelude::*;

use crate::report::cells::Cells;
use crate::report::table::{Column, Table};
use crate::report::value::ColumnType;

/// Writes table `T` into one Parquet file. The row groups depend on the rows alone.
pub struct ParquetFile<T: Table> {
    writer: BatchedWriter<ErrorLatch<Box<dyn Write + Send>>>,
    options: WriteOptions,
    columns: Vec<Collected<T>>,
    /// Rows collected, and how many make the next row group.
    rows: usize,
    group: usize,
    /// Rows in row groups.
    written: usize,
    failure: Failure,
}

/// A column of the row group that is being collected.
struct Collected<T: Table> {
    column: &'static Column<T>,
    /// Its type in the file.
    kind: ParquetType,
    cells: Cells,
}

/// Rows of the first row groups: enough for zstd and column statistics to pay, and a few megabytes to hold.
const FIRST_ROWS: usize = 4 << 10;

/// Rows of the largest row groups.
const MOST_ROWS: usize = 48 << 10;

/// Rows that go through all columns before the next: what they point to stays in the cache.
const BLOCK: usize = 32;

impl<T: Table> ParquetFile<T> {
    /// Starts a file with these columns.
    ///
    /// # Errors
    /// When the start of the file cannot be written.
    pub fn new(columns: &[&'static Column<T>], out: Box<dyn Write + Send>) -> io::Result<Self> {
        let field = |column: &&Column<T>| {
            Field::new(PlSmallStr::from_static(column.header.name), data_type(column.header.kind))
        };
        let schema: Schema = columns.iter().map(field).collect();
        let failure = Failure::default();
        let mut writer = ParquetWriter::new(ErrorLatch { out, failure: failure.clone() })
            .with_compression(ParquetCompression::Zstd(ZstdLevel::try_new(1).ok()))
            .batched(&schema)
            .map_err(|error| failure.explain(error))?;
        let columns = columns.iter().zip(writer.parquet_schema().fields()).map(|(column, kind)| Collected {
            column,
            kind: kind.clone(),
            cells: Cells::new(column.header.kind),
        });
        let columns = columns.collect();
        let options = writer.get_writer().lock().unwrap_or_else(PoisonError::into_inner).options();
        Ok(Self { writer, options, columns, rows: 0, group: group_rows(0), written: 0, failure })
    }

    /// Takes rows.
    ///
    /// # Errors
    /// When a row group is full and cannot be written.
    pub fn rows<'a>(&mut self, mut rows: &'a [T::Row<'a>]) -> io::Result<()> {
        while !rows.is_empty() {
            let (now, later) = rows.split_at(rows.len().min(self.group - self.rows));
            let share = self.columns.len().div_ceil(rayon::current_num_threads()).max(1);
            self.columns.par_chunks_mut(share).for_each(|columns| {
                for block in now.chunks(BLOCK) {
                    columns.iter_mut().for_each(|into| (into.column.extend)(block, &mut into.cells));
                }
            });
            self.rows += now.len();
            rows = later;
            if self.rows == self.group {
                self.write_group()?;
            }
        }
        Ok(())
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.write_group()?;
        self.writer.finish().map_err(|error| self.failure.explain(error))?;
        Ok(())
    }

    fn write_group(&mut self) -> io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let options = self.options;
        let pages = self.columns.par_iter_mut().map(|full| full.cells.pages(&full.kind, options));
        let pages = pages.collect::<PolarsResult<Vec<Vec<CompressedPage>>>>();
        let written = pages.and_then(|pages| self.writer.write_row_group(self.rows as u64, &pages));
        written.map_err(|error| self.failure.explain(error))?;
        self.written += self.rows;
        self.rows = 0;
        self.group = group_rows(self.written);
        Ok(())
    }
}

/// Rows of the row group behind `written` rows. The longer a table gets, the larger its groups: what the footer says of
/// each, up to 4 KiB a column, is held until the end.
fn group_rows(written: usize) -> usize {
    (written / 16).clamp(FIRST_ROWS, MOST_ROWS)
}

fn data_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::U8 => DataType::UInt8,
        ColumnType::U16 => DataType::UInt16,
        ColumnType::U32 => DataType::UInt32,
        ColumnType::U64 => DataType::UInt64,
        ColumnType::F64 => DataType::Float64,
        ColumnType::Text => DataType::String,
        ColumnType::Time => DataType::Datetime(TimeUnit::Nanoseconds, Some(TimeZone::UTC)),
    }
}

/// Passes bytes on and remembers the first error: polars keeps its words only.
struct ErrorLatch<W: Write> {
    out: W,
    failure: Failure,
}

#[derive(Clone, Default)]
struct Failure(Arc<Mutex<Option<io::Error>>>);

impl Failure {
    fn explain(&self, error: PolarsError) -> io::Error {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| io::Error::other(error.to_string()))
    }

    fn keep<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let told = io::Error::new(error.kind(), error.to_string());
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            told
        })
    }
}

impl<W: Write> Write for ErrorLatch<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        // An interrupted write is tried again by its caller and is no failure.
        if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            return written;
        }
        self.failure.keep(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.failure.keep(flushed)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::report::sheet::{Format, Writer};
    use crate::report::table::{FileIndex, FlowRow, Flows, Table};
    use crate::report::tests::flow;

    #[test]
    fn a_file_has_several_row_groups_and_reads_back() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("flows.parquet");
        let file = File::create(&path).expect("file");
        let mut writer = Writer::<Flows>::new(Format::Parquet, file, &[]).expect("start");
        let places = FileIndex::default();
        let count = 2 * group_rows(0) + 5;
        let flows: Vec<_> = (1..=count as u64).map(flow).collect();
        let rows: Vec<_> = flows.iter().map(|flow| FlowRow { flow, places: &places }).collect();
        // In portions that do not fit the groups.
        rows.chunks(999).try_for_each(|rows| writer.rows(rows)).expect("rows");
        assert_eq!(writer.finish().expect("finish"), count as u64);

        let mut reader = ParquetReader::new(File::open(&path).expect("file"));
        assert_eq!(reader.get_metadata().expect("metadata").row_groups.len(), 3);
        let frame = reader.finish().expect("frame");
        assert_eq!(frame.shape(), (count, Flows::columns().count()));
        let ts = frame.column("ts").expect("ts");
        assert_eq!(ts.dtype(), &data_type(ColumnType::Time));
        assert_eq!(ts.datetime().expect("time").physical().get(0), Some(1_000_000_001));
        let ids = frame.column("flow_id").expect("flow_id").u64().expect("u64").clone();
        assert!(ids.iter().zip(1..).all(|(id, expected)| id == Some(expected)));
        assert_eq!(frame.column("id.resp_h").expect("column").str().expect("text").get(9), Some("10.0.0.1"));
        assert_eq!(frame.column("vlan").expect("column").null_count(), count);
    }

    #[test]
    fn an_empty_table_is_a_readable_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("flows.parquet");
        let file = File::create(&path).expect("file");
        Writer::<Flows>::new(Format::Parquet, file, &[]).expect("start").finish().expect("finish");
        let frame = ParquetReader::new(File::open(&path).expect("file")).finish().expect("frame");
        assert_eq!(frame.shape(), (0, Flows::columns().count()));
    }

    #[test]
    fn errors_keep_their_kind() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writer = Writer::<Flows>::new(Format::Parquet, Full, &[]);
        let error = match &mut writer {
            Ok(writer) => {
                writer.rows(&[FlowRow { flow: &flow(1), places: &FileIndex::default() }]).expect("held");
                writer_finish_error(writer)
            }
            Err(error) => error.kind(),
        };
        assert_eq!(error, io::ErrorKind::StorageFull);
    }

    fn writer_finish_error(writer: &mut Writer<Flows>) -> io::ErrorKind {
        let writer = std::mem::replace(writer, Writer::new(Format::Csv, io::sink(), &[]).expect("sink"));
        writer.finish().expect_err("full").kind()
    }
}
