//! The files that may be read: those under the folders that were given, wherever links point.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};
use walkdir::WalkDir;

use super::Problem;

/// Files of the folders looked at for a list.
const MOST: usize = 100_000;

/// Endings of captures' names, also before the one of a compression or a number of `tcpdump -C`.
const ENDINGS: [&str; 4] = [".pcap", ".pcapng", ".cap", ".dmp"];

/// The folders.
#[derive(Debug)]
pub(super) struct Folders {
    /// As given, and where that is.
    roots: Vec<(PathBuf, PathBuf)>,
}

/// Captures by name.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Path and bytes of each, in the order of the folders and then of the paths.
    pub(super) files: Vec<Value>,
    /// There were more files than are looked at.
    pub(super) is_cut: bool,
}

impl Folders {
    /// These folders.
    pub(super) fn new(given: &[PathBuf]) -> Result<Self, Problem> {
        let root = |folder: &PathBuf| {
            let of = |reason: String| Problem::of(&folder.display().to_string(), reason);
            let place = fs::canonicalize(folder).map_err(|error| of(format!("cannot be read: {error}")))?;
            match place.is_dir() {
                true => Ok((folder.clone(), place)),
                false => Err(of("no folder".to_owned())),
            }
        };
        Ok(Self { roots: given.iter().map(root).collect::<Result<_, _>>()? })
    }

    /// The file of that name: a path that begins with one of the folders, or one below a folder. It is behind
    /// all links, so that what is opened is what was judged.
    pub(super) fn file(&self, name: &str) -> Result<PathBuf, Problem> {
        let of = |reason: &str| Problem::of(name, reason);
        let asked = Path::new(name);
        if asked.components().any(|part| part == Component::ParentDir) {
            return Err(of("a name with .. is not looked for"));
        }
        let below = |folder: &Path| asked.strip_prefix(folder).ok();
        let in_folders = self.roots.iter().filter_map(|(given, root)| {
            let inside = if asked.is_absolute() { below(root).or_else(|| below(given))? } else { asked };
            Some((root, inside))
        });
        let mut is_inside = false;
        for (root, inside) in in_folders {
            is_inside = true;
            match self.walk(root, inside) {
                Ok(place) if place.is_file() => return Ok(place),
                Ok(place) if place.is_dir() => return Err(of("a folder; name a file in it")),
                Ok(_) => return Err(of("no regular file")),
                Err(Stop::Absent) => {}
                Err(Stop::Leads) => {
                    return Err(of("a link that leads nowhere, or out of the folders that may be read"));
                }
                Err(Stop::Failed(error)) => return Err(of(&format!("cannot be read: {error}"))),
            }
        }
        // Whether there is a file elsewhere is nobody's business.
        Err(of(match is_inside {
            true => "no such file; the tool captures lists those there are",
            false => "outside the folders that may be read",
        }))
    }

    /// Goes from a folder inwards, link by link: nothing outside is looked at, not even whether it is there.
    fn walk(&self, root: &Path, inside: &Path) -> Result<PathBuf, Stop> {
        let mut place = root.to_owned();
        for part in inside.components() {
            place.push(part);
            let is_link = fs::symlink_metadata(&place).map_err(Stop::of)?.is_symlink();
            match fs::canonicalize(&place) {
                Ok(behind) if self.holds(&behind) => place = behind,
                // The same words, whether there is something or not.
                Ok(_) => return Err(Stop::Leads),
                Err(_) if is_link => return Err(Stop::Leads),
                Err(error) => return Err(Stop::of(error)),
            }
        }
        Ok(place)
    }

    fn holds(&self, place: &Path) -> bool {
        self.roots.iter().any(|(_, root)| place.starts_with(root))
    }

    /// What is named like a capture; links are not followed.
    pub(super) fn list(&self) -> Listed {
        let mut listed = Listed::default();
        let mut looked_at = 0;
        for (number, (_, root)) in self.roots.iter().enumerate() {
            // A folder in another one that was given, too, is listed with that.
            if self.roots.iter().take(number).any(|(_, earlier)| root.starts_with(earlier)) {
                continue;
            }
            for entry in WalkDir::new(root).follow_links(false).sort_by_file_name().into_iter().flatten() {
                looked_at += 1;
                if looked_at > MOST {
                    listed.is_cut = true;
                    return listed;
                }
                let bytes = entry.metadata().map_or(0, |meta| meta.len());
                // A name that is no text cannot be asked for either.
                if let Some(path) = entry.path().to_str()
                    && entry.file_type().is_file()
                    && is_named_like_a_capture(entry.file_name().to_str().unwrap_or_default())
                {
                    listed.files.push(json!({"capture": path, "bytes": bytes}));
                }
            }
        }
        listed
    }
}

/// Why there is no way to a file.
enum Stop {
    /// There is no such file.
    Absent,
    /// A link leads nowhere, or outside.
    Leads,
    Failed(io::Error),
}

impl Stop {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Absent,
            _ => Self::Failed(error),
        }
    }
}

fn is_named_like_a_capture(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = [".gz", ".zst", ".lz4"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    let name = name.trim_end_matches(|character: char| character.is_ascii_digit());
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder that is given, beside one that is not, with a capture and links in it.
    fn scene() -> (tempfile::TempDir, Folders) {
        let home = tempfile::tempdir().expect("a folder");
        let path = |name: &str| home.path().join(name);
        fs::create_dir_all(path("given/deep")).expect("made");
        fs::create_dir(path("given-not")).expect("made");
        for name in ["given/a.pcap", "given/deep/b.pcapng.gz", "given/notes.txt", "given-not/secret.pcap"] {
            fs::write(path(name), name).expect("written");
        }
        symlink("a.pcap", path("given/inside.pcap")).expect("a link");
        symlink("../given-not/secret.pcap", path("given/out.pcap")).expect("a link");
        symlink("../given-not", path("given/way")).expect("a link");
        symlink("../given-not/absent.pcap", path("given/nowhere.pcap")).expect("a link");
        let folders = Folders::new(&[path("given")]).expect("a folder");
        (home, folders)
    }

    fn refused(folders: &Folders, name: &str) -> String {
        folders.file(name).expect_err(name).reason
    }

    #[test]
    fn a_file_is_found_below_a_folder_and_by_its_whole_path() {
        let (home, folders) = scene();
        let root = fs::canonicalize(home.path()).expect("there");
        let place = root.join("given/a.pcap");
        assert_eq!(folders.file("a.pcap").as_ref(), Ok(&place));
        assert_eq!(folders.file("inside.pcap").as_ref(), Ok(&place));
        assert_eq!(folders.file(place.to_str().expect("text")).as_ref(), Ok(&place));
        assert_eq!(folders.file("deep/b.pcapng.gz"), Ok(root.join("given/deep/b.pcapng.gz")));
    }

    #[test]
    fn nothing_outside_is_read_whichever_way_it_is_asked_for() {
        let (home, folders) = scene();
        // The same words, whether there is something where the link leads or not.
        for name in
            ["out.pcap", "way/secret.pcap", "way/absent.pcap", "way/secret.pcap/x", "nowhere.pcap", "way"]
        {
            assert!(refused(&folders, name).starts_with("a link that leads nowhere, or out"), "{name}");
        }
        assert!(refused(&folders, "../given-not/secret.pcap").contains(".."));
        assert!(refused(&folders, "deep/../../given-not/secret.pcap").contains(".."));
        // The same words for what is there and what is not.
        let outside = home.path().join("given-not/secret.pcap");
        let outside = refused(&folders, outside.to_str().expect("text"));
        assert_eq!(outside, refused(&folders, "/nowhere/x.pcap"));
        assert!(outside.starts_with("outside"), "{outside}");
        assert!(refused(&folders, "deep").starts_with("a folder"));
        assert!(refused(&folders, "x.pcap").starts_with("no such file"));
        assert!(refused(&folders, "a.pcap/x").starts_with("no such file"));
        assert!(refused(&folders, "a\0.pcap").starts_with("cannot be read"));
    }

    #[test]
    fn the_list_has_captures_and_no_links() {
        let (home, folders) = scene();
        let root = fs::canonicalize(home.path()).expect("there");
        let listed = folders.list();
        let paths: Vec<&str> = listed.files.iter().filter_map(|file| file["capture"].as_str()).collect();
        let expected = [root.join("given/a.pcap"), root.join("given/deep/b.pcapng.gz")];
        assert_eq!(paths, expected.iter().filter_map(|path| path.to_str()).collect::<Vec<_>>());
        assert_eq!(listed.files[0]["bytes"], 12);
        assert!(!listed.is_cut);
    }

    #[test]
    fn captures_are_told_by_their_names() {
        for name in ["a.pcap", "A.PCAPNG", "x.cap.gz", "ring.pcap3", "y.dmp.zst"] {
            assert!(is_named_like_a_capture(name), "{name}");
        }
        for name in ["notes.txt", "pcap", "a.pcap.txt", "b.gz"] {
            assert!(!is_named_like_a_capture(name), "{name}");
        }
    }

    #[test]
    fn only_folders_are_folders() {
        let (home, _) = scene();
        let wrong = |name: &str| Folders::new(&[home.path().join(name)]).expect_err(name).reason;
        assert_eq!(wrong("given/a.pcap"), "no folder");
        assert!(wrong("nowhere").starts_with("cannot be read"));
    }
}
