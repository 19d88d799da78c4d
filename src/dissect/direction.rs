//! Which side of a conversation sent a packet.

use serde::{Deserialize, Serialize};

/// Who sent a packet of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Sent by the client.
    ToServer,
    /// Sent by the server.
    ToClient,
}

impl Direction {
    /// Both directions, the client's first.
    pub const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];

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
