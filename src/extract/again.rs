//! The inputs of an analysis, read once more.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use super::ExtractError;
use crate::capture::{CaptureLimits, Chunk, FileReport, Hashes, Interface, RawPacket, Reader};

/// Chunks that every thread looks at in a round: it waits for the slowest once.
const ROUND: usize = 4;

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
    /// Its chunks, when all of them are known.
    chunks: Vec<Chunk>,
}

impl Input {
    /// The chunks are known, and the file has not become shorter than they reach: touching what is no
    /// longer there would end the program.
    fn is_whole(&self) -> bool {
        let end = self.chunks.last().map_or(0, |chunk| chunk.offset + chunk.bytes.len() as u64);
        end > 0 && std::fs::metadata(&self.name).map_or(true, |file| file.len() >= end)
    }
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
    /// The inputs that were read as `files`, of which `chunks` are kept ([`Reader::take_kept`]): nobody looks
    /// for the records of those again. The others are read as at first.
    pub fn new(files: &[FileReport], chunks: &[Chunk], limits: &CaptureLimits) -> Self {
        let input = |(index, file): (u32, &FileReport)| {
            let from = chunks.partition_point(|chunk| chunk.file < index);
            let chunks: Vec<Chunk> =
                chunks[from..].iter().take_while(|chunk| chunk.file == index).cloned().collect();
            let all = chunks.iter().map(|chunk| chunk.packets).sum::<u64>() == file.packets;
            let chunks = if all { chunks } else { Vec::new() };
            Input { name: file.path.clone(), base: file.base, packets: file.packets, chunks }
        };
        let limits = CaptureLimits { hashes: Hashes::None, ..limits.clone() };
        let inputs = (0..).zip(files).map(input).collect();
        Self { inputs, limits, watch: super::Watch::default() }
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

    /// Gives `take` the chunks with ordinals in `all` of which `wants` any, in capture order, several at a
    /// time.
    fn rounds(
        &self,
        all: RangeInclusive<u64>,
        wants: impl Fn(RangeInclusive<u64>) -> bool,
        mut take: impl FnMut(&[Chunk]) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        let overlaps = |ordinals: &RangeInclusive<u64>| {
            ordinals.start() <= all.end() && all.start() <= ordinals.end() && wants(ordinals.clone())
        };
        let most = ROUND * rayon::current_num_threads().max(1);
        for (index, input) in (0u32..).zip(&self.inputs) {
            if input.packets == 0 || !overlaps(&(input.base + 1..=input.base + input.packets)) {
                continue;
            }
            let mut chunks =
                self.chunks_of(index, input)?.take_while(|chunk| chunk.first_packet <= *all.end());
            loop {
                let wanted = chunks.by_ref().filter(|chunk| {
                    let last = chunk.first_packet + chunk.packets.saturating_sub(1);
                    let wanted = overlaps(&(chunk.first_packet..=last));
                    if !wanted {
                        chunk.release();
                    }
                    wanted
                });
                let round: Vec<Chunk> = wanted.take(most).collect();
                let Some(last) = round.last() else { break };
                take(&round)?;
                round.iter().for_each(Chunk::release);
                self.watch.passed(last.first_packet + last.packets, self.last());
            }
        }
        Ok(())
    }

    /// The chunks of an input, as the analysis had them.
    fn chunks_of<'a>(
        &self,
        index: u32,
        input: &'a Input,
    ) -> Result<Box<dyn Iterator<Item = Chunk> + 'a>, ExtractError> {
        if input.name == "-" {
            return Err(ExtractError::Stream { name: input.name.clone() });
        }
        if input.is_whole() {
            return Ok(Box::new(input.chunks.iter().cloned()));
        }
        let mut reader = Reader::open(&[PathBuf::from(&input.name)], &self.limits)?;
        Ok(Box::new(std::iter::from_fn(move || {
            let chunk = reader.next_chunk()?;
            Some(Chunk { first_packet: chunk.first_packet + input.base, file: index, ..chunk })
        })))
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
        self.rounds(all, wants, |round| {
            let seen: Vec<T> = round.par_iter().map(&look).collect();
            seen.into_iter().try_for_each(&mut take)
        })
    }

    /// Gives `each` the packets with ordinals in `all` that `choose` accepts, in capture order. Several
    /// threads choose.
    ///
    /// # Errors
    /// When an input cannot be read again, or `each` fails.
    pub fn packets(
        &self,
        all: RangeInclusive<u64>,
        choose: impl Fn(&Packet<'_>) -> bool + Sync,
        mut each: impl FnMut(&Packet<'_>) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        let within = all.clone();
        self.rounds(
            all,
            |_| true,
            |round| {
                let accepts = |packet: &Packet<'_>| within.contains(&packet.raw.packet) && choose(packet);
                let found: Vec<_> = round.par_iter().map(|chunk| self.find(chunk, accepts)).collect();
                found.iter().flatten().try_for_each(|one| each(&one.packet(self)))
            },
        )
    }

    /// Gives `each` the packets with `ordinals`, which are in order, in capture order.
    ///
    /// # Errors
    /// When an input cannot be read again, or `each` fails.
    pub fn these(
        &self,
        ordinals: &[u64],
        mut each: impl FnMut(&Packet<'_>) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        let (Some(first), Some(last)) = (ordinals.first(), ordinals.last()) else { return Ok(()) };
        let from = |ordinal: u64| &ordinals[ordinals.partition_point(|one| *one < ordinal)..];
        let wants =
            |chunk: RangeInclusive<u64>| from(*chunk.start()).first().is_some_and(|one| one <= chunk.end());
        self.rounds(*first..=*last, wants, |round| {
            let find = round.par_iter().map(|chunk| {
                let mut next = from(chunk.first_packet).iter().peekable();
                self.find(chunk, |packet| next.next_if_eq(&&packet.raw.packet).is_some())
            });
            let found: Vec<_> = find.collect();
            found.iter().flatten().try_for_each(|one| each(&one.packet(self)))
        })
    }

    /// The packets of a chunk that `choose` accepts, in order.
    fn find<'c>(&self, chunk: &'c Chunk, mut choose: impl FnMut(&Packet<'_>) -> bool) -> Vec<Found<'c>> {
        let (mut packets, mut found) = (chunk.packets(), Vec::new());
        while let Some(raw) = packets.next() {
            if choose(&self.packet(raw, packets.interface(&raw), chunk.file)) {
                let (interfaces, base) = packets.interfaces();
                found.push(Found { raw, interfaces: Arc::clone(interfaces), base, file: chunk.file });
            }
        }
        found
    }

    fn packet<'a>(&'a self, raw: RawPacket<'a>, interface: Option<&'a Interface>, file: u32) -> Packet<'a> {
        let input = self.inputs.get(file as usize);
        let (name, base) = input.map_or(("", 0), |input| (input.name.as_str(), input.base));
        Packet { raw, interface, file, name, frame: raw.packet.saturating_sub(base) }
    }
}

/// A packet that was chosen, with what its [`Packet`] borrows.
struct Found<'c> {
    raw: RawPacket<'c>,
    /// The interfaces described before it, and the number of the first.
    interfaces: Arc<Vec<Interface>>,
    base: u32,
    file: u32,
}

impl Found<'_> {
    fn packet<'a>(&'a self, again: &'a Again) -> Packet<'a> {
        let place = self.raw.interface.checked_sub(self.base);
        let interface = place.and_then(|place| self.interfaces.get(place as usize));
        again.packet(self.raw, interface, self.file)
    }
}
