//! One declarative description per table: what each column is called, holds and means, and where its value
//! comes from.
//!
//! Parquet, CSV, JSON lines, terminal tables and the column documentation are all made from it. Names are
//! Zeek's where Zeek has the thing. `flow_id` joins every table to `flows`.

use crate::report::cells::Cells;
use crate::report::value::{ColumnType, Value};

mod dns;
mod evidence;
mod findings;
mod flows;
mod icmp;
mod reason;
mod shared;
mod sides;
mod streamed;
mod tcp_events;
mod tls;
pub mod tshark;

pub use dns::{Dns, DnsRow};
pub use evidence::{EvidenceRow, EvidenceTable};
pub use findings::{FindingRow, Findings};
pub use flows::{FlowRow, Flows};
pub use icmp::{Icmp, IcmpRow};
pub use shared::FileIndex;
pub(crate) use shared::{protocol, word};
pub use streamed::Streamed;
pub use tcp_events::{EventRow, TcpEvents};
pub use tls::{Tls, TlsRow};

/// What a reader has to know of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Header {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnType,
    /// What it means, with the unit.
    pub doc: &'static str,
}

/// A column of `T`.
pub struct Column<T: Table + ?Sized> {
    /// Name, kind and meaning.
    pub header: Header,
    /// The value of a row.
    pub value: for<'a> fn(&'a T::Row<'a>) -> Value<'a>,
    /// Adds the values of rows to cells of its kind: a loop for every column, because a row has many.
    pub extend: for<'a> fn(&'a [T::Row<'a>], &mut Cells),
}

/// A table.
pub trait Table: 'static {
    /// Its name, and that of its files.
    const NAME: &'static str;
    /// One row is what.
    const DOC: &'static str;
    /// The columns that a terminal shows.
    const BRIEF: &'static [&'static str];
    /// The columns, in groups.
    const COLUMNS: &'static [&'static [Column<Self>]];
    /// What a row is made from.
    type Row<'a>: Copy + Send + Sync;

    /// The columns in order.
    fn columns() -> impl Iterator<Item = &'static Column<Self>> {
        Self::COLUMNS.iter().copied().flatten()
    }
}

/// Declares a column of one table.
macro_rules! column {
    ($table:ty, $name:expr, $kind:ident, $doc:expr, |$row:ident| $value:expr) => {
        $crate::report::table::Column::<$table> {
            header: $crate::report::table::Header {
                name: $name,
                kind: $crate::report::value::ColumnType::$kind,
                doc: $doc,
            },
            value: |$row| $crate::report::value::Value::from($value),
            extend: |rows, cells| {
                if let $crate::report::cells::Cells::$kind(cells) = cells {
                    cells.extend(rows.iter().map(|$row| $crate::report::value::Value::from($value)));
                }
            },
        }
    };
}
use column;

/// Declares a run of columns of one table: `"name" ColumnType "meaning" = |row| value;`
macro_rules! columns {
    ($table:ty: $($name:literal $kind:ident $doc:literal = |$row:ident| $value:expr;)*) => {
        &[$($crate::report::table::column!($table, $name, $kind, $doc, |$row| $value),)*]
    };
}
use columns;

/// The documentation of a table.
#[derive(Clone, Debug, serde::Serialize)]
pub struct TableDoc {
    /// Its name.
    pub name: &'static str,
    /// One row is what.
    pub doc: &'static str,
    /// Its columns.
    pub columns: Vec<Header>,
}

impl TableDoc {
    /// Of table `T`.
    pub fn of<T: Table>() -> Self {
        Self { name: T::NAME, doc: T::DOC, columns: T::columns().map(|column| column.header).collect() }
    }

    /// Of every table, in the order of the documentation.
    pub fn all() -> Vec<Self> {
        vec![
            Self::of::<Flows>(),
            Self::of::<TcpEvents>(),
            Self::of::<Dns>(),
            Self::of::<Tls>(),
            Self::of::<Icmp>(),
            Self::of::<Findings>(),
            Self::of::<EvidenceTable>(),
        ]
    }

    /// As a Markdown section.
    pub fn markdown(&self) -> String {
        let mut text =
            format!("## {}\n\n{}\n\n| column | type | meaning |\n|---|---|---|\n", self.name, self.doc);
        for column in &self.columns {
            text += &format!("| `{}` | {} | {} |\n", column.name, column.kind.name(), column.doc);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_documented_and_brief_ones_exist() {
        fn check<T: Table>() {
            let mut names: Vec<&str> = T::columns().map(|column| column.header.name).collect();
            assert!(T::BRIEF.iter().all(|brief| names.contains(brief)), "{}", T::NAME);
            assert!(
                T::columns().all(|column| !column.header.doc.is_empty() && !column.header.doc.contains('|'))
            );
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", T::NAME);
        }
        check::<Flows>();
        check::<TcpEvents>();
        check::<Dns>();
        check::<Tls>();
        check::<Icmp>();
        check::<Findings>();
        check::<EvidenceTable>();
    }

    #[test]
    fn documentation_names_every_table() {
        let text: String = TableDoc::all().iter().map(TableDoc::markdown).collect();
        for name in ["## flows", "## tcp_events", "## dns", "## tls", "## icmp", "## findings", "## evidence"]
        {
            assert!(text.contains(name), "{name}");
        }
    }
}
