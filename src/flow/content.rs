//! What the bytes of a flow turned out to be, told by content and not by port.

use crate::app::dns::{self, DnsTcp, Transaction, Transactions};
use crate::app::http::{Closing, Exchange, HttpParser, begins_request, looks_like_http};
use crate::app::quic::{QuicReader, looks_like_quic};
use crate::app::tls::{Recognition, TlsParser, TlsSession, looks_like_tls};
use crate::dissect::{Direction, PacketRef};
use crate::flow::{FlowHead, Greeting, Service};
use crate::time::Timestamp;

/// Bytes kept per direction until the protocol is known: HTTP is told when the first line is whole.
const HEAD: usize = 4096;

/// What both sides of SSH say first (RFC 4253 section 4.2).
const SSH: &[u8] = b"SSH-";

/// The first bytes of a direction, and the packet that began them.
type Head = (Vec<u8>, PacketRef);

#[derive(Debug)]
enum Kind {
    /// The first bytes of each direction so far. Most say at once what they are, and then nothing is kept.
    Undecided(Option<Box<[Head; 2]>>),
    Tls(Box<TlsParser>),
    Dns(Box<DnsTcp>),
    Http(Box<HttpParser>),
    Ssh,
    Datagrams,
    Quic(Box<QuicReader>),
    Other,
    /// What each direction delivered, in order: bytes, or `None` for one that is missing.
    #[cfg(test)]
    Recorded([Vec<Option<u8>>; 2]),
}

/// The parsers of one flow.
#[derive(Debug)]
pub(super) struct Content {
    kind: Kind,
    transactions: Option<Box<Transactions>>,
    dns_port: bool,
    greetings: [Greeting; 2],
    /// The latest time of all packets of the capture so far.
    pub(super) clock: Timestamp,
}

impl Content {
    /// For a byte stream. `dns_port`: one of its ports is DNS's, so length-prefixed messages are expected.
    pub(super) fn stream(dns_port: bool) -> Self {
        let kind = if dns_port { Kind::Dns(Box::default()) } else { Kind::Undecided(None) };
        Self { kind, transactions: None, dns_port, greetings: Default::default(), clock: Timestamp::MIN }
    }

    /// For datagrams.
    pub(super) fn datagrams(dns_port: bool) -> Self {
        Self {
            kind: Kind::Datagrams,
            transactions: None,
            dns_port,
            greetings: Default::default(),
            clock: Timestamp::MIN,
        }
    }

    /// For bytes that nobody reads.
    pub(super) fn none() -> Self {
        Self {
            kind: Kind::Other,
            transactions: None,
            dns_port: false,
            greetings: Default::default(),
            clock: Timestamp::MIN,
        }
    }

    /// Remembers all that it is fed.
    #[cfg(test)]
    pub(super) fn recorded() -> Self {
        Self { kind: Kind::Recorded(Default::default()), ..Self::none() }
    }

    /// What a direction delivered.
    #[cfg(test)]
    pub(super) fn record(&self, direction: Direction) -> &[Option<u8>] {
        match &self.kind {
            Kind::Recorded(directions) => &directions[direction.index()],
            _ => &[],
        }
    }

    /// Bytes of memory that the parsers take, about.
    pub(super) fn held(&self) -> usize {
        let stream = match &self.kind {
            Kind::Tls(parser) => parser.held(),
            Kind::Dns(stream) => stream.held(),
            Kind::Http(parser) => parser.held(),
            Kind::Quic(reader) => reader.held(),
            Kind::Undecided(heads) => {
                heads.iter().flat_map(|heads| heads.iter()).map(|(head, _)| head.capacity()).sum()
            }
            _ => 0,
        };
        stream + self.transactions.as_ref().map_or(0, |transactions| transactions.held())
    }

    /// The first bytes of each side.
    pub(super) fn greetings(&self) -> [Greeting; 2] {
        self.greetings
    }

    /// The service, when it was recognised.
    pub(super) fn service(&self) -> Option<Service> {
        match self.kind {
            Kind::Tls(_) => Some(Service::Tls),
            Kind::Http(_) => Some(Service::Http),
            Kind::Ssh => Some(Service::Ssh),
            Kind::Quic(_) => Some(Service::Quic),
            _ => self.transactions.is_some().then_some(Service::Dns),
        }
    }

    /// The application said goodbye: what follows ends nothing.
    pub(super) fn is_closing(&self) -> bool {
        match &self.kind {
            Kind::Tls(parser) => parser.session().said_goodbye(),
            _ => false,
        }
    }

    /// The bytes are another protocol's than the one that was recognised.
    pub(super) fn is_tunnel(&self) -> bool {
        matches!(&self.kind, Kind::Http(parser) if parser.is_tunnel())
    }

    /// What is said is part of a handshake above TCP.
    pub(super) fn is_opening(&self) -> bool {
        match &self.kind {
            Kind::Tls(parser) => parser.session().established.is_none(),
            _ => false,
        }
    }

    /// The next bytes of a stream.
    pub(super) fn data(&mut self, direction: Direction, bytes: &[u8], at: PacketRef) {
        self.greetings[direction.index()].add(bytes, at);
        match &mut self.kind {
            Kind::Tls(parser) => parser.data(direction, bytes, at),
            Kind::Http(parser) => parser.data(direction, bytes, at, self.clock),
            Kind::Dns(stream) => {
                for (message, at) in stream.data(direction, bytes, at) {
                    self.transactions.get_or_insert_default().message(direction, &message, at, self.clock);
                }
            }
            Kind::Undecided(heads) => {
                let head = heads.as_mut().map(|heads| &mut heads[direction.index()]);
                let mut whole = Vec::new();
                let mut began = at;
                if let Some((head, first)) = head.filter(|(head, _)| !head.is_empty()) {
                    head.extend_from_slice(bytes);
                    (whole, began) = (std::mem::take(head), *first);
                }
                let all = if whole.is_empty() { bytes } else { &whole };
                match looks_like_tls(all) {
                    Recognition::Yes => {
                        let mut parser = Box::<TlsParser>::default();
                        parser.data(direction, all, began);
                        self.kind = Kind::Tls(parser);
                    }
                    Recognition::NeedMore if all.len() < HEAD => {
                        heads.get_or_insert_default()[direction.index()] = (all.to_vec(), began);
                    }
                    _ => match looks_like_http(all) {
                        Recognition::Yes => {
                            let mut parser = Box::new(HttpParser::new(direction, all));
                            parser.data(direction, all, began, self.clock);
                            self.kind = Kind::Http(parser);
                        }
                        Recognition::NeedMore if all.len() < HEAD => {
                            heads.get_or_insert_default()[direction.index()] = (all.to_vec(), began);
                        }
                        _ if all.starts_with(SSH) => self.kind = Kind::Ssh,
                        _ => self.kind = Kind::Other,
                    },
                }
            }
            #[cfg(test)]
            Kind::Recorded(directions) => {
                directions[direction.index()].extend(bytes.iter().copied().map(Some))
            }
            Kind::Datagrams | Kind::Quic(_) | Kind::Ssh | Kind::Other => {}
        }
    }

    /// Bytes of a stream that were not captured.
    pub(super) fn gap(&mut self, direction: Direction, length: u64, at: PacketRef) {
        self.greetings[direction.index()].gap();
        match &mut self.kind {
            Kind::Tls(parser) => parser.gap(direction, length, at),
            Kind::Http(parser) => parser.gap(direction, length, at, self.clock),
            Kind::Dns(stream) => stream.gap(direction, length, at),
            Kind::Undecided(heads) => {
                let heads = heads.take().map(|heads| *heads).unwrap_or_default();
                // Which of the two came first does not matter: only one of them begins a request.
                let cut = Direction::BOTH.into_iter().zip(heads).find(|(_, (head, _))| begins_request(head));
                self.kind = Kind::Other;
                if let Some((asks, (head, began))) = cut {
                    let mut parser = Box::new(HttpParser::new(asks, &head));
                    parser.data(asks, &head, began, self.clock);
                    parser.gap(direction, length, at, self.clock);
                    self.kind = Kind::Http(parser);
                }
            }
            #[cfg(test)]
            Kind::Recorded(directions) => {
                directions[direction.index()].extend(std::iter::repeat_n(None, length as usize));
            }
            Kind::Datagrams | Kind::Quic(_) | Kind::Ssh | Kind::Other => {}
        }
    }

    /// A datagram.
    pub(super) fn datagram(&mut self, direction: Direction, bytes: &[u8], at: PacketRef) {
        if let Kind::Quic(reader) = &mut self.kind {
            return reader.datagram(direction, bytes, at);
        }
        if !matches!(self.kind, Kind::Datagrams) || bytes.is_empty() {
            return;
        }
        let known = self.dns_port || self.transactions.is_some();
        if !known && looks_like_quic(bytes) {
            let mut reader = Box::<QuicReader>::default();
            reader.datagram(direction, bytes, at);
            self.kind = Kind::Quic(reader);
            return;
        }
        if !known && !dns::looks_like_dns(bytes) {
            self.kind = Kind::Other;
            return;
        }
        if let Ok(message) = dns::parse(bytes) {
            // On DNS's own port the flags say who asks: roles told by port alone fail when both are 53.
            let direction = if message.response { Direction::ToClient } else { direction };
            self.transactions.get_or_insert_default().message(direction, &message, at, self.clock);
        }
    }

    /// When a transaction will be finished by time.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        match &self.kind {
            Kind::Http(parser) => parser.next_deadline(),
            _ => self.transactions.as_ref().and_then(|transactions| transactions.next_deadline()),
        }
    }

    /// Transactions that are finished at `now`, each with the time it was finished.
    pub(super) fn finished(&mut self, now: Timestamp) -> Vec<Transaction> {
        let Some(transactions) = &mut self.transactions else { return Vec::new() };
        transactions.expire(now);
        self.take_finished()
    }

    /// `head` as the content has it: who sends the requests is the client.
    pub(super) fn roles(&self, head: FlowHead) -> FlowHead {
        match &self.kind {
            Kind::Http(parser) if parser.is_reversed() => {
                FlowHead { client: head.server, server: head.client, ..head }
            }
            _ => head,
        }
    }

    /// HTTP exchanges that were finished before `now`.
    pub(super) fn exchanges(&mut self, now: Timestamp) -> Vec<Exchange> {
        match &mut self.kind {
            Kind::Http(parser) => parser.finished(now),
            _ => Vec::new(),
        }
    }

    /// The flow is over: every HTTP exchange is finished.
    pub(super) fn close_exchanges(&mut self, closing: Option<Closing>) -> Vec<Exchange> {
        match &mut self.kind {
            Kind::Http(parser) => parser.close(closing),
            _ => Vec::new(),
        }
    }

    /// The flow is over: every transaction is finished.
    pub(super) fn close(&mut self) -> Vec<Transaction> {
        let Some(transactions) = &mut self.transactions else { return Vec::new() };
        transactions.finish_all();
        self.take_finished()
    }

    fn take_finished(&mut self) -> Vec<Transaction> {
        let mut finished = self.transactions.as_mut().map_or_else(Vec::new, |of| of.drain_finished());
        let unheard = matches!(&self.kind, Kind::Dns(stream) if stream.has_lost(Direction::ToClient));
        finished.iter_mut().for_each(|transaction| transaction.unheard |= unheard);
        finished
    }

    /// Transactions that did not fit into the table.
    pub(super) fn overflow(&self) -> u64 {
        self.transactions.as_ref().map_or(0, |transactions| transactions.overflow())
    }

    /// The TLS session, when it was one.
    pub(super) fn into_tls(self) -> Option<Box<TlsSession>> {
        match self.kind {
            Kind::Tls(parser) => Some(Box::new(parser.finish())),
            Kind::Quic(reader) => Some(Box::new(reader.finish())),
            _ => None,
        }
    }
}
