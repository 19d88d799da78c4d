//! A reference to a packet of the capture set.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Which packet, and when it was captured. File and frame number follow from the ordinal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PacketRef {
    /// Ordinal of the packet over the whole capture set.
    pub packet: u64,
    /// Its capture time.
    pub time: Timestamp,
}
