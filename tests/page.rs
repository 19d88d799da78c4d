//! `report.html` in a real browser: headless Chromium opens it from disk.
//!
//! Skips, and says so, when there is no browser. `PCAPSY_PAGES=all cargo test --test page -- --nocapture`
//! opens the page of every capture of the lab, and checks one with axe-core when npm can get it.

#![cfg(unix)]
#![allow(clippy::print_stdout)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use data_encoding::BASE64;
use serde_json::Value;
use sha2::{Digest, Sha256};
use support::capture::Capture;
use support::scenes;
use tempfile::TempDir;

const PCAPSY: &str = env!("CARGO_BIN_EXE_pcapsy");

/// Captures of different kinds, so that every kind of plot is opened.
const SOME: [&str; 12] = [
    "mtu_silent_download",
    "dns_servfail_upstream",
    "rtt_step",
    "slow_server",
    "syn_dropped",
    "rst_injected",
    "zero_window",
    "loss_tail",
    "asymmetric_path",
    "proxy_502",
    "tls_expired_intermediate",
    "healthy_mix",
];

struct Browser {
    program: &'static str,
    profile: TempDir,
}

impl Browser {
    /// The first that starts.
    fn find() -> Option<Self> {
        let starts = |program: &&str| {
            let run = Command::new(program).arg("--version").stderr(Stdio::null()).output();
            run.is_ok_and(|run| run.status.success())
        };
        let program = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(starts);
        if program.is_none() {
            println!("skipped: no Chromium here, so nobody looked at report.html");
        }
        Some(Self { program: program?, profile: tempfile::tempdir().expect("a folder") })
    }

    fn run(&self, page: &Path, arguments: &[&str]) -> (String, String) {
        let run = Command::new(self.program)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--enable-logging=stderr",
            ])
            .args(["--disable-background-networking", "--disable-component-update", "--window-size=1200,900"])
            .arg(format!("--user-data-dir={}", self.profile.path().display()))
            .arg("--virtual-time-budget=20000")
            .args(arguments)
            .arg(format!("file://{}", page.display()))
            .output()
            .expect("it starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&run.stdout), text(&run.stderr))
    }

    /// What `probe`, a script that leaves its answer in `#probe`, says of a page.
    fn probe(&self, page: &Path, scripts: &[&str]) -> Value {
        let text = fs::read_to_string(page).expect("a page");
        // The probe is allowed by its hash; nothing else of the page's policy changes.
        let hashes: Vec<String> = scripts
            .iter()
            .map(|script| format!("'sha256-{}'", BASE64.encode(&Sha256::digest(script.as_bytes()))))
            .collect();
        let policy = format!("script-src {} ", hashes.join(" "));
        assert!(text.contains("script-src "), "{}", page.display());
        let inside: String = scripts.iter().map(|script| format!("<script>{script}</script>")).collect();
        let text = text.replacen("script-src ", &policy, 1);
        let text = text.replacen("</title>", &format!("</title>{inside}"), 1);
        let probed = page.with_file_name("probed.html");
        fs::write(&probed, text).expect("written");
        let (dom, said) = self.run(&probed, &["--dump-dom"]);
        let answer = dom.split("<pre id=\"probe\">").nth(1).and_then(|rest| rest.split("</pre>").next());
        let answer = answer.unwrap_or_else(|| panic!("{}: no answer\n{said}", page.display()));
        let plain = answer.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let mut answer: Value = serde_json::from_str(&plain).expect("JSON");
        let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
        answer["console"] = Value::from(console);
        answer
    }
}

/// Looks at the page, uses it as a person does, and says what it saw.
const PROBE: &str = r##"
const seen = { errors: [], alerts: 0 };
addEventListener("error", (event) => seen.errors.push(String(event.message)));
addEventListener("securitypolicyviolation", (event) => seen.errors.push(event.violatedDirective));
window.alert = () => { seen.alerts += 1; };
addEventListener("load", () => {
  const all = (what) => [...document.querySelectorAll(what)];
  const root = document.documentElement;
  seen.requests = performance.getEntriesByType("resource").length;
  seen.title = document.title;
  seen.headings = all("h1").length;
  seen.incidents = all("article.incident").length;
  seen.plots = all("figure.plot").length;
  seen.drawn = all("figure.plot svg[role=img]").filter((svg) =>
    svg.getBoundingClientRect().width > 300 && svg.querySelectorAll("line,rect,circle,polyline").length > 5
    && svg.querySelector("title").textContent && svg.querySelector("desc").textContent).length;
  seen.ladders = all("table.ladder").length;
  seen.foreign = all("img,iframe,link,object,embed,base,form,video,audio").length;
  seen.scripts = all("script").length;
  seen.wide = root.scrollWidth > innerWidth;
  seen.copies = all(".copy button").length === all(".copy").length;
  const colors = () => [document.body, ...all("figure.plot svg circle").slice(0, 1)]
    .map((one) => getComputedStyle(one).backgroundColor + getComputedStyle(one).fill).join();
  const theme = document.getElementById("theme");
  const before = colors();
  theme.click();
  seen.theme = [root.dataset.theme, before !== colors()];
  theme.click();
  seen.back = before === colors();
  const table = document.querySelector("#services table.sortable");
  if (table) {
    const attempts = () => [...table.tBodies[0].rows].map((row) => Number(row.cells[3].dataset.value));
    const head = table.tHead.rows[0].cells[3];
    head.querySelector("button").click();
    const down = attempts();
    const how = head.getAttribute("aria-sort");
    head.querySelector("button").click();
    const up = attempts();
    const falls = (list) => list.every((value, place) => place === 0 || list[place - 1] >= value);
    seen.sorted = [how, falls(down), head.getAttribute("aria-sort"), falls(up.reverse()), down.length];
  }
  document.getElementById("unfold").click();
  seen.unfolded = all("details").every((one) => one.open);
  seen.text = document.body.innerText.length;
  seen.said = document.querySelector("#said").textContent;
  seen.hostile = document.body.innerText.includes("<scr" + "ipt>alert(1)");
  const answer = document.createElement("pre");
  answer.id = "probe";
  answer.textContent = JSON.stringify(seen);
  document.body.append(answer);
});
"##;

fn analyzed(capture: &Path, folder: &Path) -> PathBuf {
    let run = Command::new(PCAPSY)
        .args(["analyze", "-q", "--fail-on", "never", "--out"])
        .arg(folder)
        .arg(capture)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(matches!(run.status.code(), Some(0 | 3)), "{}: {said}", capture.display());
    folder.join("report.html")
}

fn check(name: &str, answer: &Value) {
    let empty = Value::from(Vec::<Value>::new());
    assert_eq!(answer["errors"], empty, "{name}: {answer}");
    assert_eq!(answer["console"], empty, "{name}: {answer}");
    assert_eq!(answer["requests"], 0, "{name}: {answer}");
    assert_eq!(answer["alerts"], 0, "{name}: {answer}");
    assert_eq!(answer["foreign"], 0, "{name}: {answer}");
    assert_eq!(answer["headings"], 1, "{name}: {answer}");
    assert_eq!(answer["plots"], answer["drawn"], "{name}: {answer}");
    assert_eq!(answer["wide"], false, "{name}: wide things scroll by themselves: {answer}");
    assert_eq!(answer["copies"], true, "{name}: {answer}");
    assert_eq!(answer["theme"], serde_json::json!(["dark", true]), "{name}: {answer}");
    assert_eq!(answer["back"], true, "{name}: {answer}");
    assert_eq!(answer["unfolded"], true, "{name}: {answer}");
    let sorted = &answer["sorted"];
    if !sorted.is_null() {
        let both = (&sorted[0], &sorted[1], &sorted[2], &sorted[3]);
        let wanted = (&Value::from("descending"), &true.into(), &Value::from("ascending"), &true.into());
        assert_eq!(both, wanted, "{name}");
    }
}

#[test]
fn pages_open_clean_and_work() {
    let Some(browser) = Browser::find() else { return };
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures");
    let all = std::env::var("PCAPSY_PAGES").is_ok_and(|which| which == "all");
    let mut captures: Vec<PathBuf> = fs::read_dir(lab)
        .expect("the lab")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|ending| ending != "toml"))
        .collect();
    captures.retain(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        all || SOME.contains(&name.as_ref())
    });
    captures.sort();
    assert!(captures.len() >= SOME.len(), "{captures:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let (mut plots, mut ladders, mut incidents, mut largest) = (0, 0, 0, 0);
    for capture in &captures {
        let name = capture.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let page = analyzed(capture, &folder.path().join(&name));
        largest = largest.max(fs::metadata(&page).expect("there").len());
        let answer = browser.probe(&page, &[PROBE]);
        check(&name, &answer);
        assert!(answer["title"].as_str().is_some_and(|title| title.starts_with(&name)), "{answer}");
        plots += answer["plots"].as_u64().unwrap_or(0);
        ladders += answer["ladders"].as_u64().unwrap_or(0);
        incidents += answer["incidents"].as_u64().unwrap_or(0);
    }
    let pages = captures.len();
    println!(
        "{pages} pages, {incidents} incidents, {plots} plots, {ladders} ladders, at most {largest} bytes"
    );
    assert!(plots >= pages as u64 && ladders >= 8, "{plots} plots, {ladders} ladders");
}

#[test]
fn the_page_of_an_archive_opens_clean_and_works() {
    let Some(browser) = Browser::find() else { return };
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures");
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    fs::create_dir(&archive).expect("made");
    for name in &SOME[..5] {
        fs::copy(lab.join(format!("{name}.pcap")), archive.join(format!("{name}.pcap"))).expect("copied");
    }
    fs::write(archive.join("<img src=x onerror=alert(1)>.pcap"), "\u{d4}").expect("written");
    let whole = fs::read(lab.join("healthy_mix.pcap")).expect("committed");
    fs::write(archive.join("<img src=y onerror=alert(2)>.pcap"), &whole[..10]).expect("written");
    let out = folder.path().join("out");
    let run = Command::new(PCAPSY)
        .args(["batch", "-q", "--no-evidence", "--fail-on", "never", "--out"])
        .args([&out, &archive])
        .output()
        .expect("it runs");
    assert_eq!(run.status.code(), Some(3), "{}", String::from_utf8_lossy(&run.stderr));
    let answer = browser.probe(&out.join("fleet.html"), &[PROBE]);
    check("archive", &answer);
    assert_eq!(answer["title"], "Archive \u{2013} pcapsy", "{answer}");
    assert!(answer["sorted"][4].as_u64() > Some(3), "services are there to be sorted: {answer}");
}

#[test]
fn names_from_packets_and_of_files_are_text() {
    let Some(browser) = Browser::find() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut capture = Capture::default();
    let scenes =
        scenes::all().filter(|scene| scene.name == "dns_servfail_forwarder" || scene.name == "dns_slow");
    scenes.for_each(|scene| capture.packets.extend(scene.capture().packets));
    let mut bytes = capture.pcap();
    // A label of the names becomes markup of the same length.
    let label = longest_label(&bytes);
    let mut name = b"<script>alert(1)</script>".to_vec();
    name.resize(label.len().max(name.len()), b'x');
    assert!(replace(&mut bytes, &label, &name[..label.len()]) > 0);
    let path = folder.path().join("<img src=x onerror=alert(1)>.pcap");
    fs::write(&path, bytes).expect("written");
    let page = analyzed(&path, &folder.path().join("report"));
    let answer = browser.probe(&page, &[PROBE]);
    check("hostile", &answer);
    assert!(answer["title"].as_str().is_some_and(|title| title.starts_with("<img src=x")), "{answer}");
}

/// The longest label of letters before a length and `example`.
fn longest_label(bytes: &[u8]) -> Vec<u8> {
    let is_label = |window: &[u8]| {
        let length = usize::from(window[0]);
        length > 2 && window.len() > length && window[1..=length].iter().all(u8::is_ascii_lowercase)
    };
    let labels = bytes.windows(32).filter(|window| is_label(window));
    let labels = labels.map(|window| window[1..=usize::from(window[0])].to_vec());
    labels.max_by_key(Vec::len).expect("a name")
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from)
        .map(|(at, _)| at)
        .collect();
    for at in &places {
        bytes[*at..at + to.len()].copy_from_slice(to);
    }
    places.len()
}

#[test]
fn a_page_prints_with_everything_unfolded() {
    let Some(browser) = Browser::find() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let capture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures/mtu_silent_download.pcap");
    let page = analyzed(&capture, &folder.path().join("report"));
    let pdf = folder.path().join("page.pdf");
    browser.run(&page, &[&format!("--print-to-pdf={}", pdf.display()), "--no-pdf-header-footer"]);
    let bytes = fs::read(&pdf).expect("printed");
    let pages = bytes.windows(11).filter(|window| *window == b"/Type /Page").count();
    println!("{} bytes of PDF, {pages} page objects", bytes.len());
    assert!(bytes.starts_with(b"%PDF-") && bytes.len() > 20_000, "{} bytes", bytes.len());
}

#[test]
fn a_page_is_the_same_at_any_number_of_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures");
    for name in ["mtu_silent_download", "dns_servfail_upstream", "rst_injected", "port_scan"] {
        let page = |threads: &str| {
            let out = folder.path().join(format!("{name}{threads}"));
            let run = Command::new(PCAPSY)
                .args(["analyze", "-q", "--fail-on", "never", "--threads", threads, "--out"])
                .arg(&out)
                .arg(format!("{name}.pcap"))
                .current_dir(&lab)
                .output();
            assert!(run.expect("it runs").status.success(), "{name}");
            fs::read(out.join("report.html")).expect("a page")
        };
        let one = page("1");
        assert!(one == page("2") && one == page("7"), "{name}");
    }
}

#[test]
fn a_page_on_a_stream_says_what_it_cannot_draw() {
    let folder = tempfile::tempdir().expect("a folder");
    let capture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures/mtu_silent_download.pcap");
    let run = Command::new(PCAPSY)
        .args(["analyze", "-q", "--fail-on", "never", "--out", "report", "-"])
        .current_dir(folder.path())
        .stdin(fs::File::open(capture).expect("the lab"))
        .output();
    assert!(run.expect("it runs").status.success());
    let page = fs::read_to_string(folder.path().join("report/report.html")).expect("a page");
    assert!(page.contains("Single packets are not drawn: -: a stream cannot be read twice"), "{page}");
    assert!(!page.contains("table class=\"ladder\"") && page.contains("What happened when."));
}

#[test]
fn axe_finds_nothing_serious() {
    if std::env::var("PCAPSY_PAGES").is_err() {
        return;
    }
    let Some(browser) = Browser::find() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let packed = Command::new("sh")
        .args(["-c", "npm pack axe-core --silent && tar xf axe-core-*.tgz package/axe.min.js"])
        .current_dir(folder.path())
        .output();
    let axe = folder.path().join("package/axe.min.js");
    if packed.is_err() || !axe.is_file() {
        println!("skipped: npm cannot get axe-core here");
        return;
    }
    let axe = fs::read_to_string(axe).expect("text").replace("</script", "<\\/script");
    let run = r#"addEventListener("load", () => axe.run().then((found) => {
        const answer = document.createElement("pre");
        answer.id = "probe";
        const told = (one) => [one.id, one.impact, one.nodes.length, one.nodes[0].target.join(" ")];
        answer.textContent = JSON.stringify({ passes: found.passes.length,
            violations: found.violations.map(told),
            incomplete: found.incomplete.map(told) });
        document.body.append(answer);
    }));"#;
    for (name, theme) in [
        ("mtu_silent_download", ""),
        ("mtu_silent_download", "dark"),
        ("rtt_step", ""),
        ("proxy_502", "dark"),
    ] {
        let capture =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/lab/captures/{name}.pcap"));
        let page = analyzed(&capture, &folder.path().join(name));
        let dark = format!("document.documentElement.dataset.theme = \"{theme}\";");
        let answer = browser.probe(&page, &[axe.as_str(), run, dark.as_str()]);
        println!("{name} {theme}: {answer}");
        assert_eq!(answer["violations"], Value::from(Vec::<Value>::new()), "{name}");
    }
}
