//! placeholder
use super::*;
/// TLS session.
#[derive(Clone, Debug, Default)]
pub struct TlsSession {}
/// r
pub enum Recognition {
    /// y
    Yes,
    /// n
    No,
    /// m
    NeedMore,
}
/// l
pub fn looks_like_tls(_b: &[u8]) -> Recognition {
    Recognition::No
}
impl TlsSession {
    /// d
    pub fn data(&mut self, _d: Direction, _b: &[u8], _a: Moment) {}
    /// g
    pub fn gap(&mut self, _d: Direction, _l: u64, _a: Moment) {}
    /// s
    pub fn said_goodbye(&self) -> bool {
        false
    }
}
