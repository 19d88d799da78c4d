//! Reads the exchanges of a connection from the bytes of both directions.

use std::collections::VecDeque;

use crate::app::http::body::{Body, Then};
use crate::app::http::finished::Finished;
use crate::app::http::head::{
    Framing, MAX_HEAD, begins_request, looks_like_http, read_request, read_response, skip_lines,
};
use crate::app::http::{Closing, Exchange};
use crate::app::tls::Recognition;
use crate::dissect::{Direction, PacketRef};
use crate::time::Timestamp;

/// Requests of a connection that wait for their responses at a time (pipelining, RFC 9112 section 9.3.2).
const MAX_PENDING: usize = 64;

/// What a direction is in.
#[derive(Debug)]
enum State {
    /// Before a message, or in its head: what of it was seen.
    Head(Vec<u8>),
    Body(Body),
    /// Where the next message begins is not known.
    Lost,
}

#[derive(Debug)]
struct Half {
    state: State,
    /// The packet that began the head.
    began: PacketRef,
}

impl Default for Half {
    fn default() -> Self {
        Self { state: State::Head(Vec::new()), began: PacketRef::default() }
    }
}

/// An exchange that is not finished.
#[derive(Debug)]
struct Pending {
    exchange: Exchange,
    request_open: bool,
    response_open: bool,
    /// Its response ends with the connection.
    until_close: bool,
}

/// The exchanges of one connection, in the order of their requests.
#[derive(Debug)]
pub struct HttpParser {
    /// The direction of requests: most often, but not always, the one of the connection.
    requests: Direction,
    halves: [Half; 2],
    pending: VecDeque<Pending>,
    finished: Finished,
    depth: u32,
    /// Another protocol follows.
    tunnel: bool,
    goes_over: Option<GoesOver>,
    clock: Timestamp,
}

/// What follows HTTP/1 on a connection.
#[derive(Debug)]
pub enum GoesOver {
    /// What a proxy forwards (RFC 9110 section 9.3.6).
    Tunnel,
    /// HTTP/2, whose first stream answers this request.
    Http2(Box<Exchange>),
}

impl HttpParser {
    /// For a connection whose first bytes, sent in `direction`, are `bytes`.
    pub fn new(direction: Direction, bytes: &[u8]) -> Self {
        let responds = skip_lines(bytes).starts_with(b"HTTP/");
        Self {
            requests: if responds { direction.reverse() } else { direction },
            halves: Default::default(),
            pending: VecDeque::new(),
            finished: Finished::default(),
            depth: 0,
            tunnel: false,
            goes_over: None,
            clock: Timestamp::MIN,
        }
    }

    /// Bytes of memory that it takes, about.
    pub fn held(&self) -> usize {
        let half = |half: &Half| match &half.state {
            State::Head(head) => head.capacity(),
            State::Body(body) => body.held(),
            State::Lost => 0,
        };
        size_of::<Self>() + self.finished.held() + self.halves.iter().map(half).sum::<usize>()
    }

    /// The connection went over to another protocol.
    pub fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    /// What the other protocol is, once: an HTTP proxy's tunnel, or HTTP/2 with the request that it answers.
    pub fn goes_over(&mut self) -> Option<GoesOver> {
        self.goes_over.take()
    }

    /// Requests run against the connection: whose roles were inferred, the wrong way round.
    pub fn is_reversed(&self) -> bool {
        self.requests == Direction::ToClient
    }

    /// The next bytes of a direction; `clock` is the latest time of all packets of the capture so far. What
    /// it gives is another protocol's.
    pub fn data<'a>(
        &mut self,
        direction: Direction,
        bytes: &'a [u8],
        at: PacketRef,
        clock: Timestamp,
    ) -> &'a [u8] {
        self.clock = clock;
        let mut rest = bytes;
        while !rest.is_empty() && !self.tunnel {
            let half = &mut self.halves[direction.index()];
            rest = match std::mem::replace(&mut half.state, State::Lost) {
                State::Head(head) => self.head(direction, head, rest, at),
                State::Body(body) => self.body(direction, body, rest, at),
                State::Lost if self.begins(direction, rest) => {
                    self.resume(direction);
                    rest
                }
                State::Lost => return &[],
            };
        }
        rest
    }

    /// Whether a message begins where none was known. What [`Self::head`] would turn down does not begin one:
    /// the same bytes would come back for ever.
    fn begins(&self, direction: Direction, bytes: &[u8]) -> bool {
        match looks_like_http(bytes) {
            Recognition::Yes => true,
            Recognition::NeedMore => direction == self.requests && begins_request(bytes),
            Recognition::No => false,
        }
    }

    /// Bytes that were not captured.
    pub fn gap(&mut self, direction: Direction, length: u64, at: PacketRef, clock: Timestamp) {
        self.clock = clock;
        if self.tunnel {
            return;
        }
        let half = &mut self.halves[direction.index()];
        match std::mem::replace(&mut half.state, State::Lost) {
            State::Body(mut body) => {
                let then = body.skip(length);
                if then != Then::Broken {
                    self.transferred(direction, length, at);
                }
                match then {
                    Then::More => self.halves[direction.index()].state = State::Body(body),
                    Then::Whole => self.whole(direction),
                    Then::Broken => self.doubt(direction),
                }
            }
            State::Head(head) if !head.is_empty() => {
                // The lines that are whole say most, and the first one as far as it goes: captures are often
                // cut after some hundred bytes.
                let lines = head.iter().rposition(|octet| *octet == b'\n').map_or(head.len(), |end| end + 1);
                let mut lines = head[..lines].to_vec();
                lines.extend(b"\r\n");
                self.message(direction, &lines, at);
                self.halves[direction.index()].state = State::Lost;
                self.doubt(direction);
            }
            State::Head(_) | State::Lost => self.doubt(direction),
        }
    }

    /// Takes what of `bytes` belongs to a head; the rest is behind it.
    fn head<'a>(
        &mut self,
        direction: Direction,
        mut head: Vec<u8>,
        bytes: &'a [u8],
        at: PacketRef,
    ) -> &'a [u8] {
        if head.is_empty() {
            let bytes = skip_lines(bytes);
            self.halves[direction.index()].began = at;
            if let Some(end) = end_of_head(bytes, 0) {
                self.message(direction, &bytes[..end], at);
                return &bytes[end..];
            }
            if looks_like_http(bytes) == Recognition::No && !bytes.is_empty() {
                self.doubt(direction);
                return bytes;
            }
            self.halves[direction.index()].state = State::Head(bytes.to_vec());
            return &[];
        }
        let before = head.len();
        let taken = bytes.len().min((MAX_HEAD + 1).saturating_sub(before));
        head.extend_from_slice(&bytes[..taken]);
        match end_of_head(&head, before.saturating_sub(3)) {
            Some(end) => {
                self.message(direction, &head[..end], at);
                bytes.get(end - before..).unwrap_or_default()
            }
            None if head.len() > MAX_HEAD => {
                self.doubt(direction);
                &[]
            }
            None => {
                self.halves[direction.index()].state = State::Head(head);
                &[]
            }
        }
    }

    fn body<'a>(&mut self, direction: Direction, mut body: Body, bytes: &'a [u8], at: PacketRef) -> &'a [u8] {
        let taken = body.take(bytes);
        self.transferred(direction, taken.body, at);
        match taken.then {
            Then::More => self.halves[direction.index()].state = State::Body(body),
            Then::Whole => self.whole(direction),
            Then::Broken => self.doubt(direction),
        }
        bytes.get(taken.used..).unwrap_or_default()
    }

    /// A head is whole.
    fn message(&mut self, direction: Direction, head: &[u8], at: PacketRef) {
        let known = if direction == self.requests { self.request(head, at) } else { self.response(head, at) };
        match known {
            // A body follows.
            Some(Some(body)) => self.halves[direction.index()].state = State::Body(body),
            Some(None) => self.halves[direction.index()].state = State::Head(Vec::new()),
            None => self.doubt(direction),
        }
    }

    fn request(&mut self, head: &[u8], at: PacketRef) -> Option<Option<Body>> {
        let began = self.halves[self.requests.index()].began;
        let mut exchange = Exchange { request: Some(began), request_end: Some(at), ..Exchange::default() };
        let framing = read_request(head, &mut exchange)?;
        if matches!(self.halves[self.requests.reverse().index()].state, State::Lost) {
            // Who asks again has got the response before.
            self.give_up(0);
        } else if self.pending.len() >= MAX_PENDING {
            self.give_up(MAX_PENDING - 1);
        }
        let body = match framing {
            Framing { chunked: true, .. } => Some(Body::chunked()),
            Framing { length: Some(length @ 1..), .. } => Some(Body::of_length(length)),
            _ => None,
        };
        self.depth = self.depth.saturating_add(1);
        exchange.depth = self.depth;
        exchange.request_whole = body.is_none();
        self.finished.hold(exchange.held());
        let request_open = body.is_some();
        self.wait(Pending { exchange, request_open, response_open: true, until_close: false });
        Some(body)
    }

    fn response(&mut self, head: &[u8], at: PacketRef) -> Option<Option<Body>> {
        let began = self.halves[self.requests.reverse().index()].began;
        let index = self.pending.iter().position(|pending| pending.response_open);
        let mut unasked = Exchange { unheard: true, ..Exchange::default() };
        let asked = index.and_then(|index| self.pending.get_mut(index));
        let exchange = asked.map_or(&mut unasked, |pending| &mut pending.exchange);
        let before = exchange.held();
        let (status, framing) = read_response(head, exchange)?;
        if (100..200).contains(&status) && status != 101 {
            exchange.interim += 1;
            return Some(None);
        }
        self.finished.hold(exchange.held() - before);
        if status == 101 && framing.h2c {
            // The answer comes in HTTP/2.
            exchange.interim += 1;
            exchange.upgraded = true;
            let exchange = std::mem::take(exchange);
            self.finished.release(&exchange);
            index.and_then(|index| self.pending.remove(index));
            (self.tunnel, self.goes_over) = (true, Some(GoesOver::Http2(Box::new(exchange))));
            return Some(None);
        }
        (exchange.status, exchange.announced) = (Some(status), framing.length.filter(|_| !framing.chunked));
        (exchange.response, exchange.response_end) = (Some(began), Some(at));
        let connected = exchange.method == "CONNECT" && (200..300).contains(&status);
        exchange.upgraded = status == 101 || connected;
        // RFC 9112 section 6.3.
        let body = match framing {
            _ if exchange.upgraded || exchange.method == "HEAD" || matches!(status, 204 | 304) => None,
            Framing { chunked: true, .. } => Some(Body::chunked()),
            Framing { odd: true, .. } | Framing { length: None, .. } => Some(Body::UntilClose),
            Framing { length: Some(0), .. } => None,
            Framing { length: Some(length), .. } => Some(Body::of_length(length)),
        };
        exchange.response_whole = body.is_none();
        let (open, until_close) = (body.is_some(), body == Some(Body::UntilClose));
        self.tunnel |= exchange.upgraded;
        if connected {
            self.goes_over = Some(GoesOver::Tunnel);
        }
        match index.and_then(|index| self.pending.get_mut(index)) {
            Some(pending) => {
                (pending.response_open, pending.until_close) = (open, until_close);
                // Who goes over to another protocol has said all.
                pending.request_open &= !pending.exchange.upgraded;
            }
            None => {
                self.depth = self.depth.saturating_add(1);
                unasked.depth = self.depth;
                self.finished.hold(before);
                let pending =
                    Pending { exchange: unasked, request_open: false, response_open: open, until_close };
                self.wait(pending);
            }
        }
        self.hand_over();
        Some(body)
    }

    /// The exchange whose message `direction` is in.
    fn current(&mut self, direction: Direction) -> Option<&mut Pending> {
        match direction == self.requests {
            true => self.pending.back_mut().filter(|pending| pending.request_open),
            false => self.pending.iter_mut().find(|pending| pending.response_open),
        }
    }

    /// Octets of a body.
    fn transferred(&mut self, direction: Direction, length: u64, at: PacketRef) {
        let requests = direction == self.requests;
        let Some(Pending { exchange, .. }) = self.current(direction) else { return };
        if requests {
            (exchange.request_bytes, exchange.request_end) = (exchange.request_bytes + length, Some(at));
        } else {
            (exchange.response_bytes, exchange.response_end) = (exchange.response_bytes + length, Some(at));
        }
    }

    /// A body is whole.
    fn whole(&mut self, direction: Direction) {
        let requests = direction == self.requests;
        self.halves[direction.index()].state = State::Head(Vec::new());
        if let Some(pending) = self.current(direction) {
            if requests {
                (pending.request_open, pending.exchange.request_whole) = (false, true);
            } else {
                (pending.response_open, pending.exchange.response_whole) = (false, true);
            }
        }
        self.hand_over();
    }

    /// What the direction is in cannot be followed any more.
    fn doubt(&mut self, direction: Direction) {
        let requests = direction == self.requests;
        if let Some(pending) = self.current(direction) {
            pending.exchange.unheard = true;
            pending.request_open &= !requests;
            // Its response was seen in part, and no more of it can be told.
            pending.response_open &= requests || pending.exchange.response.is_none();
        }
        self.hand_over();
    }

    /// A message begins where none was known.
    fn resume(&mut self, direction: Direction) {
        self.halves[direction.index()].state = State::Head(Vec::new());
        if direction != self.requests {
            // Which request it answers is not known when several wait: most clients wait for each.
            self.give_up(1);
        }
    }

    /// Finishes all but the last `keep` exchanges: what became of them was not captured.
    fn give_up(&mut self, keep: usize) {
        let over = self.pending.len().saturating_sub(keep);
        for mut pending in self.pending.drain(..over) {
            pending.exchange.unheard = true;
            self.finished.push(pending.exchange, self.clock);
        }
    }

    fn wait(&mut self, pending: Pending) {
        // Most connections have one at a time, and room for four would be asked for.
        if self.pending.capacity() == 0 {
            self.pending.reserve_exact(1);
        }
        self.pending.push_back(pending);
    }

    fn hand_over(&mut self) {
        while let Some(pending) =
            self.pending.pop_front_if(|pending| !pending.request_open && !pending.response_open)
        {
            self.finished.push(pending.exchange, self.clock);
        }
        if self.pending.is_empty() {
            self.pending = VecDeque::new();
        }
    }

    /// When to ask for finished exchanges.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.finished.next_deadline()
    }

    /// The exchanges that were finished before `now`.
    pub fn finished(&mut self, now: Timestamp) -> Vec<Exchange> {
        self.finished.before(now)
    }

    /// The connection is over, by `closing` when that was captured.
    pub fn close(&mut self, closing: Option<Closing>) -> Vec<Exchange> {
        let closing = closing.map(|closing| if self.is_reversed() { closing.reversed() } else { closing });
        let lost = self.requests.reverse();
        let lost = matches!(self.halves[lost.index()].state, State::Lost) && !self.tunnel;
        let reset = closing.is_some_and(|closing| closing.reset);
        if let Some(GoesOver::Http2(mut exchange)) = self.goes_over.take() {
            exchange.closed = closing;
            self.finished.push(*exchange, self.clock);
        }
        for mut pending in self.pending.drain(..) {
            let exchange = &mut pending.exchange;
            if pending.until_close && closing.is_some() && !reset {
                exchange.response_whole = true;
            } else {
                exchange.closed = closing;
                exchange.unheard |= lost;
            }
            self.finished.push(pending.exchange, self.clock);
        }
        self.finished.all()
    }
}

/// Where the empty line after the fields ends; nothing ends before `from`.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|octet| *octet == b'\n')? + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
