//! The tables of whole runs: their values are of their columns' types, their ids and ordinals join, attempts
//! cost a row.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pcapsy::config::Config;
use pcapsy::correlate::Moment;
use pcapsy::flow::Row;
use pcapsy::local::{self, Run};
use pcapsy::pipeline::{Outcome, Rows};
use pcapsy::report::files::{TableFiles, write_report};
use pcapsy::report::model::Report;
use pcapsy::report::table::{
    Certificates, Dns, FileIndex, Files, Flows, Http, Icmp, IncidentRow, Incidents, Services, Streamed,
    Table, TcpEvents, TcpSides, TimelineTable, Tls,
};
use polars::prelude::{DataFrame, ParquetReader, SerReader};
use support::capture::Capture;
use support::tcp::{CLIENT, SYN, Talk};
use support::truth;

fn analyze(inputs: &[PathBuf], rows: &mut (dyn Rows + Send)) -> Outcome {
    local::analyze(inputs, &Config::default(), Run::default(), rows, &|_| {}).expect("it is read")
}

/// Holds every value of every row to the type of its column, and counts the rows by table.
#[derive(Default)]
struct Typed {
    files: FileIndex,
    rows: BTreeMap<&'static str, usize>,
}

fn check<T: Table>(rows: &[T::Row<'_>], counts: &mut BTreeMap<&'static str, usize>) {
    *counts.entry(T::NAME).or_default() += rows.len();
    for (row, column) in rows.iter().flat_map(|row| T::COLUMNS.iter().map(move |column| (row, column))) {
        let value = (column.value)(row);
        assert!(column.header.kind.holds(&value), "{} {}: {value:?}", T::NAME, column.header.name);
    }
}

impl Rows for Typed {
    fn file(&mut self, path: &str, base: u64) {
        self.files.push(path, base);
    }

    fn finished(&mut self, rows: &[Row]) {
        let Self { files, rows: counts } = self;
        check::<Flows>(&Flows::finished(rows, files), counts);
        check::<TcpSides>(&TcpSides::finished(rows, files), counts);
        check::<TcpEvents>(&TcpEvents::finished(rows, files), counts);
        check::<Dns>(&Dns::finished(rows, files), counts);
        check::<Tls>(&Tls::finished(rows, files), counts);
        check::<Certificates>(&Certificates::finished(rows, files), counts);
        check::<Http>(&Http::finished(rows, files), counts);
        check::<Icmp>(&Icmp::finished(rows, files), counts);
    }
}

#[test]
fn every_value_is_of_the_type_of_its_column() {
    let mut typed = Typed::default();
    for path in truth::captures("synthetic") {
        typed.files = FileIndex::default();
        let outcome = analyze(&[path], &mut typed);
        check::<Files>(&Files::concluded(&outcome), &mut typed.rows);
        check::<Services>(&Services::concluded(&outcome), &mut typed.rows);
        check::<TimelineTable>(&TimelineTable::concluded(&outcome), &mut typed.rows);
        let report = Report::new(&outcome, &Config::default());
        let incidents: Vec<_> = report.incidents.iter().map(|cited| IncidentRow { cited }).collect();
        check::<Incidents>(&incidents, &mut typed.rows);
    }
    assert!(typed.rows.len() == 12 && typed.rows.values().all(|rows| *rows > 0), "{:?}", typed.rows);
}

/// The tables that a run on `inputs` writes into `folder`.
fn written(inputs: &[PathBuf], folder: &Path) -> impl Fn(&str) -> DataFrame + use<> {
    let mut tables = TableFiles::create(folder, &Config::default().limits).expect("created");
    let outcome = analyze(inputs, &mut tables);
    tables.finish().expect("written");
    write_report(&Report::new(&outcome, &Config::default()), &outcome.files, &Default::default(), folder)
        .expect("written");
    let folder = folder.to_owned();
    move |name| {
        let file = File::open(folder.join(format!("{name}.parquet"))).expect("written");
        ParquetReader::new(file).finish().expect("readable")
    }
}

fn numbers(frame: &DataFrame, column: &str) -> Vec<Option<u64>> {
    frame.column(column).expect(column).u64().expect(column).iter().collect()
}

fn texts(frame: &DataFrame, column: &str) -> Vec<Option<String>> {
    let texts = frame.column(column).expect(column).str().expect(column);
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

/// Two files with TLS, DNS, ICMP, losses and resets, and the tables of the set.
fn set(folder: &Path) -> impl Fn(&str) -> DataFrame + use<> {
    let captures = truth::captures("synthetic");
    let named = |name: &str| captures.iter().find(|path| truth::name(path) == name).expect(name).clone();
    written(&[named("mtu_blackhole_silent"), named("tls_alert_certificate_expired")], folder)
}

#[test]
fn a_timeline_is_what_its_services_did() {
    for path in truth::captures("lab/captures").into_iter().chain(truth::captures("synthetic")) {
        let mut rows = Typed::default();
        let outcome = analyze(std::slice::from_ref(&path), &mut rows);
        let (timeline, services) = (outcome.board.timeline(), outcome.board.services());
        let (name, width) = (truth::name(&path), timeline.width.0.max(1));
        assert_eq!(timeline.services.len(), services.len(), "{name}");
        let mut packets = 0;
        for (course, service) in timeline.services.iter().zip(services) {
            let sum = |what: fn(&Moment) -> u64| course.moments.iter().map(what).sum::<u64>();
            assert_eq!(
                (course.server, course.port, course.protocol),
                (service.server, service.port, service.protocol)
            );
            assert_eq!(sum(|at| at.attempts), service.attempts, "{name} {}", service.port);
            assert_eq!(sum(|at| at.failed), service.failed, "{name} {}", service.port);
            assert_eq!(sum(|at| at.handshakes), service.handshakes, "{name} {}", service.port);
            assert_eq!(sum(|at| at.requests_failed), service.requests_failed, "{name} {}", service.port);
            packets += sum(|at| if at.bytes.is_some() { at.packets } else { 0 });
            assert!(course.moments.windows(2).all(|pair| pair[0].begin < pair[1].begin), "{name}");
            assert!(course.moments.iter().all(|at| at.begin.0.rem_euclid(width) == 0), "{name}");
        }
        let begins = timeline.services.iter().flat_map(|course| &course.moments).map(|at| at.begin);
        let begins: BTreeSet<_> = begins.chain(timeline.all.iter().map(|(begin, _)| *begin)).collect();
        let across = begins.last().zip(begins.first()).map_or(0, |(last, first)| (*last - *first).0 / width);
        assert!(across < 48, "{name}: {across} intervals of {}", timeline.width);
        let all: u64 = timeline.all.iter().map(|(_, traffic)| traffic.packets).sum();
        assert!(packets <= all && all <= outcome.totals.packets, "{name}: {packets} of {all}");
    }
}

#[test]
fn each_side_belongs_to_a_flow_that_was_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = set(folder.path());
    let (flows, sides) = (table("flows"), table("tcp_sides"));
    let packets = numbers(&flows, "orig_pkts").into_iter().zip(numbers(&flows, "resp_pkts"));
    let answered: BTreeSet<_> = numbers(&flows, "flow_id")
        .into_iter()
        .zip(texts(&flows, "proto").into_iter().zip(packets))
        .filter(|(_, (proto, (orig, resp)))| {
            proto.as_deref() == Some("tcp") && *orig > Some(0) && *resp > Some(0)
        })
        .map(|(id, _)| id)
        .collect();
    assert!(answered.len() > 9, "{answered:?}");
    for side in ["orig", "resp"] {
        let ids = numbers(&sides, "flow_id").into_iter().zip(texts(&sides, "side"));
        let ids: Vec<_> = ids.filter(|(_, named)| named.as_deref() == Some(side)).map(|(id, _)| id).collect();
        assert_eq!((ids.len(), ids.into_iter().collect::<BTreeSet<_>>()), (answered.len(), answered.clone()));
    }
}

#[test]
fn ordinals_are_file_and_frame() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = set(folder.path());
    let files = table("files");
    let bases: BTreeMap<_, _> = texts(&files, "file").into_iter().zip(numbers(&files, "base")).collect();
    assert_eq!(bases.len(), 2);
    for name in ["flows", "tcp_sides", "tcp_events", "dns", "tls", "evidence"] {
        let rows = table(name);
        let places = texts(&rows, "file").into_iter().zip(numbers(&rows, "frame"));
        let mut used = BTreeSet::new();
        for ((file, frame), packet) in places.zip(numbers(&rows, "packet")) {
            let base = bases[&file].expect("a number");
            assert_eq!(packet.map(|packet| packet - base), frame, "{name}");
            used.insert(file);
        }
        assert!(!used.is_empty(), "{name}");
    }
}

#[test]
fn an_attempt_that_nothing_answered_is_a_row_of_flows_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("attempt.pcap");
    let mut capture = Capture::default();
    let mut talk = Talk::new(([10, 0, 0, 1].into(), 40_000), ([10, 0, 1, 1].into(), 443), 0, [300, 900]);
    talk.send(&mut capture, CLIENT, SYN, b"");
    fs::write(&path, capture.pcap()).expect("written");
    let table = written(&[path], &folder.path().join("report"));
    assert_eq!(texts(&table("flows"), "handshake"), [Some("silent".to_owned())]);
    for name in ["tcp_sides", "tcp_events", "dns", "tls", "icmp"] {
        let rows = table(name);
        assert!(rows.height() == 0 && rows.width() > 10, "{name}: {:?}", rows.shape());
    }
}

#[test]
fn commands_print_the_tables() {
    let capture = truth::captures("synthetic").into_iter().next().expect("a capture");
    let lines = |arguments: &[&str]| {
        let mut command = assert_cmd::Command::cargo_bin("pcapsy").expect("built");
        let output = command.args(arguments).args(["--quiet", "--format", "csv"]).arg(&capture).output();
        let text = String::from_utf8(output.expect("run").stdout).expect("text");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let files = lines(&["files", "--columns", "file,base"]);
    assert_eq!(files, ["file,base".to_owned(), format!("{},0", capture.display())]);
    let sides = lines(&["sides", "--columns", "side"]);
    assert!(["side", "orig", "resp"].iter().all(|word| sides.iter().any(|line| line == word)), "{sides:?}");
    for table in ["flows", "sides", "events", "dns", "tls", "http"] {
        let rows = lines(&[table, "--columns", "ts"]);
        assert!(rows.len() > 2 && rows[1..].is_sorted(), "{table}: {rows:?}");
        let first = lines(&[table, "--columns", "ts", "--limit", "2"]);
        assert_eq!(first, rows[..3], "{table}");
    }
}
