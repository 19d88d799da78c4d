//! Compares packet numbers, times and lengths of public captures with tshark's, where they are at hand.

use std::io::Read;
use std::path::PathBuf;

use super::*;

/// Files that are meant to differ, and why.
const EXPLAINED: &[(&str, &str)] = &[
    (
        "ajbanjara__Wireshark__Development_PcapNg_pcap-ng_Wi-Fi_Bluetooth_USB_Cooked_timestamps_issue_1.ntar",
        "tshark gives up at a 3-byte Bluetooth packet without pseudo-header, two packets follow",
    ),
    (
        "ajbanjara__Wireshark__SampleCaptures_abis-reject-network.pcap",
        "tshark takes the 16-byte pseudo-header of linux_lapd off both lengths, we leave it to dissection",
    ),
];

#[test]
fn packets_are_those_tshark_numbers() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let Ok(manifest) = std::fs::read_to_string(corpus.join("MANIFEST.tsv")) else { return };
    let mut differences = Vec::new();
    let (mut files, mut packets) = (0, 0_u64);
    for name in manifest.lines().skip(1).filter_map(|line| line.split('\t').next()) {
        let oracle = corpus.join("oracle").join(format!("{name}.frames.tsv.gz"));
        let (Ok(oracle), path) = (std::fs::File::open(oracle), corpus.join(name)) else { continue };
        let mut text = Vec::new();
        flate2::read::MultiGzDecoder::new(oracle).read_to_end(&mut text).expect("a readable oracle");
        let text = String::from_utf8_lossy(&text);
        let mut expected: Vec<Frame> = text.lines().skip(1).filter_map(frame).collect();
        let mut found = frames(&path);
        files += 1;
        packets += found.len() as u64;
        if EXPLAINED.iter().any(|(known, _)| *known == name) {
            // Numbers and times agree as far as tshark went.
            found.truncate(expected.len());
            found.iter_mut().chain(&mut expected).for_each(|frame| (frame.2, frame.3) = (0, 0));
        }
        if found != expected {
            let first = found.iter().zip(&expected).find(|(found, expected)| found != expected);
            differences.push(format!(
                "{name}: {} of {} frames, first {first:?}",
                found.len(),
                expected.len()
            ));
        }
    }
    assert!(differences.is_empty(), "{} files differ:\n{}", differences.len(), differences.join("\n"));
    assert!(files >= 243 && packets > 100_000, "{files} files, {packets} packets");
}

/// Frame number, time in ns, length and captured length.
type Frame = (u64, Option<i64>, u32, u32);

/// Reads a row of tshark's. It prints a fraction beyond a second as it is (`1.1011041000`), and times that a
/// timestamp cannot hold.
fn frame(row: &str) -> Option<Frame> {
    let mut columns = row.split('\t');
    let (number, time) = (columns.next()?.parse().ok()?, columns.next()?);
    let time = time.split_once('.').and_then(|(seconds, fraction)| {
        let nanos = seconds.parse::<i128>().ok()? * 1_000_000_000 + fraction.parse::<i128>().ok()?;
        Some(nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    });
    Some((number, time, columns.next()?.parse().ok()?, columns.next()?.parse().ok()?))
}

fn frames(path: &std::path::Path) -> Vec<Frame> {
    let limits = CaptureLimits { chunk_bytes: 64 * 1024, ..CaptureLimits::default() };
    let Ok(mut reader) = Reader::open(&[path.to_owned()], &limits) else { return Vec::new() };
    let mut found = Vec::new();
    while let Some(chunk) = reader.next_chunk() {
        let before = found.len();
        found.extend(chunk.packets().map(|packet| {
            (packet.packet, packet.time.map(|time| time.0), packet.wire, packet.data.len() as u32)
        }));
        assert_eq!((found.len() - before) as u64, chunk.packets, "{}", path.display());
    }
    found
}
