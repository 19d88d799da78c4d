//! Writes captures of any size: always the same bytes for the same arguments, and never more in memory than
//! what is on its way.
//!
//! `cargo run --release --example generate -- <kind> <size> <out> [seed]`, or
//! `cargo run --release --example generate -- again <size> <out> <capture>...`; sizes are like `100M` or
//! `10G`, a name that ends in `.pcapng` gets that format. A smaller capture is the beginning of a larger one,
//! but for `again`.

#![allow(missing_docs, clippy::print_stderr, unreachable_pub)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod again;
mod crowd;
mod dice;
mod flood;
mod quic;
mod short;
mod sink;
mod web;

use std::io::{Error, Result};

use crowd::Actor;
use dice::Dice;
use sink::{Full, Sink};
use web::Traffic;

const KINDS: &str = "\
  mixed     20000 TLS connections at a time, 0.5 % of their data lost and repaired, and DNS lookups
  lossy     the same with 5 % lost
  vxlan     mixed, inside VXLAN
  small     DNS and a SYN flood
  flood     a SYN flood alone, every SYN from another source
  elephant  one connection
  quic      20000 QUIC connections at a time, and nothing else
  many      short connections, every other one left open; 5 million in 4G
  again     the captures named behind OUT, over and over, every copy between other hosts";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = || Error::other(format!("usage: generate KIND SIZE OUT [SEED | CAPTURE...]\n{KINDS}"));
    let [kind, size, out, rest @ ..] = arguments.as_slice() else { return Err(usage()) };
    let size = bytes(size).ok_or_else(usage)?;
    let seed = match rest {
        [seed] if kind != "again" => seed.parse().map_err(|_| usage())?,
        _ => 1,
    };
    let actors: Vec<Box<dyn Actor>> = match kind.as_str() {
        "mixed" | "vxlan" => web::crowd(Traffic::browsing(5), seed),
        "lossy" => web::crowd(Traffic::browsing(50), seed),
        "elephant" => web::crowd(Traffic::elephant(), seed),
        "small" => flood::crowd(true, seed),
        "flood" => flood::crowd(false, seed),
        "quic" => quic::crowd(seed),
        "again" if !rest.is_empty() => again::crowd(rest, size)?,
        "many" => short::crowd(seed),
        _ => return Err(usage()),
    };
    let mut sink = Sink::create(out.as_ref(), size, kind == "vxlan")?;
    match crowd::run(actors, &mut sink) {
        Err(Full::Failed(error)) => Err(error),
        Ok(()) | Err(Full::Reached) => sink.finish(),
    }
}

/// `100M` is 100 million.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['k', 'M', 'G']);
    let unit = match &text[digits.len()..] {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return None,
    };
    digits.parse::<f64>().ok().map(|number| (number * unit as f64) as u64)
}
