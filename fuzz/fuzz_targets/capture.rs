//! Any bytes as a capture file: chunks, packets, damage.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pcapsy::capture::{CaptureLimits, Reader};

fuzz_target!(|bytes: &[u8]| {
    let limits = CaptureLimits { chunk_bytes: 512, ..CaptureLimits::default() };
    let input = std::io::Cursor::new(bytes.to_vec());
    let Ok(mut reader) = Reader::stream("fuzz", input, &limits) else { return };
    while let Some(chunk) = reader.next_chunk() {
        assert_eq!(chunk.packets().count() as u64, chunk.packets);
    }
});
