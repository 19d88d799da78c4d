//! Whole files through the reader. Any cut and any way of reading gives the same packets. Damage is passed
//! over and reported with its place. No bytes make the reader panic or run away.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use proptest::prelude::*;

use super::craft::{Pcap, Pcapng};
use super::*;

/// A packet in owned form: ordinal, offset, time, wire length, interface, link type, data.
type Seen = (u64, u64, Option<i64>, u32, u32, u16, Vec<u8>);

fn drain(mut reader: Reader) -> (Vec<Seen>, Vec<FileReport>) {
    let mut seen = Vec::new();
    while let Some(chunk) = reader.next_chunk() {
        let before = seen.len();
        assert_eq!(chunk.first_packet, before as u64 + 1);
        for packet in chunk.packets() {
            let start = packet.start as usize;
            assert_eq!(&chunk.bytes[start..start + packet.data.len()], packet.data);
            let time = packet.time.map(|time| time.0);
            let (link, data) = (packet.link_type.0, packet.data.to_vec());
            seen.push((packet.packet, packet.offset, time, packet.wire, packet.interface, link, data));
        }
        assert_eq!((seen.len() - before) as u64, chunk.packets);
    }
    (seen, reader.into_files())
}

fn limits(chunk_bytes: usize) -> CaptureLimits {
    CaptureLimits { chunk_bytes, ..CaptureLimits::default() }
}

fn streamed(bytes: &[u8], chunk_bytes: usize) -> (Vec<Seen>, FileReport) {
    let reader = Reader::stream("-", Cursor::new(bytes.to_vec()), &limits(chunk_bytes)).expect("readable");
    let (seen, mut files) = drain(reader);
    (seen, files.remove(0))
}

/// Reads by map and by stream, in chunks of 1 byte, 64 bytes and 1 MiB, and checks that all agree.
fn read(bytes: &[u8]) -> (Vec<Seen>, FileReport) {
    let (seen, report) = streamed(bytes, 1 << 20);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a");
    std::fs::write(&path, bytes).expect("written");
    for chunk_bytes in [1, 64, 1 << 20] {
        for map in [true, false] {
            let limits = CaptureLimits { map, ..limits(chunk_bytes) };
            let (again, files) = drain(Reader::open(std::slice::from_ref(&path), &limits).expect("readable"));
            assert_eq!(again, seen, "chunks of {chunk_bytes}, mapped: {map}");
            assert_eq!(files[0].damages, report.damages);
            assert_eq!(files[0].blake3, blake3::hash(bytes).to_hex().to_string());
            assert_eq!((files[0].size, files[0].packets), (bytes.len() as u64, seen.len() as u64));
        }
    }
    (seen, report)
}

fn ten(mut file: Pcap, from: u32) -> Pcap {
    for index in 0..10 {
        file = file.packet(1_600_000_000 + from + index, index, &[index as u8; 50], 60);
    }
    file
}

fn ten_ng(mut file: Pcapng, from: u64) -> Pcapng {
    for index in 0..10 {
        file = file.packet(0, (1_600_000_000 + from + index) * 1_000_000, &[index as u8; 50], 60);
    }
    file
}

fn pcap() -> Pcap {
    Pcap::new(0xa1b2_c3d4, false)
}

fn pcapng() -> Pcapng {
    Pcapng::new(false).interface(1, 0, &[])
}

#[test]
fn sections_and_interfaces_keep_set_wide_numbers() {
    let file = Pcapng::new(true)
        .interface(1, 0, &[(2, b"eth0"), (1, b"a comment")])
        .interface(113, 0, &[(9, &[9])])
        .packet_with(1, 5, b"abc", 3, &[(1, b"look"), (4, &7_u64.to_be_bytes())])
        .statistics(0, &[(4, 100), (5, 0)])
        .section(false)
        .packet(0, 5, b"no interface yet", 16)
        .interface(101, 0, &[])
        .block(0x55, b"what")
        .packet(0, 5, b"raw", 3)
        .packet(9, 5, b"unknown", 7)
        .simple(4, b"data");
    let (seen, report) = read(&file.bytes);
    let found: Vec<_> = seen.iter().map(|p| (p.2, p.4, p.5)).collect();
    assert_eq!(
        found,
        [
            (Some(5), 1, 113),
            (Some(5_000), NO_INTERFACE, 0xffff),
            (Some(5_000), 2, 101),
            (Some(5_000), NO_INTERFACE, 0xffff),
            (None, 2, 101),
        ]
    );
    assert_eq!((report.sections, report.comments, report.interfaces.len()), (2, 2, 3));
    let first = &report.interfaces[0];
    assert_eq!((first.received, first.interface_dropped, first.system_dropped), (Some(100), Some(0), None));
    assert_eq!(report.interfaces[1].packet_drops, Some(7));
    assert_eq!(report.interfaces[1].resolution, "1 ns");
    assert_eq!(report.skipped_blocks["unknown type 0x00000055"], 1);
    assert!(report.damages.is_empty());
}

#[test]
fn a_cut_off_tail_is_reported_and_the_rest_kept() {
    let file = ten(pcap(), 0).bytes;
    let (seen, report) = read(&file[..file.len() - 10]);
    assert_eq!((seen.len(), report.truncated), (9, true));
    assert_eq!((report.damages[0].offset, report.damages[0].length), (24 + 9 * 66, 56));
    let (seen, report) = read(&file[..24 + 66 + 5]);
    assert_eq!((seen.len(), report.damages[0].length), (1, 5));
    let file = ten_ng(pcapng(), 0).bytes;
    let (seen, report) = read(&file[..file.len() - 10]);
    assert_eq!((seen.len(), report.truncated, report.damages.len()), (9, true, 1));
}

#[test]
fn garbage_zeros_and_lying_lengths_are_passed_over() {
    let garbage: [&[u8]; 4] = [&[0xff; 33], &[0; 4_096], b"-- lost some blocks here --", &[0x41; 700_001]];
    for garbage in garbage {
        let head = ten(pcap(), 0).bytes.len();
        let (seen, report) = read(&ten(ten(pcap(), 0).raw(garbage), 10).bytes);
        assert_eq!(seen.len(), 20);
        assert_eq!(report.damages.len(), 1);
        assert_eq!((report.damages[0].offset, report.damages[0].length), (head as u64, garbage.len() as u64));
        assert!(!report.truncated);
        let (seen, report) = read(&ten_ng(ten_ng(pcapng(), 0).raw(garbage), 10).bytes);
        assert_eq!((seen.len(), report.damages.len()), (20, 1));
        assert_eq!(report.damages[0].length, garbage.len() as u64);
    }
}

#[test]
fn a_block_whose_lengths_disagree_costs_only_itself() {
    let good = ten_ng(pcapng(), 0).bytes.len();
    let mut file = ten_ng(ten_ng(pcapng(), 0), 10).bytes;
    file[good + 4..good + 8].copy_from_slice(&u32::MAX.to_le_bytes());
    let (seen, report) = read(&file);
    assert_eq!((seen.len(), report.damages.len()), (19, 1));
    assert_eq!((report.damages[0].offset, report.damages[0].length), (good as u64, 84));
    file[good + 4..good + 8].copy_from_slice(&8_u32.to_le_bytes());
    assert_eq!(read(&file).0.len(), 19);
    file[good + 4..good + 8].copy_from_slice(&84_u32.to_le_bytes());
    file[good + 80] ^= 1;
    assert_eq!(read(&file).0.len(), 19);
}

#[test]
fn garbage_to_the_end_ends_the_file() {
    let (seen, report) = read(&ten(pcap(), 0).raw(&[0xaa; 3_000_000]).bytes);
    assert_eq!((seen.len(), report.damaged_bytes), (10, 3_000_000));
    let (seen, report) = read(&ten_ng(pcapng(), 0).raw(&[0xaa; 3_000_000]).bytes);
    assert_eq!((seen.len(), report.damaged_bytes), (10, 3_000_000));
}

#[test]
fn records_longer_than_a_chunk_and_than_tshark_takes() {
    let big = vec![7; 300_000];
    let mut file = pcap().packet(5, 1, &big, 300_000).packet(6, 1, b"abcd", 4).bytes;
    file[16..20].fill(0);
    let (seen, report) = read(&file);
    assert_eq!((seen.len(), report.damages.len(), report.snap_length), (2, 0, 0));
}

#[test]
fn hostile_lengths_allocate_nothing() {
    for length in [u32::MAX, 0x8000_0000, 100_000_000] {
        let header = [5, 1, length, length].map(u32::to_le_bytes).concat();
        let (seen, report) = read(&pcap().raw(&header).bytes);
        assert_eq!((seen.len(), report.damaged_bytes), (0, 16));
        let block = [6, length, 0, 0, 0].map(u32::to_le_bytes).concat();
        assert_eq!(read(&pcapng().raw(&block).bytes).1.damaged_bytes, 20);
    }
}

#[test]
fn a_header_without_packets_is_a_capture() {
    assert_eq!(read(&pcap().bytes).1.packets, 0);
    assert_eq!(read(&Pcapng::new(true).bytes).1.byte_order, "big-endian");
}

#[test]
fn compressed_files_give_the_same_packets() {
    let file = ten_ng(pcapng(), 0).bytes;
    let (expected, _) = read(&file);
    let (first, second) = file.split_at(100);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("finished")
    };
    let lz4 = |bytes: &[u8]| {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("finished")
    };
    let zstd = |bytes: &[u8]| zstd::stream::encode_all(bytes, 1).expect("encoded");
    for (packed, compression) in [
        ([gzip(first), gzip(second)].concat(), Compression::Gzip),
        ([zstd(first), zstd(second)].concat(), Compression::Zstd),
        ([lz4(first), lz4(second)].concat(), Compression::Lz4),
    ] {
        let (seen, report) = read(&packed);
        assert_eq!(seen, expected);
        assert_eq!((report.compression, report.unpacked), (compression, file.len() as u64));
        assert!(report.damages.is_empty(), "{:?}", report.damages);
        // Cut off: what was decompressed is kept, and the hash is still that of the file.
        let (cut, report) = read(&packed[..packed.len() - 6]);
        assert!(cut.len() <= expected.len() && expected.starts_with(&cut));
        assert!(report.truncated && !report.damages.is_empty(), "{compression:?}");
    }
}

#[test]
fn damage_is_of_a_kind() {
    let kinds = |bytes: &[u8]| read(bytes).1.damages.iter().map(|damage| damage.kind).collect::<Vec<_>>();
    let whole = ten(pcap(), 0).bytes;
    assert_eq!(kinds(&whole[..whole.len() - 3]), [DamageKind::TruncatedTail]);
    assert_eq!(kinds(&ten(ten(pcap(), 0).raw(&[0; 16]), 10).bytes), [DamageKind::NotARecord]);
    assert_eq!(kinds(&ten(ten(pcap(), 0).raw(&[0xff; 16]), 10).bytes), [DamageKind::ImpossibleLength]);
    let trailer = ten_ng(pcapng(), 0).bytes.len() - 4;
    let mut blocks = ten_ng(ten_ng(pcapng(), 0), 10).bytes;
    blocks[trailer] ^= 4;
    assert_eq!(kinds(&blocks), [DamageKind::LengthMismatch]);

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(&whole).expect("written");
    let mut packed = encoder.finish().expect("finished");
    assert_eq!(kinds(&packed[..packed.len() / 2]), [DamageKind::TruncatedTail]);
    // The checksum behind the data.
    let at = packed.len() - 6;
    packed[at] ^= 1;
    assert_eq!(kinds(&packed), [DamageKind::Decompression]);
}

fn ten_thousand() -> Pcap {
    (0..1_000).fold(pcap(), ten)
}

#[test]
fn a_file_that_shrinks_while_mapped_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.pcap");
    let file = ten_thousand();
    std::fs::write(&path, &file.bytes).expect("written");
    let mut reader = Reader::open(std::slice::from_ref(&path), &limits(64 * 1024)).expect("readable");
    assert!(reader.next_chunk().is_some());
    let open = std::fs::OpenOptions::new().write(true).open(&path).expect("open");
    open.set_len(100_000).expect("shortened");
    while reader.next_chunk().is_some() {}
    let report = &reader.files()[0];
    let last = report.damages.last().expect("damage");
    assert_eq!(
        last.reason,
        format!("file shrank from {} to 100000 bytes while it was read", file.bytes.len())
    );
    assert_eq!((last.offset, report.packets, report.truncated), (100_000, (100_000 - 24) / 66, true));
}

/// What is read of a file to which `change` happens behind its first chunk: packets, damages, hash.
fn read_while(change: impl Fn(&std::path::Path)) -> (u64, Vec<Damage>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.pcap");
    let file = ten_thousand();
    std::fs::write(&path, &file.bytes).expect("written");
    let mut reader = Reader::open(std::slice::from_ref(&path), &limits(64 * 1024)).expect("readable");
    let mut packets = reader.next_chunk().map_or(0, |chunk| chunk.packets().count() as u64);
    change(&path);
    while let Some(chunk) = reader.next_chunk() {
        packets += chunk.packets().count() as u64;
    }
    let report = &reader.files()[0];
    assert_eq!(report.packets, packets);
    (packets, report.damages.clone(), report.blake3.clone())
}

#[test]
fn a_file_that_grows_or_is_replaced_while_mapped_is_read_as_it_was_opened() {
    let append = |path: &std::path::Path| {
        let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("open");
        std::io::Write::write_all(&mut file, &[0xff; 100_000]).expect("written");
    };
    let replace = |path: &std::path::Path| {
        let other = path.with_extension("other");
        std::fs::write(&other, [0xff; 100]).expect("written");
        std::fs::rename(&other, path).expect("replaced");
    };
    let remove = |path: &std::path::Path| std::fs::remove_file(path).expect("removed");
    let whole = read_while(|_| ());
    assert_eq!((whole.0, whole.1.len()), (10_000, 0));
    for change in [&append as &dyn Fn(&std::path::Path), &replace, &remove] {
        assert_eq!(read_while(change), whole);
    }
    // What is written over it is read as it is then: odd packets, not odd memory.
    let (packets, damages, _) = read_while(|path| {
        let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("open");
        let middle = std::io::SeekFrom::Start(300_000);
        std::io::Seek::seek(&mut file, middle).expect("seekable");
        std::io::Write::write_all(&mut file, &[0xff; 100_000]).expect("written");
    });
    assert!(packets < whole.0 && !damages.is_empty(), "{packets}, {damages:?}");
}

#[test]
fn sets_are_ordered_by_time_and_bad_files_do_not_stop_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let late = write("a.pcap", &ten(pcap(), 5).bytes);
    let early = write("b.pcap", &ten(pcap(), 0).bytes);
    let other = write("c.pcapng", &ten_ng(pcapng(), 100).bytes);
    let text = write("notes.txt", b"hello there\n");
    let paths = |reader: Reader| -> Vec<PathBuf> {
        drain(reader).1.iter().map(|file| PathBuf::from(&file.path)).collect()
    };
    let limits = limits(1 << 20);
    let open = |inputs: &[PathBuf]| Reader::open(inputs, &limits);
    let expected = vec![early.clone(), late.clone(), other.clone()];
    let reader = open(&[folder.path().to_owned(), late.clone()]).expect("readable");
    assert_eq!((reader.ignored().listed.len(), reader.unreadable().len()), (1, 0));
    assert_eq!(paths(reader), expected);
    let reader = open(&[folder.path().join("*.pcap*")]).expect("readable");
    assert_eq!(paths(reader), expected);
    let mut reader = open(&[text.clone(), late, early]).expect("readable");
    assert!(reader.unreadable()[0].reason.contains("looks like text"), "{:?}", reader.unreadable());
    let mut numbers = Vec::new();
    while let Some(chunk) = reader.next_chunk() {
        numbers.extend(chunk.packets().map(|packet| packet.packet));
    }
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    assert_eq!(reader.files()[1].base, 10);
    assert_eq!(reader.files().iter().filter(|file| file.overlap.is_some()).count(), 1);
    assert_eq!(reader.progress(), (1368, Some(1368)));
    for (input, message) in [
        (text, "looks like text"),
        (write("empty", b""), "the file is empty"),
        (write("short", b"\xd4\xc3\xb2\xa1\x02\0"), "expected 24 bytes, found 6"),
        (folder.path().join("none"), "no such file"),
        (folder.path().join("none*"), "no file matches"),
    ] {
        let error = open(&[input]).err().expect("an error").to_string();
        assert!(error.contains(message), "{error}");
    }
    let nothing = tempfile::tempdir().expect("a folder");
    let error = open(&[nothing.path().to_owned()]).err().expect("an error").to_string();
    assert!(error.contains("no captures in this directory (0 files"), "{error}");
    assert!(matches!(open(&[]), Err(CaptureError::NoInput)));
}

#[test]
fn compressed_text_is_named_as_such() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"just some text").expect("written");
    let packed = encoder.finish().expect("finished");
    let error = Reader::stream("-", Cursor::new(packed), &limits(1)).err().expect("an error").to_string();
    assert!(error.contains("looks like text inside gzip"), "{error}");
}

fn start(which: usize) -> Vec<u8> {
    match which {
        0 => pcap().bytes,
        1 => Pcap::new(0xa1b2_3c4d, true).bytes,
        2 => Pcap::new(0xa1b2_cd34, false).bytes,
        3 => pcapng().bytes,
        _ => Pcapng::new(true).interface(113, 64, &[(9, &[0x8a])]).bytes,
    }
}

/// Both ways of reading agree; nothing panics; every byte is accounted for.
fn survives(bytes: &[u8]) {
    let (seen, report) = streamed(bytes, 256);
    let (again, whole) = streamed(bytes, 1 << 20);
    assert_eq!(seen, again);
    assert_eq!(report.damages, whole.damages);
    assert_eq!(report.unpacked, bytes.len() as u64);
    assert!(serde_json::to_string(&report).is_ok());
}

#[test]
fn records_of_nokia_are_told_from_damaged_ones() {
    let magic = 0xa1b2_c3d4;
    for big_endian in [false, true] {
        let plain = Pcap::new(magic, big_endian);
        let nokia = ten(Pcap::new(magic, big_endian).of_nokia(), 0).bytes;
        let (seen, report) = read(&nokia);
        assert_eq!((seen.len(), report.damages.len()), (10, 0));
        let packets = |seen: &[Seen]| -> Vec<_> {
            seen.iter().map(|(_, _, time, wire, .., data)| (*time, *wire, data.clone())).collect()
        };
        assert_eq!(packets(&seen), packets(&read(&ten(plain, 0).bytes).0));
        // Four bytes of a second header.
        let one = Pcap::new(magic, big_endian).packet(1_600_000_000, 1, b"abcd", 60).raw(&[1, 2, 3, 4]);
        let (seen, report) = read(&one.bytes);
        assert_eq!((seen.len(), seen[0].6.as_slice(), report.damages.len()), (1, &b"abcd"[..], 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_bytes_behind_a_header_are_survived(
        which in 0_usize..5,
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0xff), 0_u8..10], 0..3_000),
    ) {
        survives(&[start(which), bytes].concat());
    }

    #[test]
    fn mutated_captures_are_survived(
        ng in any::<bool>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = if ng {
            let first = ten_ng(pcapng(), 0).statistics(0, &[(4, 7)]).simple(9, b"123456789");
            ten_ng(first.section(true).interface(1, 0, &[]), 0).bytes
        } else {
            ten(ten(pcap(), 0), 10).bytes
        };
        for (at, value) in changes {
            // The magic number stays, so that it is a capture at all.
            let at = 28 + at.index(bytes.len() - 28);
            bytes[at] = value;
        }
        bytes.truncate(28 + cut.index(bytes.len() - 28));
        survives(&bytes);
    }
}
