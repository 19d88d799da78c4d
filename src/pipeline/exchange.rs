//! The byte form of what crosses a stage boundary.
//!
//! Every message is its version, its kind, and its content in postcard's wire format
//! (<https://postcard.jamesmunns.com>: integers as varints, sequences with their length, enums by the place
//! of their variant, no names). Fields are written in the order in which their types declare them, so **any
//! change to a type that travels needs a new [`VERSION`]**: both sides of a run are the same build, and
//! messages are not kept.
//!
//! 1. [`Records`]: packet records, each with its captured payload. From stage 1 to stage 2, to the partition
//!    of their [hash](crate::dissect::partition_hash), in the order of packets.
//! 2. [`ChunkSummary`]: sums, clock and fragments of a chunk. From stage 1 to the
//!    [`Sequencer`](super::Sequencer), in the order of chunks.
//! 3. [`Leads`]: what the packets before each chunk leave to it. From the sequencer to stage 2, to all
//!    partitions.
//! 4. [`Tracked`]: rows and streams of a partition. From stage 2 to [`StreamNumbers`],
//!    in any order.
//! 5. [`PartitionState`]: what the detectors counted in a partition. From stage 2 to whoever merges and
//!    judges.
//! 6. [`ChunkHead`]: which bytes are a chunk, and what they need to be read alone. To stage 1.
//! 7. [`StreamNumbers`]: the numbers of the streams of all partitions. To whoever writes the rows.
//! 8. [`Keys`]: secrets of TLS sessions, when all files were read. To stage 2, to all partitions.
//!
//! Records that the sequencer puts together from fragments join those of stage 1. While no limit on all flows
//! together acts (`limits.memory_mib`, `limits.streams`), a run through bytes gives what one on this machine
//! gives.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{ChunkSummary, Leads, PartitionState, Records, StreamNumbers, Tracked};
use crate::capture::{ChunkHead, Keys};

/// Version of the format. Goes up with every change to a type that travels.
pub const VERSION: u16 = 16;

/// Why bytes are not the message that was expected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExchangeError {
    /// They were written by another version.
    #[error("exchange format version {found}, this build has version {VERSION}")]
    Version {
        /// What they say.
        found: u16,
    },
    /// They are another kind of message.
    #[error("a message of kind {found}, expected kind {expected}")]
    Kind {
        /// What they say.
        found: u8,
        /// What was asked for.
        expected: u8,
    },
    /// They are cut short or damaged.
    #[error("damaged message: {0}")]
    Damaged(#[from] postcard::Error),
    /// More bytes follow the message.
    #[error("{0} bytes behind the end of a message")]
    Surplus(usize),
}

/// What crosses a stage boundary.
pub trait Travels: Serialize + DeserializeOwned {
    /// Tells the kinds of messages apart.
    const KIND: u8;
}

impl Travels for Records {
    const KIND: u8 = 1;
}

impl Travels for ChunkSummary {
    const KIND: u8 = 2;
}

impl Travels for Leads {
    const KIND: u8 = 3;
}

impl Travels for Tracked {
    const KIND: u8 = 4;
}

impl Travels for PartitionState {
    const KIND: u8 = 5;
}

impl Travels for ChunkHead {
    const KIND: u8 = 6;
}

impl Travels for StreamNumbers {
    const KIND: u8 = 7;
}

impl Travels for Keys {
    const KIND: u8 = 8;
}

/// The bytes of a message.
///
/// # Errors
/// Not with the types of this crate: their lengths are known.
pub fn encode<T: Travels>(message: &T) -> Result<Vec<u8>, ExchangeError> {
    Ok(postcard::to_stdvec(&(VERSION, T::KIND, message))?)
}

/// The message in `bytes`.
///
/// # Errors
/// When they are of another version or kind, damaged, or followed by more.
pub fn decode<T: Travels>(bytes: &[u8]) -> Result<T, ExchangeError> {
    let (found, rest) = postcard::take_from_bytes::<u16>(bytes)?;
    if found != VERSION {
        return Err(ExchangeError::Version { found });
    }
    let (found, rest) = postcard::take_from_bytes::<u8>(rest)?;
    if found != T::KIND {
        return Err(ExchangeError::Kind { found, expected: T::KIND });
    }
    let (message, rest) = postcard::take_from_bytes(rest)?;
    match rest.len() {
        0 => Ok(message),
        surplus => Err(ExchangeError::Surplus(surplus)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_message_is_refused() {
        // Its variable-length form is one octet up to 127.
        let version = VERSION as u8;
        let bytes = encode(&Records::default()).expect("encoded");
        assert_eq!(bytes, [version, 1, 0]);
        assert_eq!(decode::<Records>(&bytes), Ok(Records::default()));
        assert_eq!(decode::<Leads>(&bytes), Err(ExchangeError::Kind { found: 1, expected: 3 }));
        assert_eq!(decode::<Records>(&[1, 1, 0]), Err(ExchangeError::Version { found: 1 }));
        assert_eq!(decode::<Records>(&[version, 1, 0, 7]), Err(ExchangeError::Surplus(1)));
        assert!(matches!(decode::<Records>(&[version, 1, 1, 5]), Err(ExchangeError::Damaged(_))));
    }
}
