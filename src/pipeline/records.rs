//! Packet records with their payload: what goes from stage 1 to stage 2.

use std::fmt;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};

use crate::dissect::{PacketRecord, Payload};

/// Packet records, and the bytes that their payloads stand in: at most 4 GiB of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    list: Vec<PacketRecord>,
    bytes: Vec<u8>,
}

impl Records {
    /// Adds a record with its captured payload; one that ends beyond 4 GiB counts as not captured.
    pub fn push(&mut self, mut record: PacketRecord, payload: &[u8]) {
        let fits = u32::try_from(self.bytes.len() + payload.len()).is_ok();
        let payload = if fits { payload } else { &[] };
        let start = self.bytes.len() as u32;
        record.payload = Payload { start, captured: payload.len() as u32, ..record.payload };
        self.bytes.extend_from_slice(payload);
        self.list.push(record);
    }

    /// The records with their captured payloads.
    pub fn iter(&self) -> impl Iterator<Item = (&PacketRecord, &[u8])> {
        self.list.iter().map(|record| (record, self.payload(record)))
    }

    fn payload(&self, record: &PacketRecord) -> &[u8] {
        let (start, length) = (record.payload.start as usize, record.payload.captured as usize);
        self.bytes.get(start..start + length).unwrap_or_default()
    }

    /// Both, in the order of packets: those of a chunk, and what was put together from its fragments.
    pub fn joined(self, other: Self) -> Self {
        let mut order: Vec<(&PacketRecord, &[u8])> = self.iter().chain(other.iter()).collect();
        order.sort_by_key(|(record, _)| record.packet);
        let mut joined = Self::default();
        order.into_iter().for_each(|(record, payload)| joined.push(*record, payload));
        joined
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The records and the bytes that their payloads point into.
    pub(super) fn into_parts(self) -> (Vec<PacketRecord>, Vec<u8>) {
        (self.list, self.bytes)
    }
}

impl Extend<(PacketRecord, Vec<u8>)> for Records {
    fn extend<T: IntoIterator<Item = (PacketRecord, Vec<u8>)>>(&mut self, records: T) {
        records.into_iter().for_each(|(record, payload)| self.push(record, &payload));
    }
}

/// Octets in one piece: serde would write a slice octet by octet.
struct Octets<'b>(&'b [u8]);

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// A sequence of pairs: the record, and its captured payload.
impl Serialize for Records {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pairs = serializer.serialize_seq(Some(self.list.len()))?;
        for (record, payload) in self.iter() {
            pairs.serialize_element(&(record, Octets(payload)))?;
        }
        pairs.end()
    }
}

impl<'de> Deserialize<'de> for Records {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Records;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("packet records with their payloads")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Records, A::Error> {
                let mut records = Records::default();
                while let Some((record, payload)) = pairs.next_element::<(PacketRecord, &'de [u8])>()? {
                    records.push(record, payload);
                }
                Ok(records)
            }
        }
        deserializer.deserialize_seq(Pairs)
    }
}
