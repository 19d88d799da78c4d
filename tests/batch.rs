//! `pcapsy batch` over an archive: resumed, killed, damaged, changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

fn lab(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures").join(name)
}

/// An archive of two sites: single captures, one rotated set, and what is no capture.
fn archive(folder: &Path) -> PathBuf {
    let archive = folder.join("archive");
    for (site, names) in [
        ("berlin/edge", &["healthy_mix.pcap", "dns_servfail_upstream.pcap", "tls_expired_leaf.pcap"][..]),
        ("berlin", &["loss_random_2.pcap"]),
        (
            "lisbon",
            &[
                "five_files.pcap",
                "five_files.2.pcap",
                "five_files.3.pcap",
                "five_files.4.pcap",
                "five_files.5.pcap",
            ],
        ),
    ] {
        fs::create_dir_all(archive.join(site)).expect("made");
        for name in names {
            fs::copy(lab(name), archive.join(site).join(name)).expect("copied");
        }
    }
    fs::write(archive.join("notes.txt"), "the switch was replaced").expect("written");
    archive
}

fn command(archive: &Path, more: &[&str]) -> Command {
    let home = archive.parent().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pcapsy"));
    command.current_dir(home).args(["batch", "-q", "--out", "out", "archive"]).args(more);
    command
}

fn batch(archive: &Path, more: &[&str]) -> Output {
    command(archive, more).output().expect("runs")
}

fn said(ran: &Output) -> String {
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

fn fleet(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("fleet.json")).expect("there")).expect("json")
}

/// Every file below a folder by its path, without the manifests, which know the machine's clock.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut all, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("read") {
            let path = entry.expect("an entry").path();
            let inside = path.strip_prefix(folder).expect("inside").to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if inside.file_name().is_some_and(|name| name != "manifest.json") {
                all.insert(inside, fs::read(path).expect("read"));
            }
        }
    }
    all
}

#[test]
fn an_archive_has_a_report_for_every_set_and_one_for_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = archive(folder.path());
    let ran = batch(&archive, &[]);
    let (out, text) = (folder.path().join("out"), said(&ran));
    assert_eq!(ran.status.code(), Some(1), "{text} {}", String::from_utf8_lossy(&ran.stderr));
    assert!(text.starts_with("5 captures, "), "{text}");
    assert!(text.contains("SERVFAIL") && text.contains("1 file left out: no captures"), "{text}");
    assert!(text.ends_with("5 analysed, 0 unchanged since an earlier run; files in out\n"), "{text}");
    let fleet = fleet(&out);
    let captures = fleet["captures"].as_array().expect("captures");
    let sets: Vec<&str> = captures.iter().map(|capture| capture["set"].as_str().expect("a name")).collect();
    let edge = ["dns_servfail_upstream", "healthy_mix", "tls_expired_leaf"]
        .map(|name| format!("berlin+edge+{name}"));
    assert_eq!(sets, [&edge[0], &edge[1], &edge[2], "berlin+loss_random_2", "lisbon+five_files"]);
    assert_eq!(captures[4]["files"], 5);
    for (set, capture) in sets.iter().zip(captures) {
        let report = out.join("reports").join(set);
        let date = &capture["first_seen"].as_str().expect("a time")[..10];
        for table in ["flows", "dns", "incidents", "files"] {
            let file = format!("{table}.parquet");
            let placed = out.join(table).join(format!("date={date}")).join(format!("set={set}")).join(&file);
            let inode =
                |path: &Path| fs::metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}")).ino();
            assert_eq!(inode(&placed), inode(&report.join(&file)), "one file under two names");
        }
    }
    let page = fs::read_to_string(out.join("fleet.html")).expect("a page");
    let links: Vec<&str> =
        page.split("href=\"reports/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(
        links.len() >= 5 && links.iter().all(|link| out.join("reports").join(link).is_file()),
        "{links:?}"
    );
    let worst = &fleet["incidents"][0];
    assert_eq!((&worst["severity"], &worst["captures"]), (&"critical".into(), &1.into()));
    // What `analyze` says of one of them is what its report says.
    let alone = Command::new(env!("CARGO_BIN_EXE_pcapsy"))
        .current_dir(folder.path())
        .args(["analyze", "-q", "--json", "--no-files", "archive/berlin/edge/dns_servfail_upstream.pcap"])
        .output()
        .expect("runs");
    let report = fs::read(out.join("reports").join(&edge[0]).join("report.json")).expect("there");
    assert!(alone.stdout == report, "the report of a batch differs from that of a run");
}

#[test]
fn what_did_not_change_is_not_analysed_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = archive(folder.path());
    let out = folder.path().join("out");
    batch(&archive, &[]);
    let before = files(&out);
    // The results of a run inside the archive are none of it.
    let ran = batch(&archive, &[]);
    assert!(
        said(&ran).ends_with("0 analysed, 5 unchanged since an earlier run; files in out\n"),
        "{}",
        said(&ran)
    );
    assert!(files(&out) == before);
    fs::copy(lab("zero_window.pcap"), archive.join("berlin/loss_random_2.pcap")).expect("copied");
    fs::remove_file(out.join("reports/berlin+edge+healthy_mix/flows.parquet")).expect("removed");
    fs::remove_dir_all(out.join("dns")).expect("removed");
    let ran = batch(&archive, &[]);
    assert!(
        said(&ran).ends_with("2 analysed, 3 unchanged since an earlier run; files in out\n"),
        "{}",
        said(&ran)
    );
    assert!(out.join("dns").is_dir(), "tables that were taken away are back");
    let again = batch(&archive, &["--force"]);
    assert!(said(&again).ends_with("5 analysed, 0 unchanged since an earlier run; files in out\n"));
}

#[test]
fn a_capture_that_fails_does_not_stop_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = archive(folder.path());
    let bytes = fs::read(lab("healthy_browser.pcap")).expect("committed");
    fs::write(archive.join("lisbon/cut.pcap"), &bytes[..bytes.len() / 2]).expect("written");
    fs::write(archive.join("lisbon/header.pcap"), &bytes[..10]).expect("written");
    let sick = fs::read(lab("proxy_502.pcap")).expect("committed");
    fs::write(archive.join("lisbon/sick.pcap"), &sick[..sick.len() - 200]).expect("written");
    fs::create_dir(folder.path().join("out")).expect("made");
    fs::create_dir(folder.path().join("out/reports")).expect("made");
    fs::write(folder.path().join("out/reports/berlin+loss_random_2"), "in the way").expect("written");
    let ran = batch(&archive, &[]);
    let fleet = fleet(&folder.path().join("out"));
    assert_eq!(ran.status.code(), Some(3));
    assert_eq!(fleet["captures"].as_array().map(Vec::len), Some(6), "{fleet}");
    assert_eq!(fleet["failed"][0]["set"], "berlin+loss_random_2");
    assert!(fleet["failed"][0]["reason"].as_str().is_some_and(|why| why.contains("in the way")), "{fleet}");
    let captures = fleet["captures"].as_array().expect("captures");
    for (set, status) in [("lisbon+cut", "incomplete"), ("lisbon+sick", "findings")] {
        let capture = captures.iter().find(|one| one["set"] == set).expect("analysed up to the cut");
        assert_eq!(capture["status"], status);
        assert!(capture["not_read"].as_str().is_some_and(|why| why.contains(" at offset ")), "{capture}");
    }
    assert!(said(&ran).contains("failed    berlin+loss_random_2: "), "{}", said(&ran));
    assert!(said(&ran).contains("\nnot whole "), "{}", said(&ran));

    // What was found in the rest does not hide that something is missing.
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    fs::create_dir(&archive).expect("made");
    fs::write(archive.join("sick.pcap"), &sick[..sick.len() - 200]).expect("written");
    assert_eq!(batch(&archive, &["--fail-on", "never"]).status.code(), Some(3));
    for command in
        [&["info"][..], &["why", "1"], &["extract", "--filter", "tcp"], &["extract", "--flow", "4"]]
    {
        let mut ran = Command::new(env!("CARGO_BIN_EXE_pcapsy"));
        let ran = ran.args(command).arg(archive.join("sick.pcap")).output().expect("runs");
        assert_eq!(ran.status.code(), Some(3), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
        assert!(!ran.stdout.is_empty());
    }
}

#[test]
fn a_capture_without_packets_is_read_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    fs::create_dir(&archive).expect("made");
    let bytes = fs::read(lab("healthy_mix.pcap")).expect("committed");
    fs::write(archive.join("quiet_night.pcap"), &bytes[..24]).expect("written");
    let ran = batch(&archive, &[]);
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    let capture = &fleet(&folder.path().join("out"))["captures"][0];
    assert_eq!(
        (&capture["status"], &capture["not_read"]),
        (&"not_assessed".into(), &Value::Null),
        "{capture}"
    );
}

#[test]
fn a_run_that_was_killed_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = archive(folder.path());
    let out = folder.path().join("out");
    batch(&archive, &[]);
    let undisturbed = files(&out);
    fs::remove_dir_all(&out).expect("removed");
    let start = || -> Child {
        command(&archive, &["--threads", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("runs")
    };
    // Killed when so many sets have a report.
    for wanted in 1..=3 {
        let mut child = start();
        let reports = || fs::read_dir(out.join("reports")).into_iter().flatten().flatten();
        let whole = || reports().filter(|entry| entry.path().join("manifest.json").exists()).count();
        while whole() < wanted && child.try_wait().expect("a child").is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().expect("killed or gone");
        child.wait().expect("ended");
    }
    let ran = batch(&archive, &[]);
    assert!(!said(&ran).contains("5 analysed"), "{}", said(&ran));
    let resumed = files(&out);
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&resumed), names(&undisturbed));
    assert!(resumed == undisturbed, "the same bytes");
}

/// A tar archive of these files.
/// The name of a set says where it lies; file systems have no room for all of that.
#[test]
fn sets_in_deep_folders_have_names_that_fit() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    // No two alike: a copy is left out.
    for (deepest, name, of) in [
        ("x", "edge.pcap", "syn_refused.pcap"),
        ("y", "edge.pcap", "tls_expired_leaf.pcap"),
        ("x", "core.pcap", "dns_servfail_upstream.pcap"),
        ("y", "core.pcap", "healthy_mix.pcap"),
    ] {
        let mut home = archive.clone();
        home.extend((0..9).map(|depth| format!("{depth:040}")));
        home.push(deepest);
        fs::create_dir_all(&home).expect("made");
        fs::copy(lab(of), home.join(name)).expect("copied");
    }
    for said_anew in ["4 analysed, 0 unchanged", "0 analysed, 4 unchanged"] {
        let ran = batch(&archive, &["--fail-on", "never"]);
        assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
        assert!(said(&ran).contains(said_anew), "{}", said(&ran));
    }
    let fleet = fleet(&folder.path().join("out"));
    let captures = fleet["captures"].as_array().expect("a list").iter();
    let names: Vec<&str> = captures.map(|capture| capture["set"].as_str().expect("a name")).collect();
    for end in ["x+edge", "y+edge", "x+core", "y+core"] {
        assert_eq!(
            names.iter().filter(|name| name.ends_with(end) && name.len() <= 180).count(),
            1,
            "{names:?}"
        );
    }
}

fn tar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        // As it is, also where it leads out of the archive.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, &content[..]).expect("memory");
    }
    builder.into_inner().expect("memory")
}

#[test]
fn the_captures_of_tar_archives_are_analysed_as_files_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    fs::create_dir_all(archive.join("berlin")).expect("made");
    let read = |name: &str| fs::read(lab(name)).expect("committed");
    let bytes = tar(&[
        ("may/healthy_mix.pcap", read("healthy_mix.pcap")),
        ("../../escaped.pcap", read("zero_window.pcap")),
        ("notes.txt", b"the switch was replaced".to_vec()),
        ("five_files.pcap", read("five_files.pcap")),
        ("five_files.2.pcap", read("five_files.2.pcap")),
    ]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &bytes).expect("memory");
    fs::write(archive.join("berlin/old.tgz"), gzip.finish().expect("memory")).expect("written");
    fs::write(archive.join("plain.tar"), tar(&[("loss.pcap", read("loss_random_2.pcap"))])).expect("written");
    let ran = batch(&archive, &[]);
    let out = folder.path().join("out");
    let all = fleet(&out);
    let sets = |fleet: &Value| -> Vec<String> {
        let captures = fleet["captures"].as_array().expect("captures").iter();
        captures.map(|capture| capture["set"].as_str().expect("a name").to_owned()).collect()
    };
    let expected = ["berlin+old.tgz+five_files", "berlin+old.tgz+may+healthy_mix", "plain.tar+loss"];
    assert_eq!(sets(&all), expected, "{} {}", said(&ran), String::from_utf8_lossy(&ran.stderr));
    assert_eq!(all["captures"][0]["files"], 2, "a rotated set in an archive");
    let ignored = all["ignored"].as_array().expect("ignored");
    assert_eq!(ignored.len(), 2, "{all}");
    assert!(
        ignored[0]["reason"].as_str().is_some_and(|why| why.contains("leads out of the archive")),
        "{all}"
    );
    assert!(!folder.path().join("escaped.pcap").exists() && !archive.join("escaped.pcap").exists());
    // As the file itself, but for its path.
    let report =
        |out: &Path, set: &str| fs::read_to_string(out.join("reports").join(set).join("report.json"));
    let alone = folder.path().join("alone");
    fs::create_dir(&alone).expect("made");
    fs::copy(lab("loss_random_2.pcap"), alone.join("loss.pcap")).expect("copied");
    let member = "out/members/archive/plain.tar/loss.pcap";
    let ran = Command::new(env!("CARGO_BIN_EXE_pcapsy"))
        .current_dir(&alone)
        .args(["analyze", "-q", "--json", "--no-files", "loss.pcap"])
        .output()
        .expect("runs");
    let plain = said(&ran).replace("\"loss.pcap\"", &format!("\"{member}\""));
    let plain = plain.replace("-r loss.pcap ", &format!("-r {member} "));
    assert!(report(&out, "plain.tar+loss").expect("there") == plain, "the report on a member differs");
    // What did not change is neither unpacked nor analysed again; what was taken away is gone.
    let ran = batch(&archive, &[]);
    assert!(said(&ran).contains("0 analysed, 3 unchanged"), "{}", said(&ran));
    fs::remove_file(archive.join("plain.tar")).expect("removed");
    batch(&archive, &[]);
    assert_eq!(sets(&fleet(&out)), expected[..2]);
}
