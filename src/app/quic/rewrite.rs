//! datagrams -> the same datagrams with another handshake in them
//!
//! The keys of Initial packets follow from an ID that everybody can read: such a packet can be sealed again
//! with other handshake bytes of the same length. What is sealed with keys that nobody knows is replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::app::quic::frame::ack;
use crate::app::quic::header::{FIXED, Invariant, Packet, is_long};
use crate::app::quic::initial::{InitialKeys, is_retry_of, retry_tag};
use crate::app::quic::number::{VERSION_INFORMATION, sized, varint};
use crate::app::quic::version::{Kind, Version};
use crate::dissect::Direction;

/// Handshake bytes of a direction that are rewritten, as many as are read.
const LONGEST: usize = 1 << 16;
/// Connections between the same ports, and IDs of them, that are known.
const MOST: usize = 64;
/// Packets of one datagram.
const MOST_COALESCED: usize = 8;
/// Octets that authenticate a Retry, and the end of a stateless reset.
const TAG: usize = 16;
/// Shortest stateless reset (RFC 9000 section 10.3).
const SHORTEST_RESET: usize = 21;

/// What is written instead.
pub trait Mask {
    /// Rewrites handshake messages from the first of a direction on (RFC 9001 section 4).
    fn handshake(&self, bytes: &mut [u8]);
    /// Writes octets that stand for `old` over `new`, which is no longer: the same for the same.
    fn sealed(&self, old: &[u8], new: &mut [u8]);
}

/// Zeroes the values of transport parameters but the versions that an endpoint speaks (RFC 9000 section 18).
pub fn blank_parameters(parameters: &mut [u8]) {
    let mut at = 0;
    while let Some((kind, rest)) = varint(parameters.get(at..).unwrap_or_default()) {
        let Some((value, rest)) = sized(rest) else { break };
        let (length, behind) = (value.len(), parameters.len() - rest.len());
        if kind != VERSION_INFORMATION {
            blank(parameters, behind - length..behind);
        }
        at = behind;
    }
    let end = parameters.len();
    blank(parameters, at..end);
}

fn blank(bytes: &mut [u8], run: Range<usize>) {
    if let Some(run) = bytes.get_mut(run) {
        run.fill(0);
    }
}

/// The datagrams of one pair of ports, those with long headers as they are.
#[derive(Debug, Default)]
pub struct Rewriter {
    held: Vec<(u64, Vec<u8>)>,
    /// The IDs of both sides, which packets with short headers begin with.
    ids: BTreeSet<Vec<u8>>,
    done: BTreeMap<u64, Vec<u8>>,
}

/// A connection by its first Initial packet.
struct Connection {
    version: u32,
    id: Vec<u8>,
    keys: InitialKeys,
    streams: [Handshake; 2],
}

/// The handshake bytes of a direction.
#[derive(Default)]
struct Handshake {
    bytes: Vec<u8>,
    filled: Vec<Range<usize>>,
}

/// An Initial packet that was opened.
struct Opened {
    /// Its datagram, and where it begins there.
    datagram: usize,
    start: usize,
    connection: usize,
    direction: Direction,
    /// Without protection.
    header: Vec<u8>,
    content: Vec<u8>,
}

/// A packet with a long header in a datagram.
struct Long<'d> {
    start: usize,
    front: Invariant<'d>,
    packet: Option<(&'static Version, Packet<'d>)>,
}

/// The packets with long headers at the front of a datagram, and where what follows them begins.
fn longs(datagram: &[u8]) -> (Vec<Long<'_>>, usize) {
    let (mut longs, mut start) = (Vec::new(), 0);
    while let Some(rest) = datagram.get(start..).filter(|rest| is_long(rest) && longs.len() < MOST_COALESCED)
    {
        let Some(front) = Invariant::read(rest) else { break };
        let version = Version::of(front.version);
        let packet = version.and_then(|version| Some((version, front.packet(version, rest)?)));
        let length = packet.as_ref().map_or(rest.len(), |(_, packet)| packet.bytes.len());
        longs.push(Long { start, front, packet });
        start += length;
    }
    (longs, start)
}

impl Rewriter {
    /// Takes a datagram: the bytes that it keeps.
    pub fn add(&mut self, packet: u64, datagram: &[u8]) -> usize {
        for long in longs(datagram).0 {
            for id in [long.front.destination, long.front.source] {
                if !id.is_empty() && self.ids.len() < MOST {
                    self.ids.insert(id.to_vec());
                }
            }
        }
        if !is_long(datagram) {
            return 0;
        }
        self.held.push((packet, datagram.to_vec()));
        datagram.len()
    }

    /// Rewrites what was taken.
    pub fn rewrite(&mut self, mask: &impl Mask) {
        let held = std::mem::take(&mut self.held);
        let (mut connections, mut opened) = (Vec::new(), Vec::new());
        for (datagram, (_, bytes)) in held.iter().enumerate() {
            for long in longs(bytes).0 {
                opened.extend(open(&mut connections, &long).map(|opened| Opened { datagram, ..opened }));
            }
        }
        for one in &opened {
            let Some(connection) = connections.get_mut(one.connection) else { continue };
            for (piece, place) in pieces(&one.content) {
                if let Piece::Crypto(offset) = piece {
                    let bytes = one.content.get(place).unwrap_or_default();
                    connection.streams[one.direction.index()].add(offset, bytes);
                }
            }
        }
        for stream in connections.iter_mut().flat_map(|connection| &mut connection.streams) {
            stream.rewrite(mask);
        }
        for (index, (packet, bytes)) in held.iter().enumerate() {
            let from = opened.partition_point(|one| one.datagram < index);
            let until = opened.partition_point(|one| one.datagram <= index);
            let opened = opened.get(from..until).unwrap_or_default();
            self.done.insert(*packet, self.rewritten(bytes, opened, &connections, mask));
        }
    }

    /// Writes the datagram of a packet over `new`, which is as long and zero.
    pub fn datagram(&self, packet: u64, old: &[u8], mask: &impl Mask, new: &mut [u8]) {
        if is_long(old) {
            if let Some(done) = self.done.get(&packet).filter(|done| done.len() == new.len()) {
                new.copy_from_slice(done);
            }
            return;
        }
        self.short(old, new, mask);
        // Two that end alike are stateless resets; others never do.
        let end = old.len().checked_sub(TAG).filter(|_| old.len() >= SHORTEST_RESET);
        if let Some((old, new)) = end.and_then(|end| Some((old.get(end..)?, new.get_mut(end..)?))) {
            mask.sealed(old, new);
        }
    }

    /// The first octet and the receiver's ID stay (RFC 9000 section 17.3.1).
    fn short(&self, old: &[u8], new: &mut [u8], mask: &impl Mask) {
        let Some((_, behind)) = old.split_first() else { return };
        let own = self.ids.iter().filter(|id| behind.starts_with(id)).map(Vec::len).max().unwrap_or(0);
        copy(old, new, 0..1 + own);
        seal(old, new, 1 + own..old.len(), mask);
    }

    fn rewritten(
        &self,
        old: &[u8],
        opened: &[Opened],
        connections: &[Connection],
        mask: &impl Mask,
    ) -> Vec<u8> {
        let mut new = vec![0; old.len()];
        let (longs, behind) = longs(old);
        for long in longs {
            // `rest` of a front goes on to the end of the datagram.
            let front = long.start..old.len() - long.front.rest.len();
            copy(old, &mut new, front.clone());
            let rest = front.end..old.len();
            let Some((version, packet)) = &long.packet else {
                match long.front.version {
                    // The versions that the server speaks.
                    0 => copy(old, &mut new, rest),
                    _ => seal(old, &mut new, rest, mask),
                }
                continue;
            };
            let end = long.start + packet.bytes.len();
            if packet.kind == Kind::Retry {
                // A token may say for whom it is: the tag of an empty one takes the place of the old.
                let answers = connections.iter().find(|one| is_retry_of(version, &one.id, packet.bytes));
                let tag = end.checked_sub(TAG).filter(|tag| *tag >= front.end);
                if let (Some(connection), Some(at)) = (answers, tag)
                    && let Some(tag) =
                        retry_tag(version, &connection.id, new.get(long.start..at).unwrap_or_default())
                    && let Some(place) = new.get_mut(at..end)
                {
                    place.copy_from_slice(&tag);
                }
                continue;
            }
            let token = token(&long, front.len());
            let sealed = opened.iter().find(|one| one.start == long.start).and_then(|one| {
                let connection = connections.get(one.connection)?;
                let content = connection.content(one);
                let mut header = one.header.clone();
                blank(&mut header, token.clone());
                connection.keys.seal(one.direction, &header, packet.number, &content)
            });
            match sealed.filter(|sealed| sealed.len() == packet.bytes.len()) {
                Some(sealed) => {
                    if let Some(place) = new.get_mut(long.start..end) {
                        place.copy_from_slice(&sealed);
                    }
                }
                None => {
                    copy(old, &mut new, front.end..long.start + packet.number);
                    blank(&mut new, long.start + token.start..long.start + token.end);
                    seal(old, &mut new, long.start + packet.number..end, mask);
                }
            }
        }
        // A packet with a short header, or padding.
        if let (Some(old), Some(new)) = (old.get(behind..), new.get_mut(behind..))
            && old.first().is_some_and(|first| !is_long(old) && first & FIXED != 0)
        {
            self.short(old, new, mask);
        }
        new
    }
}

fn copy(old: &[u8], new: &mut [u8], run: Range<usize>) {
    if let (Some(old), Some(new)) = (old.get(run.clone()), new.get_mut(run)) {
        new.copy_from_slice(old);
    }
}

/// What is sealed: the first octets stand for all of it, the rest stays zero.
fn seal(old: &[u8], new: &mut [u8], run: Range<usize>, mask: &impl Mask) {
    let Some(old) = old.get(run.clone()) else { return };
    if let Some(new) = new.get_mut(run.start..run.end.min(run.start + TAG)) {
        mask.sealed(old, new);
    }
}

/// Where the token of an Initial packet stands in it; `front` octets are in front of its length.
fn token(long: &Long<'_>, front: usize) -> Range<usize> {
    let is_initial = long.packet.as_ref().is_some_and(|(_, packet)| packet.kind == Kind::Initial);
    let token = Some(long.front.rest).filter(|_| is_initial).and_then(|rest| {
        let (_, behind) = varint(rest)?;
        let (token, _) = sized(rest)?;
        let start = front + rest.len() - behind.len();
        Some(start..start + token.len())
    });
    token.unwrap_or(0..0)
}

/// Opens an Initial packet with the keys of a connection that is known, or as the first of its client.
fn open(connections: &mut Vec<Connection>, long: &Long<'_>) -> Option<Opened> {
    let (version, packet) = long.packet.as_ref()?;
    if packet.kind != Kind::Initial || !packet.whole {
        return None;
    }
    let opened = |place: usize, connection: &Connection, direction| {
        let (_, content) = connection.keys.open(direction, packet.bytes, packet.number)?;
        let header = connection.keys.header(direction, packet.bytes, packet.number)?;
        Some(Opened { datagram: 0, start: long.start, connection: place, direction, header, content })
    };
    let known = connections.iter().enumerate().rev().filter(|(_, one)| one.version == long.front.version);
    for (place, connection) in known {
        let found = Direction::BOTH.into_iter().find_map(|direction| opened(place, connection, direction));
        if found.is_some() {
            return found;
        }
    }
    if connections.len() >= MOST {
        return None;
    }
    // Of another version it may be the same connection (RFC 9368 section 4): its ID is the first one's.
    let ids = std::iter::once(long.front.destination.to_vec());
    let ids: Vec<Vec<u8>> = ids.chain(connections.iter().rev().map(|one| one.id.clone()).take(2)).collect();
    for id in ids {
        let keys = InitialKeys::new(version, &id);
        let connection = Connection { version: long.front.version, id, keys, streams: Default::default() };
        let found = Direction::BOTH.into_iter().find_map(|way| opened(connections.len(), &connection, way));
        if found.is_some() {
            connections.push(connection);
            return found;
        }
    }
    None
}

impl Handshake {
    fn add(&mut self, offset: u64, bytes: &[u8]) {
        let Some(start) = usize::try_from(offset).ok().filter(|start| *start < LONGEST) else { return };
        let end = (start + bytes.len()).min(LONGEST);
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        if let Some(place) = self.bytes.get_mut(start..end) {
            let length = place.len();
            place.copy_from_slice(bytes.get(..length).unwrap_or_default());
            self.filled.push(start..end);
        }
    }

    /// Up to the first hole; the rest becomes zero.
    fn rewrite(&mut self, mask: &impl Mask) {
        self.filled.sort_by_key(|run| (run.start, run.end));
        let whole = self.filled.iter().fold(
            0,
            |whole, run| {
                if run.start <= whole { run.end.max(whole) } else { whole }
            },
        );
        let (front, behind) = self.bytes.split_at_mut(whole);
        mask.handshake(front);
        behind.fill(0);
    }
}

impl Connection {
    /// The frames of a packet with the handshake bytes as they are now.
    fn content(&self, of: &Opened) -> Vec<u8> {
        let mut new = vec![0; of.content.len()];
        let stream = &self.streams[of.direction.index()].bytes;
        for (piece, place) in pieces(&of.content) {
            match piece {
                Piece::Kept => copy(&of.content, &mut new, place),
                Piece::Crypto(offset) => {
                    let from = usize::try_from(offset).unwrap_or(usize::MAX);
                    let bytes = stream.get(from..).unwrap_or_default();
                    if let Some(place) = new.get_mut(place) {
                        let count = place.len().min(bytes.len());
                        place.iter_mut().zip(&bytes[..count]).for_each(|(octet, new)| *octet = *new);
                    }
                }
            }
        }
        new
    }
}

/// A part of what an Initial packet holds. What is in no part is zero afterwards: padding, reasons, and what
/// such a packet may not hold.
enum Piece {
    Kept,
    /// Handshake bytes, from this one on.
    Crypto(u64),
}

fn pieces(content: &[u8]) -> Vec<(Piece, Range<usize>)> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(next) = content.get(at..).and_then(|rest| piece(content, rest, &mut pieces)) {
        at = next;
    }
    pieces
}

/// Takes the frame at the front of `rest`, the end of `content` (RFC 9000 section 12.4): where the next
/// begins.
fn piece(content: &[u8], rest: &[u8], pieces: &mut Vec<(Piece, Range<usize>)>) -> Option<usize> {
    let place = |rest: &[u8]| content.len() - rest.len();
    let start = place(rest);
    let (kind, rest) = varint(rest)?;
    let (kept, behind) = match kind {
        0 => return Some(place(rest)),
        1 => (place(rest), place(rest)),
        2 | 3 => {
            let behind = place(ack(kind == 3, rest)?);
            (behind, behind)
        }
        6 => {
            let (offset, rest) = varint(rest)?;
            let (bytes, rest) = sized(rest)?;
            let body = place(rest) - bytes.len()..place(rest);
            pieces.push((Piece::Crypto(offset), body.clone()));
            (body.start, body.end)
        }
        0x1c => {
            let (_, rest) = varint(rest)?;
            let (_, rest) = varint(rest)?;
            let (reason, rest) = sized(rest)?;
            (place(rest) - reason.len(), place(rest))
        }
        _ => return None,
    };
    pieces.push((Piece::Kept, start..kept));
    Some(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Xor;

    impl Mask for Xor {
        fn handshake(&self, bytes: &mut [u8]) {
            bytes.iter_mut().for_each(|octet| *octet ^= 0x55);
        }

        fn sealed(&self, old: &[u8], new: &mut [u8]) {
            new.fill(old.iter().fold(1, |sum, octet| (sum ^ octet) | 0x80));
        }
    }

    const ID: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

    fn version() -> &'static Version {
        Version::of(1).expect("read")
    }

    /// An Initial packet with a token, a packet number of two octets, and padding.
    fn initial(direction: Direction, number: u8, frames: &[u8]) -> Vec<u8> {
        let mut content = frames.to_vec();
        content.resize(60, 0);
        let mut header = vec![0xc1, 0, 0, 0, 1, 8];
        header.extend(ID);
        header.extend([0, 5]);
        header.extend(b"token");
        header.extend([0x40, (2 + content.len() + TAG) as u8]);
        let at = header.len();
        header.extend([0, number]);
        InitialKeys::new(version(), &ID).seal(direction, &header, at, &content).expect("sealed")
    }

    fn opened(direction: Direction, datagram: &[u8]) -> Vec<u8> {
        let at = 6 + 8 + 2 + 5 + 2;
        InitialKeys::new(version(), &ID).open(direction, datagram, at).expect("opened").1
    }

    #[test]
    fn handshakes_are_rewritten_across_packets_in_any_order() {
        let second = initial(Direction::ToServer, 1, b"\x06\x03\x03def");
        let first = initial(Direction::ToServer, 0, b"\x06\x00\x03abc\x01");
        let answer =
            initial(Direction::ToClient, 0, b"\x02\x01\x00\x00\x01\x06\x00\x02xy\x1c\x01\x06\x03why");
        let beyond = initial(Direction::ToServer, 2, b"\x06\x20\x02zz");
        let mut rewriter = Rewriter::default();
        let all = [&second, &first, &answer, &beyond];
        for (packet, datagram) in all.iter().enumerate() {
            assert_eq!(rewriter.add(packet as u64, datagram), datagram.len());
        }
        rewriter.rewrite(&Xor);
        let new = |packet: usize| {
            let mut new = vec![0; all[packet].len()];
            rewriter.datagram(packet as u64, all[packet], &Xor, &mut new);
            assert!(!new.windows(5).any(|window| window == b"token"));
            new
        };
        let masked = |text: &[u8]| text.iter().map(|octet| octet ^ 0x55).collect::<Vec<u8>>();
        let content = opened(Direction::ToServer, &new(0));
        assert!(content.starts_with(&[b"\x06\x03\x03", masked(b"def").as_slice()].concat()));
        let content = opened(Direction::ToServer, &new(1));
        assert!(content.starts_with(&[b"\x06\x00\x03", masked(b"abc").as_slice(), b"\x01\0"].concat()));
        let content = opened(Direction::ToClient, &new(2));
        let wanted =
            [&b"\x02\x01\x00\x00\x01\x06\x00\x02"[..], &masked(b"xy"), b"\x1c\x01\x06\x03\0\0\0"].concat();
        assert!(content.starts_with(&wanted));
        // Behind a hole nothing is known to be harmless.
        assert!(opened(Direction::ToServer, &new(3)).starts_with(b"\x06\x20\x02\0\0"));
    }

    #[test]
    fn what_nobody_can_open_is_replaced_and_ids_stay() {
        let mut handshake = vec![0xe0, 0, 0, 0, 1, 8];
        handshake.extend(ID);
        handshake.extend([0, 30]);
        handshake.extend([7; 30]);
        let mut rewriter = Rewriter::default();
        rewriter.add(0, &handshake);
        rewriter.rewrite(&Xor);
        let mut new = vec![0; handshake.len()];
        rewriter.datagram(0, &handshake, &Xor, &mut new);
        assert_eq!(new[..16], handshake[..16]);
        assert!(!new[16..].contains(&7));
        let short = [&[0x41], &ID[..], &[9; 40]].concat();
        let mut new = vec![0; short.len()];
        rewriter.datagram(1, &short, &Xor, &mut new);
        assert_eq!(new[..9], short[..9]);
        assert!(!new[9..].contains(&9) && new[33..].iter().all(|octet| *octet != 0));
    }

    #[test]
    fn a_retry_without_its_token_still_answers_its_packet() {
        let first = initial(Direction::ToServer, 0, b"\x06\x00\x03abc");
        let mut retry = [&[0xf0, 0, 0, 0, 1, 0, 2, 1, 1][..], b"10.0.0.1 secret"].concat();
        let tag = retry_tag(version(), &ID, &retry).expect("a tag");
        retry.extend(tag);
        let mut rewriter = Rewriter::default();
        rewriter.add(0, &first);
        rewriter.add(1, &retry);
        rewriter.rewrite(&Xor);
        let mut new = vec![0; retry.len()];
        rewriter.datagram(1, &retry, &Xor, &mut new);
        assert!(is_retry_of(version(), &ID, &new));
        assert_eq!(new[9..24], [0; 15]);
    }

    #[test]
    fn parameters_keep_versions_only() {
        let mut parameters =
            vec![0x01, 0x02, 0x67, 0x10, 0x11, 0x08, 0, 0, 0, 1, 0, 0, 0, 1, 0x0f, 2, 9, 9, 5];
        blank_parameters(&mut parameters);
        assert_eq!(parameters, [0x01, 0x02, 0, 0, 0x11, 0x08, 0, 0, 0, 1, 0, 0, 0, 1, 0x0f, 2, 0, 0, 0]);
    }

    proptest::proptest! {
        #[test]
        fn no_datagrams_make_it_panic(
            bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..80),
            kind in 0..4_u8,
        ) {
            let mut datagram = vec![0xc0 | kind << 4, 0, 0, 0, 1];
            datagram.extend(&bytes);
            let mut rewriter = Rewriter::default();
            rewriter.add(0, &datagram);
            rewriter.add(1, &bytes);
            rewriter.rewrite(&Xor);
            for (packet, old) in [datagram, bytes.clone()].iter().enumerate() {
                let mut new = vec![0; old.len()];
                rewriter.datagram(packet as u64, old, &Xor, &mut new);
            }
            let mut parameters = bytes;
            blank_parameters(&mut parameters);
        }
    }
}
