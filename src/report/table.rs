//! One declarative description per table: what each column is called, holds and means, and where its value
//! comes from.
//!
//! Parquet, CSV, JSON lines, terminal tables and the column documentation are all made from it. Names are
//! Zeek's where Zeek has the thing. `flow_id` joins every table to `flows`.
//!
//! A row is about one packet first of all: `packet` is its ordinal over the capture set, `file` and `frame`
//! are where Wireshark finds it. Every other packet that a row names is `<what>_packet` and `<what>_frame`.
//! It is mostly in the same file; where a capture set was cut in between, `files` says in which (`base <
//! packet <= base + packets`).

use crate::report::value::{ColumnType, Value};

mod certificates;
mod counters;
mod dns;
mod evidence;
mod files;
mod findings;
mod flows;
mod http;
mod icmp;
mod incidents;
mod reason;
mod services;
mod shared;
mod states;
mod streamed;
mod tcp_events;
mod tcp_sides;
mod timeline;
mod tls;
mod top;
pub mod tshark;

pub use certificates::{CertificateRow, Certificates};
pub use counters::{CounterRow, CounterTable};
pub use dns::{Dns, DnsRow};
pub use evidence::{EvidenceRow, EvidenceTable};
pub use files::{FileRow, Files};
pub use findings::{FindingRow, Findings};
pub use flows::{FlowRow, Flows};
pub use http::{Http, HttpRow};
pub use icmp::{Icmp, IcmpRow};
pub use incidents::{IncidentRow, Incidents};
pub use services::{ServiceRow, Services};
pub use shared::FileIndex;
pub(crate) use shared::{protocol, word};
pub use states::{StateRow, States};
pub use streamed::Streamed;
pub(crate) use streamed::flows;
pub use tcp_events::{EventRow, TcpEvents};
pub use tcp_sides::{SideRow, TcpSides};
pub use timeline::{TimelineRow, TimelineTable};
pub use tls::{Tls, TlsRow};
pub use top::{Top, TopRow};

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
    pub value: for<'r, 'a> fn(&'r T::Row<'a>) -> Value<'r>,
}

/// A table.
pub trait Table: 'static {
    /// Its name, and that of its files.
    const NAME: &'static str;
    /// One row is what.
    const DOC: &'static str;
    /// The columns that a terminal shows.
    const BRIEF: &'static [&'static str];
    /// The columns in order.
    const COLUMNS: &'static [Column<Self>];
    /// What a row is made from.
    type Row<'a>: Copy + Send + Sync;
}

/// The column of `T` with that name.
///
/// # Errors
/// A sentence with the nearest name there is.
pub fn column<T: Table>(name: &str) -> Result<&'static Column<T>, String> {
    T::COLUMNS.iter().find(|column| column.header.name == name).ok_or_else(|| {
        let names = T::COLUMNS.iter().map(|column| column.header.name);
        let hint = match crate::config::nearest(name, names) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("pcapsy explain {} lists them", T::NAME),
        };
        format!("no column {name} in {}; {hint}", T::NAME)
    })
}

/// Declares the columns of a table: `"name" ColumnType "meaning" = |row| value;`
macro_rules! columns {
    ($table:ty: $($name:literal $kind:ident $doc:literal = |$row:ident| $value:expr;)*) => {
        &[$($crate::report::table::Column::<$table> {
            header: $crate::report::table::Header {
                name: $name,
                kind: $crate::report::value::ColumnType::$kind,
                doc: $doc,
            },
            value: |$row| $crate::report::value::Value::from($value),
        },)*]
    };
}
pub(crate) use columns;

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
        Self { name: T::NAME, doc: T::DOC, columns: T::COLUMNS.iter().map(|column| column.header).collect() }
    }

    /// Of every table of a report, in the order of the documentation.
    pub fn all() -> Vec<Self> {
        vec![
            Self::of::<Flows>(),
            Self::of::<TcpSides>(),
            Self::of::<TcpEvents>(),
            Self::of::<Dns>(),
            Self::of::<Tls>(),
            Self::of::<Certificates>(),
            Self::of::<Http>(),
            Self::of::<Icmp>(),
            Self::of::<Services>(),
            Self::of::<TimelineTable>(),
            Self::of::<Incidents>(),
            Self::of::<Findings>(),
            Self::of::<EvidenceTable>(),
            Self::of::<Files>(),
        ]
    }

    /// Of every table there is: those of a report, and those that only a command prints.
    pub fn known() -> Vec<Self> {
        let printed = [Self::of::<States>(), Self::of::<Top>(), Self::of::<CounterTable>()];
        Self::all().into_iter().chain(printed).collect()
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
            let mut names: Vec<&str> = T::COLUMNS.iter().map(|column| column.header.name).collect();
            assert!(T::BRIEF.iter().all(|brief| names.contains(brief)), "{}", T::NAME);
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{}", T::NAME);
            let documented = |doc: &str| !doc.is_empty() && !doc.contains('|');
            assert!(documented(T::DOC) && T::COLUMNS.iter().all(|column| documented(column.header.doc)));
        }
        check::<Flows>();
        check::<TcpSides>();
        check::<TcpEvents>();
        check::<Dns>();
        check::<Tls>();
        check::<Certificates>();
        check::<Http>();
        check::<Icmp>();
        check::<Services>();
        check::<TimelineTable>();
        check::<Incidents>();
        check::<Findings>();
        check::<EvidenceTable>();
        check::<Files>();
        check::<States>();
        check::<Top>();
        check::<CounterTable>();
    }

    #[test]
    fn tables_are_narrow() {
        assert!(Flows::COLUMNS.len() <= 36, "{}", Flows::COLUMNS.len());
        assert!(TcpSides::COLUMNS.len() <= 48, "{}", TcpSides::COLUMNS.len());
        assert!(TableDoc::all().iter().all(|table| table.columns.len() <= 51));
    }

    #[test]
    fn a_frame_has_its_ordinal_and_a_file() {
        for table in TableDoc::all() {
            let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
            for name in names.iter().filter(|name| name.ends_with("frame")) {
                let ordinal = format!("{}packet", name.trim_end_matches("frame"));
                let found = names.contains(&ordinal.as_str()) && names.contains(&"file");
                assert!(found, "{}: {name} without {ordinal} or file", table.name);
            }
            assert!(!names.iter().any(|name| name.ends_with("_file")), "{}", table.name);
        }
    }

    #[test]
    fn a_table_is_documented_as_a_section() {
        let text = TableDoc::of::<Flows>().markdown();
        assert!(text.starts_with("## flows\n\nOne row per flow"), "{text}");
        assert!(text.contains("| `ts` | time (ns, UTC) | time of the first packet |\n"), "{text}");
    }
}
