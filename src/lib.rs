//! The autopsy of a packet capture: what failed, between whom, since when, how sure, by which frames.
//!
//! Modules stand in the order of the data flow, and a module uses only those before it:
//!
//! ```text
//! capture   files        -> Chunk -> RawPacket
//! dissect   RawPacket    -> PacketRecord
//! app       bytes        -> TLS sessions, DNS transactions, HTTP exchanges, QUIC (fed by flow)
//! flow      PacketRecord -> Flow, TcpEvent
//! detect    flows        -> Finding
//! config    pcapsy.toml  -> limits and thresholds of the modules before it
//! correlate findings     -> Incident, and how every service fared
//! pipeline  the stages as plain functions of their input, and the merge
//! local     runs them on this machine's cores in bounded memory
//! extract   findings     -> the packets that prove them, read again
//! report    outcome      -> JSON, Parquet, text
//! diff      two captures -> what is new, gone, worse or other
//! fleet     reports on many captures -> what happened in an archive
//! compare   captures at several points -> what happened between them
//! cli       one file per subcommand
//! ```
//!
//! The same input and configuration give the same findings and rows. Thread count, chunk size, partition
//! count and the cut into files change nothing.

pub mod time;
pub mod humanize;

pub mod capture;
pub mod dissect;
pub mod app;
pub mod flow;
pub mod detect;
pub mod config;
pub mod correlate;
pub mod pipeline;
pub mod local;
pub mod extract;
pub mod report;
pub mod diff;
pub mod fleet;
pub mod compare;
pub mod cli;

/// Hand-made traffic, the same as in `tests/`.
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
#[cfg(test)]
extern crate self as pcapsy;
