//! What to read and how: the arguments that all reading commands share.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clap::Args;
use zeroize::Zeroizing;

use crate::capture::{CaptureLimits, Hashes, Keys, Reader};
use crate::cli::outcome::{Failure, complain};
use crate::cli::progress::Bar;
use crate::config::Config;
use crate::humanize::plural;
use crate::local::{self, Run};
use crate::pipeline::{Outcome, Rows};
use crate::report::place::same_file;
use crate::time::Timestamp;

/// Longest key log that is read, bytes.
const MOST_KEYS: u64 = 64 << 20;

/// Longest configuration that is read, bytes.
const MOST_CONFIG: u64 = 1 << 20;

/// A time as an argument.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "expected a time such as 2026-11-21T14:09:52Z".to_owned())
}

/// What to read and how.
#[derive(Clone, Debug, Args)]
pub(super) struct Source {
    /// Captures: files (pcap, pcapng; also as gz, zst, lz4), directories, patterns, or - for standard input.
    /// Files whose names and times continue one another are one capture
    #[arg(value_name = "FILE|DIR|GLOB|-", required = true)]
    pub(super) inputs: Vec<PathBuf>,
    /// Take all inputs as one capture, in time order, whatever their names and times
    #[arg(long)]
    set: bool,
    #[command(flatten)]
    keylog: KeylogArgs,
    #[command(flatten)]
    reading: Reading,
}

/// Secrets beside the captures.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct KeylogArgs {
    /// Open TLS and QUIC with the secrets of this key log, in the format of SSLKEYLOGFILE. Those that a
    /// pcapng file carries are used in any case
    #[arg(long, value_name = "FILE")]
    keylog: Option<PathBuf>,
    /// BLAKE3 of what was read, which may be a pipe.
    #[arg(skip)]
    hash: OnceLock<String>,
}

/// The lines of a key log; none when nobody named one.
pub(super) struct Keylog(Zeroizing<Vec<u8>>);

impl KeylogArgs {
    /// Reads the key log.
    pub(super) fn read(&self) -> Result<Keylog, Failure> {
        let mut text = Zeroizing::new(Vec::new());
        let Some(path) = &self.keylog else { return Ok(Keylog(text)) };
        let wrong = |why: &str| Failure::Usage(format!("{}: {why}", path.display()));
        let file = File::open(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        // At once, so that growing leaves no copies behind.
        text.reserve_exact(file.metadata().map_or(0, |about| about.len().min(MOST_KEYS) as usize + 1));
        let read = file.take(MOST_KEYS + 1).read_to_end(&mut text);
        match read.map_err(|error| wrong(&format!("cannot be read: {error}")))? as u64 {
            length if length > MOST_KEYS => Err(wrong("longer than the 64 MiB that are read of a key log")),
            _ if Keys::default().learn(&text, 0) == 0 => {
                Err(wrong("no line is a secret of TLS, such as CLIENT_RANDOM, random and secret"))
            }
            _ => {
                self.hash.get_or_init(|| blake3::hash(&text).to_hex().to_string());
                Ok(Keylog(text))
            }
        }
    }

    /// BLAKE3 of the key log that was read, by which another run knows that it had the same.
    pub(super) fn hash(&self) -> Option<String> {
        self.hash.get().cloned()
    }
}

impl Keylog {
    /// Adds it to what a reader knows.
    pub(super) fn tell(&self, reader: &Reader) {
        reader.keys().learn(&self.0, 0);
    }

    /// Its lines.
    pub(super) fn lines(&self) -> &[u8] {
        &self.0
    }
}

/// How to read.
#[derive(Clone, Debug, Args)]
pub(super) struct Reading {
    /// Configuration file [default: ./pcapsy.toml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Worker threads, 0 for one per core, at most 256. The number does not change the results
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u16).range(0..=local::MOST_THREADS as i64))]
    threads: u16,
    /// Show no progress on stderr
    #[arg(long, short)]
    quiet: bool,
}

impl Reading {
    /// The configuration asked for.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        load_config(self.config.as_deref())
    }

    /// Worker threads asked for; 0 for one per core.
    pub(super) fn threads(&self) -> usize {
        usize::from(self.threads)
    }

    /// Nobody wants progress on stderr.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }
}

impl Source {
    /// One input, all of it as one capture.
    pub(super) fn one(input: &Path, keylog: KeylogArgs, reading: Reading) -> Self {
        Self { inputs: vec![input.to_owned()], set: true, keylog, reading }
    }

    /// The configuration asked for.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        self.reading.config()
    }

    /// Worker threads asked for; 0 for one per core.
    pub(super) fn threads(&self) -> usize {
        self.reading.threads()
    }

    /// BLAKE3 of the key log, when there was one and the inputs were opened.
    pub(super) fn keylog(&self) -> Option<String> {
        self.keylog.hash()
    }

    /// Opens the inputs, a reader for each capture set. Nothing has been written before that, so a wrong
    /// input leaves nothing behind.
    pub(super) fn open(&self, config: &Config, hashes: Hashes) -> Result<Vec<Reader>, Failure> {
        if self.inputs.iter().any(|input| input.as_os_str() == "-") && io::stdin().is_terminal() {
            return Err(Failure::Usage("standard input is a terminal; pipe a capture into it".to_owned()));
        }
        let limits = CaptureLimits { hashes, ..config.capture_limits() };
        let readers = match self.set {
            true => vec![Reader::open(&self.inputs, &limits)?],
            false => Reader::open_each(&self.inputs, &limits)?,
        };
        if cfg!(unix) {
            for reader in &readers {
                spare(reader, Path::new("/dev/stdout"), "standard output")?;
            }
        }
        let keylog = self.keylog.read()?;
        readers.iter().for_each(|reader| keylog.tell(reader));
        Ok(readers)
    }

    /// As [`Source::open`], of inputs that are one capture set.
    pub(super) fn open_one(&self, config: &Config, hashes: Hashes) -> Result<Reader, Failure> {
        let mut readers = self.open(config, hashes)?;
        match (readers.pop(), readers.len()) {
            (Some(reader), 0) => Ok(reader),
            (_, others) => Err(Failure::Usage(format!(
                "the inputs are {} captures: neither names nor times continue one another; name one of \
                 them, or take them as one with --set",
                others + 1
            ))),
        }
    }

    /// A bar for what is done beside the analysis.
    pub(super) fn bar(&self) -> Bar {
        Bar::new(self.reading.quiet)
    }

    /// Analyses the inputs; rows go to `rows`.
    pub(super) fn analyze(
        &self,
        config: &Config,
        reader: Reader,
        rows: &mut (dyn Rows + Send),
    ) -> Result<Outcome, Failure> {
        let bar = self.bar();
        let run = Run { threads: self.threads(), sha256: false };
        let keys = reader.keys();
        let outcome = local::analyze_set(reader, config, run, rows, &|progress| bar.show(progress));
        bar.clear();
        if keys.refused() > 0 {
            let secrets = plural(keys.refused(), "secret");
            complain(&format!("{secrets} of TLS found no room: those sessions are not opened"));
        }
        Ok(outcome?)
    }
}

/// Refuses an output that would be written over an input.
pub(super) fn spare(reader: &Reader, output: &Path, shown: &str) -> Result<(), Failure> {
    let lies = |input: &Path| match input.as_os_str() == "-" {
        true => PathBuf::from("/dev/stdin"),
        false => input.to_owned(),
    };
    match reader.waiting().find(|input| same_file(&lies(input), output)) {
        None => Ok(()),
        Some(input) => {
            let input = input.display();
            Err(Failure::Usage(format!("{shown} is the input {input}; write to another file")))
        }
    }
}

fn load_config(named: Option<&Path>) -> Result<Config, Failure> {
    let path = named.unwrap_or(Path::new("pcapsy.toml"));
    let wrong = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
    if named.is_none() {
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Config::default()),
            // Whoever came with the captures may have put a pipe or a device there.
            Ok(about) if !about.is_file() => return Err(wrong("is no regular file".to_owned())),
            _ => {}
        }
    }
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MOST_CONFIG + 1).read_to_string(&mut text));
    match read.map_err(|error| wrong(format!("cannot be read: {error}")))? as u64 {
        length if length > MOST_CONFIG => Err(wrong("longer than the 1 MiB that is read".to_owned())),
        _ => Config::parse(&text).map_err(|error| wrong(error.to_string())),
    }
}
