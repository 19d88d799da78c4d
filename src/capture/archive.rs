//! tar archive -> the captures in it, as files
//!
//! An archive is read once, from front to end, and what is no capture never touches the disk. A member goes
//! to the place that its name says inside one folder. A name that leads anywhere else is refused, and so is
//! everything that is not a regular file: links could lead out of the folder, too. The folder is complete or
//! not there, and an archive that was unpacked before is only hashed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

use super::error::{CaptureError, Ignored};
use super::limits::Hashes;
use super::sniff::{self, Magic};
use super::source::Source;

/// Bytes of a block of tar, and of the first member's header.
const BLOCK: usize = 512;
/// Where a POSIX archive says so (POSIX.1-1988, `ustar`), and what.
const USTAR: (usize, &[u8]) = (257, b"ustar");
/// Members looked at: more are a mistake, or meant to do harm.
const MOST_MEMBERS: usize = 100_000;
/// Captures of an archive may be larger than itself this many times, and by the second number. Traffic that
/// repeats compresses a hundredfold; a bomb of zeros a thousandfold.
const MOST_TIMES: u64 = 200;
const MOST_BEYOND: u64 = 256 << 20;
/// The file in the folder that says of which archive it is.
const OF: &str = ".pcapsy-archive";

/// What an archive held.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    /// The captures, in the order of their paths.
    pub(super) paths: Vec<PathBuf>,
    /// Members that were left out, when it was unpacked now.
    pub(super) ignored: Ignored,
    /// Why it was not read to its end.
    pub(super) fault: Option<CaptureError>,
}

/// The file is a tar archive, compressed or not.
pub(super) fn is_tar(path: &Path) -> bool {
    let head = || -> Option<bool> {
        let mut source = Source::open(path, "", false, Hashes::None).ok()?;
        source.fill(BLOCK);
        Some(source.window().get(USTAR.0..)?.starts_with(USTAR.1))
    };
    head().unwrap_or(false)
}

/// Unpacks the captures of the archive at `path` into the folder `home`, unless they are there.
pub(super) fn unpack(path: &Path, home: &Path) -> Result<Unpacked, CaptureError> {
    let name = path.display().to_string();
    let fail = |error| CaptureError::io(&name, error);
    let hash = hash(path).map_err(fail)?;
    if fs::read_to_string(home.join(OF)).is_ok_and(|of| of == hash) {
        return Ok(Unpacked { paths: below(home), ..Unpacked::default() });
    }
    let size = fs::metadata(path).map_err(fail)?.len();
    let new = home.with_extension("pcapsy-new");
    let clear = |folder: &Path| match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    clear(&new).and_then(|()| fs::create_dir_all(&new)).map_err(fail)?;
    let source = Source::open(path, &name, false, Hashes::None)?;
    let mut unpacked = Unpacked::default();
    let room = size.saturating_mul(MOST_TIMES).saturating_add(MOST_BEYOND);
    let mut members = tar::Archive::new(Content(source));
    if let Err(error) = members_into(&mut members, &name, &new, room, &mut unpacked.ignored) {
        // What came before is whole.
        unpacked.fault = Some(CaptureError::Archive { path: name.clone(), reason: error.to_string() });
    } else {
        // An archive that is damaged is unpacked again: it may be a copy that is still being written.
        fs::write(new.join(OF), hash).map_err(fail)?;
    }
    clear(home).and_then(|()| fs::rename(&new, home)).map_err(fail)?;
    unpacked.paths = below(home);
    Ok(unpacked)
}

/// The bytes of an archive, decompressed.
struct Content(Source);

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

fn members_into(
    archive: &mut tar::Archive<impl Read>,
    name: &str,
    home: &Path,
    mut room: u64,
    ignored: &mut Ignored,
) -> io::Result<()> {
    for (count, member) in archive.entries()?.enumerate() {
        if count == MOST_MEMBERS {
            return Err(io::Error::other(format!("more than {MOST_MEMBERS} members")));
        }
        let mut member = member?;
        let kind = member.header().entry_type();
        if kind.is_dir() || matches!(kind, EntryType::XGlobalHeader) {
            continue;
        }
        let shown = format!("{name}/{}", String::from_utf8_lossy(&member.path_bytes()));
        let mut head = Vec::with_capacity(BLOCK);
        let inside = member.path().ok().and_then(|path| inside(&path));
        let to = inside.map(|inside| home.join(inside));
        let refused = match &to {
            None => Some("a member whose name leads out of the archive"),
            Some(_) if !kind.is_file() => Some("a link or a device in an archive"),
            Some(to) if to.symlink_metadata().is_ok() => Some("a second member of this name"),
            Some(_) => None,
        };
        if let Some(what) = refused {
            ignored.add(shown.clone(), &CaptureError::NotAFile { path: shown, what });
            continue;
        }
        member.by_ref().take(BLOCK as u64).read_to_end(&mut head)?;
        if sniff::magic(&head) == Magic::Other {
            let (looks, advice) = sniff::describe(&head);
            ignored.add(shown.clone(), &CaptureError::NotCapture { path: shown, looks, advice });
            continue;
        }
        let (Some(to), size) = (to, member.size()) else { continue };
        to.parent().map_or(Ok(()), fs::create_dir_all)?;
        let mut whole = (&head[..]).chain(&mut member).take(room.saturating_add(1));
        let length = io::copy(&mut whole, &mut File::create_new(&to)?)?;
        let Some(left) = room.checked_sub(length) else {
            fs::remove_file(&to)?;
            return Err(io::Error::other("its members are far larger than itself"));
        };
        if length < size {
            fs::remove_file(&to)?;
            return Err(io::Error::other("it is cut off"));
        }
        room = left;
    }
    Ok(())
}

/// The path of a member inside the folder; `None` when it leads anywhere else.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => inside.push(part),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => return None,
        }
    }
    let named = inside.file_name().is_some_and(|name| name != OF);
    named.then_some(inside)
}

fn hash(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// The files in a folder of members, in the order of their paths.
fn below(home: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(home).sort_by_file_name().into_iter().flatten();
    let files = walk.filter(|entry| entry.file_type().is_file() && entry.file_name() != OF);
    files.map(walkdir::DirEntry::into_path).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    use super::*;

    /// A header whose name is written as it is: the crate refuses to.
    fn header(name: &str, kind: EntryType, size: usize) -> Header {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(0o644);
        header.set_cksum();
        header
    }

    fn capture() -> Vec<u8> {
        [&b"\xd4\xc3\xb2\xa1"[..], &[7; 60]].concat()
    }

    fn archive(members: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, kind, content) in members {
            builder.append(&header(name, *kind, content.len()), *content).expect("memory");
        }
        builder.into_inner().expect("memory")
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn unpacked(bytes: &[u8]) -> (tempfile::TempDir, PathBuf, Unpacked) {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, home) = (folder.path().join("a.tar"), folder.path().join("members/a.tar"));
        fs::write(&path, bytes).expect("written");
        let unpacked = unpack(&path, &home).expect("read");
        (folder, home, unpacked)
    }

    fn names(home: &Path, unpacked: &Unpacked) -> Vec<String> {
        let inside = |path: &PathBuf| path.strip_prefix(home).expect("inside").display().to_string();
        unpacked.paths.iter().map(inside).collect()
    }

    #[test]
    fn captures_become_files_and_nothing_else_does() {
        let bytes = archive(&[
            ("site", EntryType::Directory, &[]),
            ("./site/edge.pcap", EntryType::Regular, &capture()),
            ("notes.txt", EntryType::Regular, b"the switch was replaced"),
            ("core.pcap.gz", EntryType::Regular, &packed(&capture())),
        ]);
        for bytes in [bytes.clone(), packed(&bytes)] {
            let (folder, home, unpacked) = unpacked(&bytes);
            assert!(is_tar(&folder.path().join("a.tar")));
            assert_eq!(names(&home, &unpacked), ["core.pcap.gz", "site/edge.pcap"]);
            assert_eq!(fs::read(home.join("site/edge.pcap")).expect("there"), capture());
            assert_eq!(unpacked.ignored.listed.len(), 1);
            assert!(unpacked.ignored.listed[0].path.ends_with("a.tar/notes.txt"));
            assert!(unpacked.fault.is_none());
        }
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("b"), capture()).expect("written");
        assert!(!is_tar(&folder.path().join("b")) && !is_tar(&folder.path().join("gone")));
    }

    #[test]
    fn hostile_names_and_kinds_leave_the_folder_alone() {
        let (folder, home, unpacked) = unpacked(&archive(&[
            ("../../escaped.pcap", EntryType::Regular, &capture()),
            ("/escaped.pcap", EntryType::Regular, &capture()),
            ("a/../../../escaped.pcap", EntryType::Regular, &capture()),
            (OF, EntryType::Regular, &capture()),
            ("out", EntryType::Symlink, &[]),
            ("pipe", EntryType::Fifo, &[]),
            ("twice.pcap", EntryType::Regular, &capture()),
            ("twice.pcap", EntryType::Regular, b"\xd4\xc3\xb2\xa1 another"),
        ]));
        assert_eq!(names(&home, &unpacked), ["twice.pcap"]);
        assert_eq!(fs::read(home.join("twice.pcap")).expect("there"), capture(), "the first");
        assert_eq!(unpacked.ignored.listed.len(), 7);
        let found = below(folder.path());
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(!Path::new("/escaped.pcap").exists());
    }

    #[test]
    fn what_is_unpacked_already_is_left_and_what_changed_is_not() {
        let (folder, home, _) = unpacked(&archive(&[("a.pcap", EntryType::Regular, &capture())]));
        fs::write(home.join("a.pcap"), "marked").expect("written");
        let path = folder.path().join("a.tar");
        assert_eq!(unpack(&path, &home).expect("read").paths.len(), 1);
        assert_eq!(fs::read(home.join("a.pcap")).expect("there"), b"marked", "not unpacked again");
        fs::write(&path, archive(&[("b.pcap", EntryType::Regular, &capture())])).expect("written");
        let again = unpack(&path, &home).expect("read");
        assert_eq!(names(&home, &again), ["b.pcap"]);
    }

    #[test]
    fn a_cut_archive_gives_what_is_before_the_cut_and_a_bomb_ends() {
        let whole = archive(&[
            ("a.pcap", EntryType::Regular, &capture()),
            ("b.pcap", EntryType::Regular, &[capture(), vec![0; 4096]].concat()),
        ]);
        let (folder, home, unpacked) = unpacked(&whole[..whole.len() - 3_000]);
        assert_eq!(names(&home, &unpacked), ["a.pcap"]);
        let fault = unpacked.fault.expect("it is cut").to_string();
        assert!(fault.contains("a.tar: the archive is damaged"), "{fault}");
        assert!(!home.join(OF).exists(), "it is read again the next time");
        let mut archive = tar::Archive::new(&whole[..]);
        let to = folder.path().join("small");
        let said = members_into(&mut archive, "a.tar", &to, 50, &mut Ignored::default());
        assert!(said.expect_err("too large").to_string().contains("far larger"));
    }
}
