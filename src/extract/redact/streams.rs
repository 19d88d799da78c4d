//! TCP payload as the receivers got it, redacted in one piece: names and heads span segments, and what is
//! sent again has to be the same.
//!
//! The packets come twice. The first time their payload is put in its place in the stream; then every stream
//! is redacted; the second time every packet takes its own part. What is beyond [`Streams::MOST`] of a
//! direction or [`Streams::ALL`] together becomes zero.

use std::collections::BTreeMap;

use super::dialogue::Spoken;
use super::runs::Runs;
use super::secrets::Secrets;
use super::{dns, http, http2, proxy, tls, zero};
use crate::app::http2::looks_like_http2;
use crate::app::quic::{Rewriter, looks_like_quic};
use crate::app::tls::{Recognition, looks_like_tls};
use crate::app::upgrade::{ProxyPrefix, proxy_prefix};
use crate::capture::RawPacket;
use crate::dissect::{Direction, FiveTuple, PacketRecord, Transport};

/// Addresses and ports in the direction of the bytes, and the tunnels around them.
type Key = (FiveTuple, u64);

/// The streams of some packets.
#[derive(Debug, Default)]
pub struct Streams {
    by_key: BTreeMap<Key, Vec<Stream>>,
    /// Datagrams of QUIC, both directions under the canonical tuple.
    quic: BTreeMap<Key, Rewriter>,
    held: usize,
    /// Payload bytes that found no room.
    beyond: u64,
}

/// One direction of one connection.
#[derive(Debug)]
struct Stream {
    /// Ordinal of its first packet.
    first: u64,
    /// Initial sequence number, when the SYN was seen.
    initial: Option<u32>,
    /// Sequence number of its first byte.
    base: u32,
    bytes: Vec<u8>,
    captured: Runs,
}

impl Streams {
    /// Bytes of a direction that are kept.
    pub const MOST: usize = 1 << 20;
    /// Bytes of all streams, with what each of them takes itself.
    pub const ALL: usize = 64 << 20;
    /// Room in front of the first byte of a connection whose beginning was not captured, for bytes that come
    /// late.
    const LATE: u32 = 4096;

    /// Payload bytes that will be zero because there was no room to read them.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Takes a packet, the first time.
    pub fn add(&mut self, raw: &RawPacket<'_>, record: &PacketRecord) {
        let Some(tuple) = FiveTuple::of(record) else { return };
        let tcp = match &record.transport {
            Transport::Tcp(tcp) => tcp,
            Transport::Udp(_) => {
                return self.add_datagram((tuple.canonical(), record.path.hash), raw, record);
            }
            _ => return,
        };
        let payload = payload(raw, record);
        let known = self.by_key.get(&(tuple, record.path.hash)).and_then(|streams| streams.last());
        let begins = tcp.flags.syn() && known.is_none_or(|last| last.initial != Some(tcp.seq.0));
        let begun = match (begins, known) {
            (true, _) => Some(Stream::new(record.packet, Some(tcp.seq.0), tcp.seq.0.wrapping_add(1))),
            (false, None) => Some(Stream::new(record.packet, None, tcp.seq.0.wrapping_sub(Self::LATE))),
            (false, Some(_)) => None,
        };
        if payload.is_empty() && !begins {
            return;
        }
        if begun.is_some() && self.held + Stream::PLACE > Self::ALL {
            self.beyond += payload.len() as u64;
            return;
        }
        let streams = self.by_key.entry((tuple, record.path.hash)).or_default();
        self.held += begun.as_ref().map_or(0, |_| Stream::PLACE);
        streams.extend(begun);
        let Some(stream) = streams.last_mut() else { return };
        let start = stream.place(sequence(record));
        let end = start.saturating_add(payload.len());
        let grows = end.saturating_sub(stream.bytes.len());
        if end > Self::MOST || self.held + grows > Self::ALL {
            self.beyond += payload.len() as u64;
            return;
        }
        self.held += grows;
        stream.fill(start, payload);
    }

    /// The first datagram of a pair of ports says whether they are QUIC's.
    fn add_datagram(&mut self, key: Key, raw: &RawPacket<'_>, record: &PacketRecord) {
        let datagram = payload(raw, record);
        let dns = key.0.source.port == 53 || key.0.destination.port == 53;
        if dns || (!self.quic.contains_key(&key) && !looks_like_quic(datagram)) {
            return;
        }
        if self.held + datagram.len() > Self::ALL {
            self.beyond += datagram.len() as u64;
            return;
        }
        self.held += self.quic.entry(key).or_default().add(record.packet, datagram);
    }

    /// Redacts what was taken.
    pub fn redact(&mut self, secrets: &Secrets) {
        self.quic.values_mut().for_each(|quic| quic.rewrite(secrets));
        // Some protocols are told by what one of the sides begins with.
        let begins = |stream: &Stream| Spoken::of(stream.head().get(stream.behind_proxy()..)?);
        let spoken: BTreeMap<Key, Vec<Option<Spoken>>> =
            self.by_key.iter().map(|(key, streams)| (*key, streams.iter().map(begins).collect())).collect();
        for (key @ (tuple, path), streams) in &mut self.by_key {
            let dns = tuple.source.port == 53 || tuple.destination.port == 53;
            let of = |key: &Key, place: usize| *spoken.get(key)?.get(place)?;
            for (place, stream) in streams.iter_mut().enumerate() {
                let answered = || of(&(tuple.reversed(), *path), place).map(Spoken::answered);
                stream.redact(secrets, dns, of(key, place).or_else(answered));
            }
        }
    }

    /// Writes a datagram of QUIC over `new`, which is as long and zero; false when it is none.
    pub(super) fn datagram(
        &self,
        secrets: &Secrets,
        record: &PacketRecord,
        old: &[u8],
        new: &mut [u8],
    ) -> bool {
        let key = FiveTuple::of(record).map(|tuple| (tuple.canonical(), record.path.hash));
        let Some(quic) = key.and_then(|key| self.quic.get(&key)) else { return false };
        quic.datagram(record.packet, old, secrets, new);
        true
    }

    /// Writes the payload of a packet over `new`, which is as long and zero; what was not kept stays zero.
    pub(super) fn payload(&self, record: &PacketRecord, new: &mut [u8]) {
        let Some(tuple) = FiveTuple::of(record) else { return };
        let streams = self.by_key.get(&(tuple, record.path.hash)).map_or(&[][..], Vec::as_slice);
        let begun = streams.partition_point(|stream| stream.first <= record.packet);
        let Some(stream) = begun.checked_sub(1).and_then(|last| streams.get(last)) else { return };
        let start = stream.place(sequence(record));
        let kept = start.checked_add(new.len()).and_then(|end| stream.bytes.get(start..end));
        if let Some(kept) = kept {
            new.copy_from_slice(kept);
        }
    }
}

/// The captured payload of a packet.
fn payload<'p>(raw: &RawPacket<'p>, record: &PacketRecord) -> &'p [u8] {
    let start = record.payload.start.wrapping_sub(raw.start) as usize;
    let end = start.saturating_add(record.payload.captured as usize);
    raw.data.get(start..end).unwrap_or_default()
}

/// Sequence number of the first payload byte: a SYN takes one.
fn sequence(record: &PacketRecord) -> u32 {
    match &record.transport {
        Transport::Tcp(tcp) => tcp.seq.0.wrapping_add(u32::from(tcp.flags.syn())),
        _ => 0,
    }
}

impl Stream {
    /// Bytes of memory that it takes without its own, with its place among the others.
    const PLACE: usize = 256;

    fn new(first: u64, initial: Option<u32>, base: u32) -> Self {
        Self { first, initial, base, bytes: Vec::new(), captured: Runs::default() }
    }

    fn place(&self, sequence: u32) -> usize {
        sequence.wrapping_sub(self.base) as usize
    }

    /// The bytes that came first stay.
    fn fill(&mut self, start: usize, payload: &[u8]) {
        let end = start + payload.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        for (from, to) in self.captured.add(start, end) {
            if let (Some(place), Some(new)) =
                (self.bytes.get_mut(from..to), payload.get(from - start..to - start))
            {
                place.copy_from_slice(new);
            }
        }
    }

    /// The bytes up to the first hole.
    fn head(&self) -> &[u8] {
        self.captured.first().and_then(|(from, to)| self.bytes.get(from..to)).unwrap_or_default()
    }

    /// Length of a PROXY header in front.
    fn behind_proxy(&self) -> usize {
        match proxy_prefix(self.head()) {
            ProxyPrefix::Whole(_, length) => length,
            _ => 0,
        }
    }

    fn redact(&mut self, secrets: &Secrets, is_dns: bool, spoken: Option<Spoken>) {
        let proxy = self.behind_proxy();
        let Self { bytes, captured, .. } = self;
        let Some((first, end)) = captured.first() else { return };
        let (header, first) = (first..first + proxy, first + proxy);
        if let Some(header) = bytes.get_mut(header).filter(|header| !header.is_empty()) {
            proxy::redact(secrets, header);
        }
        let known = |from: usize, to: usize| from >= to || captured.end_of(from) >= to;
        let head = bytes.get(first..end).unwrap_or_default();
        // A record may be what a capture begins with: its header names nobody.
        let record = matches!(head, [20..=24, 3, 0..=4, ..]);
        let starts: Vec<usize> = captured.starts().map(|from| from.max(first)).collect();
        let is_http = |from: &usize| {
            let run = bytes.get(*from..captured.end_of(*from)).unwrap_or_default();
            crate::app::http::looks_like_http(run) != Recognition::No
        };
        let mut goes_on = None;
        if is_dns {
            messages(secrets, bytes, first, known);
        } else if record || looks_like_tls(head) == Recognition::Yes || is_http2(head) {
            goes_on = Some(first);
        } else if let Some(spoken) = spoken {
            let run = bytes.get_mut(first..end).unwrap_or_default();
            goes_on = spoken.redact(secrets, run).map(|at| first + at);
            if goes_on.is_none() {
                let length = bytes.len();
                zero(bytes, end, length);
            }
        } else if starts.iter().any(is_http) {
            let goes_over = |rest: &[u8]| looks_like_tls(rest) == Recognition::Yes || is_http2(rest);
            goes_on = http::redact(secrets, bytes, &starts, |at| captured.end_of(at), goes_over);
        } else {
            greeting(secrets, bytes, first, end);
        }
        match goes_on {
            Some(at) if bytes.get(at..).is_some_and(is_http2) => http2::redact(secrets, bytes, at, known),
            Some(at) => tls::redact(secrets, bytes, at, known),
            None => {}
        }
    }
}

/// The preface of a client, or the settings of a server.
fn is_http2(bytes: &[u8]) -> bool {
    Direction::BOTH.into_iter().any(|direction| looks_like_http2(direction, bytes) == Recognition::Yes)
}

/// DNS over TCP: two octets of length before every message (RFC 1035 section 4.2.2).
fn messages(secrets: &Secrets, bytes: &mut [u8], from: usize, known: impl Fn(usize, usize) -> bool) {
    let old = bytes.to_vec();
    zero(bytes, from, old.len());
    let mut at = from;
    while let Some(prefix) = old.get(at..).and_then(|rest| rest.first_chunk::<2>()) {
        let start = at + 2;
        let end = (start + usize::from(u16::from_be_bytes(*prefix))).min(old.len());
        if !known(at, start) {
            return;
        }
        if let Some(place) = bytes.get_mut(at..start) {
            place.copy_from_slice(prefix);
        }
        if let (Some(old), Some(new), true) =
            (old.get(start..end), bytes.get_mut(start..end), known(start, end))
        {
            dns::redact(secrets, old, new);
        }
        at = end;
    }
}

/// Bytes of a protocol that nothing reads: that they are words, and which letters SSH begins with, is looked
/// at where TLS was expected.
fn greeting(secrets: &Secrets, bytes: &mut [u8], first: usize, end: usize) {
    /// As many as are looked at.
    const MOST: usize = 12;
    let length = (end - first).min(MOST);
    let mut words = bytes.get(first..first + length).unwrap_or_default().to_vec();
    let text = |octet: &u8| octet.is_ascii_graphic() || matches!(octet, b' ' | b'\r' | b'\n' | b'\t');
    let behind = bytes.len();
    zero(bytes, first, behind);
    if words.iter().all(text) {
        let ssh = if words.starts_with(b"SSH-") { 4 } else { 0 };
        if let Some(words) = words.get_mut(ssh..) {
            secrets.text(words);
        }
        if let Some(place) = bytes.get_mut(first..first + length) {
            place.copy_from_slice(&words);
        }
    }
}
