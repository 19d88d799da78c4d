//! Any bytes as a capture file, through the whole analysis and into every report.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pcapsy::capture::{CaptureLimits, Reader};
use pcapsy::config::Config;
use pcapsy::local::{Run, analyze_set};
use pcapsy::pipeline::Rows;
use pcapsy::report::escape::is_hostile;
use pcapsy::report::model::Report;
use pcapsy::report::rca;
use pcapsy::report::text::{View, plain};

struct NoRows;

impl Rows for NoRows {}

fuzz_target!(|bytes: &[u8]| {
    let mut config = Config::default();
    config.limits.partitions = 3;
    let input = std::io::Cursor::new(bytes.to_vec());
    let Ok(reader) = Reader::stream("fuzz", input, &CaptureLimits::default()) else { return };
    let run = Run { threads: 1, sha256: false };
    let outcome = analyze_set(reader, &config, run, &mut NoRows, &|_| {}).expect("a thread");
    let report = Report::new(&outcome, &config);
    serde_json::to_string(&report).expect("JSON");
    let page = |view| String::from_utf8(plain(&report, view, 100).expect("memory")).expect("text");
    let document = rca::document(&report, &outcome.files, &rca::Zone::default());
    for text in [page(View::Screen(3)), page(View::All), document] {
        assert!(!text.contains(|character| is_hostile(character) && character != '\n'), "{text:?}");
    }
});
