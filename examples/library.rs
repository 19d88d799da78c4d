//! The library: a capture in memory, rows while they come, and a detector of one's own.
//!
//! `cargo run --example library -- testdata/lab/captures/tls_expired_leaf.pcap`
//!
//! The catalogue of detectors is closed: what they count travels between the stages, and its byte form has
//! one version. A detector outside the crate is driven by rows instead. It is the same [`Detector`] with the
//! same [`Book`], sees every flow that `flows.parquet` has, in an order that no number of threads changes,
//! and is judged when the run is over. Its verdict goes beside the others before the report is made: so its
//! findings are ranked, cited by file and frame, and belong to incidents. What it lacks: no other rule names
//! its findings as symptoms, it hears no ARP, and it runs on one thread.

#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Cursor, Write};

use pcapsy::app::tls::version_name;
use pcapsy::capture::Reader;
use pcapsy::config::Config;
use pcapsy::detect::{
    Book, Case, Configured, Context, Detector, Draft, Evidence, Group, Heard, Role, Rule, Setting, Severity,
    Threshold, Thresholds, Variant, VariantSheet,
};
use pcapsy::dissect::Endpoint;
use pcapsy::flow::Flow;
use pcapsy::local::{self, Run};
use pcapsy::pipeline::Rows;
use pcapsy::report::model::Report;
use serde::{Deserialize, Serialize};

/// Services that agree on an older version of TLS than the house rules allow. Its fields are its thresholds.
#[derive(Clone, Debug)]
struct OldTls {
    /// The lowest version allowed, as on the wire: 0x0304 is TLS 1.3.
    least: u64,
}

const LEAST: Threshold = Threshold {
    key: "least",
    default: 0x0304 as f64,
    unit: "version number",
    meaning: "the lowest version allowed",
    source: "a house rule; RFC 9325 section 3.1.1 allows TLS 1.2",
};

impl Thresholds for OldTls {
    const THRESHOLDS: &'static [Threshold] = &[LEAST];

    fn new(configured: Option<&BTreeMap<String, f64>>) -> Self {
        Self { least: Setting::from_number(LEAST.value(configured)) }
    }
}

/// The kinds of its findings: one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Agreed;

impl Variant for Agreed {
    const SHEETS: &'static [VariantSheet] = &[VariantSheet {
        could_be: &["the server's library is old", "the client offers nothing newer"],
        next: &["compare the versions that the client offers: pcapsy tls --columns offered_version,version"],
        not_claimed: &["that anybody can read the traffic"],
        ..VariantSheet::new("", Severity::Warning)
    }];

    fn sheet(self) -> &'static VariantSheet {
        &Self::SHEETS[0]
    }
}

impl Detector for OldTls {
    const RULE: Rule = Rule {
        name: "old_tls",
        group: Group::Tls,
        summary: "services that agree on an older version of TLS than the house rules allow",
        judges: "handshakes",
        variants: Agreed::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: "",
    };

    type Variant = Agreed;
    /// A case for each service and version.
    type Key = (Endpoint, u16);
    type Counts = ();
    type Total = ();
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(hello) = flow.tls.as_ref().and_then(|session| session.server_hello.as_ref()) else { return };
        if book.judged(&flow.server).is_none() || u64::from(hello.version) >= self.least {
            return;
        }
        let Some(case) = book.case((flow.server, hello.version)) else { return };
        case.flow(flow, [hello.at]);
        case.show(0, flow.id, || [Evidence::new(hello.at, Role::Data, version_name(hello.version))]);
    }

    fn judge(
        &self,
        (server, version): &(Endpoint, u16),
        case: &Case<()>,
        _: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Agreed>> {
        let name = version_name(*version);
        let title = format!("{server} agrees on {name}");
        let summary =
            format!("{} of {} handshakes with {server} agreed on {name}.", case.flows(), case.total);
        Some(Draft::new(Agreed, title, summary))
    }
}

/// Takes the rows of a run: prints one line each, and shows them to the detector.
struct Watch<'o> {
    out: &'o mut (dyn Write + Send),
    detector: OldTls,
    book: Book<OldTls>,
    /// Whose packets there are: without any, silence says nothing.
    heard: Heard,
}

impl Rows for Watch<'_> {
    fn flow(&mut self, flow: &Flow) {
        let packets: u64 = flow.halves.iter().map(|half| half.packets).sum();
        let _ = writeln!(self.out, "{} > {}: {packets} packets", flow.client, flow.server);
        self.heard.flow(flow);
        self.detector.flow(flow, &mut self.book);
    }
}

/// The report on a capture of which these are the bytes, compressed or not. Its flows go to `out` as they
/// end.
///
/// # Errors
/// When they are no capture.
pub(crate) fn analyze(bytes: Vec<u8>, out: &mut (dyn Write + Send)) -> Result<Report, Box<dyn Error>> {
    let config = Config::default();
    let reader = Reader::stream("memory", Cursor::new(bytes), &config.capture_limits())?;
    let detector = OldTls::new(Configured::new().get("old_tls"));
    let mut watch = Watch { out, detector, book: Book::default(), heard: Heard::default() };
    let mut outcome = local::analyze_set(reader, &config, Run::default(), &mut watch, &|_| {})?;
    let context = Context {
        totals: &outcome.totals,
        files: &outcome.files,
        fragments: outcome.fragments,
        heard: &watch.heard,
        hosts: &watch.heard.hosts(),
    };
    let verdict = watch.book.finish(&watch.detector, &context);
    outcome.verdicts.push((&OldTls::RULE, verdict));
    Ok(Report::new(&outcome, &config))
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("name a capture")?;
    let report = analyze(std::fs::read(path)?, &mut std::io::stdout())?;
    for cited in &report.incidents {
        println!("{} {}", cited.incident.id, cited.incident.title);
    }
    for ranked in report.findings.iter().filter(|ranked| ranked.finding.detector == OldTls::RULE.name) {
        let frames: Vec<u64> = ranked.evidence.iter().map(|cited| cited.frame).collect();
        println!("{} {}, frames {frames:?}", ranked.id, ranked.finding.title);
    }
    Ok(())
}
