//! [`PacketRecord`](crate::dissect::PacketRecord) -> [`Flow`], [`TcpEvent`], in-order bytes for `app`

mod event;
mod record;

pub use event::{EventKind, LossPlace, SpuriousProof, TcpEvent};
pub use record::*;
