//! Parquet by polars: rows are collected into row groups, written and forgotten.

mod sections;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use polars::prelude::*;
use polars_arrow::array::{Array, DictionaryArray, PrimitiveArray};
use polars_arrow::datatypes::{ArrowDataType, IntegerType};
use polars_parquet::write::{
    CompressedPage, CompressionOptions, Encoding, Page, ParquetType, StatisticsOptions, Version,
    WriteOptions, array_to_columns, compress, to_parquet_schema,
};
use polars_utils::compression::ZstdLevel;
use rayon::prelude::*;

use sections::Sections;

use crate::report::frames::{Filled, Frames};
use crate::report::table::{self, Table};

/// Writes table `T` into one Parquet file. The row groups depend on the rows alone.
pub struct ParquetFile<T: Table> {
    sections: Sections<ErrorLatch<Box<dyn Write + Send>>>,
    /// The types of the columns in the file.
    kinds: Vec<ParquetType>,
    collected: Frames<T>,
    /// Rows that make the next row group.
    group: usize,
    /// Rows of the largest row groups.
    most: usize,
    /// Rows in row groups.
    written: usize,
    failure: Failure,
}

/// Rows of the first row groups: enough for zstd and column statistics to pay, and a few megabytes to hold.
const FIRST_ROWS: usize = 4 << 10;

/// Bytes of a column from which it is compressed: each of its pages costs the tables of a compressor, which
/// are a hundred times as long.
const COMPRESSED: usize = 1 << 10;

/// Rows of the largest row groups, in memory enough.
const MOST_ROWS: usize = 48 << 10;

impl<T: Table> ParquetFile<T> {
    /// Starts a file with these columns.
    ///
    /// # Errors
    /// When the start of the file cannot be written.
    pub fn new(columns: &[&'static table::Column<T>], out: Box<dyn Write + Send>) -> io::Result<Self> {
        let collected = Frames::new(columns);
        let failure = Failure::default();
        let out = ErrorLatch { out, failure: failure.clone() };
        let (kinds, sections) = start(out, &collected.schema()).map_err(|error| failure.explain(error))?;
        let (group, most) = (FIRST_ROWS, MOST_ROWS);
        Ok(Self { sections, kinds, collected, group, most, written: 0, failure })
    }

    /// Collects so many rows at most, but never fewer than the first row groups have.
    pub fn collect(&mut self, most: usize) {
        self.most = most.clamp(FIRST_ROWS, MOST_ROWS);
    }

    /// Takes rows.
    ///
    /// # Errors
    /// When a row group is full and cannot be written.
    pub fn rows(&mut self, mut rows: &[T::Row<'_>]) -> io::Result<()> {
        while !rows.is_empty() {
            let room = self.group - self.collected.rows();
            let (now, later) = rows.split_at(rows.len().min(room));
            self.collected.extend(now);
            rows = later;
            if self.collected.rows() == self.group {
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
        self.sections.finish().map_err(|error| self.failure.explain(error))
    }

    fn write_group(&mut self) -> io::Result<()> {
        let rows = self.collected.rows();
        if rows == 0 {
            return Ok(());
        }
        self.written += rows;
        self.group = group_rows(self.written, self.most);
        // A table that had one full group fills the next one, too.
        let room = if rows >= FIRST_ROWS { self.group } else { 0 };
        let columns = self.collected.take_columns(room);
        let columns = columns.into_par_iter().zip(&self.kinds);
        let pages: PolarsResult<Vec<Vec<CompressedPage>>> =
            columns.map(|(filled, kind)| encode(filled, kind)).collect();
        let written = pages.and_then(|pages| self.sections.write(rows as u64, &pages));
        written.map_err(|error| self.failure.explain(error))
    }
}

/// Starts a file, and says the types of its columns.
fn start<W: Write>(out: W, schema: &Schema) -> PolarsResult<(Vec<ParquetType>, Sections<W>)> {
    let schema = schema.to_arrow(CompatLevel::newest());
    let columns = to_parquet_schema(&schema)?;
    Ok((columns.fields().to_vec(), Sections::new(out, schema, columns, options())))
}

fn options() -> WriteOptions {
    WriteOptions {
        statistics: StatisticsOptions::default(),
        compression: CompressionOptions::Zstd(ZstdLevel::try_new(1).ok()),
        version: Version::V1,
        data_page_size: None,
    }
}

/// The cells of a column, encoded and compressed.
fn encode(filled: Filled, kind: &ParquetType) -> PolarsResult<Vec<CompressedPage>> {
    let mut options = options();
    let newest = CompatLevel::newest();
    let (cells, encoding) = match filled {
        Filled::Each(cells) => (cells.to_arrow(0, newest), encoding(&cells)),
        // A dictionary of one value, or which cells are null: a frame of zstd would be as long.
        Filled::Same(one, count) if one.dtype() != &DataType::Boolean => {
            options.compression = CompressionOptions::Uncompressed;
            match one.null_count() {
                0 => (repeated(one.to_arrow(0, newest), count)?, Encoding::RleDictionary),
                _ => (one.new_from_index(0, count).to_arrow(0, newest), Encoding::Plain),
            }
        }
        same => (same.series().to_arrow(0, newest), Encoding::Plain),
    };
    let pages = array_to_columns(cells, kind.clone(), options, &[encoding])?;
    let pages: Vec<Page> = pages.into_iter().flatten().collect::<PolarsResult<_>>()?;
    if pages.iter().map(length).sum::<usize>() < COMPRESSED {
        options.compression = CompressionOptions::Uncompressed;
    }
    pages.into_iter().map(|page| Ok(compress(page, Vec::new(), options.compression)?)).collect()
}

fn length(page: &Page) -> usize {
    match page {
        Page::Data(page) => page.buffer().len(),
        Page::Dict(page) => page.buffer.len(),
    }
}

/// So many cells that are the one of `values`.
fn repeated(values: Box<dyn Array>, count: usize) -> PolarsResult<Box<dyn Array>> {
    let keys = PrimitiveArray::new(ArrowDataType::UInt32, vec![0u32; count].into(), None);
    let kind = ArrowDataType::Dictionary(IntegerType::UInt32, Box::new(values.dtype().clone()), false);
    Ok(DictionaryArray::try_new(kind, keys, values)?.boxed())
}

/// How a column is encoded. Ordinals, frame numbers and times are near those of the row before, and written
/// as differences; those of numbers of 32 bits may have 33, which some readers refuse. Of all others polars
/// makes a dictionary where that is shorter.
fn encoding(column: &Series) -> Encoding {
    let near = match column.dtype() {
        DataType::UInt64 => column.u64().is_ok_and(|cells| is_near(cells.iter().flatten())),
        DataType::Datetime(..) => column.datetime().is_ok_and(|cells| {
            let cells = cells.physical().iter().flatten();
            // Wrapping differences are what is written, too.
            is_near(cells.map(i64::cast_unsigned))
        }),
        _ => false,
    };
    if column.dtype() == &DataType::Boolean || column.null_count() == column.len() {
        Encoding::Plain
    } else if near {
        Encoding::DeltaBinaryPacked
    } else {
        Encoding::RleDictionary
    }
}

/// Three of four numbers differ from the one before them, and on average by less than a sixteenth of what all
/// of them span. Counts of which few values are common are none: a dictionary of those is shorter.
fn is_near(numbers: impl Iterator<Item = u64>) -> bool {
    let (mut count, mut differ, mut steps) = (0u64, 0u64, 0u128);
    let (mut low, mut high, mut before) = (u64::MAX, 0, None);
    for number in numbers {
        let step = before.replace(number).map_or(0, |before| number.abs_diff(before));
        count += 1;
        differ += u64::from(step > 0);
        steps += u128::from(step);
        (low, high) = (low.min(number), high.max(number));
    }
    differ * 4 >= count * 3 && steps * 16 < u128::from(high.saturating_sub(low)) * u128::from(count)
}

/// Rows of the row group behind `written` rows. The longer a table gets, the larger its groups: what the
/// footer says of each, about 1 KiB a column, is held until the end.
fn group_rows(written: usize, most: usize) -> usize {
    (written / 16).clamp(FIRST_ROWS, most)
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
    use crate::report::query::Wanted;
    use crate::report::table::{FileIndex, FlowRow, Flows};
    use crate::report::table_writer::{Format, TableWriter};
    use crate::report::tests::flow;

    #[test]
    fn a_file_has_several_row_groups_and_reads_back() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("flows.parquet");
        let file = File::create(&path).expect("file");
        let mut writer =
            TableWriter::<Flows>::new(Format::Parquet, file, &[], &Wanted::default()).expect("start");
        let files = FileIndex::default();
        let count = 2 * FIRST_ROWS + 5;
        let flows: Vec<_> = (1..=count as u64).map(flow).collect();
        let rows: Vec<_> = flows.iter().map(|flow| FlowRow { flow, files: &files }).collect();
        // In portions that do not fit the groups.
        rows.chunks(999).try_for_each(|rows| writer.rows(rows)).expect("rows");
        assert_eq!(writer.finish().expect("finish"), count as u64);

        let mut reader = ParquetReader::new(File::open(&path).expect("file"));
        assert_eq!(reader.get_metadata().expect("metadata").row_groups.len(), 3);
        let frame = reader.finish().expect("frame");
        assert_eq!(frame.shape(), (count, Flows::COLUMNS.len()));
        let ts = frame.column("ts").expect("ts");
        assert_eq!(*ts.dtype(), DataType::Datetime(TimeUnit::Nanoseconds, Some(TimeZone::UTC)));
        assert_eq!(ts.datetime().expect("time").physical().get(0), Some(1_000_000_001));
        let ids = frame.column("flow_id").expect("flow_id").u64().expect("u64").clone();
        assert!(ids.iter().zip(1..).all(|(id, expected)| id == Some(expected)));
        assert_eq!(frame.column("id.resp_h").expect("column").str().expect("text").get(9), Some("10.0.0.1"));
        assert_eq!(frame.column("encapsulation").expect("column").null_count(), count);
    }

    #[test]
    fn ordinals_are_near_each_other_and_counts_are_not() {
        assert!(is_near((0..4096).map(|row| 7 + row * 3 + row % 5)));
        assert!(!is_near((0..4096).map(|row| row % 7 * 1000)));
        assert!(!is_near((0..4096).map(|row| if row % 100 == 0 { 1 << 40 } else { 40 })));
        assert!(!is_near(std::iter::empty()));
        assert!(!is_near([u64::MAX, 0].into_iter()));
    }

    #[test]
    fn an_empty_table_is_a_readable_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("flows.parquet");
        let file = File::create(&path).expect("file");
        TableWriter::<Flows>::new(Format::Parquet, file, &[], &Wanted::default())
            .expect("start")
            .finish()
            .expect("finish");
        let frame = ParquetReader::new(File::open(&path).expect("file")).finish().expect("frame");
        assert_eq!(frame.shape(), (0, Flows::COLUMNS.len()));
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
        let files = FileIndex::default();
        let written = TableWriter::<Flows>::new(Format::Parquet, Full, &[], &Wanted::default()).and_then(
            |mut writer| {
                writer.rows(&[FlowRow { flow: &flow(1), files: &files }])?;
                writer.finish()
            },
        );
        assert_eq!(written.expect_err("full").kind(), io::ErrorKind::StorageFull);
    }
}
