//! Compares packet numbers, times and lengths of public captures with tshark's, where they are at hand.

use std::io::Read;
use std::path::PathBuf;

use super::*;

/// Files that are meant to differ, and why.
const EXPLAINED: &[(&str, &str)] = &[];

#[test]
fn packets_are_those_tshark_numbers() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let Ok(manifest) = std::fs::read_to_string(corpus.join("MANIFEST.tsv")) else { return };
    let mut differences = Vec::new();
    let (mut files, mut packets) = (0, 0_u64);
    for name in manifest.lines().skip(1).filter_map(|line| line.split('\t').next()) {
        if EXPLAINED.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let oracle = corpus.join("oracle").join(format!("{name}.frames.tsv.gz"));
        let (Ok(oracle), path) = (std::fs::File::open(oracle), corpus.join(name)) else { continue };
        let mut text = Vec::new();
        flate2::read::MultiGzDecoder::new(oracle).read_to_end(&mut text).expect("a readable oracle");
        let text = String::from_utf8_lossy(&text);
        let expected: Vec<String> =
            text.lines().skip(1).map(|line| line.split('\t').take(4).collect::<Vec<_>>().join(" ")).collect();
        let found = frames(&path);
        files += 1;
        packets += found.len() as u64;
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
    assert!(files > 0 && packets > 0);
}

/// Number, epoch time, length and captured length of every packet, as tshark prints them.
fn frames(path: &std::path::Path) -> Vec<String> {
    let limits = CaptureLimits { chunk_bytes: 64 * 1024, ..CaptureLimits::default() };
    let Ok(mut reader) = Reader::open(&[path.to_owned()], &limits) else { return Vec::new() };
    let mut found = Vec::new();
    while let Some(chunk) = reader.next_chunk() {
        let before = found.len();
        found.extend(chunk.packets().map(|packet| {
            let time = packet.time.map_or(String::new(), |time| {
                format!("{}.{:09}", time.0.div_euclid(1_000_000_000), time.0.rem_euclid(1_000_000_000))
            });
            format!("{} {time} {} {}", packet.packet, packet.wire, packet.data.len())
        }));
        assert_eq!((found.len() - before) as u64, chunk.packets, "{}", path.display());
    }
    found
}
