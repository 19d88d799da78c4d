//! `pcapsy info`: what a capture is. Reads record headers only, and every byte once for the hash.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::capture::{CaptureLimits, FileReport, Hashes, Reader, Unreadable};
use crate::cli::outcome::{Exit, Failure, complain};
use crate::cli::progress::Bar;
use crate::cli::stdout::stdout;
use crate::humanize::{grouped, lasting};
use crate::local::Progress;
use crate::report::escape::{self, terminal};
use crate::time::Timestamp;

/// Arguments of `info`.
#[derive(Debug, Args)]
pub(super) struct Info {
    /// Captures: files, directories, patterns, or - for standard input
    #[arg(value_name = "FILE|DIR|GLOB|-", required = true)]
    inputs: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Also compute the SHA-256 of the files
    #[arg(long)]
    sha256: bool,
    /// Show no progress on stderr
    #[arg(long, short)]
    quiet: bool,
}

/// What `info --json` prints.
#[derive(Serialize)]
struct Facts<'r> {
    files: &'r [FileReport],
    unreadable: &'r [Unreadable],
    ignored: &'r [Unreadable],
    ignored_unlisted: u64,
}

impl Info {
    /// Reads the captures and prints what they are.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let hashes = if self.sha256 { Hashes::Sha256 } else { Hashes::Blake3 };
        let limits = CaptureLimits { hashes, ..CaptureLimits::default() };
        let mut reader = Reader::open(&self.inputs, &limits)?;
        let bar = Bar::new(self.quiet);
        let mut packets = 0;
        while let Some(chunk) = reader.next_chunk() {
            packets += chunk.packets;
            let (bytes, total_bytes) = reader.progress();
            bar.show(Progress { bytes, total_bytes, packets });
        }
        bar.clear();
        let mut out = io::BufWriter::new(stdout()?.lock());
        if self.json {
            let (files, unreadable, ignored) = (reader.files(), reader.unreadable(), reader.ignored());
            let (ignored, ignored_unlisted) = (&ignored.listed, ignored.unlisted);
            let facts = Facts { files, unreadable, ignored, ignored_unlisted };
            escape::write_json(&mut out, &facts, true)?;
            writeln!(out)?;
        } else {
            for (number, file) in reader.files().iter().enumerate() {
                write!(out, "{}{}", if number == 0 { "" } else { "\n" }, describe(file))?;
            }
        }
        if !self.json {
            let ignored = reader.ignored();
            for (number, input) in ignored.listed.iter().enumerate() {
                let gap = if number == 0 { "\nleft out\n" } else { "" };
                writeln!(out, "{gap}  {}", terminal(&input.reason))?;
            }
            if ignored.unlisted > 0 {
                writeln!(out, "  {} more", grouped(ignored.unlisted))?;
            }
        }
        out.flush()?;
        for unreadable in reader.unreadable() {
            complain(&unreadable.reason);
        }
        let whole = reader.files().iter().all(|file| file.damages.is_empty() && !file.truncated);
        Ok(if whole && reader.unreadable().is_empty() { Exit::Clean } else { Exit::Failed })
    }
}

fn describe(file: &FileReport) -> String {
    let mut lines = vec![("", terminal(&file.path).into_owned())];
    let compression = crate::report::table::word(&file.compression);
    let compressed = match compression {
        "none" => String::new(),
        name => format!(", {name}, {} bytes unpacked", grouped(file.unpacked)),
    };
    lines.push(("format", format!("{}, {}, {}{compressed}", file.format, file.byte_order, file.resolution)));
    lines.push(("size", format!("{} bytes", grouped(file.size))));
    let wire = format!(
        "{} bytes captured of {} on the wire",
        grouped(file.captured_bytes),
        grouped(file.wire_bytes)
    );
    lines.push(("packets", format!("{}, {wire}", grouped(file.packets))));
    if let (Some(first), Some(last)) = (file.first_seen, file.last_seen) {
        let time = Timestamp::rfc3339;
        lines.push(("time", format!("{} to {}, {}", time(first), time(last), lasting(last - first))));
    }
    for (interface, number) in file.interfaces.iter().zip(0u32..) {
        let mut parts = vec![format!("{number}: {}", interface.link_type)];
        parts.extend(interface.name.iter().map(|name| terminal(name).into_owned()));
        parts.push(format!("{} packets", grouped(interface.packets)));
        parts.push(match interface.snap_length {
            0 => "no snapshot length".to_owned(),
            length => format!("snapshot length {length}"),
        });
        parts.extend(interface.filter.iter().map(|filter| format!("filter {:?}", terminal(filter))));
        let drops = [
            ("received", interface.received),
            ("dropped", interface.interface_dropped),
            ("dropped by the system", interface.system_dropped),
        ];
        parts.extend(
            drops.iter().filter_map(|(name, count)| count.map(|count| format!("{} {name}", grouped(count)))),
        );
        lines.push(("interface", parts.join(", ")));
    }
    // Secrets of TLS are among them: who passes the file on passes on what they open.
    lines.extend(file.skipped_blocks.iter().map(|(kind, count)| ("blocks", format!("{count} {kind}"))));
    for damage in &file.damages {
        let text =
            format!("{} bytes at offset {}: {}", damage.length, damage.offset, terminal(&damage.reason));
        lines.push(("damage", text));
    }
    if file.damages_unlisted > 0 {
        lines.push(("damage", format!("{} further places", grouped(file.damages_unlisted))));
    }
    lines.push(("blake3", file.blake3.clone()));
    lines.extend(file.sha256.clone().map(|sha256| ("sha256", sha256)));
    let line = |(label, text): &(&str, String)| match *label {
        "" => format!("{text}\n"),
        label => format!("  {label:10}{text}\n"),
    };
    lines.iter().map(line).collect()
}
