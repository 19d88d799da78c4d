//! The stages travel: a run in which everything between them goes through bytes, every partition is tracked
//! in a process of its own, and nothing comes in order, gives the report of a run on this machine, byte for
//! byte.
//!
//! That holds while no limit on all flows together acts: none does here. `cargo test --test travel --
//! --nocapture` prints how many bytes a record and a row take.

#![allow(clippy::print_stdout, clippy::print_stderr, dead_code, unreachable_pub)]

mod support;

#[path = "../examples/generate/crowd.rs"]
mod crowd;
#[path = "../examples/generate/dice.rs"]
mod dice;
#[path = "../examples/generate/sink.rs"]
mod sink;
#[path = "../examples/generate/web.rs"]
mod web;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dice::Dice;
use pcapsy::app::dns::Transaction;
use pcapsy::capture::Reader;
use pcapsy::config::Config;
use pcapsy::detect::{Configured, Detectors};
use pcapsy::dissect::PacketRecord;
use pcapsy::flow::{Finished, Flow, FlowHead, FlowLimits, Row};
use pcapsy::local::{self, Run};
use pcapsy::pipeline::exchange::{decode, encode};
use pcapsy::pipeline::{
    ChunkSummary, Leads, Outcome, Partition, PartitionState, Records, Rows, Sequencer, StreamNumbers,
    Tracked, dissect_chunk, partition_of,
};
use pcapsy::report::{json, model::Report};
use pcapsy::time::Timestamp;
use support::capture::{Capture, Order};
use support::dns;
use support::frame::{Ip, Mac, datagram, ethernet, vxlan};

/// Records of a message: few, so that a partition gets several.
const RECORDS: usize = 200;

/// Where a process of one partition leaves its answer; what it is asked comes from standard input.
const ANSWER: &str = "PCAPSY_TRAVEL_ANSWER";

/// What stage 2 of one partition is given.
type Task = (FlowLimits, Configured, Timestamp, Vec<u8>, Vec<u8>, Vec<Vec<u8>>);

/// The report, and all rows in their order.
#[derive(PartialEq)]
struct Result {
    report: Vec<u8>,
    rows: String,
}

#[derive(Default)]
struct Everything(String);

impl Rows for Everything {
    fn flow(&mut self, flow: &Flow) {
        writeln!(self.0, "{flow:?}").expect("a string takes everything");
    }

    fn transaction(&mut self, transaction: &Transaction, flow: &FlowHead) {
        writeln!(self.0, "{transaction:?} {flow:?}").expect("a string takes everything");
    }
}

impl Result {
    fn new(outcome: &Outcome, config: &Config, rows: Everything) -> Self {
        let mut report = Vec::new();
        json::write(&Report::new(outcome, config), &mut report).expect("memory");
        let mut rows = rows;
        writeln!(rows.0, "{:?}", outcome.board.timeline()).expect("a string takes everything");
        Self { report, rows: rows.0 }
    }

    fn local(inputs: &[PathBuf], config: &Config) -> Self {
        let mut rows = Everything::default();
        let run = Run { threads: 2, sha256: false };
        let outcome = local::analyze(inputs, config, run, &mut rows, &|_| {}).expect("it is read");
        assert!(outcome.capped.iter().all(|capped| capped.setting != "limits.memory_mib"), "a limit acted");
        Self::new(&outcome, config, rows)
    }

    /// The same run by way of bytes; `stage2` is given the task of a partition.
    fn travelled(inputs: &[PathBuf], config: &Config, stage2: impl Fn(&[u8]) -> Vec<u8>) -> Self {
        let partitions = config.limits.partitions as usize;
        let mut dice = Dice::new(7);
        let mut reader = Reader::open(inputs, &config.capture_limits()).expect("it is read");
        // Stage 1: every chunk alone.
        let (mut summaries, mut parcels) = (Vec::new(), Vec::new());
        while let Some(chunk) = reader.next_chunk() {
            let mut batch = dissect_chunk(chunk, 1);
            parcels.extend(batch.records().iter().map(alone));
            summaries.push(encode(&batch.take_summary()).expect("encoded"));
        }
        // Folded in the order of the chunks.
        let (mut sequencer, mut leads) = (Sequencer::new(config), Leads::default());
        for summary in &summaries {
            let sequenced = sequencer.take(decode::<ChunkSummary>(summary).expect("decoded"));
            leads.push(sequenced.lead);
            parcels.extend(sequenced.datagrams.iter().map(alone));
        }
        let leads = encode(&leads).expect("encoded");
        let keys = encode(&reader.keys()).expect("encoded");
        // Shuffled, and sorted again by partition and packet.
        shuffle(&mut parcels, &mut dice);
        let mut lists = vec![Vec::new(); partitions];
        for parcel in parcels {
            for (record, payload) in decode::<Records>(&parcel).expect("decoded").iter() {
                lists[partition_of(record, partitions)].push((*record, payload.to_vec()));
            }
        }
        let mut turns: Vec<usize> = (0..partitions).collect();
        shuffle(&mut turns, &mut dice);
        // Stage 2: every partition alone, in any order.
        let mut state = PartitionState::default();
        let mut answers: Vec<Tracked> = (0..partitions).map(|_| Tracked::default()).collect();
        for partition in turns {
            let list = &mut lists[partition];
            list.sort_by_key(|(record, _)| record.packet);
            let messages = list.chunks(RECORDS).map(|some| {
                let mut records = Records::default();
                records.extend(some.iter().cloned());
                encode(&records).expect("encoded")
            });
            let task: Task = (
                config.flow_limits(),
                config.detect.clone(),
                sequencer.clock(),
                leads.clone(),
                keys.clone(),
                messages.collect(),
            );
            let answer = stage2(&postcard::to_stdvec(&task).expect("encoded"));
            let (tracked, own): (Vec<u8>, Vec<u8>) = postcard::from_bytes(&answer).expect("decoded");
            state.merge(decode(&own).expect("decoded"));
            answers[partition] = decode(&tracked).expect("decoded");
        }
        // Folded, merged, judged.
        let mut numbers = StreamNumbers::new(partitions, config.limits.numbered_streams());
        numbers.number(answers.iter_mut().map(|tracked| std::mem::take(&mut tracked.streams)).collect());
        let mut finished: Vec<Row> = Vec::new();
        for (partition, tracked) in answers.into_iter().enumerate() {
            finished.extend(tracked.rows.into_iter().map(|mut row| {
                numbers.resolve(partition, &mut row);
                row
            }));
        }
        finished.sort_by_key(Row::key);
        let mut rows = Everything::default();
        rows.finished(&finished);
        let outcome = Outcome::conclude(config, reader, sequencer, state, 0, numbers.refused());
        Self::new(&outcome, config, rows)
    }
}

/// A record as a message of its own.
fn alone((record, payload): (&PacketRecord, &[u8])) -> Vec<u8> {
    let mut records = Records::default();
    records.push(*record, payload);
    encode(&records).expect("encoded")
}

fn shuffle<T>(list: &mut [T], dice: &mut Dice) {
    for last in (1..list.len()).rev() {
        list.swap(last, dice.within(0, last as u64 + 1) as usize);
    }
}

/// Stage 2 of one partition, bytes to bytes.
fn track(task: &[u8]) -> Vec<u8> {
    let (limits, thresholds, clock, leads, keys, messages): Task =
        postcard::from_bytes(task).expect("decoded");
    let records = messages.iter().map(|message| decode(message).expect("decoded"));
    let leads = decode(&leads).expect("decoded");
    let partition = Partition::new(0, limits, Detectors::new(&thresholds));
    let partition = partition.with_keys(decode(&keys).expect("decoded"));
    let (tracked, state) = partition.run(records, &leads, clock).expect("in order");
    let answer = (encode(&tracked).expect("encoded"), encode(&state).expect("encoded"));
    postcard::to_stdvec(&answer).expect("encoded")
}

/// The same in a process of its own.
fn track_elsewhere(task: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let answer = folder.path().join("answer");
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "the_process_of_one_partition"])
        .env(ANSWER, &answer)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    child.stdin.take().expect("piped").write_all(task).expect("it reads all");
    assert!(child.wait().expect("it ends").success());
    fs::read(answer).expect("an answer")
}

#[test]
fn the_process_of_one_partition() {
    // Started by `track_elsewhere`; on its own there is nothing to do.
    let Some(answer) = std::env::var_os(ANSWER) else { return };
    let mut task = Vec::new();
    std::io::stdin().read_to_end(&mut task).expect("read");
    fs::write(answer, track(&task)).expect("written");
}

fn config(partitions: u32) -> Config {
    let mut config = Config::default();
    (config.limits.partitions, config.limits.chunk_kib) = (partitions, 16);
    config
}

/// Captures of a folder of `testdata`.
fn captures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("there").map(|entry| entry.expect("readable").path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "pcap" || ending == "pcapng"));
    files.sort();
    files
}

fn check(inputs: &[PathBuf], partitions: u32, stage2: impl Fn(&[u8]) -> Vec<u8>) {
    let config = config(partitions);
    let (local, travelled) = (Result::local(inputs, &config), Result::travelled(inputs, &config, stage2));
    for (one, other) in local.rows.lines().zip(travelled.rows.lines()) {
        assert_eq!(one, other, "{inputs:?}");
    }
    assert!(local.rows == travelled.rows, "{inputs:?}: rows are missing");
    let text = |report: &[u8]| String::from_utf8_lossy(report).into_owned();
    assert!(
        local.report == travelled.report,
        "{inputs:?}\n{}\nagainst\n{}",
        text(&local.report),
        text(&travelled.report)
    );
}

#[test]
fn every_capture_gives_the_same_report_through_bytes() {
    for (capture, partitions) in captures("synthetic").into_iter().zip([5, 16, 1].into_iter().cycle()) {
        check(&[capture], partitions, track);
    }
    for capture in captures("lab/captures").into_iter().step_by(9) {
        check(&[capture], 3, track);
    }
}

#[test]
fn partitions_in_processes_of_their_own_give_the_same_report() {
    let (synthetic, lab) = (captures("synthetic"), captures("lab/captures"));
    for capture in synthetic.iter().step_by(18).chain(lab.iter().step_by(25)) {
        check(std::slice::from_ref(capture), 3, track_elsewhere);
    }
}

#[test]
fn several_files_give_the_same_report_through_bytes() {
    let files: Vec<PathBuf> = captures("synthetic").into_iter().step_by(7).collect();
    check(&files, 5, track);
    check(&files[2..6], 4, track_elsewhere);
}

/// The IP datagram `packet` (IPv4, no options) in fragments of `size` bytes of payload.
fn fragments(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
    let pieces = packet[20..].chunks(size);
    let count = pieces.len();
    let fragment = |(index, piece): (usize, &[u8])| {
        let mut bytes = [&packet[..20], piece].concat();
        let more = u16::from(index + 1 < count) << 13;
        let length = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        bytes[6..8].copy_from_slice(&(more | (index * size / 8) as u16).to_be_bytes());
        bytes
    };
    pieces.enumerate().map(fragment).collect()
}

/// Lookups whose answers come in fragments, some of them fragments inside a tunnel whose packets are
/// fragments again, with other traffic of more than a chunk in between; one packet in nine is lost, and long
/// runs of packets have no time.
fn fragmented() -> Vec<u8> {
    let mut capture = Capture::default();
    let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 53]);
    let macs: [Mac; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
    let ip = |source: [u8; 4], destination: [u8; 4], id| Ip {
        source: source.into(),
        destination: destination.into(),
        ttl: 64,
        id,
    };
    let addresses: Vec<[u8; 4]> = (0..150).map(|last| [192, 0, 2, last]).collect();
    let mut lost = 0;
    for id in 0..40u16 {
        let (port, name) = (40_000 + id, format!("host{id}.example.net"));
        let query = ip(client, server, id).udp(port, 53, &dns::query(id, &name, dns::A));
        let answer = dns::response(id, &name, dns::A, dns::NOERROR, &addresses);
        let answer = ip(server, client, id).udp(53, port, &answer);
        let mut frames = vec![ethernet(macs[0], macs[1], None, &query)];
        for piece in fragments(&answer, 800) {
            let frame = ethernet(macs[1], macs[0], None, &piece);
            if id % 2 == 0 {
                frames.push(frame);
            } else {
                let outer = vxlan(ip([172, 16, 0, 1], [172, 16, 0, 2], 1_000 + lost), 7, macs, &frame);
                let pieces = fragments(datagram(&outer), 400);
                frames.extend(pieces.iter().map(|piece| ethernet(macs[0], macs[1], None, piece)));
            }
            lost += 1;
        }
        // The last fragment first, as Linux once sent them.
        frames[1..].reverse();
        let mut now = u64::from(id) * 100_000;
        for (frame, number) in frames.into_iter().zip(1u16..) {
            if (id + number) % 9 > 0 {
                capture.record(now, frame);
            }
            for _ in 0..if id % 4 > 1 { 13 } else { 0 } {
                now += 100;
                let filler = ip(client, [10, 0, 0, 9], id).udp(9_000, 9_001, &[7; 1_400]);
                capture.record(now, ethernet(macs[0], macs[1], None, &filler));
            }
        }
    }
    let mut file = Capture::default().pcapng(Order::Little, None);
    for (packet, number) in capture.packets.iter().zip(0..) {
        // Runs of packets without a time reach over the ends of chunks.
        if number / 25 % 2 == 0 {
            let length = packet.frame.len() as u32;
            let total = 16 + length.next_multiple_of(4);
            let start = file.len();
            [3, total, length].iter().for_each(|word: &u32| file.extend(word.to_le_bytes()));
            file.extend(&packet.frame);
            file.resize(start + total as usize - 4, 0);
            file.extend(total.to_le_bytes());
        } else {
            packet.block(&mut file, Order::Little);
        }
    }
    file
}

#[test]
fn fragments_and_packets_without_a_time_are_folded_over_the_chunks() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fragments.pcapng");
    fs::write(&path, fragmented()).expect("written");
    let result = Result::local(std::slice::from_ref(&path), &config(3));
    let answered = result.rows.lines().filter(|row| row.contains("rcode: Some(0)")).count();
    assert!((10..40).contains(&answered), "{answered} of 40 lookups answered");
    check(&[path], 3, track);
}

/// Fragments inside and around tunnels, packets without a time, clocks that go back: what other people's
/// captures hold.
#[test]
fn public_captures_give_the_same_report_through_bytes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let Ok(manifest) = fs::read_to_string(folder.join("MANIFEST.tsv")) else {
        return eprintln!("skipped: {} is not there", folder.display());
    };
    let names = manifest.lines().skip(1).filter_map(|line| line.split('\t').next());
    let is_small = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.len() < 100_000);
    for capture in names.map(|name| folder.join(name)).filter(is_small) {
        check(&[capture], 3, track);
    }
}

#[test]
fn what_comes_in_the_wrong_order_is_refused() {
    let config = config(1);
    let mut reader = Reader::open(&captures("synthetic")[..1], &config.capture_limits()).expect("it is read");
    let batch = dissect_chunk(reader.next_chunk().expect("a chunk"), 1);
    let partition = || Partition::new(0, config.flow_limits(), config.detectors());
    let (records, leads) = (batch.records(), Leads::default());
    assert!(partition().track_records(&records, &leads).is_ok());
    let mut twice = partition();
    twice.track_records(&records, &leads).expect("in order");
    let error = twice.track_records(&records, &leads).expect_err("all of them again");
    assert_eq!(error.packet, 1);
}

/// Bytes of a record without its payload, and of a row, in a mixed capture.
#[test]
fn records_and_rows_are_small() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mixed.pcap");
    let mut sink = sink::Sink::create(&path, 6_000_000, false).expect("created");
    // It ends when the file is full.
    let _ = crowd::run(web::crowd(web::Traffic::browsing(5), 1), &mut sink);
    sink.finish().expect("written");
    let config = config(1);
    let mut reader = Reader::open(&[path], &config.capture_limits()).expect("it is read");
    let (mut batches, mut sequencer, mut leads) = (Vec::new(), Sequencer::new(&config), Leads::default());
    let (mut records, mut payload, mut encoded, mut summaries, mut chunks) = (0, 0, 0, 0, 0);
    while let Some(chunk) = reader.next_chunk() {
        let mut batch = dissect_chunk(chunk, 1);
        let (own, summary) = (batch.records(), batch.take_summary());
        (records, encoded) = (records + own.len(), encoded + encode(&own).expect("encoded").len());
        payload += own.iter().map(|(_, payload)| payload.len()).sum::<usize>();
        (chunks, summaries) = (chunks + 1, summaries + encode(&summary).expect("encoded").len());
        leads.push(sequencer.take(summary).lead);
        batches.push(own);
    }
    let partition = Partition::new(0, config.flow_limits(), config.detectors());
    let (tracked, _) = partition.run(batches, &leads, sequencer.clock()).expect("in order");
    let size = |row: &Row| postcard::to_stdvec(row).expect("encoded").len();
    let (flows, lookups): (Vec<&Row>, Vec<&Row>) =
        tracked.rows.iter().partition(|row| matches!(row.what, Finished::Flow(_)));
    let tcp: Vec<&Row> = (flows.iter().copied())
        .filter(|row| matches!(&row.what, Finished::Flow(flow) if flow.tcp.is_some()))
        .collect();
    let mean = |rows: &[&Row]| rows.iter().map(|row| size(row)).sum::<usize>() / rows.len().max(1);
    let (record, flow) = ((encoded - payload) / records, mean(&flows));
    println!("{records} records: {record} bytes each without payload, {} with it", encoded / records);
    println!("{} flows: {flow} bytes each, {} TCP {} bytes each", flows.len(), tcp.len(), mean(&tcp));
    println!("{} lookups: {} bytes each", lookups.len(), mean(&lookups));
    println!("{chunks} chunks of 16 KiB: summaries of {} bytes each", summaries / chunks);
    assert!(record < 160 && flow < 1_500, "{record} bytes per record, {flow} per flow");
}
