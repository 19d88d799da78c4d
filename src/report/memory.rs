//! The tables of a run in memory, as data frames: for programs that go on with them at once.
//!
//! They have the columns and rows of the Parquet files of the same name, in the same order. Their size grows
//! with that of the capture, so a caller names the tables that are wanted.

use polars::prelude::{DataFrame, PolarsError};

use crate::capture::FileReport;
use crate::flow::Row;
use crate::pipeline::Rows;
use crate::report::frames::Frames;
use crate::report::model::Report;
use crate::report::table::{
    Certificates, Dns, EvidenceRow, EvidenceTable, FileIndex, FileRow, Files, FindingRow, Findings, Flows,
    Http, Icmp, IncidentRow, Incidents, ServiceRow, Services, Streamed, Table, TableDoc, TcpEvents, TcpSides,
    TimelineRow, TimelineTable, Tls,
};

/// A finished table.
#[derive(Clone, Debug)]
pub struct MemoryTable {
    /// Its name, its columns and what they mean.
    pub doc: TableDoc,
    /// Its rows, one frame after the other: at least one, which may be empty.
    pub frames: Vec<DataFrame>,
}

impl MemoryTable {
    /// Rows in all frames.
    pub fn rows(&self) -> usize {
        self.frames.iter().map(DataFrame::height).sum()
    }
}

/// Rows of a frame.
const ROWS: usize = 32 << 10;

/// A table on its way.
struct Growing<T: Table> {
    rows: Frames<T>,
    full: Vec<DataFrame>,
}

impl<T: Table> Growing<T> {
    fn new() -> Self {
        Self { rows: Frames::new(&T::COLUMNS.iter().collect::<Vec<_>>()), full: Vec::new() }
    }

    fn extend(&mut self, mut rows: &[T::Row<'_>]) -> Result<(), PolarsError> {
        while !rows.is_empty() {
            let (now, later) = rows.split_at(rows.len().min(ROWS - self.rows.rows()));
            self.rows.extend(now);
            rows = later;
            if self.rows.rows() == ROWS {
                self.full.push(self.rows.take(ROWS)?);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<MemoryTable, PolarsError> {
        if self.rows.rows() > 0 || self.full.is_empty() {
            self.full.push(self.rows.take(0)?);
        }
        Ok(MemoryTable { doc: TableDoc::of::<T>(), frames: self.full })
    }

    fn of<'a>(rows: impl Iterator<Item = T::Row<'a>>) -> Result<MemoryTable, PolarsError> {
        let mut table = Self::new();
        table.extend(&rows.collect::<Vec<_>>())?;
        table.finish()
    }
}

/// A table that takes its rows while the analysis runs.
trait Following: Send {
    fn finished(&mut self, finished: &[Row], files: &FileIndex) -> Result<(), PolarsError>;
    fn finish(self: Box<Self>) -> Result<MemoryTable, PolarsError>;
}

impl<T: Streamed> Following for Growing<T> {
    fn finished(&mut self, finished: &[Row], files: &FileIndex) -> Result<(), PolarsError> {
        self.extend(&T::finished(finished, files))
    }

    fn finish(self: Box<Self>) -> Result<MemoryTable, PolarsError> {
        Growing::finish(*self)
    }
}

/// The tables that grow while the analysis runs.
pub struct MemoryTables {
    files: FileIndex,
    tables: Vec<Box<dyn Following>>,
    failed: Option<PolarsError>,
}

impl MemoryTables {
    /// Those of the tables named `wanted` that grow while the analysis runs; others are passed over.
    pub fn new(wanted: &[&str]) -> Self {
        fn add<T: Streamed>(wanted: &[&str], tables: &mut Vec<Box<dyn Following>>) {
            if wanted.contains(&T::NAME) {
                tables.push(Box::new(Growing::<T>::new()));
            }
        }
        let mut tables = Vec::new();
        add::<Flows>(wanted, &mut tables);
        add::<TcpSides>(wanted, &mut tables);
        add::<TcpEvents>(wanted, &mut tables);
        add::<Dns>(wanted, &mut tables);
        add::<Tls>(wanted, &mut tables);
        add::<Certificates>(wanted, &mut tables);
        add::<Http>(wanted, &mut tables);
        add::<Icmp>(wanted, &mut tables);
        Self { files: FileIndex::default(), tables, failed: None }
    }

    /// The tables, complete.
    ///
    /// # Errors
    /// Not with the tables of this crate: their columns have different names.
    pub fn finish(self) -> Result<Vec<MemoryTable>, PolarsError> {
        match self.failed {
            Some(error) => Err(error),
            None => self.tables.into_iter().map(Following::finish).collect(),
        }
    }
}

impl Rows for MemoryTables {
    fn file(&mut self, path: &str, base: u64) {
        self.files.push(path, base);
    }

    fn finished(&mut self, rows: &[Row]) {
        if self.failed.is_none() {
            let Self { files, tables, .. } = self;
            self.failed = tables.iter_mut().try_for_each(|table| table.finished(rows, files)).err();
        }
    }
}

/// Those of the tables named `wanted` that are known when the run is over. `inputs` are the files that were
/// analysed, in that order.
///
/// # Errors
/// Not with the tables of this crate: their columns have different names.
pub fn concluded(
    report: &Report,
    inputs: &[FileReport],
    wanted: &[&str],
) -> Result<Vec<MemoryTable>, PolarsError> {
    let findings = report.findings.iter();
    let cited = findings
        .clone()
        .flat_map(|finding| finding.evidence.iter().map(move |cited| EvidenceRow { finding, cited }));
    let tables = [
        Growing::<Services>::of(report.services.iter().map(|service| ServiceRow { service })),
        Growing::<TimelineTable>::of(TimelineRow::of(&report.timeline)),
        Growing::<Incidents>::of(report.incidents.iter().map(|cited| IncidentRow { cited })),
        Growing::<Findings>::of(findings.map(|finding| FindingRow { ranked: finding })),
        Growing::<EvidenceTable>::of(cited),
        Growing::<Files>::of(inputs.iter().map(|file| FileRow { file })),
    ];
    let mut tables = tables.into_iter().collect::<Result<Vec<_>, _>>()?;
    tables.retain(|table| wanted.contains(&table.doc.name));
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::flow::{Finished, Flow};
    use crate::report::tests::{flow, outcome};

    fn row(flow: Flow) -> Row {
        Row { time: flow.last.time, packet: flow.id, stream: None, what: Finished::Flow(Box::new(flow)) }
    }

    #[test]
    fn the_tables_asked_for_are_there_with_their_rows() {
        let names: Vec<&str> = TableDoc::all().iter().map(|table| table.name).collect();
        let (outcome, config) = (outcome(), Config::default());
        let report = Report::new(&outcome, &config);
        let mut growing = MemoryTables::new(&names);
        growing.file("a.pcap", 0);
        let count = ROWS + 5;
        for number in 1..=count as u64 {
            growing.finished(&[row(flow(number))]);
        }
        let mut tables = growing.finish().expect("tables");
        tables.extend(concluded(&report, &outcome.files, &names).expect("tables"));
        assert_eq!(tables.iter().map(|table| table.doc.name).collect::<Vec<_>>(), names);
        let flows = &tables[0];
        assert_eq!((flows.rows(), flows.frames.len()), (count, 2));
        let ids = flows.frames[1].column("flow_id").expect("a column").u64().expect("numbers").clone();
        assert_eq!(ids.get(4), Some(count as u64));
        for table in &tables {
            assert!(table.frames.iter().all(|frame| frame.width() == table.doc.columns.len()));
        }
        let findings = tables.iter().find(|table| table.doc.name == "findings").expect("findings");
        assert_eq!(findings.rows(), report.findings.len());
        assert!(MemoryTables::new(&["services"]).finish().expect("none").is_empty());
    }
}
