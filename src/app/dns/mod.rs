//! placeholder
use super::*;
/// DNS transaction.
#[derive(Clone, Debug, Default)]
pub struct Transaction {}
impl Transaction {
    /// c
    pub fn closed_at(&self) -> Timestamp {
        Timestamp(0)
    }
    /// f
    pub fn first_packet(&self) -> u64 {
        0
    }
}
/// m
pub struct DnsMessage {
    /// r
    pub response: bool,
}
/// p
pub fn parse(_b: &[u8]) -> Result<DnsMessage, ()> {
    Err(())
}
/// l
pub fn looks_like_dns(_b: &[u8]) -> bool {
    false
}
/// t
#[derive(Clone, Debug, Default)]
pub struct DnsTcp {}
impl DnsTcp {
    /// d
    pub fn data(&mut self, _d: Direction, _b: &[u8], _a: Moment) -> Vec<(DnsMessage, Moment)> {
        Vec::new()
    }
    /// g
    pub fn gap(&mut self, _d: Direction, _l: u64, _a: Moment) {}
}
/// t
#[derive(Clone, Debug, Default)]
pub struct Transactions {}
impl Transactions {
    /// m
    pub fn message(&mut self, _d: Direction, _m: &DnsMessage, _a: Moment) {}
    /// e
    pub fn expire(&mut self, _n: Timestamp) {}
    /// e
    pub fn drain_finished(&mut self) -> Vec<Transaction> {
        Vec::new()
    }
    /// e
    pub fn finish_all(&mut self) {}
    /// n
    pub fn next_deadline(&self) -> Option<Timestamp> {
        None
    }
    /// o
    pub fn overflow(&self) -> u64 {
        0
    }
}
