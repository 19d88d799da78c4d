//! How the memory of a run is shared out.
//!
//! A run holds open flows, the numbers of streams, what is under way from the capture to the tables, and what
//! detectors remember. Flows are weighed and streams are counted; the rest is held down by working in smaller
//! pieces and fewer partitions. All of it follows from the setting, so that the same configuration closes the
//! same flows on every machine.

use super::Limits;

/// What a run takes before its first packet, and for what is under way: measured, without what follows the
/// setting.
const ITSELF: u64 = 64 << 20;
/// Memory of a TCP stream that is numbered, bytes: a place in a hash table that is three quarters full when
/// it has grown half its way, and a number.
const STREAM: u64 = 40;
/// Memory with a partition's tables of the detectors in it, bytes: they take up to a quarter of that in a
/// flood, or among many lookups.
const PARTITION: u64 = 64 << 20;
/// Memory of a set of the detectors' tables when those are full that a mix of lookups and a flood fills,
/// bytes: measured.
const TABLES: u64 = 64 << 20;
/// Memory of a packet that ends a flow, bytes: its record and the flow's row, once to be written and once
/// more of the next round.
const ROW: u64 = 6 << 10;

impl Limits {
    fn memory(&self) -> u64 {
        u64::from(self.memory_mib) << 20
    }

    /// Memory that the allocator holds free between blocks: flows are of many sizes and go in another order
    /// than they came. Measured, where flows are closed for their memory.
    fn between_blocks(&self) -> u64 {
        self.memory() / 8
    }

    /// Memory for open flows beside so many numbered streams, bytes. Never less than an eighth of the
    /// setting: a run that holds no flow shows nothing.
    pub(crate) fn for_flows(&self, streams: u64) -> u64 {
        let memory = self.memory();
        let rest = memory.saturating_sub(ITSELF + memory / 16 + memory / 4 + self.between_blocks());
        rest.saturating_sub(streams.saturating_mul(STREAM)).max(memory / 8)
    }

    /// Streams that are numbered: as many as asked for, in a quarter of the memory at most.
    pub fn numbered_streams(&self) -> u32 {
        self.streams.min(u32::try_from(self.memory() / 4 / STREAM).unwrap_or(u32::MAX))
    }

    /// Partitions that the flows are hashed into: each has tables of the detectors, and together they take
    /// about a quarter of the memory.
    pub(crate) fn used_partitions(&self) -> usize {
        (self.memory() / PARTITION).max(2).min(u64::from(self.partitions.max(1))) as usize
    }

    /// Sets of the detectors' tables: as many threads have their own as fit a quarter of the memory.
    pub(crate) fn table_sets(&self) -> usize {
        (self.memory() / 4 / TABLES).max(1) as usize
    }

    /// How often the keys that a table may keep are halved, so that one set fits a quarter of the memory.
    pub(crate) fn table_halvings(&self) -> u32 {
        (0..).find(|halvings| TABLES >> halvings <= self.memory() / 4).unwrap_or(0)
    }

    /// Memory for incomplete IP datagrams, bytes: as much as asked for, an eighth of the memory at most.
    pub(crate) fn for_fragments(&self) -> usize {
        ((u64::from(self.fragments_mib) << 20).min(self.memory() / 8)) as usize
    }

    /// Bytes of capture per unit of parallel work.
    pub(crate) fn chunk_bytes(&self) -> usize {
        (u64::from(self.chunk_kib) << 10).min((self.memory() / 512).max(16 << 10)) as usize
    }

    /// The most chunks of a round: their bytes, twice, in a sixteenth of the memory.
    pub(crate) fn most_chunks(&self) -> usize {
        ((self.memory() / 32) as usize / self.chunk_bytes()).max(1)
    }

    /// Packets with which a round is full, so that the flows that it ends take a seventh of the memory.
    pub(crate) fn round_packets(&self) -> u64 {
        self.memory() / 7 / ROW
    }

    /// Most rows of a table that are collected before they are written.
    pub(crate) fn group_rows(&self) -> usize {
        self.memory_mib as usize * 48
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(memory_mib: u32) -> Limits {
        Limits { memory_mib, ..Limits::default() }
    }

    #[test]
    fn the_default_allows_what_the_other_defaults_ask_for() {
        let limits = limits(1024);
        assert_eq!(limits.numbered_streams(), limits.streams);
        assert_eq!(limits.chunk_bytes(), 512 << 10);
        assert_eq!(limits.for_fragments(), 32 << 20);
        assert_eq!(limits.used_partitions(), 16);
        assert_eq!((limits.table_sets(), limits.table_halvings()), (4, 0));
        assert!(limits.for_flows(0) >= 512 << 20);
    }

    #[test]
    fn whatever_the_setting_the_parts_fit_and_none_is_nothing() {
        for memory_mib in [1, 4, 64, 256, 1024, 65_536, 1_048_576] {
            let limits = limits(memory_mib);
            let streams = u64::from(limits.numbered_streams());
            let parts = limits.for_flows(streams) + streams * STREAM + limits.for_fragments() as u64;
            assert!(parts + limits.between_blocks() <= limits.memory(), "{memory_mib} MiB: {parts}");
            let tables = limits.table_sets() as u64 * (TABLES >> limits.table_halvings());
            assert!(tables <= limits.memory() / 4, "{memory_mib} MiB: {tables}");
            assert!(limits.for_flows(u64::MAX) >= limits.memory() / 8);
            assert!(streams > 0 && limits.most_chunks() > 0 && limits.round_packets() > 0);
        }
    }
}
