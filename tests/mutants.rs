//! Captures damaged at random: no panic, no endless run, and the same report with one thread and with two.
//!
//! `PCAPSY_MUTANTS=20000 cargo test --test mutants -- --nocapture` tries more of them; `PCAPSY_SEED` is the
//! number of the first one. A mutant that fails is left in the folder for temporary files and named.

#![allow(clippy::print_stdout)]

mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pcapsy::config::Config;
use pcapsy::local::{self, Run};
use pcapsy::pipeline::Rows;
use pcapsy::report::model::Report;
use support::capture::Capture;
use support::mutator::{Dice, mutate};
use support::tcp::{CLIENT, Talk};

/// Longest capture that is damaged, bytes: many small ones reach more than few large ones.
const LONGEST: u64 = 100_000;
/// No capture of that size takes so long, even on a machine that is busy with other things.
const TOO_LONG: Duration = Duration::from_secs(60);

struct NoRows;

impl Rows for NoRows {}

fn captures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let folders = [root.join("synthetic"), root.join("lab/captures")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("committed"));
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("readable").path()).collect();
    let is_capture = |path: &Path| path.extension().is_some_and(|ending| ending != "toml" && ending != "md");
    files.retain(|path| is_capture(path) && fs::metadata(path).is_ok_and(|meta| meta.len() <= LONGEST));
    files.sort();
    files
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect(name))
}

/// The report as JSON, or why there is none.
fn report(path: &Path, threads: usize) -> String {
    let config = Config::default();
    let run = Run { threads, sha256: false };
    match local::analyze(&[path.to_owned()], &config, run, &mut NoRows, &|_| {}) {
        Ok(outcome) => serde_json::to_string(&Report::new(&outcome, &config)).expect("JSON"),
        Err(error) => error.to_string(),
    }
}

/// What is wrong with the mutant at `path`.
#[allow(clippy::disallowed_methods, reason = "an endless run shows in the time it takes")]
fn fault(path: &Path) -> Option<String> {
    let begin = Instant::now();
    let judged = catch_unwind(AssertUnwindSafe(|| report(path, 1) == report(path, 2)));
    match judged {
        Err(_) => Some("panics".to_owned()),
        Ok(false) => Some("one thread and two give different reports".to_owned()),
        Ok(true) if begin.elapsed() > TOO_LONG => Some(format!("took {:?}", begin.elapsed())),
        Ok(true) => None,
    }
}

/// Makes mutant `number` and says what is wrong with it.
#[allow(clippy::disallowed_methods, reason = "a mutant that fails is kept for whoever looks into it")]
fn try_mutant(number: u64, captures: &[PathBuf], folder: &Path) -> Option<String> {
    let mut dice = Dice::new(number);
    let original = &captures[dice.below(captures.len())];
    let mut bytes = fs::read(original).expect("committed");
    mutate(&mut bytes, &mut dice);
    let path = folder.join(format!("mutant-{number}.pcap"));
    fs::write(&path, &bytes).expect("written");
    let fault = fault(&path).map(|fault| {
        let kept = std::env::temp_dir().join(format!("pcapsy-mutant-{number}.pcap"));
        fs::copy(&path, &kept).expect("copied");
        format!("{}: {fault} (mutant {number} of {})", kept.display(), original.display())
    });
    fs::remove_file(&path).expect("ours");
    fault
}

#[test]
fn damaged_captures_are_survived() {
    let (captures, first) = (captures(), setting("PCAPSY_SEED", 0));
    let mutants = setting("PCAPSY_MUTANTS", 200);
    let folder = tempfile::tempdir().expect("a folder");
    let next = AtomicU64::new(first);
    // Threads of our own: one of rayon's that waits for an analysis would begin the next one inside it.
    let work = || -> Vec<String> {
        let numbers = std::iter::from_fn(|| {
            let number = next.fetch_add(1, Ordering::Relaxed);
            (number < first + mutants).then_some(number)
        });
        numbers.filter_map(|number| try_mutant(number, &captures, folder.path())).collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failed: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("caught")).collect()
    });
    println!("{mutants} mutants of {} captures, {} failed", captures.len(), failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_same_seed_damages_in_the_same_way() {
    let original = fs::read(&captures()[0]).expect("committed");
    let mutant = |seed| {
        let mut bytes = original.clone();
        mutate(&mut bytes, &mut Dice::new(seed));
        bytes
    };
    assert_eq!(mutant(7), mutant(7));
    assert!((0..20).all(|seed| mutant(seed) != original));
}

/// What a mutant found: one more than the largest scale does not fit.
#[test]
fn a_window_scale_of_255_is_survived() {
    let mut capture = Capture::default();
    let address = |number| std::net::IpAddr::from([10, 0, 0, number]);
    let mut talk = Talk::new((address(1), 40_000), (address(2), 443), 0, [30, 900]);
    talk.ends[CLIENT].window_scale = 255;
    talk.handshake(&mut capture);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scale.pcap");
    fs::write(&path, capture.pcap()).expect("written");
    assert!(report(&path, 1).contains("\"packets\":3"));
}
