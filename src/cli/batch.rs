//! `pcapsy batch`: every capture of an archive, and what happened in all of them.
//!
//! Each capture set gets the folder that `analyze` would write, under `reports/`. The tables of all of them
//! are one data set per table, in Hive's layout: `flows/date=2026-11-21/set=edge/flows.parquet` is the file
//! of the report under a second name. A set that was analysed before is only looked at, so a run that was
//! ended goes on where it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::Args;

use crate::capture::{CaptureLimits, Hashes, Ignored, Reader, Unreadable};
use crate::cli::analyze::{FailOn, report_name};
use crate::cli::outcome::{Exit, Failure, complain};
use crate::cli::progress::Bar;
use crate::cli::redaction::RedactArgs;
use crate::cli::source::{Keylog, KeylogArgs, Reading};
use crate::cli::stdout::stdout;
use crate::cli::writing::Writing;
use crate::config::Config;
use crate::fleet::{self, Builder, Fleet, day};
use crate::local::{self, Progress, Run};
use crate::report::escape::write_json;
use crate::report::files::{TableFiles, WriteError};
use crate::report::folder::ReportFolder;
use crate::report::manifest::{Former, Started};
use crate::report::model::Report;
use crate::report::place::{Pending, same_file};
use crate::report::rca::Zone;
use crate::report::stored::Stored;
use crate::report::table::TableDoc;

/// Arguments of `batch`.
#[derive(Debug, Args)]
pub(super) struct Batch {
    /// Captures: files, patterns, tar archives (also compressed), and directories with all below them
    #[arg(value_name = "FILE|DIR|GLOB", required = true)]
    inputs: Vec<PathBuf>,
    /// Write reports, tables, fleet.json and fleet.html to this folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Analyse again what has not changed since the last run
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    keylog: KeylogArgs,
    #[command(flatten)]
    reading: Reading,
    /// Time zone of the times in every rca.md: UTC, an offset like +02:00, or a name like Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    tz: Zone,
    /// Write no packets of the incidents: no folders evidence/ in the reports
    #[arg(long)]
    no_evidence: bool,
    #[command(flatten)]
    redact: RedactArgs,
    /// Exit with 1 if there is an incident of at least this severity
    #[arg(long, value_name = "SEVERITY", value_enum, default_value_t = FailOn::Critical)]
    fail_on: FailOn,
}

/// A capture set of the archive.
struct Job {
    name: String,
    reader: Reader,
    files: Vec<PathBuf>,
    bytes: u64,
}

/// What became of it.
enum Done {
    /// Its report is as it was, or new.
    Reported { anew: bool },
    /// It has no report.
    Failed(String),
}

/// Sets up to this many bytes are analysed side by side, with one thread each: starting all threads for each
/// of them would take longer, and no one of them holds much memory.
const SMALL: u64 = 32 << 20;

impl Batch {
    /// Analyses what is new or changed, and says what happened in all of it.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let config = self.reading.config()?;
        let keylog = self.keylog.read()?;
        fs::create_dir_all(&self.out).map_err(|error| WriteError::new(&self.out, error))?;
        let (jobs, unreadable, ignored) = self.jobs(&config)?;
        let firsts: BTreeMap<String, String> = jobs
            .iter()
            .map(|job| (job.name.clone(), job.files.first().map(|file| file.display().to_string())))
            .map(|(name, file)| (name, file.unwrap_or_default()))
            .collect();
        let done = self.all(&config, &keylog, jobs);
        let mut builder = Builder::default();
        let (mut anew, mut kept) = (0, 0);
        for (name, done) in &done {
            let (reported, why) = match done {
                Done::Reported { anew } => (Some(*anew), String::new()),
                Done::Failed(why) => (None, why.clone()),
            };
            let stored = match reported {
                Some(_) => self.place(name).map_err(|error| error.to_string()),
                None => Err(why),
            };
            match stored {
                Ok(stored) => builder.add(name, stored),
                Err(why) => {
                    self.withdraw(name);
                    builder.fail(name, firsts.get(name).cloned().unwrap_or_default(), why);
                }
            }
            anew += u64::from(reported == Some(true));
            kept += u64::from(reported == Some(false));
        }
        let mut fleet = Fleet::new(builder, config.hash());
        (fleet.unreadable, fleet.ignored, fleet.ignored_unlisted) =
            (unreadable, ignored.listed, ignored.unlisted);
        self.write(&fleet)?;
        stdout()?;
        let width = terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0));
        let mut out = anstream::stdout().lock();
        fleet::write(&fleet, width, &mut out)?;
        let shown = crate::report::escape::terminal(&self.out.display().to_string()).into_owned();
        writeln!(out, "\n{anew} analysed, {kept} unchanged since an earlier run; files in {shown}")?;
        Ok(match self.fail_on.severity() {
            _ if !fleet.is_complete() => Exit::Failed,
            Some(severity) if fleet.worst() >= Some(severity) => Exit::Findings,
            _ => Exit::Clean,
        })
    }

    /// The capture sets of the archive by name, and what is none.
    fn jobs(&self, config: &Config) -> Result<(Vec<Job>, Vec<Unreadable>, Ignored), Failure> {
        let limits = CaptureLimits { hashes: Hashes::Blake3, ..config.capture_limits() };
        let mut readers = Reader::open_archive(&self.inputs, &self.out, &limits)?;
        let (unreadable, ignored) = readers.first_mut().map(Reader::take_rejected).unwrap_or_default();
        let mut taken = BTreeSet::new();
        let mut jobs = Vec::with_capacity(readers.len());
        for reader in readers {
            let files: Vec<PathBuf> = reader.waiting().map(Path::to_owned).collect();
            let name = self.name(files.first().map_or(Path::new("capture"), PathBuf::as_path));
            let numbered = (2u64..).map(|number| format!("{name}-{number}"));
            let free = std::iter::once(name.clone()).chain(numbered).find(|name| taken.insert(name.clone()));
            let (_, bytes) = reader.progress();
            jobs.push(Job { name: free.unwrap_or(name), reader, files, bytes: bytes.unwrap_or_default() });
        }
        Ok((jobs, unreadable, ignored))
    }

    /// The name of a set: where its first file is in the archive.
    fn name(&self, file: &Path) -> String {
        let members = self.out.join(Reader::MEMBERS);
        let member = file.strip_prefix(&members).ok();
        let place = member.unwrap_or(file);
        // An archive's members lie where its path says, and a path there is without `/` and `..`.
        let plain = |input: &PathBuf| -> PathBuf {
            let normal = |part: &Component<'_>| matches!(part, Component::Normal(_));
            if member.is_some() { input.components().filter(normal).collect() } else { input.clone() }
        };
        let inputs: Vec<PathBuf> = self.inputs.iter().map(plain).collect();
        let inside = inputs.iter().filter_map(|input| place.strip_prefix(input).ok());
        let inside = inside
            .filter(|inside| !inside.as_os_str().is_empty())
            .min_by_key(|inside| inside.as_os_str().len());
        let folders = inside.and_then(Path::parent).into_iter().flat_map(Path::components);
        let mut parts: Vec<String> = folders.map(|part| report_name(Path::new(part.as_os_str()))).collect();
        parts.push(report_name(file));
        shortened(parts.join("+"))
    }

    /// Analyses every set: the large ones one by one, the small ones side by side.
    fn all(&self, config: &Config, keylog: &Keylog, jobs: Vec<Job>) -> BTreeMap<String, Done> {
        let (bar, read) = (Bar::new(self.reading.is_quiet()), AtomicU64::new(0));
        let total: u64 = jobs.iter().map(|job| job.bytes).sum();
        let show = |more: u64| {
            let bytes = read.fetch_add(more, Ordering::Relaxed) + more;
            bar.show(Progress { bytes, total_bytes: Some(total), packets: 0 });
        };
        let (small, large): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.bytes <= SMALL);
        let threads = self.reading.threads();
        let workers = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let done = Mutex::new(BTreeMap::new());
        let finish = |job: Job, threads: usize| {
            let (name, bytes) = (job.name.clone(), job.bytes);
            let became = self.one(config, keylog, job, threads);
            if let Done::Failed(why) = &became {
                complain(&format!("{name}: {why}"));
            }
            show(bytes);
            done.lock().unwrap_or_else(PoisonError::into_inner).insert(name, became);
        };
        large.into_iter().for_each(|job| finish(job, threads));
        let queue = Mutex::new(small.into_iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(job) = next() {
                        finish(job, 1);
                    }
                });
            }
        });
        bar.clear();
        done.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Analyses a set, unless its report is there. Whatever goes wrong with it stays with it.
    fn one(&self, config: &Config, keylog: &Keylog, job: Job, threads: usize) -> Done {
        let target = self.report(&job.name);
        ReportFolder::tidy(&target);
        if !self.force && self.is_unchanged(&target, &job.files, config) {
            return Done::Reported { anew: false };
        }
        keylog.tell(&job.reader);
        let analysis = || self.analyze(config, job.reader, &target, threads);
        let analysis = || local::on_threads(threads, analysis)?;
        match catch_unwind(AssertUnwindSafe(analysis)) {
            Ok(Ok(())) => Done::Reported { anew: true },
            Ok(Err(failure)) => Done::Failed(failure.to_string()),
            Err(_) => Done::Failed("the analysis failed: a fault of this program, see above".to_owned()),
        }
    }

    fn analyze(&self, config: &Config, reader: Reader, target: &Path, threads: usize) -> Result<(), Failure> {
        let started = Started::now();
        let folder = ReportFolder::create(target)?;
        let mut tables = TableFiles::create(folder.path(), &config.limits)?;
        let run = Run { threads, sha256: false };
        let outcome = local::analyze_set(reader, config, run, &mut tables, &|_| {})?;
        let evidence = (!self.no_evidence).then_some(&self.redact);
        let (zone, keylog, bar) = (&self.tz, self.keylog.hash(), Bar::new(true));
        let writing = Writing { config, keylog, zone, threads, started, evidence, bar };
        writing.write(&outcome, &Report::new(&outcome, config), tables, folder)
    }

    /// The report in `folder` is on these files, with this configuration, key log and version, and whole.
    fn is_unchanged(&self, folder: &Path, files: &[PathBuf], config: &Config) -> bool {
        let Some(former) = Former::read(folder) else { return false };
        let whole = former.outputs.iter().all(|output| {
            fs::metadata(folder.join(&output.name)).is_ok_and(|found| found.len() == output.size)
        });
        // Packets that should be redacted, or not be there, do not stay because nothing else changed.
        let shown = former.packets().next().is_some() && self.no_evidence
            || self.redact.redact && !former.is_redacted();
        let same = former.is_by(config) && former.keylog == self.keylog.hash();
        if shown || !whole || !same || former.inputs.len() != files.len() {
            return false;
        }
        former.inputs.iter().zip(files).all(|(input, file)| {
            let same = || -> io::Result<bool> {
                if fs::metadata(file)?.len() != input.size || input.path != file.to_string_lossy() {
                    return Ok(false);
                }
                let mut hasher = blake3::Hasher::new();
                io::copy(&mut File::open(file)?, &mut hasher)?;
                Ok(hasher.finalize().to_hex().as_str() == input.blake3)
            };
            same().unwrap_or(false)
        })
    }

    fn report(&self, name: &str) -> PathBuf {
        self.out.join("reports").join(name)
    }

    /// Puts the tables of a report among those of its kind, and gives the report.
    fn place(&self, name: &str) -> Result<Stored, Failure> {
        let report = self.report(name);
        let stored = Stored::read(&report)?;
        let date = format!("date={}", day(stored.capture.first_seen.as_deref()));
        for table in TableDoc::all() {
            let file = format!("{}.parquet", table.name);
            let home = self.out.join(table.name).join(&date).join(format!("set={name}"));
            fs::create_dir_all(&home).map_err(|error| WriteError::new(&home, error))?;
            let (from, to) = (report.join(&file), home.join(&file));
            link(&from, &to).map_err(|error| WriteError::new(&to, error))?;
        }
        Ok(stored)
    }

    /// Takes the tables of a set without a report away, so that the data sets hold what fleet.json says.
    fn withdraw(&self, name: &str) {
        for table in TableDoc::all() {
            let dates = fs::read_dir(self.out.join(table.name)).into_iter().flatten().flatten();
            for home in dates.map(|date| date.path().join(format!("set={name}"))) {
                // It may not be there.
                let _ = fs::remove_file(home.join(format!("{}.parquet", table.name)));
                let _ = fs::remove_dir(&home);
            }
        }
    }

    fn write(&self, fleet: &Fleet) -> Result<(), Failure> {
        self.file("fleet.json", |out| {
            write_json(&mut *out, fleet, true)?;
            out.write_all(b"\n")
        })?;
        self.file("fleet.html", |out| out.write_all(fleet::document(fleet).as_bytes()))
    }

    /// Writes a file of the archive, whole or not at all.
    fn file(&self, name: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let path = self.out.join(name);
        let (pending, file) = Pending::create(&path)?;
        let mut out = BufWriter::new(&file);
        write(&mut out).and_then(|()| out.flush()).map_err(|error| WriteError::new(&path, error))?;
        drop(out);
        Ok(pending.finish()?)
    }
}

/// Longest name of a set, bytes: file systems allow 255, and what is being written has a longer one.
const LONGEST: usize = 180;

/// The name, or as much of its end as may be behind a part of its hash: the end is the capture's own name.
fn shortened(name: String) -> String {
    if name.len() <= LONGEST {
        return name;
    }
    let hash = blake3::hash(name.as_bytes()).to_hex();
    let (hash, end) =
        (hash.get(..16).unwrap_or_default(), name.ceil_char_boundary(name.len() + 17 - LONGEST));
    format!("{hash}+{}", name.get(end..).unwrap_or_default())
}

/// Gives a file a second name, in one step when there is one of before; where the file system knows no second
/// names, a copy.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    if same_file(from, to) {
        return Ok(());
    }
    // A killed run may have left it.
    let new = to.with_extension("new");
    let _ = fs::remove_file(&new);
    if fs::hard_link(from, &new).is_err() {
        fs::copy(from, &new)?;
    }
    fs::rename(new, to)
}
