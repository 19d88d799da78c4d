//! in-order bytes -> messages
//!
//! Parsers that know nothing of packets, flows or time-outs: they are fed in-order bytes, or told of a gap, and say
//! what was in them. Every incomplete message is held within a budget of its own.

use crate::time::Timestamp;

/// Who sent the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Sent by the client.
    ToServer,
    /// Sent by the server.
    ToClient,
}

impl Direction {
    /// The other direction.
    pub fn reverse(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
    /// 0 for the client's packets, 1 for the server's: the index of a pair of halves.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Which packet delivered something, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Ordinal of the packet over the whole capture set.
    pub packet: u64,
    /// Its capture time.
    pub time: Timestamp,
}

pub mod dns;
pub mod tls;
