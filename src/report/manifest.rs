//! `manifest.json`, the chain of custody: what was read and when, with which settings, what was written.
//!
//! Only this output knows the machine's clock, so only this one differs between two equal runs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::capture::NOT_HASHED;
use crate::config::Config;
use crate::pipeline::Outcome;
use crate::report::escape;
use crate::report::evidence::RedactionNote;
use crate::report::files::{WriteError, write_file};
use crate::report::model::SCHEMA_VERSION;

/// Its name. It is the last file of a report: a folder that has it has the others.
pub const MANIFEST: &str = "manifest.json";

/// What `manifest.json` holds.
#[derive(Clone, Debug, Serialize)]
pub struct Manifest {
    /// Name of this program.
    pub tool: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Version of the report's schema.
    pub schema_version: &'static str,
    /// When the run started, by the machine's clock, RFC 3339.
    pub started: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Threads it was asked to use; 0 for one per core.
    pub threads: usize,
    /// Cores that the machine offers.
    pub cores: usize,
    /// The files that were read.
    pub inputs: Vec<Input>,
    /// BLAKE3 of the configuration that can change results.
    pub config_hash: String,
    /// The configuration as given.
    pub config: Config,
    /// Every detector's thresholds in force.
    pub thresholds: BTreeMap<&'static str, BTreeMap<&'static str, f64>>,
    /// The files that were written.
    pub outputs: Vec<Output>,
    /// BLAKE3 of the key log that was given beside the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keylog: Option<String>,
    /// How the packets of the evidence were redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redacted: Option<RedactionNote>,
}

/// A file that was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Input {
    /// As given.
    pub path: String,
    /// Bytes on disk.
    pub size: u64,
    /// BLAKE3 of the file as on disk, or [`NOT_HASHED`].
    pub blake3: String,
    /// SHA-256 of the file as on disk, when asked for.
    pub sha256: Option<String>,
}

/// A file that was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Output {
    /// Its name in the folder of the report.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// BLAKE3.
    pub blake3: String,
}

/// What the manifest of an earlier report says.
#[derive(Clone, Debug, Deserialize)]
pub struct Former {
    tool: String,
    version: String,
    config_hash: String,
    #[serde(default)]
    redacted: Option<serde_json::Value>,
    /// BLAKE3 of the key log that it was made with.
    #[serde(default)]
    pub keylog: Option<String>,
    /// The files that were read.
    pub inputs: Vec<Input>,
    /// The files that were written.
    pub outputs: Vec<Output>,
}

impl Former {
    /// Of the report in `folder`; `None` when there is no manifest of this program.
    pub fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read(folder.join(MANIFEST)).ok()?;
        let former: Self = serde_json::from_slice(&text).ok()?;
        (former.tool == env!("CARGO_PKG_NAME")).then_some(former)
    }

    /// This version made it, with settings that give the same results.
    pub fn is_by(&self, config: &Config) -> bool {
        self.version == env!("CARGO_PKG_VERSION") && self.config_hash == config.hash()
    }

    /// Its packets, if it has any, are redacted.
    pub fn is_redacted(&self) -> bool {
        self.redacted.is_some() || self.packets().next().is_none()
    }

    /// Names of its files in folders of the report.
    pub fn packets(&self) -> impl Iterator<Item = String> {
        self.outputs.iter().map(|output| output.name.clone()).filter(|name| name.contains('/'))
    }

    /// True when it is of files with the content of `inputs`, wherever they were. What was not hashed is the
    /// same when its path and its size are.
    pub fn is_of(&self, inputs: &[Input]) -> bool {
        let hashed = self.inputs.iter().chain(inputs).all(|input| input.blake3 != NOT_HASHED);
        let known = |inputs: &[Input]| {
            let of = |input: &Input| match hashed {
                true => (input.blake3.clone(), 0),
                false => (input.path.clone(), input.size),
            };
            let mut known: Vec<(String, u64)> = inputs.iter().map(of).collect();
            known.sort();
            known
        };
        known(&self.inputs) == known(inputs)
    }
}

/// When a run started.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    wall: SystemTime,
    clock: Instant,
}

impl Started {
    /// Now.
    #[allow(clippy::disallowed_methods, reason = "the manifest says when the run took place")]
    pub fn now() -> Self {
        Self { wall: SystemTime::now(), clock: Instant::now() }
    }
}

impl Manifest {
    /// Of a run that ends now and wrote `outputs` into `folder`.
    ///
    /// # Errors
    /// When an output cannot be read back.
    pub fn new(
        outcome: &Outcome,
        config: &Config,
        threads: usize,
        started: Started,
        folder: &Path,
        outputs: &[PathBuf],
    ) -> Result<Self, WriteError> {
        let input = |report: &crate::capture::FileReport| Input {
            path: report.path.clone(),
            size: report.size,
            blake3: report.blake3.clone(),
            sha256: report.sha256.clone(),
        };
        Ok(Self {
            tool: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            schema_version: SCHEMA_VERSION,
            started: jiff::Timestamp::try_from(started.wall).map(|wall| wall.to_string()).unwrap_or_default(),
            seconds: started.clock.elapsed().as_secs_f64(),
            threads,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            inputs: outcome.files.iter().map(input).collect(),
            config_hash: config.hash(),
            config: config.clone(),
            thresholds: config.thresholds(),
            outputs: outputs.par_iter().map(|path| output(folder, path)).collect::<Result<_, _>>()?,
            keylog: None,
            redacted: None,
        })
    }

    /// Writes `manifest.json` in `folder`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, WriteError> {
        write_file(folder, MANIFEST, |out| {
            escape::write_json(&mut *out, self, true)?;
            out.write_all(b"\n")
        })
    }
}

fn output(folder: &Path, path: &Path) -> Result<Output, WriteError> {
    let hash = || -> io::Result<(u64, String)> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path)?)?;
        Ok((hasher.count(), hasher.finalize().to_hex().to_string()))
    };
    let (size, blake3) = hash().map_err(|error| WriteError::new(path, error))?;
    // With slashes, wherever it was written.
    let parts = path.strip_prefix(folder).unwrap_or(path).iter();
    let name = parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
    Ok(Output { name, size, blake3 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::outcome;

    #[test]
    fn outputs_are_hashed() {
        let folder = tempfile::tempdir().expect("folder");
        let written = write_file(folder.path(), "x.txt", |out| out.write_all(b"abc")).expect("written");
        let manifest =
            Manifest::new(&outcome(), &Config::default(), 2, Started::now(), folder.path(), &[written])
                .expect("manifest");
        let path = manifest.write(folder.path()).expect("written");
        let text = std::fs::read_to_string(path).expect("text");
        let value: serde_json::Value = serde_json::from_str(&text).expect("json");
        assert_eq!(value["outputs"][0]["name"], "x.txt");
        assert_eq!(value["outputs"][0]["size"], 3);
        assert_eq!(value["outputs"][0]["blake3"], blake3::hash(b"abc").to_hex().as_str());
        assert!(value["started"].as_str().is_some_and(|started| started.ends_with('Z')));
        assert_eq!(value["config"]["limits"]["partitions"], 16);
    }
}
