//! Which rows of a table are wanted, in what order, and how many.
//!
//! Conditions are `COLUMN OPERATOR VALUE` and all have to hold. There is no value in some cells: `-` stands
//! for that, and no other condition but `!=` holds for it.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::report::table::{Column, Table, column};
use crate::report::value::{ColumnType, Value};
use crate::time::Timestamp;

/// How a cell is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
    Contains,
}

impl Operator {
    /// As they are written, the longer ones first.
    const ALL: [(&'static str, Self); 7] = [
        ("!=", Self::Unequal),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("=", Self::Equal),
        ("<", Self::Less),
        (">", Self::More),
        ("~", Self::Contains),
    ];
    const FIRST: [char; 5] = ['=', '!', '<', '>', '~'];

    fn holds(self, cell: &Value<'_>, wanted: &Value<'_>) -> bool {
        if let (Self::Contains, Value::Text(cell), Value::Text(wanted)) = (self, cell, wanted) {
            return cell.to_ascii_lowercase().contains(&wanted.to_ascii_lowercase());
        }
        let nothing = |value: &Value<'_>| *value == Value::Null;
        if nothing(cell) || nothing(wanted) {
            let equal = nothing(cell) && nothing(wanted);
            return matches!((self, equal), (Self::Equal, true) | (Self::Unequal, false));
        }
        let order = compare(cell, wanted);
        match self {
            Self::Equal => order == Ordering::Equal,
            Self::Unequal => order != Ordering::Equal,
            Self::Less => order == Ordering::Less,
            Self::AtMost => order != Ordering::Greater,
            Self::More => order == Ordering::Greater,
            Self::AtLeast => order != Ordering::Less,
            Self::Contains => false,
        }
    }
}

/// A condition on the rows of `T`.
struct Condition<T: Table> {
    column: &'static Column<T>,
    operator: Operator,
    wanted: Value<'static>,
}

impl<T: Table> Condition<T> {
    fn parse(text: &str) -> Result<Self, String> {
        let shape = || format!("{text:?}: expected COLUMN OPERATOR VALUE, such as bytes>1000");
        let at = text.find(Operator::FIRST).ok_or_else(shape)?;
        let (name, rest) = text.split_at(at);
        let found = Operator::ALL.iter().find(|(written, _)| rest.starts_with(written));
        let (written, operator) = *found.ok_or_else(shape)?;
        let column = column::<T>(name.trim())?;
        let value = rest[written.len()..].trim();
        if operator == Operator::Contains && column.header.kind != ColumnType::Text {
            return Err(format!(
                "{name}: ~ looks into text, and this column is {}",
                column.header.kind.name()
            ));
        }
        let wanted = read(column.header.kind, value)
            .ok_or_else(|| format!("{name}: expected {}, found {value:?}", column.header.kind.expected()))?;
        Ok(Self { column, operator, wanted })
    }
}

/// A value as a user writes it.
fn read(kind: ColumnType, text: &str) -> Option<Value<'static>> {
    if text == "-" {
        return Some(Value::Null);
    }
    Some(match kind {
        ColumnType::Bool => Value::Bool(text.parse().ok()?),
        ColumnType::U8 | ColumnType::U16 | ColumnType::U32 | ColumnType::U64 => {
            Value::Number(text.parse().ok()?)
        }
        ColumnType::F64 => Value::Real(text.parse().ok().filter(|number: &f64| !number.is_nan())?),
        ColumnType::Text => Value::Text(Cow::Owned(text.to_owned())),
        ColumnType::Time => Value::Time(Timestamp::parse(text)?),
    })
}

/// The order of two cells of a column; cells without a value come last.
pub(super) fn compare(one: &Value<'_>, other: &Value<'_>) -> Ordering {
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::Number(one), Value::Number(other)) => one.cmp(other),
        (Value::Real(one), Value::Real(other)) => one.total_cmp(other),
        (Value::Text(one), Value::Text(other)) => one.cmp(other),
        (Value::Time(one), Value::Time(other)) => one.cmp(other),
        _ => (*one == Value::Null).cmp(&(*other == Value::Null)),
    }
}

/// What the user asked for, as written.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// Conditions, all of which have to hold.
    pub conditions: &'a [String],
    /// The column to sort by, with `-` before it for the largest first.
    pub sort: Option<&'a str>,
    /// The most rows.
    pub limit: Option<u64>,
}

/// Chooses rows of `T`.
pub struct Query<T: Table> {
    conditions: Vec<Condition<T>>,
    sort: Option<(&'static Column<T>, bool)>,
    limit: u64,
}

impl<T: Table> Query<T> {
    /// Of what the user asked for.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn new(wanted: &Wanted<'_>) -> Result<Self, String> {
        let sort = |text: &str| {
            let name = text.strip_prefix('-');
            Ok::<_, String>((column::<T>(name.unwrap_or(text))?, name.is_some()))
        };
        Ok(Self {
            conditions: wanted
                .conditions
                .iter()
                .map(|text| Condition::parse(text))
                .collect::<Result<_, _>>()?,
            sort: wanted.sort.map(sort).transpose()?,
            limit: wanted.limit.unwrap_or(u64::MAX),
        })
    }

    /// Every row is wanted, as it comes.
    pub fn is_everything(&self) -> bool {
        self.conditions.is_empty() && self.sort.is_none() && self.limit == u64::MAX
    }

    /// The column that the rows go by, and whether the largest come first; `None`: as they come.
    pub fn order(&self) -> Option<(&'static Column<T>, bool)> {
        self.sort
    }

    /// By time, when nothing else was asked for and the rows have one.
    pub fn or_by_time(mut self) -> Self {
        self.sort = self.sort.or_else(|| Some((column::<T>("ts").ok()?, false)));
        self
    }

    /// The most rows.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// All conditions hold.
    pub fn keeps(&self, row: &T::Row<'_>) -> bool {
        self.conditions
            .iter()
            .all(|condition| condition.operator.holds(&(condition.column.value)(row), &condition.wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::{FileIndex, FlowRow, Flows};
    use crate::report::tests::flow;

    fn query(conditions: &[&str], sort: Option<&str>, limit: Option<u64>) -> Result<Query<Flows>, String> {
        let conditions: Vec<String> = conditions.iter().map(|&text| text.to_owned()).collect();
        Query::new(&Wanted { conditions: &conditions, sort, limit })
    }

    /// What became of a row of flow 7 from 10.0.0.2:40000, 1.5 seconds long.
    fn keeps(condition: &str) -> bool {
        let files = FileIndex::default();
        let row = FlowRow { flow: &flow(7), files: &files };
        query(&[condition], None, None).unwrap_or_else(|error| panic!("{error}")).keeps(&row)
    }

    #[test]
    fn conditions_compare_what_the_column_holds() {
        for holds in [
            "flow_id=7",
            "flow_id != 8",
            "id.orig_p>=40000",
            "id.orig_p<40001",
            "duration>1.4",
            "duration<=1.5",
            "id.orig_h=10.0.0.2",
            "id.orig_h~0.0.",
            "encapsulation=-",
            "encapsulation!=x",
            "ts>=1970-01-01T00:00:01Z",
            "ts<1970-01-01 00:00:02Z",
        ] {
            assert!(keeps(holds), "{holds}");
        }
        for fails in ["flow_id=8", "flow_id>7", "duration<1.5", "id.orig_h~10.1", "encapsulation=x", "ts=-"] {
            assert!(!keeps(fails), "{fails}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |condition: &str| query(&[condition], None, None).err().expect("an error");
        assert_eq!(error("flow_id"), "\"flow_id\": expected COLUMN OPERATOR VALUE, such as bytes>1000");
        assert_eq!(error("flow_id!7"), "\"flow_id!7\": expected COLUMN OPERATOR VALUE, such as bytes>1000");
        assert_eq!(error("flow_id=x"), "flow_id: expected a whole number, found \"x\"");
        assert_eq!(error("flow_id~7"), "flow_id: ~ looks into text, and this column is u64");
        assert_eq!(error("durration>1"), "no column durration in flows; did you mean duration?");
        assert!(query(&[], Some("-nothing"), Some(1)).is_err());
    }
}
