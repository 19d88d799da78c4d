//! The autopsy of a packet capture: what failed, between whom, since when, how sure, and which frames prove it.
//!
//! Modules stand in the order of the data flow, and a module uses only those before it:
//!
//! ```text
//! capture   files        -> Chunk -> RawPacket
//! dissect   RawPacket    -> PacketRecord
//! app       bytes        -> TLS sessions, DNS transactions (fed by flow)
//! flow      PacketRecord -> Flow, TcpEvent
//! detect    flows        -> Finding
//! config    pcapsy.toml  -> limits and thresholds of the modules before it
//! pipeline  the stages as plain functions of their input, and the merge
//! local     runs them on this machine's cores in bounded memory
//! report    outcome      -> JSON, Parquet, text
//! cli       one file per subcommand
//! ```
//!
//! The same input and configuration give the same findings and rows at any thread count, chunk size or partition
//! count, and however the capture is spread over files.

pub mod time;

pub mod capture;
pub mod dissect;
pub mod app;
pub mod flow;
pub mod detect;
pub mod config;
pub mod pipeline;
pub mod local;
pub mod report;
pub mod cli;
