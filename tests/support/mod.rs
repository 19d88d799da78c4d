//! Hand-made traffic: conversations with explicit times, written as capture files.
//!
//! Hosts count their IP identifications, keep a timestamp clock and announce the options that current stacks
//! announce, so that what the analysis concludes from those fields is tested, too. Nothing is random and
//! nothing reads a clock: the same calls give the same file.

#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod adversary;
pub mod capture;
pub mod dns;
pub mod frame;
pub mod http2;
pub mod mutator;
pub mod oracle;
pub mod quic;
pub mod scenes;
pub mod seal;
pub mod tcp;
pub mod tls;
pub mod truth;
pub mod tshark;

/// Bytes that look like text, differ along their length, and are the same for the same `seed`.
pub fn filler(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(97);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + ((state >> 24) % 26) as u8
    };
    (0..length).map(|_| next()).collect()
}
