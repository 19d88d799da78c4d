//! `states`: one row per TCP connection and time that both its ends were in one state.

use super::shared::{FileIndex, word};
use super::{Column, Table, columns};
use crate::dissect::Direction;
use crate::flow::{Flow, FlowHead, Service, StatePeriod, TcpState};
use crate::time::Span;

/// Both ends of a connection in one state each. It holds all that it says, so that it can wait.
#[derive(Clone, Copy, Debug)]
pub struct StateRow<'a> {
    head: FlowHead,
    stream: Option<u32>,
    service: Option<Service>,
    /// When, and in which states.
    pub period: StatePeriod,
    /// Bytes of each side that no ACK had covered when the flow ended, when that is now.
    unacked: Option<[u32; 2]>,
    /// What each side was ready to take.
    window: Option<[Option<u32>; 2]>,
    files: Option<&'a FileIndex>,
}

impl<'a> StateRow<'a> {
    /// The periods of `flow`, in order.
    pub fn of(flow: &Flow, files: &'a FileIndex) -> impl Iterator<Item = Self> {
        let (head, stream, service) = (flow.head(), flow.stream, flow.service);
        let sides = flow.tcp.as_deref().map(|tcp| Direction::BOTH.map(|direction| tcp.side(direction)));
        let unacked = sides.map(|sides| sides.map(|side| side.in_flight));
        let window = sides.map(|sides| sides.map(|side| side.window));
        let periods = flow.states();
        let last = periods.last().map(|period| period.from);
        periods.into_iter().map(move |period| {
            let (unacked, window) = (unacked.filter(|_| Some(period.from) == last), window);
            let window = window.filter(|_| Some(period.from) == last);
            Self { head, stream, service, period, unacked, window, files: Some(files) }
        })
    }

    /// The same, to be kept beyond the files known now.
    pub fn without_files(self) -> StateRow<'static> {
        StateRow { files: None, ..self }
    }

    /// The same with the files that hold its packets.
    pub fn with_files<'f>(self, files: &'f FileIndex) -> StateRow<'f> {
        StateRow { files: Some(files), ..self }
    }

    /// What tells it from others: its flow, and the packet that began it.
    pub fn key(&self) -> (u64, u64) {
        (self.head.id, self.period.from.packet)
    }

    fn state(self, direction: Direction) -> Option<&'static str> {
        self.period.ends[direction.index()].map(|state: TcpState| word(&state))
    }

    fn duration(self) -> Option<Span> {
        self.period.until.map(|until| until - self.period.from.time)
    }

    fn unacked(self, direction: Direction) -> Option<u32> {
        self.unacked.map(|sides| sides[direction.index()])
    }

    fn window(self, direction: Direction) -> Option<u32> {
        self.window.and_then(|sides| sides[direction.index()])
    }
}

/// The table of connection states.
#[derive(Debug)]
pub struct States;

impl Table for States {
    const NAME: &'static str = "states";
    const DOC: &'static str = "One row per TCP connection and time that both its ends were in one state: \
        what `ss` would have said on the two hosts, as far as packets show it (RFC 9293 section 3.3.2). \
        SYNs that nobody answers are forgotten after 127 s, SYN-ACKs after 63 s, `time-wait` after 60 s, \
        as Linux does. By itself the command shows the connections that are there when the capture ends.";
    const BRIEF: &'static [&'static str] = &[
        "ts",
        "orig_state",
        "resp_state",
        "orig_unacked",
        "resp_unacked",
        "id.orig_h",
        "id.orig_p",
        "id.resp_h",
        "id.resp_p",
        "service",
        "frame",
    ];
    const COLUMNS: &'static [Column<Self>] = STATE;
    type Row<'a> = StateRow<'a>;
}

const STATE: &[Column<States>] = columns! { States:
    "ts" Time "when it began" = |row| row.period.from.time;
    "until" Time "when it ended; null when it lasted as long as the capture shows" = |row| row.period.until;
    "duration" F64 "how long it lasted, s; null when it did not end" = |row| row.duration();
    "flow_id" U64 "the flow, in flows" = |row| row.head.id;
    "tcp_stream" U32 "Wireshark's tcp.stream; null beyond limits.streams" = |row| row.stream;
    "id.orig_h" Text "client address" = |row| row.head.client.address;
    "id.orig_p" U16 "client port" = |row| row.head.client.port;
    "id.resp_h" Text "server address" = |row| row.head.server.address;
    "id.resp_p" U16 "server port" = |row| row.head.server.port;
    "service" Text "service recognised from content, null when none was"
        = |row| row.service.map(Service::name);
    "orig_state" Text "state of the client's end: syn-sent, syn-recv, established, fin-wait-1, fin-wait-2, \
        closing, close-wait, last-ack, time-wait; null when it has no connection"
        = |row| row.state(Direction::ToServer);
    "resp_state" Text "state of the server's end" = |row| row.state(Direction::ToClient);
    "orig_unacked" U32 "bytes of the client that no ACK covers at the end of the flow, what ss calls Send-Q; \
        null in earlier states" = |row| row.unacked(Direction::ToServer);
    "resp_unacked" U32 "the same of the server" = |row| row.unacked(Direction::ToClient);
    "orig_window" U32 "bytes that the client was ready to take at the end of the flow; 0 when its \
        application does not read, what ss shows as a full Recv-Q; null in earlier states and when the \
        scale is not known"
        = |row| row.window(Direction::ToServer);
    "resp_window" U32 "the same of the server" = |row| row.window(Direction::ToClient);
    "packet" U64 "ordinal of the packet that began it, over the capture set" = |row| row.period.from.packet;
    "file" Text "file of that packet" = |row| row.files.map(|files| files.file(row.period.from.packet));
    "frame" U64 "its frame number in its file"
        = |row| row.files.map(|files| files.frame(row.period.from.packet));
};
