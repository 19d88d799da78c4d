//! Reads a QUIC connection from the datagrams of both directions.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::app::quic::crypto::CryptoStream;
use crate::app::quic::frame::{Frame, frames};
use crate::app::quic::header::{FIXED, Invariant, LONGEST_ID, Packet, is_long};
use crate::app::quic::initial::{InitialKeys, is_retry_of};
use crate::app::quic::number::versions;
use crate::app::quic::opener::{Agreed, Asked, Opener};
use crate::app::quic::questions::Questions;
use crate::app::quic::session::{Close, Quic, Space};
use crate::app::quic::spin::Spin;
use crate::app::quic::version::{Kind, Version};
use crate::app::tls::{Opened, Sealed, TlsParser, TlsSession};
use crate::capture::Keys;
use crate::dissect::{Direction, PacketRef};
use crate::time::Span;

/// Initial packets that are opened, of one flow: a handshake has a handful, with repeats a few dozen.
const MOST_OPENED: u32 = 128;
/// Packets of one datagram that are read.
const MOST_COALESCED: usize = 8;
/// Datagrams that a copy is looked for among.
const RECENT: usize = 16;
/// Between two Initial packets, below which they are one flight. The shortest time that a timer of Linux or
/// Windows waits is about as long; probes wait for three round trips (RFC 9002 section 6.2.1).
const FLIGHT: Span = Span::millis(20);
/// Shortest stateless reset (RFC 9000 section 10.3).
const SHORTEST_RESET: usize = 21;
/// Handshake packets that wait for the ServerHello: a server's flight has fewer.
const MOST_EARLY: usize = 8;

/// The keys of a connection's Initial packets.
struct Origin {
    /// What the client chose for the server.
    id: Vec<u8>,
    /// The version that the keys are of.
    version: u32,
    keys: InitialKeys,
}

/// A DNS message: who sent it, the number of its stream, and the packet that completed it.
pub type Message = (Direction, u64, Vec<u8>, PacketRef);

/// The reader of one flow: what it has read, and the handshake bytes that are no whole message yet.
pub struct QuicReader {
    quic: Quic,
    tls: TlsParser,
    /// Handshake bytes of Initial and of Handshake packets, by direction.
    streams: [[CryptoStream; 2]; 2],
    /// While packets behind the Initial ones may be opened.
    opener: Option<Box<Opener>>,
    /// DNS over QUIC: its streams, and what they said since anybody asked.
    questions: Questions,
    messages: Vec<Message>,
    /// Handshake packets that came before the ServerHello, and where their numbers stand.
    early: Vec<(Direction, Vec<u8>, usize, PacketRef)>,
    origin: Option<Box<Origin>>,
    /// IDs of the client's last packet with a long header: for the server, for itself.
    ids: [Vec<u8>; 2],
    /// The ID that a Retry told the client to use.
    retry: Option<Vec<u8>>,
    /// The client used it.
    retried: bool,
    /// What the server chose for itself.
    server_id: Option<Vec<u8>>,
    opened: u32,
    recent: [u64; RECENT],
    recent_next: usize,
    /// Beginning, length and end of the server's last datagram with a short header.
    last_short: ([u8; 8], usize, [u8; 16]),
    spin: Spin,
}

impl Default for QuicReader {
    fn default() -> Self {
        Self {
            quic: Quic::default(),
            tls: TlsParser::over_quic(),
            streams: Default::default(),
            opener: None,
            questions: Questions::default(),
            messages: Vec::new(),
            early: Vec::new(),
            origin: None,
            ids: Default::default(),
            retry: None,
            retried: false,
            server_id: None,
            opened: 0,
            recent: [0; RECENT],
            recent_next: 0,
            last_short: Default::default(),
            spin: Spin::default(),
        }
    }
}

impl std::fmt::Debug for QuicReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuicReader").field("quic", &self.quic).field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl QuicReader {
    /// A reader that opens packets with these keys.
    pub fn with_keys(keys: Option<Keys>) -> Self {
        Self { opener: keys.map(|keys| Box::new(Opener::new(keys))), ..Self::default() }
    }

    /// What was read of the TLS session so far.
    pub fn session(&self) -> &TlsSession {
        self.tls.session()
    }

    /// No datagram follows: what was read.
    pub fn finish(mut self) -> TlsSession {
        self.open_early();
        self.quic.spin = self.spin.spun();
        let opened = self.opener.map(|opener| opener.opened).filter(|opened| *opened != Opened::default());
        TlsSession { quic: Some(Box::new(self.quic)), opened: opened.map(Box::new), ..self.tls.finish() }
    }

    /// DNS messages that were opened since the last call.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// Bytes of memory that it takes, about.
    pub fn held(&self) -> usize {
        let streams: usize = self.streams.iter().flatten().map(CryptoStream::held).sum();
        let keys = self.origin.as_ref().map_or(0, |_| size_of::<Origin>());
        let opener = self.opener.as_ref().map_or(0, |opener| opener.held());
        let early: usize = self.early.iter().map(|(_, packet, ..)| packet.len()).sum();
        let questions = self.questions.held();
        size_of::<Self>() + keys + self.tls.held() + streams + opener + early + questions
    }

    /// Takes the next datagram of a direction, as much of it as was captured.
    pub fn datagram(&mut self, direction: Direction, bytes: &[u8], at: PacketRef) {
        if !is_long(bytes) {
            return self.short(direction, bytes, true, at);
        }
        if self.is_copy(direction, bytes) {
            return;
        }
        let mut rest = bytes;
        for _ in 0..MOST_COALESCED {
            if !is_long(rest) {
                // What is no packet pads the datagram.
                if rest.first().is_some_and(|first| first & FIXED != 0) {
                    self.short(direction, rest, false, at);
                }
                break;
            }
            let Some(behind) = self.long(direction, rest, at) else { break };
            rest = behind;
        }
    }

    /// The same datagram was recorded before: nobody sends one twice, since every packet has a number of its
    /// own.
    fn is_copy(&mut self, direction: Direction, bytes: &[u8]) -> bool {
        let hash = xxh3_64_with_seed(bytes, direction.index() as u64);
        if self.recent.contains(&hash) {
            return true;
        }
        self.recent[self.recent_next % RECENT] = hash;
        self.recent_next += 1;
        false
    }

    /// A packet with a long header: what follows it in its datagram.
    fn long<'p>(&mut self, direction: Direction, bytes: &'p [u8], at: PacketRef) -> Option<&'p [u8]> {
        let front = Invariant::read(bytes)?;
        if front.destination.len() > LONGEST_ID || front.source.len() > LONGEST_ID {
            return None;
        }
        let Some(version) = Version::of(front.version) else {
            match direction {
                Direction::ToClient if front.version == 0 => self.negotiation(&front, at),
                Direction::ToServer if front.version != 0 => {
                    self.ids = [front.destination, front.source].map(<[u8]>::to_vec);
                    self.quic.tried(front.version);
                    self.sent(at);
                }
                _ => {}
            }
            return None;
        };
        let packet = front.packet(version, bytes)?;
        match (packet.kind, direction) {
            // Stragglers of a handshake that is over.
            (Kind::Initial, _) if self.is_open() => {}
            (Kind::Initial, Direction::ToServer) => self.client_initial(version, &front, &packet, at),
            (Kind::Initial, Direction::ToClient) => self.server_initial(version, &front, &packet, at),
            (Kind::Handshake, _) => {
                match direction {
                    Direction::ToServer => self.quic.heard = true,
                    Direction::ToClient => self.answered(front.version, at),
                }
                self.handshake(direction, &packet, at);
            }
            (Kind::Retry, Direction::ToClient) => {
                let [id, _] = &self.ids;
                if is_retry_of(version, id, packet.bytes) {
                    self.quic.retries += 1;
                    self.quic.retried_again += u32::from(self.retried);
                    self.quic.retried_at = Some(at);
                    self.retry = Some(front.source.to_vec());
                }
            }
            (Kind::ZeroRtt, _) => {
                if let Some(opener) = self.opener.as_mut().filter(|opener| !opener.is_idle(at)) {
                    opener.refuse(direction, Sealed::EarlyData);
                }
            }
            (Kind::Retry, Direction::ToServer) => {}
        }
        Some(packet.behind)
    }

    /// Both sides sent packets that only the end of the handshake allows.
    fn is_open(&self) -> bool {
        self.session().application_data.iter().all(Option::is_some)
    }

    /// RFC 9000 section 17.2.1: the server repeats both IDs of the client's packet.
    fn negotiation(&mut self, front: &Invariant<'_>, at: PacketRef) {
        let [of_server, of_client] = &self.ids;
        let answers = front.source == of_server.as_slice() && front.destination == of_client.as_slice();
        if !answers && !self.quic.tried.is_empty() {
            return;
        }
        self.quic.negotiations += 1;
        self.quic.negotiated_at.get_or_insert(at);
        if self.quic.server_versions.is_empty() {
            self.quic.server_versions = versions(front.rest);
        }
    }

    fn answered(&mut self, version: u32, at: PacketRef) {
        self.quic.answered.get_or_insert(at);
        self.quic.version = version;
    }

    /// The client sent an Initial packet that asks for an answer.
    fn sent(&mut self, at: PacketRef) {
        let quic = &mut self.quic;
        let again = quic.last_initial.is_none_or(|last| at.time - last.time >= FLIGHT);
        quic.last_initial = Some(at);
        if again {
            quic.flight_count += 1;
            if quic.flights.len() < Quic::FLIGHTS {
                quic.flights.push(at);
            }
        }
    }

    fn client_initial(
        &mut self,
        version: &Version,
        front: &Invariant<'_>,
        packet: &Packet<'_>,
        at: PacketRef,
    ) {
        if let Some((own, content)) = self.opened_of_client(version, front, packet) {
            let id = front.destination;
            if !own {
                let of_retry = self.retry.as_deref() == Some(id);
                if !of_retry && self.quic.answered.is_some() {
                    self.quic.other_connections += 1;
                    self.opened += 1;
                    return;
                }
                if of_retry {
                    self.retried = true;
                } else {
                    // The one before came to nothing.
                    self.quic.other_connections +=
                        u32::from(self.origin.is_some() && self.quic.negotiations == 0);
                    (self.streams, self.tls) = (Default::default(), TlsParser::over_quic());
                    self.early.clear();
                    self.opener.iter_mut().for_each(|opener| opener.begin_anew());
                }
                let keys = InitialKeys::new(version, id);
                self.origin = Some(Box::new(Origin { id: id.to_vec(), version: front.version, keys }));
            }
            self.ids = [id, front.source].map(<[u8]>::to_vec);
            self.quic.tried(front.version);
            let closes = self.frames(Direction::ToServer, Space::Initial, &content, at);
            if !closes && !self.quic.heard {
                self.sent(at);
            }
        } else {
            self.quic.unread += 1;
            // What stands in front of the sealed part is known all the same.
            if self.origin.is_none() {
                self.ids = [front.destination, front.source].map(<[u8]>::to_vec);
                self.quic.tried(front.version);
            }
        }
    }

    /// The content of a client's Initial packet, and whether the keys that are known open it. Those of its
    /// own ID open the first packet of a connection, and the first after a Retry.
    fn opened_of_client(
        &mut self,
        version: &Version,
        front: &Invariant<'_>,
        packet: &Packet<'_>,
    ) -> Option<(bool, Vec<u8>)> {
        if let Some((_, content)) = self.open(Direction::ToServer, version, front.version, packet) {
            return Some((true, content));
        }
        let known = self.origin.as_ref().is_some_and(|origin| origin.id == front.destination);
        if known || !self.may_open(packet) {
            return None;
        }
        let keys = InitialKeys::new(version, front.destination);
        let (_, content) = keys.open(Direction::ToServer, packet.bytes, packet.number)?;
        Some((false, content))
    }

    fn server_initial(
        &mut self,
        version: &Version,
        front: &Invariant<'_>,
        packet: &Packet<'_>,
        at: PacketRef,
    ) {
        match self.open(Direction::ToClient, version, front.version, packet) {
            Some((_, content)) => {
                self.answered(front.version, at);
                self.server_id = Some(front.source.to_vec());
                self.quic.calls(front.source);
                self.frames(Direction::ToClient, Space::Initial, &content, at);
                self.open_early();
            }
            None => self.quic.unread += 1,
        }
    }

    /// Opens a packet with the keys of the connection, which differ between versions.
    fn open(
        &mut self,
        direction: Direction,
        version: &Version,
        number: u32,
        packet: &Packet<'_>,
    ) -> Option<(u64, Vec<u8>)> {
        if self.origin.is_none() || !self.may_open(packet) {
            return None;
        }
        let origin = self.origin.as_mut()?;
        if origin.version != number {
            (origin.version, origin.keys) = (number, InitialKeys::new(version, &origin.id));
        }
        origin.keys.open(direction, packet.bytes, packet.number)
    }

    fn may_open(&mut self, packet: &Packet<'_>) -> bool {
        let may = packet.whole && self.opened < MOST_OPENED;
        self.opened += u32::from(may);
        may
    }

    /// A Handshake packet: opened when its keys are known, and kept while the suite is not.
    fn handshake(&mut self, direction: Direction, packet: &Packet<'_>, at: PacketRef) {
        let Some(opener) = self.opener.as_mut().filter(|opener| !opener.is_idle(at)) else {
            self.opener = None;
            return;
        };
        if !packet.whole {
            opener.refuse(direction, Sealed::Gap);
        } else if self.tls.session().server_hello.is_none() && self.early.len() < MOST_EARLY {
            self.early.push((direction, packet.bytes.to_vec(), packet.number, at));
        } else {
            self.open_behind(Space::Handshake, direction, packet.bytes, packet.number, at);
        }
    }

    /// Opens what came before the ServerHello.
    fn open_early(&mut self) {
        for (direction, packet, number, at) in std::mem::take(&mut self.early) {
            self.open_behind(Space::Handshake, direction, &packet, number, at);
        }
    }

    /// Opens a whole packet that stands behind the Initial ones and takes its frames; false when no key is
    /// known that opens it.
    fn open_behind(
        &mut self,
        space: Space,
        direction: Direction,
        packet: &[u8],
        number: usize,
        at: PacketRef,
    ) -> bool {
        let (Some(opener), Some(version)) = (&mut self.opener, Version::of(self.quic.version)) else {
            return false;
        };
        if opener.is_idle(at) {
            self.opener = None;
            return false;
        }
        let cipher = self.tls.session().server_hello.as_ref().map(|hello| hello.cipher_suite);
        let agreed = Agreed { version, cipher, random: self.tls.client_random() };
        let asked = Asked { direction, space, packet, number, at };
        let Some(content) = opener.open(&asked, agreed) else { return false };
        self.frames(direction, space, &content, at);
        true
    }

    /// Takes the frames of a packet; true when one closes the connection.
    fn frames(&mut self, direction: Direction, space: Space, content: &[u8], at: PacketRef) -> bool {
        let mut closes = false;
        for frame in frames(space, content) {
            match frame {
                Frame::Ack => self.quic.heard |= direction == Direction::ToServer,
                // Tickets.
                Frame::Crypto { .. } if space == Space::Data => {}
                Frame::Crypto { offset, bytes } => {
                    let streams = &mut self.streams[usize::from(space == Space::Handshake)];
                    let ready = streams[direction.index()].add(offset, bytes);
                    if !ready.is_empty() {
                        self.tls.handshake(direction, &ready, at);
                    }
                }
                Frame::Close { application, code, reason } => {
                    closes = true;
                    let reason = reason.get(..Close::REASON).unwrap_or(reason).escape_ascii().to_string();
                    self.close(Close { at, direction, space, application, code, reason });
                }
                Frame::NewId(id) => {
                    if direction == Direction::ToClient {
                        self.quic.calls(id);
                    }
                }
                Frame::Stream { id, offset, bytes } => {
                    if self.is_dns() {
                        let messages = self.questions.add(direction, id, offset, bytes);
                        let messages = messages.into_iter().map(|message| (direction, id >> 2, message, at));
                        self.messages.extend(messages);
                    }
                }
            }
        }
        closes
    }

    /// The server chose DNS over QUIC (RFC 9250 section 4.1.1), or a draft of it.
    fn is_dns(&self) -> bool {
        let chosen = self.session().server_hello.as_ref().and_then(|hello| hello.alpn.as_deref());
        chosen.is_some_and(|name| name.starts_with("doq"))
    }

    /// The first counts, unless it stands for another.
    fn close(&mut self, close: Close) {
        match &self.quic.close {
            Some(known) if !known.stands_for(&close) => return,
            Some(_) => {}
            None => {
                if let Some(alert) = close.alert() {
                    self.tls.alert(close.direction, Some([FATAL, alert]), close.at);
                }
            }
        }
        self.quic.close = Some(close);
    }

    /// A packet with a short header, the whole datagram or the end of one.
    fn short(&mut self, direction: Direction, bytes: &[u8], alone: bool, at: PacketRef) {
        let index = direction.index();
        self.spin.packet(direction, bytes.first().copied().unwrap_or_default(), at);
        let session = self.tls.session_mut();
        let known = match direction {
            Direction::ToServer => self.server_id.as_ref(),
            Direction::ToClient => self.ids.get(1),
        };
        // Whoever changes its ID keeps to its length, or could not tell where the packet number begins.
        let number = known.map(|id| 1 + id.len());
        if session.application_data[index].is_none() {
            // RFC 9000 section 17.3.1: the receiver's ID follows the first octet.
            let own = |id: &Vec<u8>| bytes.get(1..=id.len()) == Some(id.as_slice());
            if known.is_none_or(own) {
                session.application_data[index] = Some(at);
                if direction == Direction::ToServer {
                    // The client sends none before it has the server's Finished (RFC 9001 section 5.7).
                    self.quic.heard = true;
                    session.established.get_or_insert(at);
                }
                if self.is_open() {
                    self.origin = None;
                }
            }
        }
        if number.is_some_and(|number| self.open_behind(Space::Data, direction, bytes, number, at)) {
            return;
        }
        if direction == Direction::ToClient && alone && bytes.len() >= SHORTEST_RESET {
            self.reset(bytes, at);
        }
    }

    /// What encrypts and authenticates a packet never ends two different ones alike: only a token does.
    fn reset(&mut self, bytes: &[u8], at: PacketRef) {
        let (Some(head), Some(tail)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<16>()) else { return };
        let (last_head, last_length, last_tail) = self.last_short;
        if last_tail == *tail && *tail != [tail[0]; 16] && (last_head, last_length) != (*head, bytes.len()) {
            self.quic.resets += 1;
            self.quic.reset_at.get_or_insert(at);
        }
        self.last_short = (*head, bytes.len(), *tail);
    }
}

/// Level of the alerts that close a connection.
const FATAL: u8 = 2;

#[cfg(test)]
mod opened_tests;
#[cfg(test)]
mod tests;
