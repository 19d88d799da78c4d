//! Everything that is said of one packet or of one flow: rows of all tables, findings, incidents.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::dissect::{FiveTuple, PacketRecord, Transport};
use crate::flow::{Finished, Row};
use crate::pipeline::Rows;
use crate::report::filter::FrameFilter;
use crate::report::labels::Labels;
use crate::report::model::{CitedIncident, Report};
use crate::report::table::{
    Certificates, Dns, FileIndex, Flows, Http, Icmp, Streamed, Table, TcpEvents, TcpSides, Tls, protocol,
    word,
};
use crate::report::trace::flags;
use crate::report::value::Value;

/// Rows of a table that are kept.
const MOST: usize = 64;

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A packet: its ordinal, and between whom it goes.
    Packet(u64, Option<FiveTuple>),
    /// A flow: its id.
    Flow(u64),
}

/// A row of a table, without what is null.
#[derive(Clone, Debug)]
pub struct SaidRow {
    /// The table.
    pub table: &'static str,
    /// Columns and values.
    pub cells: Vec<(&'static str, Value<'static>)>,
}

impl Serialize for SaidRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.cells.len() + 1))?;
        map.serialize_entry("table", self.table)?;
        for (name, value) in &self.cells {
            match value {
                Value::Null => {}
                Value::Bool(value) => map.serialize_entry(name, value)?,
                Value::Number(value) => map.serialize_entry(name, value)?,
                Value::Real(value) => map.serialize_entry(name, value)?,
                Value::Text(value) => map.serialize_entry(name, value)?,
                Value::Time(value) => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

/// Gathers the rows while a capture is analysed.
pub struct Gather {
    about: About,
    files: FileIndex,
    /// Flows that it belongs to: id, addresses and Wireshark's stream number.
    flows: Vec<(u64, FiveTuple, Option<u32>)>,
    rows: Vec<SaidRow>,
    left_out: u64,
}

impl Gather {
    /// For what is asked about.
    pub fn new(about: About) -> Self {
        Self { about, files: FileIndex::default(), flows: Vec::new(), rows: Vec::new(), left_out: 0 }
    }

    fn table<T: Streamed>(&mut self, rows: &[Row]) {
        let files = std::mem::take(&mut self.files);
        let is_flows = T::NAME == Flows::NAME;
        for row in T::finished(rows, &files) {
            let is_it = T::COLUMNS.iter().any(|column| {
                let value = match (self.about, column.header.name) {
                    (About::Flow(_), "flow_id") => (column.value)(&row),
                    (About::Packet(..), "flow_id") if is_flows => (column.value)(&row),
                    (About::Packet(..), name) if !is_flows && name.ends_with("packet") => {
                        (column.value)(&row)
                    }
                    _ => Value::Null,
                };
                let Value::Number(number) = value else { return false };
                match self.about {
                    About::Flow(id) => number == id,
                    About::Packet(..) if is_flows => self.flows.iter().any(|(id, ..)| *id == number),
                    About::Packet(ordinal, _) => number == ordinal,
                }
            });
            if !is_it {
                continue;
            }
            if self.rows.iter().filter(|row| row.table == T::NAME).count() >= MOST {
                self.left_out += 1;
                continue;
            }
            let cells =
                T::COLUMNS.iter().map(|column| (column.header.name, (column.value)(&row).into_owned()));
            let cells = cells.filter(|(_, value)| *value != Value::Null).collect();
            self.rows.push(SaidRow { table: T::NAME, cells });
        }
        self.files = files;
    }

    /// What is said, once the report is there. `record` is the packet asked about.
    pub fn said(self, report: &Report, record: Option<&PacketRecord>) -> Said {
        let (about, flows) = (self.about, &self.flows);
        let mut findings = Vec::new();
        for ranked in &report.findings {
            let cited = ranked.evidence.iter().find(|cited| match about {
                About::Packet(ordinal, _) => cited.packet.packet == ordinal,
                About::Flow(_) => false,
            });
            let is_of_flow = flows.iter().any(|(id, ..)| ranked.finding.scope.flows.sample.contains(id));
            let how = match cited {
                Some(cited) => {
                    format!("cites it: {}", said_of(word(&cited.packet.role), &cited.packet.fields))
                }
                None if is_of_flow => "its flow is among those counted".to_owned(),
                None => continue,
            };
            findings.push(SaidFinding {
                id: ranked.id.clone(),
                rule: ranked.finding.rule(),
                severity: word(&ranked.finding.severity),
                title: ranked.finding.title.clone(),
                how,
                incident: incident_of(report, &ranked.id).map(|cited| cited.incident.id.clone()),
            });
        }
        let mut commands = Vec::new();
        if let About::Packet(ordinal, _) = about {
            let filter = format!("frame.number == {}", self.files.frame(ordinal));
            commands.push(FrameFilter::new(self.files.file(ordinal), filter).command + " -V");
        }
        for (id, tuple, stream) in flows.iter().take(MOST) {
            let filter = match stream {
                Some(stream) if report.capture.files.len() == 1 => format!("tcp.stream == {stream}"),
                _ => between(tuple),
            };
            commands.push(FrameFilter::new(self.files.file(*id), filter).command);
        }
        Said {
            packet: record.map(described),
            rows: self.rows,
            rows_left_out: self.left_out,
            findings,
            commands,
            labels: Labels::default(),
        }
    }

    /// Nothing in the capture is what was asked about.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty() && self.rows.is_empty()
    }
}

impl Rows for Gather {
    fn file(&mut self, path: &str, base: u64) {
        self.files.push(path, base);
    }

    fn finished(&mut self, rows: &[Row]) {
        for row in rows {
            let Finished::Flow(flow) = &row.what else { continue };
            let tuple = FiveTuple { source: flow.client, destination: flow.server, protocol: flow.protocol };
            let is_it = match self.about {
                About::Flow(id) => flow.id == id,
                About::Packet(ordinal, of) => {
                    (flow.first.packet..=flow.last.packet).contains(&ordinal)
                        && of.is_some_and(|of| of.canonical() == tuple.canonical())
                }
            };
            if is_it {
                self.flows.push((flow.id, tuple, flow.stream));
            }
        }
        self.table::<Flows>(rows);
        self.table::<TcpSides>(rows);
        self.table::<TcpEvents>(rows);
        self.table::<Dns>(rows);
        self.table::<Tls>(rows);
        self.table::<Certificates>(rows);
        self.table::<Http>(rows);
        self.table::<Icmp>(rows);
    }
}

/// Everything that is said of it.
#[derive(Clone, Debug, Serialize)]
pub struct Said {
    /// The packet in a line.
    pub packet: Option<String>,
    /// Rows of the tables, at most 64 of each.
    pub rows: Vec<SaidRow>,
    /// Rows beyond those.
    pub rows_left_out: u64,
    /// Findings that cite or count it.
    pub findings: Vec<SaidFinding>,
    /// What shows the same in a shell.
    pub commands: Vec<String>,
    /// What people call the addresses, when they told.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

impl Said {
    /// The same with the names of the addresses in it.
    pub fn labelled(self, labels: Labels) -> Self {
        let labels = labels.only(&serde_json::to_string(&self).unwrap_or_default());
        Self { labels, ..self }
    }
}

/// A finding that cites or counts it.
#[derive(Clone, Debug, Serialize)]
pub struct SaidFinding {
    /// Its id.
    pub id: String,
    /// Detector and variant.
    pub rule: String,
    /// How heavy.
    pub severity: &'static str,
    /// Its headline.
    pub title: String,
    /// What it has to do with it.
    pub how: String,
    /// The incident it belongs to.
    pub incident: Option<String>,
}

/// The incident that a finding belongs to.
pub fn incident_of<'r>(report: &'r Report, finding: &str) -> Option<&'r CitedIncident> {
    report.incidents.iter().find(|cited| {
        cited.incident.root == finding || cited.incident.symptoms.iter().any(|symptom| symptom == finding)
    })
}

fn said_of(role: &str, fields: &str) -> String {
    let role = role.replace('_', " ");
    if fields.is_empty() { role } else { format!("{role}, {fields}") }
}

/// A display filter for a flow without a number.
fn between(tuple: &FiveTuple) -> String {
    let (one, other) = (tuple.source, tuple.destination);
    let version = if one.address.is_ipv4() { "ip" } else { "ipv6" };
    let mut filter = format!("{version}.addr == {} && {version}.addr == {}", one.address, other.address);
    let name = match tuple.protocol {
        6 => "tcp",
        17 => "udp",
        _ => return filter,
    };
    filter += &format!(" && {name}.port == {} && {name}.port == {}", one.port, other.port);
    filter
}

/// A packet in a line.
fn described(record: &PacketRecord) -> String {
    let mut text = format!("{}, {} bytes", record.time.rfc3339(), record.wire);
    if record.captured < record.wire {
        text += &format!(" ({} captured)", record.captured);
    }
    if let (Some(tuple), Some(ip)) = (FiveTuple::of(record), record.ip) {
        let end = |end: crate::dissect::Endpoint| match end.port {
            0 => end.address.to_string(),
            _ => end.to_string(),
        };
        let name = protocol(tuple.protocol).to_uppercase();
        text += &format!(", {name} {} > {}", end(tuple.source), end(tuple.destination));
        if let Transport::Tcp(tcp) = &record.transport {
            text += &format!(", {}, seq {}", flags(tcp.flags), tcp.seq.0);
            if tcp.flags.ack() {
                text += &format!(", ack {}", tcp.ack.0);
            }
            text += &format!(", window {}", tcp.window);
        }
        if let Transport::Icmp(icmp) = &record.transport {
            text += &format!(", type {} code {}", icmp.kind, icmp.code);
        }
        text += &format!(", payload {}, TTL {}, id 0x{:04x}", record.payload.length, ip.ttl, ip.id);
        if ip.dont_fragment && ip.source.is_ipv4() {
            text += ", DF";
        }
    }
    if record.stop != crate::dissect::Stop::Payload {
        text += &format!(", {}", record.stop);
    }
    text
}
