//! A Parquet file in sections, whose footer alone is held until the end.
//!
//! The writer of polars holds what it knows of each page until it writes its footer: 4 KiB for each column of
//! each row group, five times what the footer says of it. So a writer writes the row groups of a section and
//! its indexes only, and the row groups of all sections are in one footer, where one writer would have put
//! them.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use polars::prelude::*;
use polars_parquet::parquet::{FOOTER_SIZE, PARQUET_MAGIC};
use polars_parquet::write::{
    CompressedPage, DynIter, DynStreamingIterator, FileWriter, ThriftFileMetadata, WriteOptions,
    fallible_streaming_iterator, write_metadata_sidecar,
};

/// Row groups of a section.
const SECTION: usize = 8;

/// Writes row groups.
pub(super) struct Sections<W: Write> {
    out: Arc<Mutex<Output<W>>>,
    schema: ArrowSchema,
    options: WriteOptions,
    section: FileWriter<Shared<W>>,
    /// Row groups in the section, and bytes of the file before it.
    groups: usize,
    start: u64,
    /// The footer of the sections before.
    footer: Option<ThriftFileMetadata>,
}

impl<W: Write> Sections<W> {
    /// Starts a file.
    pub(super) fn new(mut out: W, schema: ArrowSchema, options: WriteOptions) -> PolarsResult<Self> {
        out.write_all(&PARQUET_MAGIC)?;
        let start = PARQUET_MAGIC.len() as u64;
        let out = Arc::new(Mutex::new(Output { out, place: start, skipped: 0, held: None }));
        let section = FileWriter::try_new(Shared(out.clone()), schema.clone(), options)?;
        Shared(out.clone()).skip_magic();
        Ok(Self { out, schema, options, section, groups: 0, start, footer: None })
    }

    /// Writes a row group of so many rows: the pages of each column.
    pub(super) fn write(&mut self, rows: u64, columns: &[Vec<CompressedPage>]) -> PolarsResult<()> {
        let pages = columns.iter().map(|pages| pages.iter().map(PolarsResult::Ok));
        let columns =
            pages.map(|pages| Ok(DynStreamingIterator::new(fallible_streaming_iterator::convert(pages))));
        self.section.write(rows, DynIter::new(columns))?;
        self.groups += 1;
        if self.groups == SECTION { self.end_section() } else { Ok(()) }
    }

    /// Writes the footer.
    pub(super) fn finish(mut self) -> PolarsResult<()> {
        self.end_section()?;
        if let Some(footer) = &self.footer {
            // Its first bytes are those of a file of its own, which were skipped for the next section.
            write_metadata_sidecar(&mut Shared(self.out), footer)?;
        }
        Ok(())
    }

    /// Writes the indexes of the section and keeps its footer.
    fn end_section(&mut self) -> PolarsResult<()> {
        let shared = || Shared(self.out.clone());
        let next = FileWriter::try_new(shared(), self.schema.clone(), self.options)?;
        let mut section = std::mem::replace(&mut self.section, next);
        shared().lock().held = Some(Vec::new());
        section.end(None)?;
        let mut held = shared().lock().held.take().unwrap_or_default();
        held.truncate(before_footer(&held));
        shared().write_all(&held)?;
        let (_, footer) = section.into_inner_and_metadata();
        shared().skip_magic();
        let place = shared().lock().place;
        self.keep(footer);
        (self.groups, self.start) = (0, place);
        Ok(())
    }

    fn keep(&mut self, mut section: ThriftFileMetadata) {
        // Where the section's writer saw the file begin.
        let before = (self.start - PARQUET_MAGIC.len() as u64).cast_signed();
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

/// Bytes before the footer that ends `written`: its length is before the magic at its end.
fn before_footer(written: &[u8]) -> usize {
    let end = written.len().saturating_sub(FOOTER_SIZE as usize);
    let length = written[end..].first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
    end.saturating_sub(length as usize)
}

/// Where all sections write.
struct Output<W> {
    out: W,
    /// Bytes of the file so far.
    place: u64,
    /// Bytes to come that are not written.
    skipped: usize,
    /// What is held back instead of written.
    held: Option<Vec<u8>>,
}

struct Shared<W>(Arc<Mutex<Output<W>>>);

impl<W> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, Output<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next section begins like a file.
    fn skip_magic(&self) {
        self.lock().skipped = PARQUET_MAGIC.len();
    }
}

impl<W: Write> Write for Shared<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut output = self.lock();
        if output.skipped > 0 {
            let skipped = output.skipped.min(bytes.len());
            output.skipped -= skipped;
            return Ok(skipped);
        }
        if let Some(held) = &mut output.held {
            held.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let written = output.out.write(bytes)?;
        output.place += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().out.flush()
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
        let bytes = Arc::new(Mutex::new(Output { out: Vec::new(), place: 0, skipped: 0, held: None }));
        let schema = Schema::from_iter(columns(0).map(|column| column.field().into_owned()));
        let (kinds, mut sections) = start(Shared(bytes.clone()), &schema).expect("start");
        for group in 0..groups {
            let columns = columns(group).map(Filled::Each);
            let pages = columns.into_iter().zip(&kinds).map(|(cells, kind)| encode(cells, kind));
            let pages: Vec<_> = pages.collect::<PolarsResult<_>>().expect("pages");
            sections.write(3, &pages).expect("row group");
        }
        sections.finish().expect("finish");
        std::mem::take(&mut bytes.lock().expect("bytes").out)
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
