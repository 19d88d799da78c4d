//! Writes what the fuzz targets start with, made of the captures of testdata: a folder for each target.
//!
//! `cargo run --example seeds -- fuzz/seeds`

#![allow(missing_docs, clippy::print_stdout, unreachable_pub, dead_code)]

#[path = "../fuzz/input.rs"]
mod input;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use input::{Piece, Segment};
use pcapsy::capture::{CaptureLimits, RawPacket, Reader};
use pcapsy::dissect::{PacketRecord, Transport, dissect};

/// Longest input of any target, bytes.
const LONGEST: usize = 32 << 10;
/// Inputs of one target and capture.
const MOST: usize = 8;

/// A target's inputs of a capture: of its file, and of its packets.
type Seeds = fn(&[u8], &[Seen]) -> Vec<Vec<u8>>;

/// Every target.
const TARGETS: [(&str, Seeds); 7] = [
    ("analysis", files),
    ("app", streams),
    ("capture", files),
    ("dissect", frames),
    ("quic", datagrams),
    ("reassembly", segments),
    ("tls", streams),
];

/// A packet of a capture.
struct Seen {
    link_type: u16,
    wire: u32,
    bytes: Vec<u8>,
    record: PacketRecord,
}

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(|| "fuzz/seeds".into(), PathBuf::from);
    let mut written = [0; TARGETS.len()];
    for path in captures()? {
        let Ok(packets) = packets(&path) else { continue };
        let file = fs::read(&path)?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        for ((target, seeds), count) in TARGETS.iter().zip(&mut written) {
            let folder = folder.join(target);
            fs::create_dir_all(&folder)?;
            for (number, seed) in seeds(&file, &packets).into_iter().take(MOST).enumerate() {
                fs::write(folder.join(format!("{name}-{number}")), seed)?;
                *count += 1;
            }
        }
    }
    TARGETS.iter().zip(written).for_each(|((target, _), count)| println!("{count:>6} {target}"));
    Ok(())
}

fn captures() -> io::Result<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut captures = Vec::new();
    for folder in ["synthetic", "lab/captures"] {
        for entry in fs::read_dir(root.join(folder))? {
            captures.push(entry?.path());
        }
    }
    captures.retain(|path| path.extension().is_some_and(|ending| ending == "pcap" || ending == "pcapng"));
    captures.sort();
    Ok(captures)
}

fn packets(path: &Path) -> Result<Vec<Seen>, pcapsy::capture::CaptureError> {
    let mut reader = Reader::open(&[path.to_owned()], &CaptureLimits::default())?;
    let mut packets = Vec::new();
    while let Some(chunk) = reader.next_chunk() {
        packets.extend(chunk.packets().map(|packet| {
            let record = dissect(&RawPacket { start: 0, ..packet });
            let (link_type, wire, bytes) = (packet.link_type.0, packet.wire, packet.data.to_vec());
            Seen { link_type, wire, bytes, record }
        }));
    }
    Ok(packets)
}

fn files(file: &[u8], _: &[Seen]) -> Vec<Vec<u8>> {
    if file.len() <= LONGEST { vec![file.to_vec()] } else { Vec::new() }
}

/// One frame of every kind: another one teaches nothing.
fn frames(_: &[u8], packets: &[Seen]) -> Vec<Vec<u8>> {
    let mut kinds = BTreeSet::new();
    let kind = |seen: &Seen| {
        let record = &seen.record;
        let transport = std::mem::discriminant(&record.transport);
        format!("{transport:?} {:?} {:?} {:?}", record.stop, record.faults, record.path.tunnel)
    };
    let new = packets.iter().filter(|seen| kinds.insert(kind(seen)));
    new.map(|seen| input::write_frame(seen.link_type, seen.wire, &seen.bytes)).collect()
}

/// The packets of each conversation, those of the longest first.
fn conversations(packets: &[Seen]) -> Vec<Vec<&Seen>> {
    let mut conversations: BTreeMap<u64, Vec<&Seen>> = BTreeMap::new();
    for seen in packets.iter().filter(|seen| seen.record.ip.is_some()) {
        conversations.entry(seen.record.partition).or_default().push(seen);
    }
    let mut conversations: Vec<Vec<&Seen>> = conversations.into_values().collect();
    conversations.sort_by_key(|packets| std::cmp::Reverse(packets.len()));
    conversations
}

/// Who sent the first packet is the client.
fn to_server(conversation: &[&Seen], seen: &Seen) -> bool {
    let ends = |seen: &Seen| {
        let ports = match seen.record.transport {
            Transport::Tcp(tcp) => (tcp.source_port, tcp.destination_port),
            Transport::Udp(udp) => (udp.source_port, udp.destination_port),
            _ => (0, 0),
        };
        (seen.record.ip.map(|ip| ip.source), ports.0)
    };
    conversation.first().is_none_or(|first| ends(first) == ends(seen))
}

/// The datagrams of conversations that begin as QUIC does.
fn datagrams(_: &[u8], packets: &[Seen]) -> Vec<Vec<u8>> {
    said(packets, pcapsy::app::quic::looks_like_quic)
}

/// What each side of a conversation said.
fn streams(_: &[u8], packets: &[Seen]) -> Vec<Vec<u8>> {
    said(packets, |_| true)
}

/// The same of conversations whose first payload is wanted.
fn said(packets: &[Seen], wanted: fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let stream = |conversation: Vec<&Seen>| {
        let mut stream = Vec::new();
        for seen in &conversation {
            let (start, length) = (seen.record.payload.start as usize, seen.record.payload.captured as usize);
            let bytes = seen.bytes.get(start..start + length).unwrap_or_default();
            if stream.is_empty() && !wanted(bytes) {
                continue;
            }
            if !bytes.is_empty() && stream.len() + bytes.len() < LONGEST {
                Piece { to_server: to_server(&conversation, seen), lost: 0, bytes }.write(&mut stream);
            }
        }
        stream
    };
    conversations(packets).into_iter().map(stream).filter(|stream| !stream.is_empty()).collect()
}

/// The TCP segments of a conversation.
fn segments(_: &[u8], packets: &[Seen]) -> Vec<Vec<u8>> {
    let segments = |conversation: Vec<&Seen>| {
        let (mut input, mut before) = (Vec::new(), None);
        for seen in &conversation {
            let Transport::Tcp(tcp) = seen.record.transport else { continue };
            let time = seen.record.time;
            let wait = before.replace(time).map_or(0, |before| (time - before).0);
            let segment = Segment {
                to_server: to_server(&conversation, seen),
                flags: tcp.flags.0,
                length: u8::try_from(seen.record.payload.length).unwrap_or(u8::MAX),
                seq: tcp.seq.0,
                ack: tcp.ack.0,
                window: tcp.window,
                wait: u32::try_from(wait).unwrap_or(if wait < 0 { 0 } else { u32::MAX }),
            };
            if input.len() < LONGEST {
                segment.write(&mut input);
            }
        }
        input
    };
    conversations(packets).into_iter().map(segments).filter(|input| !input.is_empty()).collect()
}
