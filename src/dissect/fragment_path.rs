//! What became of the fragments between two hosts.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::dissect::PacketRef;
use crate::time::Timestamp;

/// Fragmented datagrams from one host to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FragmentPath {
    /// Who sent them.
    pub source: IpAddr,
    /// Who was to get them.
    pub destination: IpAddr,
    /// Put together.
    pub complete: u64,
    /// Missing fragments did not come in time.
    pub incomplete: u64,
    /// Of those, the ones of which only the first fragment was seen, the one with the ports.
    pub first_only: u64,
    /// Of the incomplete, the ones whose first fragment was not seen.
    pub rest_only: u64,
    /// Fragments that contradict earlier ones of their datagram (RFC 5722).
    pub conflicting: u64,
    /// Could not be judged: cut by the snapshot length, with a damaged header, dropped for memory, or begun
    /// when the capture ended.
    pub unknown: u64,
    /// First and last packet time of what is incomplete or conflicting.
    pub seen: Option<(Timestamp, Timestamp)>,
    /// The first fragments of some datagrams that are incomplete, or that conflict.
    pub shown: Vec<PacketRef>,
}

impl FragmentPath {
    /// Paths kept apart: the first of a capture.
    pub const MOST: usize = 1024;
    /// Datagrams shown.
    const SHOWN: usize = 8;

    pub(super) fn new(source: IpAddr, destination: IpAddr) -> Self {
        Self {
            source,
            destination,
            complete: 0,
            incomplete: 0,
            first_only: 0,
            rest_only: 0,
            conflicting: 0,
            unknown: 0,
            seen: None,
            shown: Vec::new(),
        }
    }

    pub(super) fn show(&mut self, at: PacketRef) {
        let (first, last) = self.seen.unwrap_or((at.time, at.time));
        self.seen = Some((first.min(at.time), last.max(at.time)));
        if self.shown.len() < Self::SHOWN && !self.shown.contains(&at) {
            self.shown.push(at);
        }
    }
}
