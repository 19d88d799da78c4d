//! Where an output goes: its place behind symbolic links, and its temporary name until it is complete.
//!
//! A temporary name is beside its place, starts with `.pcapsy-` and ends unpredictably; it is made anew and
//! follows no symbolic link. Whoever writes there holds a lock on it, which the system drops with the
//! process. So the next run with the same place knows what a killed one left behind, and removes it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::{Builder, TempPath};

use crate::report::files::WriteError;

/// Temporary files and folders of this process that are not complete.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// While it is held nothing gets its name, and nothing is taken away.
pub(super) fn hold() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes away what this process has not completed; false when that is nothing. Nothing gets its name any
/// more: it is for a process that is about to end.
pub fn abandon() -> bool {
    let mut unfinished = hold();
    let any = !unfinished.is_empty();
    for path in unfinished.drain(..) {
        // Another thread may be adding a file at this moment, hence again.
        for _ in 0..10 {
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            if removed.is_ok() || !path.exists() {
                break;
            }
        }
    }
    std::mem::forget(unfinished);
    any
}

/// Where writing to `path` ends up: behind symbolic links, also when nothing is there yet.
pub(super) fn destination(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    // As many links as Linux follows.
    for _ in 0..40 {
        match fs::canonicalize(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).to_owned();
        match fs::read_link(&path) {
            Ok(link) => path = parent.join(link),
            Err(_) => {
                let name = path.file_name().ok_or(io::ErrorKind::NotFound)?;
                return Ok(fs::canonicalize(parent)?.join(name));
            }
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// The folder that holds `place`.
pub(super) fn home(place: &Path) -> &Path {
    place.parent().unwrap_or(place)
}

/// How the temporary names for `place` start. A hash, because its own name may be as long as a name can be.
pub(super) fn prefix(place: &Path) -> String {
    let name = place.file_name().unwrap_or_default().as_encoded_bytes();
    format!(".pcapsy-{}-", &blake3::hash(name).to_hex()[..12])
}

/// Removes what killed runs left in `folder` under names that start with `prefix`: whatever is of the user
/// of `own`, and locked by nobody.
pub(super) fn sweep(folder: &Path, prefix: &str, own: &Path, remove: impl Fn(&Path)) {
    let (Ok(entries), Ok(mine)) = (fs::read_dir(folder), fs::symlink_metadata(own)) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let plain = meta.is_dir() || meta.is_file();
        if !name.starts_with(prefix.as_bytes()) || path == own || !plain || user(&meta) != user(&mine) {
            continue;
        }
        if let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            remove(&path);
        }
    }
}

/// How often another run may sweep away what is made here, in the moments before it is locked.
const SWEPT_AWAY: usize = 100;

/// Makes a temporary file or folder, and locks it for as long as the second part of the answer lives.
pub(super) fn locked<T: AsRef<Path>>(make: impl Fn() -> io::Result<T>) -> io::Result<(T, Option<File>)> {
    for _ in 0..SWEPT_AWAY {
        let made = make()?;
        let locked = match File::open(&made) {
            Ok(file) => file.try_lock().map(|()| file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        match locked {
            Ok(file) if made.as_ref().exists() => return Ok((made, Some(file))),
            Ok(_) | Err(TryLockError::WouldBlock) => {}
            // Where nobody can lock, nobody takes it for left behind.
            Err(TryLockError::Error(_)) => return Ok((made, None)),
        }
    }
    Err(io::Error::other("other runs take its temporary files away"))
}

#[cfg(unix)]
fn user(meta: &fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::uid(meta)
}

#[cfg(not(unix))]
fn user(_: &fs::Metadata) -> u32 {
    0
}

/// A builder of temporary names whose files and folders get the permissions that others of the user have.
pub(super) fn builder(prefix: &str) -> Builder<'_, 'static> {
    let mut builder = Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder
}

/// True when both lead to the same regular file, through symbolic and hard links.
pub fn same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let file = |path| fs::metadata(path).ok().filter(fs::Metadata::is_file);
        file(one).zip(file(other)).is_some_and(|(a, b)| (a.dev(), a.ino()) == (b.dev(), b.ino()))
    }
    #[cfg(not(unix))]
    {
        fs::canonicalize(one).ok().zip(fs::canonicalize(other).ok()).is_some_and(|(a, b)| a == b)
    }
}

/// A file on its way to its name. A device or a pipe is written as it is.
#[derive(Debug)]
pub struct Pending {
    path: PathBuf,
    place: PathBuf,
    temporary: Option<(TempPath, Option<File>)>,
}

/// Names of what the process has open already.
const OPEN_ALREADY: [&str; 4] = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"];

impl Pending {
    /// Creates the file that is to become `path`, through symbolic links.
    ///
    /// # Errors
    /// When it cannot be created, or what is there may not be written.
    pub fn create(path: &Path) -> Result<(Self, File), WriteError> {
        Self::try_create(path).map_err(|error| WriteError::new(path, error))
    }

    fn try_create(path: &Path) -> io::Result<(Self, File)> {
        let there = fs::metadata(path).ok();
        if there.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let as_it_is = there.as_ref().is_some_and(|meta| !meta.is_file());
        if as_it_is || OPEN_ALREADY.iter().any(|open| path.starts_with(open)) {
            let file = OpenOptions::new().append(true).open(path)?;
            return Ok((Self { path: path.to_owned(), place: path.to_owned(), temporary: None }, file));
        }
        let place = destination(path)?;
        if there.is_some() {
            // A file that may not be written is not replaced either.
            OpenOptions::new().write(true).open(&place)?;
        }
        let prefix = prefix(&place);
        let mut builder = builder(&prefix);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let (made, lock) = locked(|| builder.tempfile_in(home(&place)))?;
        let (file, temporary) = made.into_parts();
        hold().push(temporary.to_path_buf());
        if let Some(meta) = there {
            // A file system without permissions has none to keep.
            let _ = file.set_permissions(meta.permissions());
        }
        sweep(home(&place), &prefix, &temporary, |left| drop(fs::remove_file(left)));
        Ok((Self { path: path.to_owned(), place, temporary: Some((temporary, lock)) }, file))
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn finish(mut self) -> Result<(), WriteError> {
        let Some((temporary, _lock)) = self.temporary.take() else { return Ok(()) };
        let mut unfinished = hold();
        unfinished.retain(|path| *path != *temporary);
        temporary.persist(&self.place).map_err(|error| WriteError::new(&self.path, error.error))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some((temporary, _)) = &self.temporary {
            hold().retain(|path| **path != **temporary);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn write(path: &Path, text: &str) -> Result<(), WriteError> {
        let (pending, mut file) = Pending::create(path)?;
        file.write_all(text.as_bytes()).expect("written");
        pending.finish()
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).expect("folder").count()
    }

    #[test]
    fn a_link_stays_and_its_target_gets_the_content_and_keeps_its_mode() {
        let folder = tempfile::tempdir().expect("folder");
        let (link, target) = (folder.path().join("link"), folder.path().join("deep/target"));
        symlink("deep/target", &link).expect("link");
        fs::create_dir(folder.path().join("deep")).expect("made");
        write(&link, "one").expect("through a link to nothing");
        fs::set_permissions(&target, PermissionsExt::from_mode(0o604)).expect("mode");
        write(&link, "two").expect("through a link to a file");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read_to_string(&target).expect("there"), "two");
        assert_eq!(fs::metadata(&target).expect("there").permissions().mode() & 0o777, 0o604);
    }

    #[test]
    fn a_file_that_is_not_completed_leaves_the_old_one_and_nothing_else() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("x.csv");
        write(&path, "old").expect("written");
        let (pending, mut file) = Pending::create(&path).expect("created");
        file.write_all(b"new").expect("written");
        drop(pending);
        assert_eq!((fs::read_to_string(&path).expect("there").as_str(), entries(folder.path())), ("old", 1));
    }

    #[test]
    fn what_is_swept_away_before_it_is_locked_is_made_again() {
        let folder = tempfile::tempdir().expect("folder");
        let made = std::cell::Cell::new(0);
        let make = || {
            made.set(made.get() + 1);
            let stage = builder(".pcapsy-test-").tempdir_in(folder.path())?;
            if made.get() == 1 {
                fs::remove_dir(stage.path())?;
            }
            Ok(stage)
        };
        let (stage, lock) = locked(make).expect("made");
        assert_eq!((made.get(), stage.path().exists(), lock.is_some()), (2, true, true));
    }

    #[test]
    fn what_a_killed_run_left_goes_and_what_another_run_writes_stays() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("x.csv");
        let left = folder.path().join(format!("{}left", prefix(&path)));
        fs::write(&left, "half").expect("written");
        let (other, _file) = Pending::create(&path).expect("created");
        write(&path, "mine").expect("written");
        other.finish().expect("nobody took it away");
        assert_eq!(entries(folder.path()), 1);
    }
}
