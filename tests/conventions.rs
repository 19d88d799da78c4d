//! The rules of the house, as tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;

/// The modules in the order data goes through them. A module uses those above it, never those below.
const FLOW: &[&str] = &[
    "time",
    "humanize",
    "capture",
    "dissect",
    "app",
    "flow",
    "detect",
    "config",
    "correlate",
    "pipeline",
    "local",
    "extract",
    "report",
    "diff",
    "fleet",
    "compare",
    "cli",
];

/// The longest file that is still one noun and its tests.
const LINES: usize = 600;

/// The width of a line, `max_width` of rustfmt.toml. rustfmt silently skips an item with a longer line.
const COLUMNS: usize = 110;

/// Files that are longer, and why.
const LONGER: &[(&str, &str)] = &[];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Path below `src`, with slashes.
fn short(path: &Path) -> String {
    let below = path.strip_prefix(root().join("src")).unwrap_or(path);
    below.to_string_lossy().replace('\\', "/")
}

/// The top-level modules that a line of code names as `crate::x`.
fn uses(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|character: char| !character.is_alphanumeric() && character != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

/// The code of a file: without comments, and without its tests, which may look anywhere.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
    (1..).zip(lines).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn modules_use_earlier_modules_only() {
    let place = |module: &str| FLOW.iter().position(|name| *name == module);
    let mut wrong = Vec::new();
    for path in files(&root().join("src"), "rs") {
        let short = short(&path);
        let module = short.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
        let Some(own) = place(&module) else { continue };
        // A file of tests may look anywhere, too.
        if short.ends_with("tests.rs") || short.ends_with("testing.rs") {
            continue;
        }
        for (number, line) in code(&read(&path)) {
            for used in uses(line) {
                if place(used).is_some_and(|other| other > own) {
                    wrong.push(format!("src/{short}:{number}: {module} uses {used}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_top_module_has_a_place_in_the_flow() {
    for line in read(&root().join("src/lib.rs")).lines() {
        if let Some(module) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            assert!(FLOW.contains(&module), "src/lib.rs: {module} is not in the list of this test");
        }
    }
}

#[test]
fn a_folder_says_first_what_goes_in_and_what_comes_out() {
    for path in files(&root().join("src"), "rs") {
        if path.file_name().is_some_and(|name| name == "mod.rs") {
            let text = read(&path);
            let first = text.lines().next().unwrap_or_default();
            let arrow = first.starts_with("//! ") && first.contains(" -> ");
            assert!(arrow, "src/{}: the first line is its arrow, `//! in -> out`", short(&path));
        }
    }
}

#[test]
fn files_are_short_and_finished() {
    let mut wrong = Vec::new();
    for path in files(&root().join("src"), "rs") {
        let (short, text) = (short(&path), read(&path));
        let lines = text.lines().count();
        if lines > LINES && !LONGER.iter().any(|(file, _)| *file == short) {
            wrong.push(format!("src/{short}: {lines} lines; look for a second noun"));
        }
        for (number, line) in (1..).zip(text.lines()) {
            for unfinished in ["todo!(", "unimplemented!(", "dbg!("] {
                if line.contains(unfinished) {
                    wrong.push(format!("src/{short}:{number}: {unfinished}...)"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn lines_fit_the_width() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches", "examples", "fuzz/fuzz_targets", "python/src"] {
        for path in files(&root().join(folder), "rs") {
            for (number, line) in (1..).zip(read(&path).lines()) {
                let columns = line.chars().count();
                if columns > COLUMNS {
                    let path = path.strip_prefix(root()).unwrap_or(&path).display();
                    wrong.push(format!("{path}:{number}: {columns} columns"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "longer than {COLUMNS} columns:\n{}", wrong.join("\n"));
}

#[test]
fn folders_of_captures_are_documented() {
    let readme = read(&root().join("testdata/README.md"));
    for entry in fs::read_dir(root().join("testdata")).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            assert!(readme.contains(&format!("## {name}")), "testdata/README.md has no section on {name}");
        }
    }
}

#[test]
fn the_first_commands_of_the_readme_work_on_what_is_there() {
    let readme = read(&root().join("README.md"));
    let commands: Vec<&str> =
        readme.lines().filter_map(|line| line.strip_prefix("    cargo ")).take(2).collect();
    let [analyze, test] = commands[..] else { panic!("README.md: two commands, found {commands:?}") };
    assert!(analyze.contains("-- analyze "), "{analyze}");
    let capture = analyze.split_whitespace().last().unwrap_or_default();
    assert!(root().join(capture).is_file(), "README.md: {capture} is not there");
    assert!(test.starts_with("test"), "{test}");
}

#[test]
fn every_detector_has_a_capture_that_expects_it() {
    let output =
        Command::cargo_bin("pcapsy").expect("built").args(["detectors", "--json"]).output().expect("run");
    let catalogue: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let names: BTreeSet<&str> =
        catalogue.as_array().into_iter().flatten().filter_map(|rule| rule["name"].as_str()).collect();
    let mut expected = BTreeSet::new();
    for path in files(&root().join("testdata/synthetic"), "toml") {
        let truth: toml::Table = read(&path).parse().expect("TOML");
        let expects = truth.get("expect").and_then(|expects| expects.as_array()).into_iter().flatten();
        expected.extend(expects.filter_map(|expect| expect.get("detector")?.as_str().map(str::to_owned)));
    }
    let alone: Vec<&&str> = names.iter().filter(|name| !expected.contains(**name)).collect();
    assert!(alone.is_empty(), "no capture expects {alone:?}");
}

#[test]
fn every_rule_is_documented_and_every_threshold_has_a_source() {
    let groups = ["capture", "path", "tcp", "tls", "dns", "application"];
    for rule in pcapsy::detect::RULES {
        let file = root().join(format!("src/detect/{}.rs", rule.name));
        assert!(
            file.is_file() && groups.contains(&rule.group.name()),
            "{}: its file or its group",
            rule.name
        );
        let documentation = rule.documentation();
        for heading in [
            "# What it finds",
            "# Why it matters",
            "# How it decides",
            "# What it does not claim",
            "# References",
        ] {
            assert!(documentation.contains(heading), "{}: {heading}", rule.name);
        }
        for threshold in rule.thresholds {
            let said = !threshold.source.is_empty() && !threshold.unit.is_empty();
            assert!(said, "{}: {} has no source or no unit", rule.name, threshold.key);
        }
    }
}
