//! Writes a table in the format asked for, with the columns asked for.

use std::io::{self, Write};

use crate::report::labels::Labels;
use crate::report::parquet::ParquetFile;
use crate::report::query::{Query, Wanted};
use crate::report::row_writer::{Aligned, Csv, JsonLines, RowWriter};
use crate::report::sorted::Sorted;
use crate::report::table::{Column, Header, Table, column};
use crate::report::value::{ColumnType, Value};

/// How a table is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns for people; only the most useful columns.
    #[default]
    Table,
    /// Comma-separated values (RFC 4180) with a header line; text that a spreadsheet would run is quoted.
    Csv,
    /// One JSON object per line.
    Jsonl,
    /// Apache Parquet, zstd, nanosecond timestamps.
    Parquet,
}

/// Rows of `T` on their way into a file or a pipe.
pub struct TableWriter<T: Table> {
    columns: Vec<&'static Column<T>>,
    query: Query<T>,
    sorted: Option<Sorted<T>>,
    out: Out<T>,
    rows: u64,
}

/// Text goes row by row, Parquet column by column.
enum Out<T: Table> {
    Rows(Box<dyn RowWriter + Send>),
    Columns(Box<ParquetFile<T>>),
}

impl<T: Table> TableWriter<T> {
    /// Writes `T` to `out`: the columns named by `wanted` or, when that is empty, all (for people: the most
    /// useful). Text is in the order asked for, else in time order. Parquet has the rows as they come: a flow
    /// when it ended.
    ///
    /// # Errors
    /// When the format cannot be started, a column does not exist, or rows are asked for in a way that cannot
    /// be.
    pub fn new(
        format: Format,
        out: impl Write + Send + 'static,
        columns: &[String],
        rows: &Wanted<'_>,
    ) -> io::Result<Self> {
        Self::labelled(format, out, columns, rows, Labels::default())
    }

    /// The same; in text, names of addresses stand in columns of their own behind them.
    ///
    /// # Errors
    /// As [`TableWriter::new`], and when names are wanted in Parquet.
    pub fn labelled(
        format: Format,
        out: impl Write + Send + 'static,
        columns: &[String],
        rows: &Wanted<'_>,
        labels: Labels,
    ) -> io::Result<Self> {
        if !labels.is_empty() && format == Format::Parquet {
            return Err(wrong("parquet has no names of addresses: join them where it is read".to_owned()));
        }
        let query = Query::new(rows).map_err(wrong)?;
        if query.order().is_some() && format == Format::Parquet {
            return Err(wrong("parquet is written as rows come: sort it where it is read".to_owned()));
        }
        let query = if format == Format::Parquet { query } else { query.or_by_time() };
        let sorted = query
            .order()
            .map(|(by, descending)| Sorted::new(by, descending, query.limit(), Sorted::<T>::MEMORY));
        let columns = choose::<T>(format, columns)?;
        let names = columns.iter().map(|column| label_column(column.header.name));
        let names: Vec<_> = names.map(|name| name.filter(|_| !labels.is_empty())).collect();
        let headers = columns.iter().zip(&names).flat_map(|(column, name)| [Some(column.header), *name]);
        let headers: Vec<Header> = headers.flatten().collect();
        let out = match format {
            Format::Table => Out::Rows(Box::new(Aligned::new(headers, out))),
            Format::Csv => Out::Rows(Box::new(Csv::new(&headers, out)?)),
            Format::Jsonl => Out::Rows(Box::new(JsonLines::new(headers, out))),
            Format::Parquet => Out::Columns(Box::new(ParquetFile::new(&columns, Box::new(out))?)),
        };
        let out = match out {
            Out::Rows(inner) if !labels.is_empty() => {
                let named = names.iter().map(Option::is_some).collect();
                Out::Rows(Box::new(Labelled { inner, labels, named }))
            }
            out => out,
        };
        Ok(Self { columns, query, sorted, out, rows: 0 })
    }

    /// Holds so many rows at most of those on their way into Parquet.
    pub fn collecting(mut self, rows: usize) -> Self {
        if let Out::Columns(file) = &mut self.out {
            file.collect(rows);
        }
        self
    }

    /// Writes those rows that are wanted.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn rows(&mut self, rows: &[T::Row<'_>]) -> io::Result<()> {
        if self.query.is_everything() {
            return self.write(rows);
        }
        let mut kept: Vec<T::Row<'_>> = rows.iter().copied().filter(|row| self.query.keeps(row)).collect();
        if let Some(sorted) = &mut self.sorted {
            return kept.iter().try_for_each(|row| sorted.add(&self.columns, row));
        }
        let left = self.query.limit().saturating_sub(self.rows);
        kept.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.write(&kept)
    }

    fn write(&mut self, rows: &[T::Row<'_>]) -> io::Result<()> {
        self.rows += rows.len() as u64;
        match &mut self.out {
            Out::Columns(file) => file.rows(rows),
            Out::Rows(text) => rows
                .iter()
                .try_for_each(|row| text.row(&mut self.columns.iter().map(|column| (column.value)(row)))),
        }
    }

    /// Writes what is left and says how many rows there were.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> io::Result<u64> {
        let mut rows = self.rows;
        match self.out {
            Out::Rows(mut text) => {
                if let Some(sorted) = self.sorted {
                    rows += sorted.finish(|row| text.row(&mut row.into_iter()))?;
                }
                text.finish()?;
            }
            Out::Columns(file) => file.finish()?,
        }
        Ok(rows)
    }
}

/// The column of names behind a column of addresses.
fn label_column(name: &str) -> Option<Header> {
    const NAMES: [(&str, &str); 7] = [
        ("id.orig_h", "orig_label"),
        ("id.resp_h", "resp_label"),
        ("src_h", "src_label"),
        ("dst_h", "dst_label"),
        ("server", "server_label"),
        ("client", "client_label"),
        ("talker", "label"),
    ];
    let (_, name) = NAMES.into_iter().find(|(of, _)| *of == name)?;
    Some(Header { name, kind: ColumnType::Text, doc: "what people call it" })
}

/// Writes the names of addresses behind them.
struct Labelled {
    inner: Box<dyn RowWriter + Send>,
    labels: Labels,
    /// By column: whether one of names follows.
    named: Vec<bool>,
}

impl RowWriter for Labelled {
    fn row(&mut self, values: &mut dyn Iterator<Item = Value<'_>>) -> io::Result<()> {
        let mut row = Vec::new();
        for (value, named) in values.zip(&self.named) {
            let names = match &value {
                Value::Text(text) if *named => self.labels.names(text),
                _ => String::new(),
            };
            row.push(value);
            if *named {
                row.push(if names.is_empty() { Value::Null } else { Value::Text(names.into()) });
            }
        }
        self.inner.row(&mut row.into_iter())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.inner.finish()
    }
}

fn wrong(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

fn choose<T: Table>(format: Format, wanted: &[String]) -> io::Result<Vec<&'static Column<T>>> {
    let named = |name: &str| column::<T>(name).map_err(wrong);
    match format {
        _ if !wanted.is_empty() => wanted.iter().map(|name| named(name)).collect(),
        Format::Table => T::BRIEF.iter().map(|name| named(name)).collect(),
        Format::Csv | Format::Jsonl | Format::Parquet => Ok(T::COLUMNS.iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::report::table::{FileIndex, FlowRow, Flows};
    use crate::report::tests::flow;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, columns: &[&str]) -> String {
        let sink = Sink::default();
        let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        let mut writer =
            TableWriter::<Flows>::new(format, sink.clone(), &columns, &Wanted::default()).expect("columns");
        let mut files = FileIndex::default();
        files.push("=a,b.pcap", 0);
        writer.rows(&[FlowRow { flow: &flow(7), files: &files }]).expect("memory");
        assert_eq!(writer.finish().expect("memory"), 1);
        let bytes = sink.0.lock().expect("lock").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn csv_quotes_separators_and_formulas() {
        assert_eq!(
            written(Format::Csv, &["flow_id", "id.orig_h", "file", "encapsulation", "duration"]),
            "flow_id,id.orig_h,file,encapsulation,duration\n7,10.0.0.2,\"'=a,b.pcap\",,1.5\n"
        );
    }

    #[test]
    fn json_lines_are_json_with_every_column() {
        let line = written(Format::Jsonl, &[]);
        let value: serde_json::Value = serde_json::from_str(&line).expect("json");
        assert_eq!(value["id.orig_p"], 40000);
        assert_eq!(value["ts"], "1970-01-01T00:00:01.000000001Z");
        assert_eq!(value.as_object().map(serde_json::Map::len), Some(Flows::COLUMNS.len()));
    }

    #[test]
    fn people_get_the_most_useful_columns() {
        let table = written(Format::Table, &[]);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].starts_with("ts"), "{table}");
        assert!(lines[1].contains("10.0.0.2") && lines.len() == 2, "{table}");
    }

    #[test]
    fn unknown_columns_name_the_nearest() {
        let error =
            TableWriter::<Flows>::new(Format::Csv, io::sink(), &["durration".to_owned()], &Wanted::default());
        assert_eq!(
            error.err().expect("no such column").to_string(),
            "no column durration in flows; did you mean duration?"
        );
    }
}
