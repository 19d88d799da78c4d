//! Writes the hand-made captures of `testdata/synthetic`, always the same bytes.
//!
//! `cargo run --example synthesize -- testdata/synthetic`

#[path = "../tests/support/mod.rs"]
mod support;

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "testdata/synthetic".to_owned());
    std::fs::create_dir_all(&folder)?;
    for (name, capture) in support::scenes::all() {
        std::fs::write(format!("{folder}/{name}.pcap"), capture.pcap())?;
    }
    Ok(())
}
