//! An installed tshark, asked for fields.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// tshark with these settings, ports of protocols (`tcp.port==50051,http2`) and fields, of the packets that
/// the filter lets through; all values of each.
pub fn tshark(
    path: &Path,
    settings: &[&str],
    filter: &str,
    fields: &[&str],
) -> Option<Vec<Vec<Vec<String>>>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).args(["-Y", filter, "-T", "fields", "-E", "aggregator=\u{1}"]);
    settings.iter().for_each(|setting| {
        let kind = if setting.contains("==") { "-d" } else { "-o" };
        command.args([kind, setting]);
    });
    fields.iter().for_each(|field| {
        command.args(["-e", field]);
    });
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let values =
        |cell: &str| cell.split('\u{1}').filter(|value| !value.is_empty()).map(str::to_owned).collect();
    Some(text.lines().map(|line| line.split('\t').map(values).collect()).collect())
}

/// The captures of `../shared/corpus`; none when they are not there.
pub fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let manifest = fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap_or_default();
    manifest.lines().skip(1).filter_map(|line| Some(folder.join(line.split('\t').next()?))).collect()
}
