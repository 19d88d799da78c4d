//! Connections that begin in one protocol and go on in another, and those that few begin with.

use super::{Content, HEAD, Kind};
use crate::app::dns::begins_dns_stream;
use crate::app::http::GoesOver;
use crate::app::http2::{Http2Parser, looks_like_http2};
use crate::app::tls::{Octets, Plain, Recognition, TlsParser};
use crate::app::upgrade::{Dialogue, ProxyPrefix, proxy_prefix};
use crate::dissect::{Direction, PacketRef};
use crate::flow::{Greeting, Turns};

impl Content {
    /// The first bytes of a direction are none of the protocols that most connections begin with.
    #[cold]
    pub(super) fn recognise(&mut self, direction: Direction, bytes: &[u8], began: PacketRef) {
        let proxied = self.before.as_ref().is_some_and(|before| before.proxied.is_some());
        let prefix = match direction {
            Direction::ToServer if !proxied => proxy_prefix(bytes),
            _ => ProxyPrefix::No,
        };
        let http2 = looks_like_http2(direction, bytes);
        let dialogue = Dialogue::recognise(direction, bytes);
        let more = prefix == ProxyPrefix::NeedMore || [http2, dialogue].contains(&Recognition::NeedMore);
        if let ProxyPrefix::Whole(header, length) = prefix {
            self.before.get_or_insert_default().proxied = Some(header);
            self.begin_anew(direction);
            if let Some(rest) = bytes.get(length..).filter(|rest| !rest.is_empty()) {
                self.data(direction, rest, began);
            }
        } else if http2 == Recognition::Yes {
            // A client begins with letters, a server with the length of its settings.
            let asks = if bytes.starts_with(b"P") { direction } else { direction.reverse() };
            let kind = Kind::Http2(Box::new((Http2Parser::new(asks), Turns::default())));
            self.begin(kind, direction, bytes, began);
        } else if let Some(dialogue) = Dialogue::new(direction, bytes) {
            let parser = TlsParser::with_keys(self.keys.take());
            self.begin(Kind::Plain(Box::new((dialogue, parser))), direction, bytes, began);
        } else if more && bytes.len() < HEAD {
            let Kind::Undecided(heads) = &mut self.kind else { return };
            heads.get_or_insert_default()[direction.index()] = (bytes.to_vec(), began);
        } else {
            self.kind = Kind::Other;
        }
    }

    /// The protocol is known: it takes the bytes, and those that the other side has sent before.
    fn begin(&mut self, kind: Kind, direction: Direction, bytes: &[u8], began: PacketRef) {
        let Kind::Undecided(heads) = std::mem::replace(&mut self.kind, kind) else { return };
        let heads = heads.map(|heads| *heads).unwrap_or_default();
        let mut other = Direction::BOTH.into_iter().zip(heads);
        if let Some((other, (head, at))) = other.find(|(of, (head, _))| *of != direction && !head.is_empty())
        {
            self.feed(other, &head, at);
        }
        self.feed(direction, bytes, began);
    }

    fn feed(&mut self, direction: Direction, bytes: &[u8], at: PacketRef) {
        match &mut self.kind {
            Kind::Http2(of) => of.0.data(direction, bytes, at, self.clock),
            _ => self.plain(direction, bytes, at),
        }
    }

    /// HTTP/1 has gone over to another protocol, `rest` being the first of it.
    #[cold]
    pub(super) fn go_over(&mut self, direction: Direction, rest: &[u8], at: PacketRef) {
        // A tunnel inside a tunnel stays unread.
        if self.before.as_ref().is_some_and(|before| before.http.is_some()) {
            return;
        }
        let Kind::Http(parser) = &mut self.kind else { return };
        let kind = match parser.goes_over() {
            Some(GoesOver::Tunnel) => Kind::Undecided(None),
            Some(GoesOver::Http2(exchange)) => {
                let asks = if parser.is_reversed() { Direction::ToClient } else { Direction::ToServer };
                Kind::Http2(Box::new((Http2Parser::upgraded(asks, *exchange), Turns::default())))
            }
            None => return,
        };
        if let Kind::Http(parser) = std::mem::replace(&mut self.kind, kind) {
            self.before.get_or_insert_default().http = Some(parser);
        }
        Direction::BOTH.into_iter().for_each(|direction| self.begin_anew(direction));
        if !rest.is_empty() {
            self.data(direction, rest, at);
        }
    }

    /// The next bytes of a connection that may go over to TLS, or is doing so.
    pub(super) fn plain(&mut self, direction: Direction, bytes: &[u8], at: PacketRef) {
        let Kind::Plain(of) = &mut self.kind else { return };
        let (dialogue, tls) = of.as_mut();
        if dialogue.is_secured(direction) {
            tls.data(direction, bytes, at);
            let plain = tls.take_plain();
            return self.plain_inside(plain);
        }
        let before = Direction::BOTH.map(|direction| dialogue.is_secured(direction));
        let first = dialogue.data(direction, bytes, at);
        let after = Direction::BOTH.map(|direction| dialogue.is_secured(direction));
        for ((greeting, before), after) in self.greetings.iter_mut().zip(before).zip(after) {
            if after && !before {
                *greeting = Greeting::default();
            }
        }
        if !first.is_empty() {
            self.greetings[direction.index()].add(&first, at);
            tls.data(direction, &first, at);
        }
        if dialogue.is_over() {
            if let Kind::Plain(of) = std::mem::replace(&mut self.kind, Kind::Other)
                && of.0.request().is_some()
            {
                self.before.get_or_insert_default().dialogue = Some(of.0);
            }
        } else if after == [true; 2]
            && let Kind::Plain(of) = std::mem::replace(&mut self.kind, Kind::Other)
        {
            let (dialogue, tls) = *of;
            self.kind = Kind::Tls(Box::new(tls));
            self.before.get_or_insert_default().dialogue = Some(dialogue);
        }
    }

    /// What keys opened of TLS.
    pub(super) fn inside(&self) -> Option<&Self> {
        self.before.as_ref()?.inside.as_deref()
    }

    pub(super) fn inside_mut(&mut self) -> Option<&mut Self> {
        self.before.as_mut()?.inside.as_deref_mut()
    }

    /// Takes what stands in records that were opened. TLS inside TLS stays closed.
    pub(super) fn plain_inside(&mut self, plain: Vec<Plain>) {
        let Some(first) = plain.first() else { return };
        // DNS over TLS is told by its port, and on others by the question that it begins with.
        let dns = || match &first.octets {
            Octets::Known(octets) => {
                self.dns_inside || first.direction == Direction::ToServer && begins_dns_stream(octets)
            }
            Octets::Missing(_) => self.dns_inside,
        };
        let inside = &mut self.before.get_or_insert_default().inside;
        let inside = inside.get_or_insert_with(|| Box::new(Self::stream(dns(), false, None)));
        inside.clock = self.clock;
        for Plain { direction, at, octets } in plain {
            match octets {
                Octets::Known(octets) => inside.data(direction, &octets, at),
                Octets::Missing(length) => inside.gap(direction, length, at),
            }
        }
    }

    /// Another protocol begins in this direction: so does what is known of its first bytes.
    fn begin_anew(&mut self, direction: Direction) {
        self.greetings[direction.index()] = Greeting::default();
    }
}

#[cfg(test)]
mod tests;
