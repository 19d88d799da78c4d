//! What the bytes of a flow turned out to be, told by content and not by port.

mod over;

use crate::app::dns::{self, DnsMessage, DnsTcp, Transaction, Transactions};
use crate::app::http::{Closing, Exchange, HttpParser, begins_request, looks_like_http};
use crate::app::http2::Http2Parser;
use crate::app::quic::{QuicReader, looks_like_quic};
use crate::app::tls::{Recognition, TlsParser, TlsSession, looks_like_tls};
use crate::app::upgrade::{Dialogue, ProxyHeader};
use crate::capture::Keys;
use crate::dissect::{Direction, PacketRef};
use crate::flow::{Called, FlowHead, Greeting, Service, Turn, Turns, Upgrade};
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
    /// With what was asked and answered so far: streams share the connection, so that the direction of the
    /// data does not tell it.
    Http2(Box<(Http2Parser, Turns)>),
    /// Plain text that may go on in TLS, and the TLS of the direction that went over first.
    Plain(Box<(Dialogue, TlsParser)>),
    Ssh,
    Datagrams,
    Quic(Box<QuicReader>),
    /// What may be the rest of a QUIC connection.
    Called(Box<Called>),
    Other,
    /// What each direction delivered, in order: bytes, or `None` for one that is missing.
    #[cfg(test)]
    Recorded([Vec<Option<u8>>; 2]),
}

/// What stood before the protocol of a connection, or stands inside it.
#[derive(Debug, Default)]
struct Before {
    proxied: Option<ProxyHeader>,
    dialogue: Option<Dialogue>,
    /// HTTP/1 that went over to another protocol.
    http: Option<Box<HttpParser>>,
    /// What keys opened of TLS.
    inside: Option<Box<Content>>,
}

/// The parsers of one flow.
#[derive(Debug)]
pub(super) struct Content {
    kind: Kind,
    /// Behind a pointer: few connections have it.
    before: Option<Box<Before>>,
    /// What opens TLS.
    keys: Option<Keys>,
    transactions: Option<Box<Transactions>>,
    dns_port: bool,
    /// DNS stands inside TLS, by the port.
    dns_inside: bool,
    greetings: [Greeting; 2],
    /// The latest time of all packets of the capture so far.
    pub(super) clock: Timestamp,
}

impl Content {
    /// For a byte stream. `dns_port`: one of its ports is DNS's, so length-prefixed messages are expected.
    /// `dns_inside`: that of DNS over TLS, so they are expected in there.
    pub(super) fn stream(dns_port: bool, dns_inside: bool, keys: Option<Keys>) -> Self {
        let kind = if dns_port { Kind::Dns(Box::default()) } else { Kind::Undecided(None) };
        Self { keys, dns_inside, ..Self::of(kind, dns_port) }
    }

    /// For a TCP connection between these ports.
    pub(super) fn of_tcp(client: u16, server: u16, keys: Option<&Keys>) -> Self {
        // RFC 7858 section 3.1.
        Self::stream(client == 53 || server == 53, server == 853, keys.cloned())
    }

    /// For datagrams.
    pub(super) fn datagrams(dns_port: bool) -> Self {
        Self::of(Kind::Datagrams, dns_port)
    }

    /// For bytes that nobody reads.
    pub(super) fn none() -> Self {
        Self::of(Kind::Other, false)
    }

    fn of(kind: Kind, dns_port: bool) -> Self {
        Self {
            kind,
            before: None,
            keys: None,
            transactions: None,
            dns_port,
            dns_inside: false,
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
            Kind::Http2(of) => of.0.held(),
            Kind::Plain(of) => of.0.held() + of.1.held(),
            Kind::Undecided(heads) => {
                heads.iter().flat_map(|heads| heads.iter()).map(|(head, _)| head.capacity()).sum()
            }
            _ => 0,
        };
        let before = self.before.as_deref().map_or(0, |before| {
            let http = before.http.as_ref().map_or(0, |http| http.held());
            let inside = before.inside.as_ref().map_or(0, |inside| size_of::<Self>() + inside.held());
            size_of::<Before>() + http + inside
        });
        stream + before + self.transactions.as_ref().map_or(0, |transactions| transactions.held())
    }

    /// The first bytes of each side.
    pub(super) fn greetings(&self) -> [Greeting; 2] {
        self.greetings
    }

    /// The service, when it was recognised.
    pub(super) fn service(&self) -> Option<Service> {
        match self.kind {
            Kind::Tls(_) => Some(Service::Tls),
            Kind::Http(_) | Kind::Http2(_) => Some(Service::Http),
            Kind::Ssh => Some(Service::Ssh),
            Kind::Quic(_) => Some(Service::Quic),
            Kind::Plain(_) => self.tls().map(|_| Service::Tls),
            _ if self.transactions.is_some() => Some(Service::Dns),
            _ => self.before.as_ref()?.http.as_ref().map(|_| Service::Http),
        }
    }

    /// The TLS of the connection, also where one direction only has gone over to it.
    fn tls(&self) -> Option<&TlsSession> {
        match &self.kind {
            Kind::Tls(parser) => Some(parser.session()),
            Kind::Plain(of) if is_secured(&of.0) => Some(of.1.session()),
            _ => None,
        }
    }

    /// What stood before the protocol of the connection.
    pub(super) fn upgrade(&self) -> Option<Box<Upgrade>> {
        if let Kind::Called(called) = &self.kind {
            return Some(Box::new(Upgrade { called: Some(**called), ..Upgrade::default() }));
        }
        let before = self.before.as_deref();
        let dialogue = match &self.kind {
            Kind::Plain(of) => Some(&of.0),
            _ => before.and_then(|before| before.dialogue.as_ref()),
        };
        let proxied = before.and_then(|before| before.proxied);
        let starttls = dialogue.and_then(|dialogue| dialogue.request().cloned());
        let tunnel =
            before.is_some_and(|before| before.http.is_some()) && !matches!(self.kind, Kind::Http2(_));
        let any = proxied.is_some() || starttls.is_some() || tunnel;
        any.then(|| Box::new(Upgrade { proxied, starttls, tunnel, called: None }))
    }

    /// The application said goodbye: what follows ends nothing.
    pub(super) fn is_closing(&self) -> bool {
        self.tls().is_some_and(TlsSession::said_goodbye)
    }

    /// Who asks and who answers is not told by the direction of the data: the bytes are another protocol's
    /// than the one that was recognised, or streams share the connection.
    pub(super) fn hides_turns(&self) -> bool {
        match &self.kind {
            Kind::Http(parser) => parser.is_tunnel(),
            Kind::Http2(_) => true,
            _ => self.before.as_ref().is_some_and(|before| {
                before.http.is_some() || before.inside.as_ref().is_some_and(|inside| inside.hides_turns())
            }),
        }
    }

    /// What was asked and answered, where the streams of a connection tell it. Those that `resent` knows have
    /// waited for the network.
    pub(super) fn turns(&self, resent: &dyn Fn(PacketRef) -> bool) -> Option<Turns> {
        let Kind::Http2(of) = &self.kind else { return self.inside()?.turns(resent) };
        let (parser, turns) = of.as_ref();
        let mut turns = turns.clone();
        parser.waiting().iter().filter_map(Turn::of).for_each(|turn| turns.count(turn));
        for turn in &mut turns.slowest {
            turn.repeated = resent(turn.request) || turn.response.is_some_and(resent);
        }
        Some(turns)
    }

    /// What is said is part of a handshake above TCP.
    pub(super) fn is_opening(&self) -> bool {
        self.tls().is_some_and(|session| session.established.is_none())
    }

    /// The next bytes of a stream.
    pub(super) fn data(&mut self, direction: Direction, bytes: &[u8], at: PacketRef) {
        self.greetings[direction.index()].add(bytes, at);
        match &mut self.kind {
            Kind::Tls(parser) => {
                parser.data(direction, bytes, at);
                let plain = parser.take_plain();
                self.plain_inside(plain);
            }
            Kind::Http(parser) => {
                let rest = parser.data(direction, bytes, at, self.clock);
                if parser.is_tunnel() {
                    self.go_over(direction, rest, at);
                }
            }
            Kind::Http2(of) => of.0.data(direction, bytes, at, self.clock),
            Kind::Plain(_) => self.plain(direction, bytes, at),
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
                        let mut parser = Box::new(TlsParser::with_keys(self.keys.take()));
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
                        _ => self.recognise(direction, all, began),
                    },
                }
            }
            #[cfg(test)]
            Kind::Recorded(directions) => {
                directions[direction.index()].extend(bytes.iter().copied().map(Some))
            }
            Kind::Datagrams | Kind::Quic(_) | Kind::Called(_) | Kind::Ssh | Kind::Other => {}
        }
    }

    /// Bytes of a stream that were not captured.
    pub(super) fn gap(&mut self, direction: Direction, length: u64, at: PacketRef) {
        self.greetings[direction.index()].gap();
        match &mut self.kind {
            Kind::Tls(parser) => {
                parser.gap(direction, length, at);
                let plain = parser.take_plain();
                self.plain_inside(plain);
            }
            Kind::Http(parser) => parser.gap(direction, length, at, self.clock),
            Kind::Http2(of) => of.0.gap(direction, length, at, self.clock),
            Kind::Plain(of) if of.0.is_secured(direction) => {
                of.1.gap(direction, length, at);
                let plain = of.1.take_plain();
                self.plain_inside(plain);
            }
            Kind::Plain(of) => of.0.gap(direction),
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
            Kind::Datagrams | Kind::Quic(_) | Kind::Called(_) | Kind::Ssh | Kind::Other => {}
        }
    }

    /// A datagram. `keys` open QUIC.
    pub(super) fn datagram(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        at: PacketRef,
        keys: Option<&Keys>,
    ) {
        if let Kind::Quic(reader) = &mut self.kind {
            reader.datagram(direction, bytes, at);
            for (direction, stream, message, at) in reader.take_messages() {
                self.message(direction, stream, &message, at);
            }
            return;
        }
        if !matches!(self.kind, Kind::Datagrams) || bytes.is_empty() {
            return;
        }
        let known = self.dns_port || self.transactions.is_some();
        if !known && looks_like_quic(bytes) {
            let mut reader = Box::new(QuicReader::with_keys(keys.cloned()));
            reader.datagram(direction, bytes, at);
            self.kind = Kind::Quic(reader);
            return;
        }
        if !known && !dns::looks_like_dns(bytes) {
            let called = Called::read(direction, bytes, at);
            self.kind = called.map_or(Kind::Other, |called| Kind::Called(Box::new(called)));
            return;
        }
        if let Ok(message) = dns::parse(bytes) {
            // On DNS's own port the flags say who asks: roles told by port alone fail when both are 53.
            let direction = if message.response { Direction::ToClient } else { direction };
            self.transactions.get_or_insert_default().message(direction, &message, at, self.clock);
        }
    }

    /// A DNS message of a stream of QUIC. All have the ID 0 there (RFC 9250 section 4.2.1): the streams tell
    /// them apart.
    #[cold]
    fn message(&mut self, direction: Direction, stream: u64, bytes: &[u8], at: PacketRef) {
        if let Ok(message) = dns::parse(bytes) {
            let message = DnsMessage { id: stream as u16, ..message };
            self.transactions.get_or_insert_default().message(direction, &message, at, self.clock);
        }
    }

    /// When a transaction will be finished by time.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let now = match &self.kind {
            Kind::Http(parser) => parser.next_deadline(),
            Kind::Http2(of) => of.0.next_deadline(),
            _ => self.transactions.as_ref().and_then(|transactions| transactions.next_deadline()),
        };
        let before = self.before.as_ref().and_then(|before| before.http.as_ref()?.next_deadline());
        let inside = self.inside().and_then(Self::next_deadline);
        now.into_iter().chain(before).chain(inside).min()
    }

    /// Transactions that are finished at `now`, each with the time it was finished.
    pub(super) fn finished(&mut self, now: Timestamp) -> Vec<Transaction> {
        let Some(transactions) = &mut self.transactions else {
            return self.inside_mut().map_or_else(Vec::new, |inside| inside.finished(now));
        };
        transactions.expire(now);
        self.take_finished()
    }

    /// `head` as the content has it: who sends the requests is the client.
    pub(super) fn roles(&self, head: FlowHead) -> FlowHead {
        match &self.kind {
            Kind::Http(parser) if parser.is_reversed() => head.reversed(),
            Kind::Http2(of) if of.0.is_reversed() => head.reversed(),
            _ => self.inside().map_or(head, |inside| inside.roles(head)),
        }
    }

    /// HTTP exchanges that were finished before `now`.
    pub(super) fn exchanges(&mut self, now: Timestamp) -> Vec<Exchange> {
        self.each_exchange(&|parser| parser.finished(now), &|parser| parser.finished(now))
    }

    /// The flow is over: every HTTP exchange is finished.
    pub(super) fn close_exchanges(&mut self, closing: Option<Closing>) -> Vec<Exchange> {
        self.each_exchange(&|parser| parser.close(closing), &|parser| parser.close(closing))
    }

    fn each_exchange(
        &mut self,
        first: &dyn Fn(&mut HttpParser) -> Vec<Exchange>,
        second: &dyn Fn(&mut Http2Parser) -> Vec<Exchange>,
    ) -> Vec<Exchange> {
        let mut exchanges = match &mut self.kind {
            Kind::Http(parser) => first(parser),
            Kind::Http2(of) => {
                let (parser, turns) = of.as_mut();
                let exchanges = second(parser);
                exchanges.iter().filter_map(Turn::of).for_each(|turn| turns.count(turn));
                exchanges
            }
            _ => Vec::new(),
        };
        let Some(before) = self.before.as_deref_mut() else { return exchanges };
        exchanges.splice(0..0, before.http.iter_mut().flat_map(|parser| first(parser)));
        exchanges.extend(before.inside.iter_mut().flat_map(|inside| inside.each_exchange(first, second)));
        if let Some(client) = before.proxied.and_then(|header| header.client) {
            for exchange in exchanges.iter_mut().filter(|exchange| exchange.forwarded_for.is_empty()) {
                exchange.forwarded_for = client.address.to_string();
            }
        }
        exchanges
    }

    /// The flow is over: every transaction is finished.
    pub(super) fn close(&mut self) -> Vec<Transaction> {
        let Some(transactions) = &mut self.transactions else {
            return self.inside_mut().map_or_else(Vec::new, Self::close);
        };
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
        let inside = self.inside().map_or(0, Self::overflow);
        self.transactions.as_ref().map_or(inside, |transactions| transactions.overflow())
    }

    /// The TLS session, when it was one.
    pub(super) fn into_tls(self) -> Option<Box<TlsSession>> {
        let http = self.inside().is_some_and(|inside| inside.service() == Some(Service::Http));
        let mut session = match self.kind {
            Kind::Tls(parser) => Box::new(parser.finish()),
            Kind::Quic(reader) => Box::new(reader.finish()),
            Kind::Plain(of) if is_secured(&of.0) => Box::new(of.1.finish()),
            _ => return None,
        };
        session.opened.iter_mut().for_each(|opened| opened.http = http);
        Some(session)
    }
}

/// One of the directions has gone over to TLS.
fn is_secured(dialogue: &Dialogue) -> bool {
    Direction::BOTH.into_iter().any(|direction| dialogue.is_secured(direction))
}
