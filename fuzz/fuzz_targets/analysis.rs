//! Any bytes as a capture file, through the whole analysis.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pcapsy::capture::{CaptureLimits, Reader};
use pcapsy::config::Config;
use pcapsy::local::{Run, analyze_set};
use pcapsy::pipeline::Rows;
use pcapsy::report::model::Report;

struct NoRows;

impl Rows for NoRows {}

fuzz_target!(|bytes: &[u8]| {
    let mut config = Config::default();
    config.limits.partitions = 3;
    let input = std::io::Cursor::new(bytes.to_vec());
    let Ok(reader) = Reader::stream("fuzz", input, &CaptureLimits::default()) else { return };
    let run = Run { threads: 1, sha256: false };
    let outcome = analyze_set(reader, &config, run, &mut NoRows, &|_| {}).expect("a thread");
    serde_json::to_string(&Report::new(&outcome, &config)).expect("JSON");
});
