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
        let columns = columns.iter().map(|column| (*column, Cells::new(column.header, 0))).collect();
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

    /// The rows collected, by column; the next ones have room for so many from the start.
    pub fn take_columns(&mut self, room: usize) -> Vec<Filled> {
        self.rows = 0;
        self.columns.iter_mut().map(|(column, cells)| cells.take(column.header, room)).collect()
    }

    /// The rows collected, as one data frame; the next one has room for so many from the start.
    ///
    /// # Errors
    /// Not with columns of different names, which those of a table are.
    pub fn take(&mut self, room: usize) -> PolarsResult<DataFrame> {
        let rows = self.rows;
        let columns = self.take_columns(room).into_iter().map(|filled| filled.series().into_column());
        DataFrame::new(rows, columns.collect())
    }
}

/// The cells of a column.
pub enum Filled {
    /// One cell, and how many are the same.
    Same(Series, usize),
    /// Every cell.
    Each(Series),
}

impl Filled {
    /// Every cell.
    pub fn series(self) -> Series {
        match self {
            Self::Same(one, count) => one.new_from_index(0, count),
            Self::Each(cells) => cells,
        }
    }
}

/// The cells of one column of the row group that is being collected. Most columns of most groups have one
/// value: what applies to few rows, or is the same for all of a capture. Until another one comes it is
/// counted only.
struct Cells {
    header: Header,
    /// The value of all cells, and how many there are.
    same: Value<'static>,
    count: usize,
    /// Every cell, when they differ.
    each: Option<Builder>,
    room: usize,
}

impl Cells {
    fn new(header: Header, room: usize) -> Self {
        Self { header, same: Value::Null, count: 0, each: None, room }
    }

    #[inline]
    fn extend<'a>(&mut self, mut values: impl Iterator<Item = Value<'a>>) {
        if let Some(each) = &mut self.each {
            return each.extend(values);
        }
        if self.count == 0 {
            let Some(first) = values.next() else { return };
            (self.same, self.count) = (first.into_owned(), 1);
        }
        for value in values.by_ref() {
            if !is_same(&self.same, &value) {
                let each = self.each.insert(Builder::new(&self.header, self.room.max(self.count)));
                each.extend((0..self.count).map(|_| self.same.borrowed()));
                each.extend(std::iter::once(value));
                return each.extend(values);
            }
            self.count += 1;
        }
    }

    fn take(&mut self, header: Header, room: usize) -> Filled {
        let full = std::mem::replace(self, Self::new(header, room));
        match full.each {
            Some(cells) => Filled::Each(cells.finish()),
            None => {
                let mut one = Builder::new(&full.header, 1);
                one.extend((full.count > 0).then_some(full.same).into_iter());
                match full.count {
                    0 => Filled::Each(one.finish()),
                    count => Filled::Same(one.finish(), count),
                }
            }
        }
    }
}

/// Numbers with a fraction are the same when their bits are.
fn is_same(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Real(one), Value::Real(other)) => one.to_bits() == other.to_bits(),
        _ => one == other,
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

/// Cells one by one.
enum Builder {
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

impl Builder {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(kind: ColumnType) -> Header {
        Header { name: "cells", kind, doc: "" }
    }

    proptest! {
        #[test]
        fn a_column_holds_what_it_was_given_in_any_portions(
            numbers in prop::collection::vec(prop::option::of(0u64..3), 0..40),
            portion in 1usize..9,
            repeated in 0usize..20,
        ) {
            let given: Vec<Option<u64>> =
                std::iter::repeat_n(Some(1), repeated).chain(numbers).collect();
            for kind in [ColumnType::U64, ColumnType::Text] {
                let mut cells = Cells::new(header(kind), 7);
                for portion in given.chunks(portion) {
                    cells.extend(portion.iter().map(|number| match kind {
                        ColumnType::Text => Value::from(number.map(|number| number.to_string())),
                        _ => Value::from(*number),
                    }));
                }
                let filled = cells.take(header(kind), 0);
                let is_one = given.windows(2).all(|pair| pair[0] == pair[1]) && !given.is_empty();
                prop_assert_eq!(matches!(filled, Filled::Same(..)), is_one);
                let series = filled.series();
                let held: Vec<Option<u64>> = match kind {
                    ColumnType::Text => {
                        let texts = series.str().expect("texts").iter();
                        texts.map(|text| text.map(|text| text.parse().expect("a number"))).collect()
                    }
                    _ => series.u64().expect("numbers").iter().collect(),
                };
                prop_assert_eq!(&held, &given);
                // None are left.
                prop_assert_eq!(cells.take(header(kind), 0).series().len(), 0);
            }
        }
    }

    #[test]
    fn zeros_of_two_signs_are_two_values() {
        let mut cells = Cells::new(header(ColumnType::F64), 0);
        cells.extend([0.0, -0.0].map(Value::Real).into_iter());
        let series = cells.take(header(ColumnType::F64), 0).series();
        let bits: Vec<_> = series.f64().expect("numbers").iter().flatten().map(f64::to_bits).collect();
        assert_eq!(bits, [0.0f64.to_bits(), (-0.0f64).to_bits()]);
    }
}
