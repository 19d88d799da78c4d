//! Writes tables row by row: CSV, JSON lines, a table for people. Parquet is in [`parquet`](super::parquet).

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table as Grid, presets};

use crate::report::escape;
use crate::report::parquet::ParquetFile;
use crate::report::table::{Column, Header, Table};
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

/// Takes the rows of one table.
pub trait RowWriter {
    /// Takes one row: as many values as there are headers.
    ///
    /// # Errors
    /// When it cannot be written.
    fn row(&mut self, values: &mut dyn Iterator<Item = Value<'_>>) -> io::Result<()>;

    /// Writes what is left.
    ///
    /// # Errors
    /// When it cannot be written.
    fn finish(&mut self) -> io::Result<()>;
}

/// Rows of `T` on their way into a file or a pipe.
pub struct Writer<T: Table> {
    columns: Vec<&'static Column<T>>,
    out: Out<T>,
    rows: u64,
}

/// Text goes row by row, Parquet column by column.
enum Out<T: Table> {
    Rows(Box<dyn RowWriter + Send>),
    Columns(Box<ParquetFile<T>>),
}

impl<T: Table> Writer<T> {
    /// Writes `T` to `out`: the columns named by `wanted` or, when that is empty, all (for people: the most useful).
    ///
    /// # Errors
    /// When the format cannot be started, or a column does not exist.
    pub fn new(format: Format, out: impl Write + Send + 'static, wanted: &[String]) -> io::Result<Self> {
        let columns = choose::<T>(format, wanted)?;
        let headers: Vec<Header> = columns.iter().map(|column| column.header).collect();
        let out = match format {
            Format::Table => Out::Rows(Box::new(Text::new(headers, out))),
            Format::Csv => Out::Rows(Box::new(Csv::new(&headers, out)?)),
            Format::Jsonl => Out::Rows(Box::new(JsonLines { headers, out: io::BufWriter::new(out) })),
            Format::Parquet => Out::Columns(Box::new(ParquetFile::new(&columns, Box::new(out))?)),
        };
        Ok(Self { columns, out, rows: 0 })
    }

    /// Writes rows.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn rows<'a>(&mut self, rows: &'a [T::Row<'a>]) -> io::Result<()> {
        self.rows += rows.len() as u64;
        match &mut self.out {
            Out::Columns(file) => file.rows(rows),
            Out::Rows(sheet) => rows
                .iter()
                .try_for_each(|row| sheet.row(&mut self.columns.iter().map(|column| (column.value)(row)))),
        }
    }

    /// Writes what is left and says how many rows there were.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> io::Result<u64> {
        match self.out {
            Out::Rows(mut sheet) => sheet.finish()?,
            Out::Columns(file) => file.finish()?,
        }
        Ok(self.rows)
    }
}

fn choose<T: Table>(format: Format, wanted: &[String]) -> io::Result<Vec<&'static Column<T>>> {
    let named = |name: &str| {
        T::columns().find(|column| column.header.name == name).ok_or_else(|| {
            let names = T::columns().map(|column| column.header.name);
            let hint = crate::config::nearest(name, names).map(|near| format!("; did you mean {near}?"));
            let message = format!("no column {name} in {}{}", T::NAME, hint.unwrap_or_default());
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    };
    match format {
        _ if !wanted.is_empty() => wanted.iter().map(|name| named(name)).collect(),
        Format::Table => T::BRIEF.iter().map(|name| named(name)).collect(),
        Format::Csv | Format::Jsonl | Format::Parquet => Ok(T::columns().collect()),
    }
}

struct Csv<W: Write>(csv::Writer<W>);

impl<W: Write> Csv<W> {
    fn new(headers: &[Header], out: W) -> io::Result<Self> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(headers.iter().map(|header| header.name)).map_err(io::Error::from)?;
        Ok(Self(csv))
    }
}

impl<W: Write> RowWriter for Csv<W> {
    fn row(&mut self, values: &mut dyn Iterator<Item = Value<'_>>) -> io::Result<()> {
        for value in values {
            let field = match &value {
                Value::Text(text) => escape::csv(text).into_owned(),
                other => plain(other),
            };
            self.0.write_field(field).map_err(io::Error::from)?;
        }
        self.0.write_record(None::<&[u8]>).map_err(io::Error::from)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

struct JsonLines<W: Write> {
    headers: Vec<Header>,
    out: io::BufWriter<W>,
}

impl<W: Write> RowWriter for JsonLines<W> {
    fn row(&mut self, values: &mut dyn Iterator<Item = Value<'_>>) -> io::Result<()> {
        let mut separator = b"{";
        for (header, value) in self.headers.iter().zip(values) {
            self.out.write_all(separator)?;
            separator = b",";
            write!(self.out, "\"{}\":", header.name)?;
            match value {
                Value::Null => self.out.write_all(b"null")?,
                Value::Text(text) => escape::write_json(&mut self.out, &*text, false)?,
                Value::Time(time) => write!(self.out, "\"{}\"", time.rfc3339())?,
                Value::Real(number) => escape::write_json(&mut self.out, &number, false)?,
                other => self.out.write_all(plain(&other).as_bytes())?,
            }
        }
        self.out.write_all(b"}\n")
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A table for people. Blocks of rows are laid out one by one, so that memory does not follow the number of rows.
struct Text<W: Write> {
    headers: Vec<Header>,
    out: W,
    rows: Vec<Vec<String>>,
    blocks: u64,
}

impl<W: Write> Text<W> {
    const BLOCK: usize = 1000;

    fn new(headers: Vec<Header>, out: W) -> Self {
        Self { headers, out, rows: Vec::new(), blocks: 0 }
    }

    fn write_block(&mut self) -> io::Result<()> {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        grid.set_header(self.headers.iter().map(|header| header.name));
        for (column, header) in grid.column_iter_mut().zip(&self.headers) {
            column.set_padding((0, 2));
            if !matches!(header.kind, ColumnType::Text | ColumnType::Time | ColumnType::Bool) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for row in self.rows.drain(..) {
            grid.add_row(row);
        }
        self.blocks += 1;
        for line in grid.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        self.out.flush()
    }
}

impl<W: Write> RowWriter for Text<W> {
    fn row(&mut self, values: &mut dyn Iterator<Item = Value<'_>>) -> io::Result<()> {
        let cells = values.map(|value| match &value {
            Value::Null => "-".to_owned(),
            Value::Text(text) => escape::terminal(text).into_owned(),
            Value::Real(number) => format!("{number:.6}"),
            other => plain(other),
        });
        self.rows.push(cells.collect());
        if self.rows.len() >= Self::BLOCK { self.write_block() } else { Ok(()) }
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.rows.is_empty() && self.blocks > 0 { Ok(()) } else { self.write_block() }
    }
}

fn plain(value: &Value<'_>) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Real(value) => value.to_string(),
        Value::Text(value) => value.to_string(),
        Value::Time(value) => value.rfc3339(),
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
        let mut writer = Writer::<Flows>::new(format, sink.clone(), &columns).expect("columns");
        let mut places = FileIndex::default();
        places.push("=a,b.pcap", 0);
        writer.rows(&[FlowRow { flow: &flow(7), places: &places }]).expect("memory");
        assert_eq!(writer.finish().expect("memory"), 1);
        let bytes = sink.0.lock().expect("lock").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn csv_quotes_separators_and_formulas() {
        assert_eq!(
            written(Format::Csv, &["flow_id", "id.orig_h", "file", "tunnel", "duration"]),
            "flow_id,id.orig_h,file,tunnel,duration\n7,10.0.0.2,\"'=a,b.pcap\",,1.5\n"
        );
    }

    #[test]
    fn json_lines_are_json_with_every_column() {
        let line = written(Format::Jsonl, &[]);
        let value: serde_json::Value = serde_json::from_str(&line).expect("json");
        assert_eq!(value["id.orig_p"], 40000);
        assert_eq!(value["ts"], "1970-01-01T00:00:01.000000001Z");
        assert_eq!(value.as_object().map(serde_json::Map::len), Some(Flows::columns().count()));
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
        let error = Writer::<Flows>::new(Format::Csv, io::sink(), &["durration".to_owned()]).err();
        assert_eq!(
            error.expect("no such column").to_string(),
            "no column durration in flows; did you mean duration?"
        );
    }

    #[test]
    fn every_value_is_of_its_columns_kind() {
        let (flow, places) = (flow(7), FileIndex::default());
        for column in Flows::columns() {
            let row = FlowRow { flow: &flow, places: &places };
            let value = (column.value)(&row);
            assert!(column.header.kind.holds(&value), "{}: {value:?}", column.header.name);
        }
    }
}
