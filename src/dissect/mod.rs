//! [`RawPacket`](crate::capture::RawPacket) -> [`PacketRecord`]

mod record;

pub use record::*;
