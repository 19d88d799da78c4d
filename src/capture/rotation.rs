//! files -> capture sets: which files continue one another.
//!
//! `tcpdump -C`, `-G` and `-W` and `dumpcap -b` write one capture into many files. Their names differ in
//! digits only, their link types are the same, and each begins where the one before it ends. What has all
//! of that is one set. Anything else is a capture of its own: read as one, a port that two captures use
//! would become one connection, and the time between them a silence.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use super::set::Entry;
use crate::time::{Span, Timestamp};

/// A file may begin this much before the end of the one before it: packets of several interfaces and threads
/// are written a little out of order. A judgement.
const EARLY: Span = Span::secs(1);
/// A file may begin this long after the end of the one before it, or as long as either lasts: a quiet network
/// has nothing to record. A judgement.
const QUIET: Span = Span::secs(60);

/// The files in their order, set by set. Sets are in the order of their first files.
pub(super) fn sets(files: Vec<Entry>) -> Vec<Vec<Entry>> {
    let mut sets: Vec<(PathBuf, Vec<Entry>)> = Vec::new();
    for file in files {
        let family = family(&file.path);
        let name = file.path.to_string_lossy();
        // Two rotations side by side, of eth0 and eth1, may be of one family: the name that has more in
        // common.
        let fits = |(at, (of, set)): (usize, &(PathBuf, Vec<Entry>))| {
            let last = set.last()?;
            let fits = *of == family && file.source.is_none() && continues(last, &file);
            fits.then(|| (shared(&last.path.to_string_lossy(), &name), Reverse(at)))
        };
        match sets.iter().enumerate().filter_map(fits).max() {
            Some((_, Reverse(at))) => sets[at].1.push(file),
            None => sets.push((family, vec![file])),
        }
    }
    sets.into_iter().map(|(_, set)| set).collect()
}

/// `next` begins where `before` ends. A file without packets says nothing of time.
fn continues(before: &Entry, next: &Entry) -> bool {
    let (one, other) = (&before.probe, &next.probe);
    let Some(begin) = other.first else { return one.links == other.links || other.links.is_empty() };
    if one.links != other.links {
        return false;
    }
    // Where a compressed file ends is known when it has been read.
    let Some(end) = one.last else { return true };
    let lasts = |first: Option<Timestamp>, last: Option<Timestamp>| {
        first.zip(last).map_or(Span::ZERO, |(first, last)| last - first)
    };
    let gap = begin - end;
    gap >= Span::ZERO - EARLY
        && gap <= QUIET.max(lasts(one.first, one.last)).max(lasts(other.first, other.last))
}

/// The path without digits, and without what only separates them or says how the file is compressed.
fn family(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = [".gz", ".zst", ".lz4"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    let plain = name.chars().filter(|character| !character.is_ascii_digit() && !"._-".contains(*character));
    path.with_file_name(plain.collect::<String>())
}

/// How many characters two names begin with alike.
fn shared(one: &str, other: &str) -> usize {
    one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::LinkType;
    use crate::capture::set::Probe;

    /// A file that lasts from `first` to `last` in seconds.
    fn file(path: &str, first: i64, last: i64) -> Entry {
        let at = |seconds: i64| Some(Timestamp(seconds * 1_000_000_000));
        let probe = Probe { first: at(first), last: at(last), links: vec![LinkType::ETHERNET] };
        Entry { path: path.into(), name: path.to_owned(), source: None, size: Some(1), probe, given: false }
    }

    fn names(files: Vec<Entry>) -> Vec<Vec<String>> {
        sets(files).into_iter().map(|set| set.into_iter().map(|file| file.name).collect()).collect()
    }

    #[test]
    fn rotated_files_are_one_set() {
        for rotation in [
            ["trace.pcap", "trace.pcap1", "trace.pcap2"],
            [
                "eth0_00001_20261121140000.pcapng",
                "eth0_00002_20261121141000.pcapng",
                "eth0_00003_20261121.pcapng",
            ],
            ["ring-14-00.pcap.gz", "ring-14-10.pcap.gz", "ring-14-20.pcap"],
        ] {
            let files =
                (0i64..).zip(rotation).map(|(number, name)| file(name, number * 600, number * 600 + 599));
            assert_eq!(names(files.collect()), [rotation]);
        }
    }

    #[test]
    fn what_neither_name_nor_time_joins_stays_apart() {
        // Other names.
        assert_eq!(names(vec![file("client.pcap", 0, 9), file("server.pcap", 10, 19)]).len(), 2);
        // Other folders.
        assert_eq!(names(vec![file("a/1.pcap", 0, 9), file("b/2.pcap", 10, 19)]).len(), 2);
        // Two points at one time.
        assert_eq!(names(vec![file("tap1.pcap", 0, 9), file("tap2.pcap", 1, 9)]).len(), 2);
        // The same name on another day.
        assert_eq!(names(vec![file("dump1.pcap", 0, 9), file("dump2.pcap", 86_400, 86_409)]).len(), 2);
        // Another link type.
        let mut wireless = file("dump2.pcap", 10, 19);
        wireless.probe.links = vec![LinkType(105)];
        assert_eq!(names(vec![file("dump1.pcap", 0, 9), wireless]).len(), 2);
    }

    #[test]
    fn two_rotations_side_by_side_stay_apart() {
        let files = vec![
            file("eth0_1.pcap", 0, 9),
            file("eth1_1.pcap", 0, 9),
            file("eth0_2.pcap", 10, 19),
            file("eth1_2.pcap", 10, 19),
        ];
        assert_eq!(names(files), [["eth0_1.pcap", "eth0_2.pcap"], ["eth1_1.pcap", "eth1_2.pcap"]]);
    }

    #[test]
    fn a_quiet_hour_between_hours_and_a_file_without_packets_belong_to_the_set() {
        let mut empty = file("ring3.pcap", 0, 0);
        (empty.probe.first, empty.probe.last) = (None, None);
        let files = vec![file("ring1.pcap", 0, 3_600), file("ring2.pcap", 7_000, 7_200), empty];
        assert_eq!(names(files).len(), 1);
    }
}
