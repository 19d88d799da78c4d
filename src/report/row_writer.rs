//! Rows as text, one by one: CSV, JSON lines, a table for people.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table as Grid, presets};

use crate::report::escape;
use crate::report::table::Header;
use crate::report::value::{ColumnType, Value};

/// Writes the rows of one table as text.
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

/// Comma-separated values.
pub struct Csv<W: Write>(csv::Writer<W>);

impl<W: Write> Csv<W> {
    /// Writes the header line to `out`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(headers: &[Header], out: W) -> io::Result<Self> {
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

/// One JSON object a line.
pub struct JsonLines<W: Write> {
    headers: Vec<Header>,
    out: io::BufWriter<W>,
}

impl<W: Write> JsonLines<W> {
    /// Lines with these keys to `out`.
    pub fn new(headers: Vec<Header>, out: W) -> Self {
        Self { headers, out: io::BufWriter::new(out) }
    }
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

/// A table for people. Blocks of rows are laid out one by one, so that memory does not follow the number of
/// rows.
pub struct Aligned<W: Write> {
    headers: Vec<Header>,
    out: W,
    rows: Vec<Vec<String>>,
    blocks: u64,
}

impl<W: Write> Aligned<W> {
    const BLOCK: usize = 1000;

    /// Columns with these headers to `out`.
    pub fn new(headers: Vec<Header>, out: W) -> Self {
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

impl<W: Write> RowWriter for Aligned<W> {
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
