//! Writes what the fuzz targets start with, made of the captures of testdata: a folder for each target.
//!
//! `cargo run --example seeds -- fuzz/seeds`

#![allow(missing_docs, clippy::print_stdout, unreachable_pub, dead_code)]

#[path = "../fuzz/input.rs"]
mod input;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use input::{Piece, Segment};
use pcapsy::capture::{CaptureLimits, Keys, RawPacket, Reader};
use pcapsy::dissect::{PacketRecord, Transport, dissect};

/// Longest input of any target, bytes.
const LONGEST: usize = 32 << 10;
/// Inputs of one target and capture.
const MOST: usize = 8;

/// A target's inputs of a capture: of its file, and of its packets and the keys in it.
type Seeds = fn(&[u8], &[Seen], &Keys) -> Vec<Vec<u8>>;

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
    let (mut written, mut known) = ([0; TARGETS.len()], BTreeSet::new());
    for path in captures()? {
        let Ok((packets, keys)) = packets(&path) else { continue };
        let file = fs::read(&path)?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        for ((target, seeds), count) in TARGETS.iter().zip(&mut written) {
            let folder = folder.join(target);
            fs::create_dir_all(&folder)?;
            for (number, seed) in seeds(&file, &packets, &keys).into_iter().take(MOST).enumerate() {
                fs::write(folder.join(format!("{name}-{number}")), seed)?;
                *count += 1;
            }
        }
        if file.len() > LONGEST {
            for (number, seed) in talks(&packets, &keys, &mut known).into_iter().enumerate() {
                fs::write(folder.join("analysis").join(format!("{name}-talk-{number}")), seed)?;
            }
        }
    }
    for (number, (target, seed)) in sealed()?.into_iter().enumerate() {
        fs::write(folder.join(target).join(format!("sealed-{number}")), seed)?;
    }
    TARGETS.iter().zip(written).for_each(|((target, _), count)| println!("{count:>6} {target}"));
    Ok(())
}

/// What no capture shows: the contents of packets and records that the keys of a target open.
fn sealed() -> io::Result<[(&'static str, Vec<u8>); 4]> {
    let leaf = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/certs/leaf.der"))?;
    let long = |bytes: &[u8]| (bytes.len() as u32).to_be_bytes()[1..].to_vec();
    let message = |kind: u8, body: &[u8]| [&[kind], long(body).as_slice(), body].concat();
    let entry = [&long(&leaf), &leaf[..], &[0, 0]].concat();
    let chain = message(11, &[&[0], long(&entry).as_slice(), &entry].concat());
    let flight = |protocol: &[u8]| {
        let long = protocol.len() as u8;
        let chosen = [&[0, long + 7, 0, 16, 0, long + 3, 0, long + 1, long], protocol].concat();
        [message(8, &chosen), chain.clone()].concat()
    };
    let finished = message(20, &[7; 32]);
    let crypto = |offset: u16, bytes: &[u8]| {
        let numbers = [offset | 0x4000, bytes.len() as u16 | 0x4000].map(u16::to_be_bytes).concat();
        [&[6], numbers.as_slice(), bytes].concat()
    };
    let stream = |kind: u8, message: &[u8]| {
        [&[kind, 0, message.len() as u8 + 2, 0, message.len() as u8], message].concat()
    };
    let name = b"\x03www\x04shop\x07example\0\0\x01\0\x01";
    let question = [b"\0\0\x01\0\0\x01\0\0\0\0\0\0", &name[..]].concat();
    let answer = [b"\0\0\x81\x83\0\x01\0\0\0\0\0\0", &name[..]].concat();
    // Every frame of RFC 9000 and RFC 9221.
    let frames: &[&[u8]] = &[
        &[0, 1, 2, 0, 0, 0, 0, 3, 9, 1, 1, 0, 2, 1, 5, 6, 7],
        &[0x04, 0, 1, 2, 0x05, 0, 1, 0x07, 2, 9, 9, 0x10, 0x44, 0, 0x11, 4, 9, 0x12, 9, 0x13, 9, 0x14, 9],
        &[0x15, 4, 9, 0x16, 9, 0x17, 9, 0x18, 1, 0, 4, 9, 8, 7, 6],
        &[7; 16],
        &[0x19, 1, 0x1a, 1, 2, 3, 4, 5, 6, 7, 8, 0x1b, 1, 2, 3, 4, 5, 6, 7, 8, 0x1e, 0x31, 2, 1, 2],
        &[0x0f, 0, 5, 1, 3, 0x1d, 0x41, 0x02, 2, b'n', b'o'],
    ];
    let (dns, web) = (flight(b"doq"), flight(b"h3"));
    let (one, two) = dns.split_at(300);
    Ok([
        (
            "quic",
            talk(&[
                (false, 3, &crypto(300, two)),
                (false, 3, &crypto(0, one)),
                (true, 3, &crypto(0, &finished)),
                (true, 4, &stream(0x0a, &question)),
                (false, 4, &stream(0x0b, &answer)),
                (true, 5, &[0x1d, 2, 0]),
            ]),
        ),
        (
            "quic",
            talk(&[
                (false, 3 | 8, &crypto(0, &web)),
                (true, 3, &crypto(0, &finished)),
                (true, 4, &frames.concat()),
                (false, 5, &frames.concat()),
                (false, 6, &[7; 40]),
                (true, 3, b"\x1c\x41\x2d\x06\x03old"),
            ]),
        ),
        (
            "tls",
            talk(&[
                (false, 2, &flight(b"http/1.1")),
                (true, 2, &finished),
                (false, 2, &finished),
                (true, 4, &[]),
                (false, 4, &[]),
                (true, 3, b"GET / HTTP/1.1\r\nHost: www.shop.example\r\n\r\n"),
                (false, 3, b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno"),
                (false, 2, &message(24, &[0])),
                (false, 1, &[1, 0]),
            ]),
        ),
        ("tls", talk(&[(false, 2, &flight(b"h2")), (true, 1, &[2, 45])])),
    ])
}

/// Pieces of both sides: to the server, what to do with it, bytes.
fn talk(pieces: &[(bool, u8, &[u8])]) -> Vec<u8> {
    let mut input = Vec::new();
    pieces.iter().for_each(|(to_server, lost, bytes)| {
        Piece { to_server: *to_server, lost: *lost, bytes }.write(&mut input);
    });
    input
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

fn packets(path: &Path) -> Result<(Vec<Seen>, Keys), pcapsy::capture::CaptureError> {
    let mut reader = Reader::open(&[path.to_owned()], &CaptureLimits::default())?;
    let mut packets = Vec::new();
    while let Some(chunk) = reader.next_chunk() {
        packets.extend(chunk.packets().map(|packet| {
            let record = dissect(&RawPacket { start: 0, ..packet });
            let (link_type, wire, bytes) = (packet.link_type.0, packet.wire, packet.data.to_vec());
            Seen { link_type, wire, bytes, record }
        }));
    }
    let keys = reader.keys();
    Ok((packets, keys))
}

fn files(file: &[u8], _: &[Seen], _: &Keys) -> Vec<Vec<u8>> {
    if file.len() <= LONGEST { vec![file.to_vec()] } else { Vec::new() }
}

/// Files of one conversation each, behind its keys: one for every port of a service and what is said first.
fn talks(packets: &[Seen], keys: &Keys, known: &mut BTreeSet<(u16, Vec<u8>, bool)>) -> Vec<Vec<u8>> {
    let kind = |conversation: &[&Seen]| {
        let ports = conversation.first().map_or((0, 0), |seen| ends(seen).1);
        let said = conversation.iter().map(|seen| said_in(seen)).find(|bytes| !bytes.is_empty());
        let said = said.unwrap_or_default();
        (ports.0.min(ports.1), said.get(..2).unwrap_or(said).to_vec(), log_of(said, keys).is_some())
    };
    let service = |port: u16| port > 0 && port < 10_000;
    let new = conversations(packets).into_iter().filter(|packets| {
        let kind = kind(packets);
        service(kind.0) && !kind.1.is_empty() && known.insert(kind)
    });
    new.map(|packets| pcapng(&packets, keys)).collect()
}

/// What is known of the secrets of a session by its first octets.
fn log_of(said: &[u8], keys: &Keys) -> Option<Vec<u8>> {
    let random = match said {
        [22, 3, _, _, _, 1, ..] => said.get(11..)?.first_chunk().copied(),
        _ => pcapsy::app::quic::client_random(said),
    };
    let log = keys.lines(&[random?].into());
    (!log.is_empty()).then(|| log.to_vec())
}

/// As much of a conversation as an input may have, as a file.
fn pcapng(conversation: &[&Seen], keys: &Keys) -> Vec<u8> {
    fn block(file: &mut Vec<u8>, kind: u32, head: &[u8], data: &[u8]) {
        let length = 12 + head.len() + data.len().next_multiple_of(4);
        file.extend([kind, length as u32].map(u32::to_le_bytes).concat());
        file.extend([head, data].concat());
        file.extend(vec![0; data.len().next_multiple_of(4) - data.len()]);
        file.extend((length as u32).to_le_bytes());
    }
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let mut file = Vec::new();
    let Some(first) = conversation.first() else { return file };
    block(&mut file, 0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]), &[]);
    // Nanoseconds.
    let resolution = [9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0];
    block(&mut file, 1, &[words(&[first.link_type.into(), 0]).as_slice(), &resolution].concat(), &[]);
    let said = conversation.iter().map(|seen| said_in(seen)).find(|bytes| !bytes.is_empty());
    if let Some(log) = said.and_then(|said| log_of(said, keys)) {
        block(&mut file, 10, &words(&[0x544c_534b, log.len() as u32]), &log);
    }
    for seen in conversation.iter().filter(|seen| seen.link_type == first.link_type) {
        if file.len() + seen.bytes.len() + 32 > LONGEST {
            break;
        }
        let time = seen.record.time.0 as u64;
        let [high, low] = [(time >> 32) as u32, time as u32];
        block(&mut file, 6, &words(&[0, high, low, seen.bytes.len() as u32, seen.wire]), &seen.bytes);
    }
    file
}

/// One frame of every kind: another one teaches nothing.
fn frames(_: &[u8], packets: &[Seen], _: &Keys) -> Vec<Vec<u8>> {
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

/// The sender's address, and both ports.
fn ends(seen: &Seen) -> (Option<IpAddr>, (u16, u16)) {
    let ports = match seen.record.transport {
        Transport::Tcp(tcp) => (tcp.source_port, tcp.destination_port),
        Transport::Udp(udp) => (udp.source_port, udp.destination_port),
        _ => (0, 0),
    };
    (seen.record.ip.map(|ip| ip.source), ports)
}

/// Who sent the first packet is the client.
fn to_server(conversation: &[&Seen], seen: &Seen) -> bool {
    conversation.first().is_none_or(|first| ends(first) == ends(seen))
}

/// The payload of a packet.
fn said_in(seen: &Seen) -> &[u8] {
    let (start, length) = (seen.record.payload.start as usize, seen.record.payload.captured as usize);
    seen.bytes.get(start..start + length).unwrap_or_default()
}

/// The datagrams of conversations that begin as QUIC does, behind what is known of the secrets.
fn datagrams(_: &[u8], packets: &[Seen], keys: &Keys) -> Vec<Vec<u8>> {
    let log = |first: &[u8]| log_of(first, keys).unwrap_or_default();
    said(packets, pcapsy::app::quic::looks_like_quic, log)
}

/// What each side of a conversation said.
fn streams(_: &[u8], packets: &[Seen], _: &Keys) -> Vec<Vec<u8>> {
    said(packets, |_| true, |_| Vec::new())
}

/// What the target `quic` takes for lines of a key log.
const KEY_LOG: u8 = 7;

/// The same of conversations whose first payload is wanted, behind a key log.
fn said(packets: &[Seen], wanted: fn(&[u8]) -> bool, log: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let stream = |conversation: Vec<&Seen>| {
        let mut stream = Vec::new();
        for seen in &conversation {
            let bytes = said_in(seen);
            if stream.is_empty() && !wanted(bytes) {
                continue;
            }
            let log = if stream.is_empty() { log(bytes) } else { Vec::new() };
            if !log.is_empty() {
                // An empty datagram in front: who begins with one has no connection yet.
                for (lost, bytes) in [(0, &[][..]), (KEY_LOG, &log)] {
                    Piece { to_server: true, lost, bytes }.write(&mut stream);
                }
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
fn segments(_: &[u8], packets: &[Seen], _: &Keys) -> Vec<Vec<u8>> {
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
