//! The inputs of an analysis, read once more.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use rayon::prelude::*;

use super::ExtractError;
use crate::capture::{CaptureLimits, Chunk, FileReport, Hashes, Interface, RawPacket, Reader};

/// The inputs of an analysis: packets have the ordinals they had in it.
#[derive(Clone, Debug)]
pub struct Again {
    inputs: Vec<Input>,
    limits: CaptureLimits,
    watch: super::Watch,
}

/// An input: its packets have the ordinals behind `base`.
#[derive(Clone, Debug)]
struct Input {
    name: String,
    base: u64,
    packets: u64,
}

/// A packet as its file holds it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'c> {
    /// Ordinal, time, lengths, link type and original bytes.
    pub raw: RawPacket<'c>,
    /// The interface that recorded it, when the file describes one.
    pub interface: Option<&'c Interface>,
    /// Index of its file in the capture set.
    pub file: u32,
    /// Path of its file as given.
    pub name: &'c str,
    /// Frame number in the file, as Wireshark counts.
    pub frame: u64,
}

impl Again {
    /// The inputs that were read as `files`.
    pub fn new(files: &[FileReport], limits: &CaptureLimits) -> Self {
        let input =
            |file: &FileReport| Input { name: file.path.clone(), base: file.base, packets: file.packets };
        let limits = CaptureLimits { hashes: Hashes::None, ..limits.clone() };
        Self { inputs: files.iter().map(input).collect(), limits, watch: super::Watch::default() }
    }

    /// The same, and `watch` is told how far every reading has come.
    pub fn watched(self, watch: super::Watch) -> Self {
        Self { watch, ..self }
    }

    /// Ordinal of the last packet.
    pub fn last(&self) -> u64 {
        self.inputs.iter().map(|input| input.base + input.packets).max().unwrap_or(0)
    }

    /// Path and frame number of a packet.
    pub fn place(&self, ordinal: u64) -> (&str, u64) {
        let behind = self.inputs.partition_point(|input| input.base < ordinal);
        let input = behind.checked_sub(1).and_then(|index| self.inputs.get(index));
        input.map_or(("", ordinal), |input| (input.name.as_str(), ordinal - input.base))
    }

    /// Gives `look` every chunk with ordinals in `all` of which `wants` any, several at a time, and `take`
    /// the answers in capture order.
    ///
    /// # Errors
    /// When an input cannot be read again, or `take` fails.
    pub fn chunks<T: Send>(
        &self,
        all: RangeInclusive<u64>,
        wants: impl Fn(RangeInclusive<u64>) -> bool,
        look: impl Fn(&Chunk) -> T + Sync,
        mut take: impl FnMut(T) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        let overlaps = |ordinals: &RangeInclusive<u64>| {
            ordinals.start() <= all.end() && all.start() <= ordinals.end() && wants(ordinals.clone())
        };
        let most = rayon::current_num_threads().max(1);
        for (index, input) in (0u32..).zip(&self.inputs) {
            if input.packets == 0 || !overlaps(&(input.base + 1..=input.base + input.packets)) {
                continue;
            }
            if input.name == "-" {
                return Err(ExtractError::Stream { name: input.name.clone() });
            }
            let mut reader = Reader::open(&[PathBuf::from(&input.name)], &self.limits)?;
            loop {
                let mut round: Vec<Chunk> = Vec::with_capacity(most);
                while round.len() < most
                    && let Some(mut chunk) = reader.next_chunk()
                {
                    chunk.first_packet += input.base;
                    chunk.file = index;
                    if chunk.first_packet > *all.end() {
                        break;
                    }
                    let last = chunk.first_packet + chunk.packets.saturating_sub(1);
                    if overlaps(&(chunk.first_packet..=last)) {
                        round.push(chunk);
                    } else {
                        chunk.release();
                    }
                }
                if round.is_empty() {
                    break;
                }
                let seen: Vec<T> = round.par_iter().map(&look).collect();
                seen.into_iter().try_for_each(&mut take)?;
                round.iter().for_each(Chunk::release);
                round
                    .last()
                    .inspect(|chunk| self.watch.passed(chunk.first_packet + chunk.packets, self.last()));
            }
        }
        Ok(())
    }

    /// Gives `each` the packets of `all` of whose chunks `wants` any, in capture order.
    ///
    /// # Errors
    /// When an input cannot be read again, or `each` fails.
    pub fn packets(
        &self,
        all: RangeInclusive<u64>,
        wants: impl Fn(RangeInclusive<u64>) -> bool,
        mut each: impl FnMut(&Packet<'_>) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        self.chunks(all, wants, Chunk::clone, |chunk| self.of_chunk(&chunk, &mut each))
    }

    /// Gives `each` the packets of a chunk, in order.
    ///
    /// # Errors
    /// When `each` fails.
    pub fn of_chunk(
        &self,
        chunk: &Chunk,
        mut each: impl FnMut(&Packet<'_>) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        let input = self.inputs.get(chunk.file as usize);
        let (name, base) = input.map_or(("", 0), |input| (input.name.as_str(), input.base));
        let mut packets = chunk.packets();
        while let Some(raw) = packets.next() {
            let interface = packets.interface(&raw);
            let frame = raw.packet.saturating_sub(base);
            each(&Packet { raw, interface, file: chunk.file, name, frame })?;
        }
        Ok(())
    }
}
