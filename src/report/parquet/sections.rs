//! A Parquet file in sections, whose footer alone is held until the end.
//!
//! The writer of polars holds what it knows of each page until it writes its footer: 4 KiB for each column of
//! each row group, five times what the footer says of it. So a writer writes the row groups of a section and
//! its indexes only, and the row groups of all sections are in one footer, where one writer would have put
//! them.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use polars::prelude::*;
use polars_parquet::parquet::{FOOTER_SIZE, PARQUET_MAGIC};
use polars_parquet::write::{
    CompressedPage, DynIter, DynStreamingIterator, FileWriter, SchemaDescriptor, ThriftFileMetadata,
    WriteOptions, fallible_streaming_iterator, write_metadata_sidecar,
};

/// Row groups of a section.
const SECTION: usize = 8;

/// Writes row groups.
pub(super) struct Sections<W: Write> {
    schema: ArrowSchema,
    columns: SchemaDescriptor,
    options: WriteOptions,
    /// Of the section that is being written. There is none once a write failed.
    section: Option<FileWriter<Output<W>>>,
    /// Whether what the section's writer writes is held back.
    held: Arc<AtomicBool>,
    /// Row groups in the section, and bytes of the file before it.
    groups: usize,
    start: u64,
    /// The footer of the sections before.
    footer: Option<ThriftFileMetadata>,
}

impl<W: Write> Sections<W> {
    /// Starts a file of these columns, as Arrow and as Parquet have them.
    pub(super) fn new(out: W, schema: ArrowSchema, columns: SchemaDescriptor, options: WriteOptions) -> Self {
        let held = Arc::<AtomicBool>::default();
        let out = Output { out, place: 0, skipped: 0, is_held: held.clone(), held: Vec::new() };
        let mut sections =
            Self { schema, columns, options, section: None, held, groups: 0, start: 0, footer: None };
        sections.begin_section(out);
        sections
    }

    /// Writes a row group of so many rows: the pages of each column.
    pub(super) fn write(&mut self, rows: u64, columns: &[Vec<CompressedPage>]) -> PolarsResult<()> {
        if self.groups == SECTION {
            let mut out = self.end_section()?;
            out.skipped = PARQUET_MAGIC.len();
            self.begin_section(out);
        }
        let pages = columns.iter().map(|pages| pages.iter().map(PolarsResult::Ok));
        let pages = pages.map(fallible_streaming_iterator::convert);
        let columns = pages.map(|pages| Ok(DynStreamingIterator::new(pages)));
        self.section()?.write(rows, DynIter::new(columns))?;
        self.groups += 1;
        Ok(())
    }

    /// Writes the footer.
    pub(super) fn finish(mut self) -> PolarsResult<()> {
        if self.footer.is_none() {
            return self.section()?.end(None).map(drop);
        }
        let mut out = self.end_section()?;
        if let Some(footer) = &self.footer {
            // It begins as a file of its own would, which is skipped like the beginning of a section.
            out.skipped = PARQUET_MAGIC.len();
            write_metadata_sidecar(&mut out, footer)?;
        }
        Ok(())
    }

    fn section(&mut self) -> PolarsResult<&mut FileWriter<Output<W>>> {
        self.section.as_mut().ok_or_else(failed)
    }

    fn begin_section(&mut self, out: Output<W>) {
        (self.groups, self.start) = (0, out.place);
        let (schema, columns) = (self.schema.clone(), self.columns.clone());
        self.section = Some(FileWriter::new_with_parquet_schema(out, schema, columns, self.options));
    }

    /// Writes the indexes of the section, and keeps its footer.
    fn end_section(&mut self) -> PolarsResult<Output<W>> {
        let mut section = self.section.take().ok_or_else(failed)?;
        self.held.store(true, Ordering::Relaxed);
        section.end(None)?;
        self.held.store(false, Ordering::Relaxed);
        let (mut out, footer) = section.into_inner_and_metadata();
        let held = std::mem::take(&mut out.held);
        out.write_all(&held[..before_footer(&held)])?;
        self.keep(footer);
        Ok(out)
    }

    fn keep(&mut self, mut section: ThriftFileMetadata) {
        // Where the section's writer saw the file begin.
        let before = self.start.saturating_sub(PARQUET_MAGIC.len() as u64).cast_signed();
        let shift = |place: &mut Option<i64>| *place = place.map(|place| place + before);
        for group in &mut section.row_groups {
            shift(&mut group.file_offset);
            for column in &mut group.columns {
                column.file_offset += before;
                shift(&mut column.offset_index_offset);
                shift(&mut column.column_index_offset);
                for pages in column.meta_data.iter_mut() {
                    pages.data_page_offset += before;
                    shift(&mut pages.dictionary_page_offset);
                }
            }
        }
        let Some(footer) = &mut self.footer else {
            self.footer = Some(section);
            return;
        };
        for mut group in section.row_groups {
            group.ordinal = i16::try_from(footer.row_groups.len()).ok();
            footer.row_groups.push(group);
        }
        footer.num_rows += section.num_rows;
    }
}

fn failed() -> PolarsError {
    polars_err!(ComputeError: "a write before this one failed")
}

/// Bytes before the footer that ends `written`: its length is before the magic at its end.
fn before_footer(written: &[u8]) -> usize {
    let end = written.len().saturating_sub(FOOTER_SIZE as usize);
    let length = written[end..].first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
    end.saturating_sub(length as usize)
}

/// What one section after the other writes into.
struct Output<W> {
    out: W,
    /// Bytes of the file so far.
    place: u64,
    /// Bytes to come that are not written.
    skipped: usize,
    is_held: Arc<AtomicBool>,
    /// What is held back instead of written.
    held: Vec<u8>,
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_held.load(Ordering::Relaxed) {
            return self.held.write(bytes);
        }
        if self.skipped > 0 {
            let skipped = self.skipped.min(bytes.len());
            self.skipped -= skipped;
            return Ok(skipped);
        }
        let written = self.out.write(bytes)?;
        self.place += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::frames::Filled;
    use crate::report::parquet::{encode, start};

    /// Group `group` of a table: three numbers and three words.
    fn columns(group: u64) -> [Series; 2] {
        let numbers = [group, group + 1, group * group];
        let words = numbers.map(|number| format!("word {number}"));
        [Series::new("number".into(), numbers), Series::new("word".into(), words.as_slice())]
    }

    fn file(groups: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let schema = Schema::from_iter(columns(0).map(|column| column.field().into_owned()));
        let (kinds, mut sections) = start(&mut bytes, &schema).expect("start");
        for group in 0..groups {
            let columns = columns(group).map(Filled::Each);
            let pages = columns.into_iter().zip(&kinds).map(|(cells, kind)| encode(cells, kind));
            let pages: Vec<_> = pages.collect::<PolarsResult<_>>().expect("pages");
            sections.write(3, &pages).expect("row group");
        }
        sections.finish().expect("finish");
        bytes
    }

    #[test]
    fn sections_are_one_file() {
        let section = SECTION as u64;
        for groups in [0, 1, section - 1, section, section + 1, 3 * section + 2] {
            let bytes = file(groups);
            let mut reader = ParquetReader::new(io::Cursor::new(&bytes));
            assert_eq!(reader.num_rows().expect("rows"), 3 * groups as usize);
            assert_eq!(reader.get_metadata().expect("metadata").row_groups.len(), groups as usize);
            let frame = reader.finish().expect("frame");
            for (column, name) in ["number", "word"].into_iter().enumerate() {
                let mut expected = Series::new_empty(name.into(), columns(0)[column].dtype());
                for group in 0..groups {
                    expected.append(&columns(group)[column]).expect("append");
                }
                let read = frame.column(name).expect("column").as_materialized_series().clone();
                assert!(read.equals_missing(&expected), "{groups} groups: {name}");
            }
        }
    }

    #[test]
    fn a_file_holds_its_groups_and_indexes_and_one_footer_and_no_byte_more() {
        let groups = 2 * SECTION + 3;
        let bytes = file(groups as u64);
        let magics = bytes.windows(4).filter(|window| *window == PARQUET_MAGIC).count();
        assert_eq!(magics, 2);
        let footer = before_footer(&bytes);
        let mut reader = ParquetReader::new(io::Cursor::new(&bytes));
        let metadata = reader.get_metadata().expect("metadata").clone();
        let pages = metadata.row_groups.iter().flat_map(|group| group.parquet_columns().iter());
        let ranges: Vec<_> = pages.map(|column| column.byte_range()).collect();
        assert_eq!(ranges.len(), 2 * groups);
        assert_eq!(ranges[0].start, PARQUET_MAGIC.len() as u64);
        assert!(ranges.windows(2).all(|two| two[0].end <= two[1].start));
        assert!(ranges.last().is_some_and(|last| last.end < footer as u64));
        // The second section begins behind the indexes of the first, which begin behind its groups.
        let (last, next) = (&ranges[2 * SECTION - 1], &ranges[2 * SECTION]);
        assert!(next.start - last.end > ranges[1].start - ranges[0].end);
    }
}
