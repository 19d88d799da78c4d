//! The folder of a report: written beside its place and swapped in when it is whole.
//!
//! So whoever looks at the folder sees one whole report, the old or the new, at every moment: on Linux and
//! macOS the two change places in one step. A failure leaves the old one as it was.
//!
//! The folder must be new, empty, or that of a report. Files that somebody added to a report move into the
//! new folder; nothing is removed that pcapsy did not write.
//!
//! A folder that cannot change places (a mount point, the current directory, a parent that may not be
//! written) takes the files one by one, the manifest last. A run that is killed in these milliseconds
//! leaves a folder whose manifest is missing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::report::evidence::{EVIDENCE, is_evidence};
use crate::report::files::{WriteError, names};
use crate::report::manifest::{Former, MANIFEST};
use crate::report::place::{builder, destination, hold, home, locked, prefix, sweep};

/// The folder of a report that is being written.
#[derive(Debug)]
pub struct ReportFolder {
    /// As named by the user.
    target: PathBuf,
    /// Where that is.
    place: PathBuf,
    /// Where the files are written: beside `place`, or inside it.
    stage: TempDir,
    beside: bool,
    former: Option<Former>,
    _lock: Option<File>,
}

impl ReportFolder {
    /// Starts the folder that is to become `target`. Folders above it are made.
    ///
    /// # Errors
    /// When it cannot be created, or `target` holds something else than a report.
    pub fn create(target: &Path) -> Result<Self, WriteError> {
        Self::try_create(target).map_err(|error| WriteError::new(target, error))
    }

    fn try_create(target: &Path) -> io::Result<Self> {
        if let Some(parent) = target.parent().filter(|parent| !target.exists() && !parent.exists()) {
            fs::create_dir_all(parent)?;
        }
        let place = destination(target)?;
        let exists = place.try_exists()?;
        if exists && !place.is_dir() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let prefix = prefix(&place);
        if exists {
            refuse_what_is_no_report(&place, &prefix)?;
        }
        let stage_in = |folder: &Path| locked(|| builder(&prefix).tempdir_in(folder));
        let beside = (!exists || can_move(&place)).then(|| stage_in(home(&place)));
        let ((stage, lock), around) = match beside {
            Some(Err(error)) if !exists => return Err(error),
            Some(Ok(made)) => (made, home(&place)),
            _ => (stage_in(&place)?, place.as_path()),
        };
        let beside = around != place;
        hold().push(stage.path().to_owned());
        sweep(around, &prefix, stage.path(), |left| settle(left, &place));
        let former = Former::read(&place);
        Ok(Self { target: target.to_owned(), place, stage, beside, former, _lock: lock })
    }

    /// Takes away what killed runs left beside `target`, or puts it in its place when it is whole and there
    /// is nothing: for whoever looks at a report before it writes one.
    pub fn tidy(target: &Path) {
        if let Ok(place) = destination(target) {
            sweep(home(&place), &prefix(&place), home(&place), |left| settle(left, &place));
        }
    }

    /// Where its files are to be written.
    pub fn path(&self) -> &Path {
        self.stage.path()
    }

    /// The folder it is to become, as named by the user.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The report that it replaces.
    pub fn former(&self) -> Option<&Former> {
        self.former.as_ref()
    }

    /// Puts the report in its place. The answer is a folder with files that pcapsy did not write, and that
    /// have the names of new files of the report; there is none as a rule.
    ///
    /// # Errors
    /// When it cannot be put there; the old report stays.
    pub fn publish(self) -> Result<Option<PathBuf>, WriteError> {
        // From here on an interrupt waits.
        let mut unfinished = hold();
        let placed = if self.beside { self.swap() } else { self.move_in() };
        match placed {
            Ok(old) => {
                unfinished.retain(|path| path != self.stage.path());
                drop(unfinished);
                Ok(old.filter(|old| old.exists()))
            }
            Err(error) => {
                drop(unfinished);
                Err(WriteError::new(self.target.clone(), error))
            }
        }
    }

    fn swap(&self) -> io::Result<Option<PathBuf>> {
        let stage = self.stage.path();
        if let Ok(meta) = fs::metadata(&self.place) {
            // A file system without permissions has none to keep.
            let _ = fs::set_permissions(stage, meta.permissions());
        }
        let old = match fs::rename(stage, &self.place) {
            Ok(()) => return Ok(None),
            Err(_) if exchange(stage, &self.place).is_ok() => stage.to_owned(),
            Err(_) => step_aside(stage, &self.place)?,
        };
        retire(&old, &self.place);
        Ok(Some(old))
    }

    fn move_in(&self) -> io::Result<Option<PathBuf>> {
        let remove = |name: &str| match fs::remove_file(self.place.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        remove(MANIFEST)?;
        self.former.iter().flat_map(Former::packets).try_for_each(|name| remove(&name))?;
        if let Ok(packets) = fs::read_dir(self.stage.path().join(EVIDENCE)) {
            let home = self.place.join(EVIDENCE);
            fs::create_dir_all(&home)?;
            for entry in packets {
                let entry = entry?;
                fs::rename(entry.path(), home.join(entry.file_name()))?;
            }
        }
        // Goes when nothing of anybody is in it.
        let _ = fs::remove_dir(self.place.join(EVIDENCE));
        for name in names() {
            match fs::rename(self.stage.path().join(&name), self.place.join(&name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => remove(&name)?,
                moved => moved?,
            }
        }
        Ok(None)
    }
}

impl Drop for ReportFolder {
    fn drop(&mut self) {
        // After a swap the folder of this name is the old report, or gone; what is in it then is not ours.
        let mut unfinished = hold();
        let open = unfinished.iter().any(|path| path == self.stage.path());
        unfinished.retain(|path| path != self.stage.path());
        self.stage.disable_cleanup(!open);
        if !open {
            let _ = fs::remove_dir(self.stage.path());
        }
    }
}

/// What pcapsy wrote into `folder`.
fn written(folder: &Path) -> BTreeSet<String> {
    let former = Former::read(folder).into_iter().flat_map(|former| former.outputs);
    names().into_iter().chain(former.map(|output| output.name)).collect()
}

fn refuse_what_is_no_report(place: &Path, prefix: &str) -> io::Result<()> {
    if Former::read(place).is_some() {
        return Ok(());
    }
    let ours = written(place);
    for entry in fs::read_dir(place)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !ours.contains(&name) && !name.starts_with(prefix) && name != EVIDENCE {
            return Err(io::Error::other(format!(
                "it holds {name} and no report; name a new folder with --out"
            )));
        }
    }
    Ok(())
}

/// False for a mount point, which cannot be renamed, and for the current directory, which a shell would
/// lose.
fn can_move(place: &Path) -> bool {
    // Nothing has this name; between two mounts the system does not even look for it.
    let nothing = format!("{}nothing", prefix(place));
    let across = fs::rename(home(place).join(&nothing), place.join(&nothing));
    if across.is_err_and(|error| error.kind() == io::ErrorKind::CrossesDevices) {
        return false;
    }
    let here = std::env::current_dir().and_then(fs::canonicalize);
    place.parent().is_some() && here.map_or(true, |here| here != place)
}

/// Lets two folders change places in one step.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The same in two steps, where the system has no such step. The answer is where the old folder is now.
fn step_aside(stage: &Path, place: &Path) -> io::Result<PathBuf> {
    let aside = builder(&prefix(place)).tempdir_in(home(place))?.keep();
    fs::remove_dir(&aside)?;
    fs::rename(place, &aside)?;
    match fs::rename(stage, place) {
        Ok(()) => Ok(aside),
        Err(error) => {
            fs::rename(&aside, place)?;
            Err(error)
        }
    }
}

/// What a killed run left becomes the report when it is whole and there is none: where folders cannot change
/// places in one step, both may be under temporary names. Else it goes.
fn settle(left: &Path, place: &Path) {
    if place.exists() || !left.join(MANIFEST).is_file() || fs::rename(left, place).is_err() {
        retire(left, place);
    }
}

/// Takes an old report away. What pcapsy did not write moves to `heir`, or stays when that has such a name.
fn retire(old: &Path, heir: &Path) {
    let ours = written(old);
    let evidence = old.join(EVIDENCE);
    if evidence.is_dir() && !evidence.is_symlink() {
        // A run that was killed has no manifest yet.
        clear(&evidence, &heir.join(EVIDENCE), is_evidence);
    }
    // The manifest knows what is ours: it goes last.
    clear(old, heir, |name| ours.contains(name) && name != MANIFEST);
    let _ = fs::remove_file(old.join(MANIFEST));
    let _ = fs::remove_dir(old);
}

/// Removes what is `ours` from a folder and moves the rest. What cannot be moved or removed stays where it
/// is, and the folder with it.
fn clear(folder: &Path, heir: &Path, ours: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let Some(name) = path.file_name() else { continue };
        if name == MANIFEST {
            continue;
        }
        if name.to_str().is_some_and(&ours) && !path.is_dir() {
            let _ = fs::remove_file(&path);
        } else if fs::symlink_metadata(heir.join(name)).is_err() {
            let _ = fs::create_dir_all(heir);
            let _ = fs::rename(&path, heir.join(name));
        }
    }
    let _ = fs::remove_dir(folder);
}
