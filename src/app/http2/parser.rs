//! Reads the exchanges of a connection from the frames of both directions.

use std::collections::BTreeMap;

use crate::app::http::{Closing, Exchange, Finished};
use crate::app::http2::fields::{Section, Sections};
use crate::app::http2::frame::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, MAX_SECTION, PADDED,
    PRIORITY, PUSH_PROMISE, RST_STREAM,
};
use crate::dissect::{Direction, PacketRef};
use crate::time::Timestamp;

/// Open streams that are followed at a time; servers allow 100 to 250 as a rule.
const MAX_STREAMS: usize = 256;

/// RFC 9113 section 7: the server has not begun to process the request.
const REFUSED_STREAM: u32 = 7;

/// A field section that is not whole.
#[derive(Debug)]
struct Block {
    stream: u32,
    bytes: Vec<u8>,
    began: PacketRef,
    ends_stream: bool,
    promise: bool,
    torn: bool,
}

#[derive(Debug, Default)]
struct Half {
    frames: Frames,
    sections: Sections,
    block: Option<Block>,
}

#[derive(Debug)]
struct Stream {
    exchange: Exchange,
    request_open: bool,
    response_open: bool,
}

/// The exchanges of one connection, a stream each.
#[derive(Debug)]
pub struct Http2Parser {
    /// The direction of requests: most often, but not always, the one of the connection.
    requests: Direction,
    halves: [Half; 2],
    streams: BTreeMap<u32, Stream>,
    /// Highest stream of the client and of the server (pushed) so far: lower ones do not begin any more.
    highest: [u32; 2],
    /// The code of a GOAWAY that is an error.
    goaway: Option<u32>,
    finished: Finished,
    depth: u32,
    clock: Timestamp,
}

impl Http2Parser {
    /// For a connection whose requests go in this direction.
    pub fn new(requests: Direction) -> Self {
        let mut halves: [Half; 2] = Default::default();
        halves[requests.index()].frames = Frames::of_client();
        Self {
            requests,
            halves,
            streams: BTreeMap::new(),
            highest: [0; 2],
            goaway: None,
            finished: Finished::default(),
            depth: 0,
            clock: Timestamp::MIN,
        }
    }

    /// For a connection that went over from HTTP/1.1 with this request, which the first stream answers (RFC
    /// 7540 section 3.2).
    pub fn upgraded(requests: Direction, exchange: Exchange) -> Self {
        let mut parser = Self::new(requests);
        (parser.depth, parser.highest[0]) = (exchange.depth, 1);
        parser.finished.hold(exchange.held());
        parser.streams.insert(1, Stream { exchange, request_open: false, response_open: true });
        parser
    }

    /// Bytes of memory that it takes, about.
    pub fn held(&self) -> usize {
        let half = |half: &Half| {
            let block = half.block.as_ref().map_or(0, |block| block.bytes.capacity());
            half.frames.held() + half.sections.held() + block
        };
        size_of::<Self>() + self.finished.held() + self.halves.iter().map(half).sum::<usize>()
    }

    /// Requests run against the connection: whose roles were inferred, the wrong way round.
    pub fn is_reversed(&self) -> bool {
        self.requests == Direction::ToClient
    }

    /// The next bytes of a direction; `clock` is the latest time of all packets of the capture so far.
    pub fn data(&mut self, direction: Direction, bytes: &[u8], at: PacketRef, clock: Timestamp) {
        self.clock = clock;
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Some(frame) = self.halves[direction.index()].frames.next(&mut rest, at) {
                self.frame(direction, frame, at);
            }
        }
        self.doubt(direction);
    }

    /// Bytes that were not captured.
    pub fn gap(&mut self, direction: Direction, length: u64, at: PacketRef, clock: Timestamp) {
        self.clock = clock;
        if let Some(frame) = self.halves[direction.index()].frames.gap(length) {
            self.frame(direction, frame, at);
        }
        self.doubt(direction);
    }

    /// Nobody knows what a direction says from here on.
    fn doubt(&mut self, direction: Direction) {
        let half = &mut self.halves[direction.index()];
        if half.frames.lost {
            half.sections.miss();
            half.block = None;
        }
    }

    fn is_lost(&self, direction: Direction) -> bool {
        self.halves[direction.index()].frames.lost
    }

    fn frame(&mut self, direction: Direction, frame: Frame, at: PacketRef) {
        let Frame { header, body, torn, began } = frame;
        let half = &mut self.halves[direction.index()];
        match header.kind {
            HEADERS | PUSH_PROMISE => {
                let fixed = match header.kind {
                    PUSH_PROMISE => 4,
                    _ if header.has(PRIORITY) => 5,
                    _ => 0,
                };
                let section =
                    unpadded(&body, header.has(PADDED)).and_then(|body| body.split_at_checked(fixed));
                let (front, bytes) = section.unwrap_or_default();
                let promised = front.first_chunk().map_or(0, |id| u32::from_be_bytes(*id) & 0x7fff_ffff);
                half.block = Some(Block {
                    stream: if header.kind == PUSH_PROMISE { promised } else { header.stream },
                    bytes: bytes.to_vec(),
                    began,
                    ends_stream: header.kind == HEADERS && header.has(END_STREAM),
                    promise: header.kind == PUSH_PROMISE,
                    torn: torn || section.is_none(),
                });
                if header.has(END_HEADERS) {
                    self.section(direction, at);
                }
            }
            CONTINUATION => {
                if let Some(block) = &mut half.block {
                    block.torn |= torn || block.bytes.len() + body.len() > MAX_SECTION;
                    if !block.torn {
                        block.bytes.extend_from_slice(&body);
                    }
                }
                if header.has(END_HEADERS) {
                    self.section(direction, at);
                }
            }
            DATA => {
                let padding = body.first().map_or(0, |padding| usize::from(*padding) + 1);
                let length = header.length.saturating_sub(padding) as u64;
                self.transferred(direction, header.stream, length, at);
                if header.has(END_STREAM) {
                    self.whole(direction, header.stream);
                }
            }
            RST_STREAM => {
                let code = body.first_chunk().map(|code| u32::from_be_bytes(*code));
                self.end_stream(direction, header.stream, code, at);
            }
            GOAWAY => {
                let (last, code) = match body.as_chunks::<4>().0 {
                    [last, code, ..] => (u32::from_be_bytes(*last), u32::from_be_bytes(*code)),
                    _ => return,
                };
                self.goaway = self.goaway.or((code != 0).then_some(code));
                // What the server has not begun is safe to try again (section 6.8).
                if direction != self.requests {
                    let refused: Vec<u32> =
                        self.streams.range(last & 0x7fff_ffff..).map(|(id, _)| *id).collect();
                    for stream in refused.into_iter().filter(|id| *id > last & 0x7fff_ffff && id % 2 == 1) {
                        self.end_stream(direction, stream, Some(REFUSED_STREAM), at);
                    }
                }
            }
            _ => {}
        }
    }

    /// A field section has ended.
    fn section(&mut self, direction: Direction, at: PacketRef) {
        let half = &mut self.halves[direction.index()];
        let Some(block) = half.block.take() else {
            // Its beginning was missed.
            return half.sections.miss();
        };
        if block.torn {
            half.sections.miss();
        }
        let section = half.sections.decode(&block.bytes);
        match direction == self.requests || block.promise {
            true => self.request(&block, section, at),
            false => self.response(&block, section, at),
        }
        if block.ends_stream || block.promise {
            self.whole(if block.promise { self.requests } else { direction }, block.stream);
        }
    }

    fn request(&mut self, block: &Block, section: Option<Section>, at: PacketRef) {
        if let Some(stream) = self.streams.get_mut(&block.stream) {
            // Trailers.
            stream.exchange.request_end = Some(at);
            return;
        }
        if !self.begins(block.stream) {
            return;
        }
        let unheard = section.is_none();
        let section = section.unwrap_or_default();
        let exchange = Exchange {
            method: section.method,
            target: section.path,
            host: section.authority,
            via: section.via,
            forwarded_for: section.forwarded_for,
            request: Some(block.began),
            request_end: Some(at),
            unheard,
            ..self.next()
        };
        self.open(block.stream, Stream { exchange, request_open: true, response_open: true });
    }

    fn response(&mut self, block: &Block, section: Option<Section>, at: PacketRef) {
        if !self.streams.contains_key(&block.stream) {
            if !self.begins(block.stream) {
                return;
            }
            // Its request was not captured.
            let exchange = Exchange { unheard: true, ..self.next() };
            self.open(block.stream, Stream { exchange, request_open: false, response_open: true });
        }
        let Some(Stream { exchange, .. }) = self.streams.get_mut(&block.stream) else { return };
        let Some(section) = section else {
            exchange.unheard = true;
            exchange.response.get_or_insert(block.began);
            exchange.response_end = Some(at);
            return;
        };
        let before = exchange.held();
        match section.status {
            Some(status) if (100..200).contains(&status) => {
                exchange.interim += 1;
                return;
            }
            Some(status) if exchange.status.is_none() => {
                (exchange.status, exchange.announced) = (Some(status), section.content_length);
                (exchange.server, exchange.response_via) = (section.server, section.via);
                exchange.content_type = section.content_type;
                exchange.response = Some(block.began);
            }
            _ => {}
        }
        exchange.grpc_status = section.grpc_status.or(exchange.grpc_status);
        exchange.response_end = Some(at);
        self.finished.hold(exchange.held().saturating_sub(before));
    }

    /// The stream is a new one.
    fn begins(&mut self, stream: u32) -> bool {
        let highest = &mut self.highest[usize::from(stream.is_multiple_of(2))];
        let new = stream > *highest;
        *highest = (*highest).max(stream);
        new
    }

    fn next(&mut self) -> Exchange {
        self.depth = self.depth.saturating_add(1);
        Exchange { depth: self.depth, version: 2, ..Exchange::default() }
    }

    fn open(&mut self, id: u32, stream: Stream) {
        self.finished.hold(stream.exchange.held());
        self.streams.insert(id, stream);
        if self.streams.len() > MAX_STREAMS
            && let Some((_, mut oldest)) = self.streams.pop_first()
        {
            oldest.exchange.unheard = true;
            self.finish(oldest.exchange);
        }
    }

    /// Octets of a body.
    fn transferred(&mut self, direction: Direction, stream: u32, length: u64, at: PacketRef) {
        let Some(Stream { exchange, .. }) = self.streams.get_mut(&stream) else { return };
        if direction == self.requests {
            (exchange.request_bytes, exchange.request_end) = (exchange.request_bytes + length, Some(at));
        } else {
            (exchange.response_bytes, exchange.response_end) = (exchange.response_bytes + length, Some(at));
        }
    }

    /// A side has said all on a stream.
    fn whole(&mut self, direction: Direction, id: u32) {
        let requests = direction == self.requests;
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if requests {
            (stream.request_open, stream.exchange.request_whole) = (false, true);
        } else {
            (stream.response_open, stream.exchange.response_whole) = (false, true);
        }
        if !stream.request_open
            && !stream.response_open
            && let Some(stream) = self.streams.remove(&id)
        {
            self.finish(stream.exchange);
        }
    }

    /// `direction` ends a stream with a code, before it is whole or after.
    fn end_stream(&mut self, direction: Direction, id: u32, code: Option<u32>, at: PacketRef) {
        let Some(Stream { mut exchange, .. }) = self.streams.remove(&id) else { return };
        if !exchange.response_whole {
            let direction = if self.is_reversed() { direction.reverse() } else { direction };
            exchange.closed = Some(Closing { at, direction, reset: true, other_ttl: false });
            exchange.error = code;
            exchange.unheard |= self.is_lost(self.requests.reverse());
        }
        self.finish(exchange);
    }

    fn finish(&mut self, exchange: Exchange) {
        self.finished.push(exchange, self.clock);
    }

    /// Exchanges that are finished and not handed over.
    pub fn waiting(&self) -> &[Exchange] {
        self.finished.waiting()
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
        let lost = self.is_lost(self.requests.reverse());
        for mut stream in std::mem::take(&mut self.streams).into_values() {
            if !stream.exchange.response_whole {
                stream.exchange.closed = closing;
                stream.exchange.error = self.goaway;
                stream.exchange.unheard |= lost;
            }
            self.finish(stream.exchange);
        }
        self.finished.all()
    }
}

/// A payload without its padding (RFC 9113 section 6.1).
fn unpadded(body: &[u8], padded: bool) -> Option<&[u8]> {
    if !padded {
        return Some(body);
    }
    let (&padding, rest) = body.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(padding))?)
}

#[cfg(test)]
mod tests;
