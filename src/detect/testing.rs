//! Runs detectors over hand-made traffic, in this process. What fires and what stays silent stands beside
//! each detector.

use std::fs;

use crate::config::Config;
use crate::detect::{Finding, Severity};
use crate::local::{self, Run};
use crate::pipeline::Rows;
use crate::support::capture::Capture;
use crate::support::scenes::{self, Lab};

struct NoRows;

impl Rows for NoRows {}

/// What `detector` finds in a set of capture files with these endings and bytes.
pub(super) fn in_files(detector: &str, files: &[(&str, Vec<u8>)]) -> Vec<Finding> {
    let folder = tempfile::tempdir().expect("a folder");
    let written = files.iter().enumerate().map(|(number, (ending, bytes))| {
        let path = folder.path().join(format!("capture-{number:02}.{ending}"));
        fs::write(&path, bytes).expect("written");
        path
    });
    let paths: Vec<_> = written.collect();
    let outcome = local::analyze(&paths, &Config::default(), Run::default(), &mut NoRows, &|_| {});
    let verdicts = outcome.expect("readable").verdicts.into_iter();
    let verdict = verdicts.filter(|(rule, _)| rule.name == detector).map(|(_, verdict)| verdict);
    verdict.flat_map(|verdict| verdict.findings).collect()
}

/// What `detector` finds in the scene of that name.
pub(super) fn in_scene(detector: &str, name: &str) -> Vec<Finding> {
    let scene = scenes::all().find(|scene| scene.name == name);
    in_files(detector, &[scene.unwrap_or_else(|| panic!("no scene {name}")).build()])
}

/// What `detector` finds in the traffic that `make` records, without anything else around it.
pub(super) fn in_traffic(detector: &str, make: impl FnOnce(&mut Lab)) -> Vec<Finding> {
    let mut lab = Lab::new(Capture::default(), 77);
    make(&mut lab);
    lab.capture.sort();
    in_files(detector, &[("pcap", lab.capture.pcap())])
}

/// The only finding among those of `detector` that has this variant; its severity is as given.
#[track_caller]
pub(super) fn one(findings: &[Finding], variant: &str, severity: Severity) -> Finding {
    let mut fitting = findings.iter().filter(|finding| finding.variant == variant);
    let found = fitting.next().unwrap_or_else(|| panic!("no {variant:?} among {findings:#?}"));
    assert!(fitting.next().is_none(), "several {variant:?} among {findings:#?}");
    assert_eq!(found.severity, severity, "{found:#?}");
    assert!(!found.evidence.is_empty(), "nothing proves {found:#?}");
    found.clone()
}

/// `detector` fires in each of the scenes: name, variant, severity.
#[track_caller]
pub(super) fn fires(detector: &str, scenes: &[(&str, &str, Severity)]) {
    for (name, variant, severity) in scenes {
        let findings = in_scene(detector, name);
        let fits = |finding: &Finding| finding.variant == *variant && finding.severity == *severity;
        assert!(findings.iter().any(fits), "{name}: {variant:?}, {severity:?} not among {findings:#?}");
    }
}

/// `detector` says nothing at warning or above in any of the scenes.
#[track_caller]
pub(super) fn silent(detector: &str, scenes: &[&str]) {
    for name in scenes {
        let mut findings = in_scene(detector, name);
        findings.retain(|finding| finding.severity > Severity::Info);
        assert!(findings.is_empty(), "{name}: {findings:#?}");
    }
}

/// `detector` says nothing at all in any of the scenes: for those that never warn.
#[track_caller]
pub(super) fn says_nothing(detector: &str, scenes: &[&str]) {
    for name in scenes {
        let findings = in_scene(detector, name);
        assert!(findings.is_empty(), "{name}: {findings:#?}");
    }
}
