//! Rows of a table, collected by column: what Parquet is written from, and Arrow is.

use polars::prelude::*;

use crate::report::table::{self, Header, Table};
use crate::report::value::{ColumnType, Value};

/// Rows of `T` on their way into data frames.
pub struct Frames<T: Table> {
    columns: Vec<(&'static table::Column<T>, Cells)>,
    rows: usize,
}

/// Rows that go through all columns before the next: what they point to stays in the cache.
const BLOCK: usize = 32;

impl<T: Table> Frames<T> {
    /// None yet, of these columns.
    pub fn new(columns: &[&'static table::Column<T>]) -> Self {
        let columns = columns.iter().map(|column| (*column, Cells::new(&column.header, 0))).collect();
        Self { columns, rows: 0 }
    }

    /// Names and types of the columns.
    pub fn schema(&self) -> Schema {
        self.columns.iter().map(|(column, _)| field(&column.header)).collect()
    }

    /// Rows collected since the last frame.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Collects rows.
    pub fn extend(&mut self, rows: &[T::Row<'_>]) {
        for block in rows.chunks(BLOCK) {
            for (column, cells) in &mut self.columns {
                cells.extend(block.iter().map(column.value));
            }
        }
        self.rows += rows.len();
    }

    /// The rows collected, as one data frame; the next one has room for so many from the start.
    ///
    /// # Errors
    /// Not with columns of different names, which those of a table are.
    pub fn take(&mut self, room: usize) -> PolarsResult<DataFrame> {
        let full = self.columns.iter_mut().map(|(column, cells)| {
            std::mem::replace(cells, Cells::new(&column.header, room)).finish().into_column()
        });
        DataFrame::new(std::mem::take(&mut self.rows), full.collect())
    }
}

fn field(header: &Header) -> Field {
    let kind = match header.kind {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::U8 => DataType::UInt8,
        ColumnType::U16 => DataType::UInt16,
        ColumnType::U32 => DataType::UInt32,
        ColumnType::U64 => DataType::UInt64,
        ColumnType::F64 => DataType::Float64,
        ColumnType::Text => DataType::String,
        ColumnType::Time => DataType::Datetime(TimeUnit::Nanoseconds, Some(TimeZone::UTC)),
    };
    Field::new(PlSmallStr::from_static(header.name), kind)
}

/// The cells of one column of the row group that is being collected.
enum Cells {
    Bool(BooleanChunkedBuilder),
    U8(PrimitiveChunkedBuilder<UInt8Type>),
    U16(PrimitiveChunkedBuilder<UInt16Type>),
    U32(PrimitiveChunkedBuilder<UInt32Type>),
    U64(PrimitiveChunkedBuilder<UInt64Type>),
    F64(PrimitiveChunkedBuilder<Float64Type>),
    Text(StringChunkedBuilder),
    /// Nanoseconds since the epoch.
    Time(PrimitiveChunkedBuilder<Int64Type>),
}

impl Cells {
    fn new(header: &Header, room: usize) -> Self {
        let name = PlSmallStr::from_static(header.name);
        match header.kind {
            ColumnType::Bool => Self::Bool(BooleanChunkedBuilder::new(name, room)),
            ColumnType::U8 => Self::U8(PrimitiveChunkedBuilder::new(name, room)),
            ColumnType::U16 => Self::U16(PrimitiveChunkedBuilder::new(name, room)),
            ColumnType::U32 => Self::U32(PrimitiveChunkedBuilder::new(name, room)),
            ColumnType::U64 => Self::U64(PrimitiveChunkedBuilder::new(name, room)),
            ColumnType::F64 => Self::F64(PrimitiveChunkedBuilder::new(name, room)),
            ColumnType::Text => Self::Text(StringChunkedBuilder::new(name, room)),
            ColumnType::Time => Self::Time(PrimitiveChunkedBuilder::new(name, room)),
        }
    }

    /// Adds values. One of another type is null, and a test holds every column to its type; numbers beyond
    /// the width saturate.
    #[inline]
    fn extend<'a>(&mut self, values: impl Iterator<Item = Value<'a>>) {
        macro_rules! add {
            ($cells:ident, $kind:ident $value:ident => $cell:expr) => {
                values.for_each(|value| match value {
                    Value::$kind($value) => $cells.append_value($cell),
                    _ => $cells.append_null(),
                })
            };
        }
        match self {
            Self::Bool(cells) => add!(cells, Bool value => value),
            Self::U8(cells) => add!(cells, Number value => value.try_into().unwrap_or(u8::MAX)),
            Self::U16(cells) => add!(cells, Number value => value.try_into().unwrap_or(u16::MAX)),
            Self::U32(cells) => add!(cells, Number value => value.try_into().unwrap_or(u32::MAX)),
            Self::U64(cells) => add!(cells, Number value => value),
            Self::F64(cells) => add!(cells, Real value => value),
            Self::Text(cells) => add!(cells, Text text => text),
            Self::Time(cells) => add!(cells, Time time => time.0),
        }
    }

    fn finish(self) -> Series {
        match self {
            Self::Bool(cells) => cells.finish().into_series(),
            Self::U8(cells) => cells.finish().into_series(),
            Self::U16(cells) => cells.finish().into_series(),
            Self::U32(cells) => cells.finish().into_series(),
            Self::U64(cells) => cells.finish().into_series(),
            Self::F64(cells) => cells.finish().into_series(),
            Self::Text(cells) => cells.finish().into_series(),
            Self::Time(cells) => {
                cells.finish().into_datetime(TimeUnit::Nanoseconds, Some(TimeZone::UTC)).into_series()
            }
        }
    }
}
