//! The cells of one column on their way into a row group of a Parquet file.
//!
//! Most columns of most row groups hold one value, mostly null: a column of a row that it does not apply to. As long as a
//! column has only seen one value it is that value and a count, and it is written as nothing or as a dictionary of one entry.

use std::borrow::Cow;

use polars::prelude::PolarsResult;
use polars_arrow::array::{
    Array, DictionaryArray, MutableBinaryViewArray, MutableBooleanArray, MutablePrimitiveArray,
    PrimitiveArray,
};
use polars_arrow::datatypes::{ArrowDataType, IntegerType};
use polars_parquet::write::{
    CompressedPage, CompressionOptions, Encoding, ParquetType, WriteOptions, array_to_columns, compress,
};

use crate::report::value::{ColumnType, Value};
use crate::time::Timestamp;

/// The cells of a column, by its kind.
pub enum Cells {
    /// Yes or no.
    Bool(Run<MutableBooleanArray>),
    /// Unsigned, 8 bits.
    U8(Run<MutablePrimitiveArray<u8>>),
    /// Unsigned, 16 bits.
    U16(Run<MutablePrimitiveArray<u16>>),
    /// Unsigned, 32 bits.
    U32(Run<MutablePrimitiveArray<u32>>),
    /// Unsigned, 64 bits.
    U64(Run<MutablePrimitiveArray<u64>>),
    /// Floating point.
    F64(Run<MutablePrimitiveArray<f64>>),
    /// Text.
    Text(Run<MutableBinaryViewArray<str>>),
    /// Nanoseconds since the epoch.
    Time(Run<MutablePrimitiveArray<i64>>),
}

/// Cells that were all the same so far, then cells one by one.
pub struct Run<A: Plain> {
    /// The value of the first cells, and how many have it.
    same: Option<A::Kept>,
    count: usize,
    /// All cells, when they are not all the same.
    plain: Option<A>,
}

/// Cells one by one.
pub trait Plain: Default {
    /// A value of a row.
    type Cell<'a>;
    /// A value that outlives its row.
    type Kept;
    /// How a column is encoded.
    const ENCODING: Encoding = Encoding::RleDictionary;

    /// The cell of a value. One of another kind is null, and a test holds every column to its kind; numbers beyond the
    /// width saturate.
    fn cell(value: Value<'_>) -> Option<Self::Cell<'_>>;
    /// The value to keep.
    fn keep(cell: Self::Cell<'_>) -> Self::Kept;
    /// The cell has that value.
    fn is(kept: &Self::Kept, cell: &Self::Cell<'_>) -> bool;
    /// Adds a cell.
    fn add(&mut self, cell: Option<Self::Cell<'_>>);
    /// So many cells of this value.
    fn repeated(value: Option<Self::Kept>, count: usize) -> Self;
    /// The column.
    fn column(self) -> Box<dyn Array>;
}

impl<A: Plain> Default for Run<A> {
    fn default() -> Self {
        Self { same: None, count: 0, plain: None }
    }
}

impl<A: Plain> Run<A> {
    /// Adds cells.
    #[inline]
    pub fn extend<'a>(&mut self, values: impl Iterator<Item = Value<'a>>) {
        let mut cells = values.map(A::cell);
        let plain = match &mut self.plain {
            Some(plain) => plain,
            None => {
                let Some(other) = self.repeat(&mut cells) else { return };
                let mut plain = A::repeated(self.same.take(), self.count);
                plain.add(other);
                self.plain.insert(plain)
            }
        };
        cells.for_each(|cell| plain.add(cell));
    }

    /// Counts cells up to the first one that differs.
    #[inline]
    #[allow(clippy::option_option)]
    fn repeat<'a>(
        &mut self,
        cells: &mut impl Iterator<Item = Option<A::Cell<'a>>>,
    ) -> Option<Option<A::Cell<'a>>> {
        if self.count == 0 {
            self.same = cells.next()?.map(A::keep);
            self.count = 1;
        }
        for cell in cells {
            let equal = match (&self.same, &cell) {
                (Some(kept), Some(cell)) => A::is(kept, cell),
                (kept, cell) => kept.is_none() && cell.is_none(),
            };
            if !equal {
                return Some(cell);
            }
            self.count += 1;
        }
        None
    }

    /// The column of all cells so far.
    fn take(&mut self) -> PolarsResult<Taken> {
        let Self { same, count, plain } = std::mem::take(self);
        let (column, encoding, tiny) = match (plain, same) {
            (Some(plain), _) => (plain.column(), A::ENCODING, false),
            // Nothing but which cells are null is written, and that is one run.
            (None, None) => (A::repeated(None, count).column(), Encoding::Plain, true),
            (None, Some(value)) if A::ENCODING == Encoding::RleDictionary => {
                let values = A::repeated(Some(value), 1).column();
                let keys = PrimitiveArray::new(ArrowDataType::UInt32, vec![0u32; count].into(), None);
                let of = Box::new(values.dtype().clone());
                let kind = ArrowDataType::Dictionary(IntegerType::UInt32, of, false);
                (DictionaryArray::try_new(kind, keys, values)?.boxed(), A::ENCODING, true)
            }
            (None, same) => (A::repeated(same, count).column(), A::ENCODING, false),
        };
        Ok(Taken { column, encoding, tiny })
    }
}

/// A column, how to encode it, and whether that gives a few bytes only.
struct Taken {
    column: Box<dyn Array>,
    encoding: Encoding,
    tiny: bool,
}

macro_rules! numbers {
    ($($number:ident from $variant:ident as $cell:expr;)*) => {$(
        impl Plain for MutablePrimitiveArray<$number> {
            type Cell<'a> = $number;
            type Kept = $number;

            #[inline]
            fn cell(value: Value<'_>) -> Option<$number> {
                match value {
                    Value::$variant(value) => Some($cell(value)),
                    _ => None,
                }
            }
            fn keep(cell: $number) -> $number {
                cell
            }
            #[inline]
            fn is(kept: &$number, cell: &$number) -> bool {
                kept == cell
            }
            #[inline]
            fn add(&mut self, cell: Option<$number>) {
                self.push(cell);
            }
            fn repeated(value: Option<$number>, count: usize) -> Self {
                let mut cells = Self::with_capacity(2 * count);
                cells.extend_constant(count, value);
                cells
            }
            fn column(self) -> Box<dyn Array> {
                self.freeze().boxed()
            }
        }
    )*};
}
numbers! {
    u8 from Number as |number: u64| number.try_into().unwrap_or(u8::MAX);
    u16 from Number as |number: u64| number.try_into().unwrap_or(u16::MAX);
    u32 from Number as |number: u64| number.try_into().unwrap_or(u32::MAX);
    u64 from Number as |number: u64| number;
    f64 from Real as |number: f64| number;
    i64 from Time as |time: Timestamp| time.0;
}

impl Plain for MutableBooleanArray {
    type Cell<'a> = bool;
    type Kept = bool;
    /// A cell is one bit as it is.
    const ENCODING: Encoding = Encoding::Plain;

    #[inline]
    fn cell(value: Value<'_>) -> Option<bool> {
        match value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }
    fn keep(cell: bool) -> bool {
        cell
    }
    #[inline]
    fn is(kept: &bool, cell: &bool) -> bool {
        kept == cell
    }
    #[inline]
    fn add(&mut self, cell: Option<bool>) {
        self.push(cell);
    }
    fn repeated(value: Option<bool>, count: usize) -> Self {
        let mut cells = Self::new();
        cells.extend_constant(count, value);
        cells
    }
    fn column(self) -> Box<dyn Array> {
        self.freeze().boxed()
    }
}

impl Plain for MutableBinaryViewArray<str> {
    type Cell<'a> = Cow<'a, str>;
    type Kept = String;

    #[inline]
    fn cell(value: Value<'_>) -> Option<Cow<'_, str>> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
    fn keep(cell: Cow<'_, str>) -> String {
        cell.into_owned()
    }
    #[inline]
    fn is(kept: &String, cell: &Cow<'_, str>) -> bool {
        kept == cell
    }
    #[inline]
    fn add(&mut self, cell: Option<Cow<'_, str>>) {
        self.push(cell);
    }
    fn repeated(value: Option<String>, count: usize) -> Self {
        let mut cells = Self::with_capacity(2 * count);
        match value {
            Some(value) => cells.extend_constant(count, Some(value)),
            None => cells.extend_null(count),
        }
        cells
    }
    fn column(self) -> Box<dyn Array> {
        self.freeze().boxed()
    }
}

impl Cells {
    /// No cells yet.
    pub fn new(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Bool => Self::Bool(Run::default()),
            ColumnType::U8 => Self::U8(Run::default()),
            ColumnType::U16 => Self::U16(Run::default()),
            ColumnType::U32 => Self::U32(Run::default()),
            ColumnType::U64 => Self::U64(Run::default()),
            ColumnType::F64 => Self::F64(Run::default()),
            ColumnType::Text => Self::Text(Run::default()),
            ColumnType::Time => Self::Time(Run::default()),
        }
    }

    /// The cells so far as the pages of a column chunk. None are left.
    ///
    /// # Errors
    /// When they cannot be encoded.
    pub fn pages(
        &mut self,
        kind: &ParquetType,
        mut options: WriteOptions,
    ) -> PolarsResult<Vec<CompressedPage>> {
        let Taken { column, encoding, tiny } = match self {
            Self::Bool(cells) => cells.take(),
            Self::U8(cells) => cells.take(),
            Self::U16(cells) => cells.take(),
            Self::U32(cells) => cells.take(),
            Self::U64(cells) => cells.take(),
            Self::F64(cells) => cells.take(),
            Self::Text(cells) => cells.take(),
            Self::Time(cells) => cells.take(),
        }?;
        if tiny {
            // A frame of zstd would be as long.
            options.compression = CompressionOptions::Uncompressed;
        }
        let columns = array_to_columns(column, kind.clone(), options, &[encoding])?;
        let pages = columns.into_iter().flatten();
        pages.map(|page| Ok(compress(page?, Vec::new(), options.compression)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use polars_arrow::array::Utf8ViewArray;
    use proptest::prelude::*;

    use super::*;

    /// The values of a column, and whether it was written in a few bytes.
    fn numbers(taken: Taken) -> (Vec<Option<u64>>, bool) {
        let Taken { column, tiny, .. } = taken;
        let plain = |column: &dyn Array| {
            let column = column.as_any().downcast_ref::<PrimitiveArray<u64>>().expect("numbers");
            column.iter().map(|cell| cell.copied()).collect::<Vec<_>>()
        };
        let Some(dictionary) = column.as_any().downcast_ref::<DictionaryArray<u32>>() else {
            return (plain(column.as_ref()), tiny);
        };
        let values = plain(dictionary.values().as_ref());
        (dictionary.keys_iter().map(|key| values[key.expect("a key")]).collect(), tiny)
    }

    proptest! {
        #[test]
        fn a_column_holds_what_it_was_given_in_any_portions(
            cells in prop::collection::vec(prop::option::weighted(0.7, 0u64..2), 1..40),
            portion in 1usize..9,
        ) {
            let mut run = Run::<MutablePrimitiveArray<u64>>::default();
            for portion in cells.chunks(portion) {
                run.extend(portion.iter().map(|cell| Value::from(*cell)));
            }
            let (column, tiny) = numbers(run.take().expect("a column"));
            prop_assert_eq!(tiny, cells.iter().all(|cell| *cell == cells[0]));
            prop_assert_eq!(column, cells);
            prop_assert_eq!(numbers(run.take().expect("a column")).0, []);
        }
    }

    #[test]
    fn numbers_beyond_the_width_saturate_and_other_kinds_are_null() {
        let mut run = Run::<MutablePrimitiveArray<u8>>::default();
        run.extend([Value::Number(300), Value::Number(7), Value::Bool(true)].into_iter());
        let column = run.take().expect("a column").column;
        let column = column.as_any().downcast_ref::<PrimitiveArray<u8>>().expect("numbers");
        assert_eq!(column.iter().map(|cell| cell.copied()).collect::<Vec<_>>(), [Some(255), Some(7), None]);
    }

    #[test]
    fn an_empty_text_is_not_null() {
        let mut run = Run::<MutableBinaryViewArray<str>>::default();
        let texts = [Some(""), Some(""), None, Some("a text of more than twelve bytes")];
        run.extend(texts.into_iter().map(Value::from));
        let column = run.take().expect("a column").column;
        let column = column.as_any().downcast_ref::<Utf8ViewArray>().expect("texts");
        assert_eq!(column.iter().collect::<Vec<_>>(), texts);
        let mut run = Run::<MutableBinaryViewArray<str>>::default();
        run.extend([Value::Text(Cow::Borrowed("")), Value::Null].into_iter());
        assert!(!run.take().expect("a column").tiny);
    }
}
