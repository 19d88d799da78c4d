//! The packets that prove a finding.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detect::Merge;
use crate::dissect::PacketRef;
use crate::time::Timestamp;

/// What a packet is to a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The packet that a later one repeats.
    Original,
    /// The packet that made the sender send the one shown.
    Trigger,
    /// Data sent again.
    Retransmission,
    /// A duplicate observation.
    Copy,
    /// The first packet behind a hole.
    Gap,
    /// The last packet before a time without any.
    BeforeGap,
    /// The first packet after a time without any, or one that shows what is missing.
    AfterGap,
    /// A packet behind a hole that was never filled.
    BehindHole,
    /// It acknowledges bytes that the capture does not hold.
    AckOfUnseen,
    /// A packet of a direction whose other direction is not in the capture.
    OneWay,
    /// A packet of the way to the server.
    There,
    /// A packet of the way back.
    Back,
    /// An acknowledgement.
    Ack,
    /// An acknowledgement that asks for the same byte again.
    DuplicateAck,
    /// A SYN.
    Syn,
    /// A SYN-ACK.
    SynAck,
    /// A RST.
    Reset,
    /// A FIN.
    Fin,
    /// A segment with payload.
    Data,
    /// An announcement of a receive window of zero.
    ZeroWindow,
    /// A probe of a closed window.
    WindowProbe,
    /// The window opens again.
    WindowUpdate,
    /// The last packet before a connection was silent.
    BeforePause,
    /// The packet that broke the silence of a connection.
    AfterPause,
    /// Bytes that are no TLS.
    NotTls,
    /// The last packet before a side went silent.
    Last,
    /// A datagram that never arrived at its size.
    TooBig,
    /// A smaller datagram that arrived.
    Arrived,
    /// The bytes arrived at last.
    Resolved,
    /// An ICMP message.
    Icmp,
    /// The packet that an ICMP message quotes.
    Quoted,
    /// The same packet again, with a lower TTL.
    Lap,
    /// An ICMP echo request.
    EchoRequest,
    /// The answer to one.
    EchoReply,
    /// An ARP request or a neighbour solicitation.
    ArpRequest,
    /// An ARP reply or a neighbour advertisement.
    ArpReply,
    /// An IP fragment.
    Fragment,
    /// A packet that is earlier than the one before it.
    StepBack,
    /// A TLS ClientHello.
    ClientHello,
    /// A TLS ServerHello.
    ServerHello,
    /// A TLS Certificate message.
    Certificate,
    /// A TLS alert.
    Alert,
    /// A DNS query.
    Query,
    /// A DNS query sent again.
    Retry,
    /// A DNS or HTTP response.
    Response,
    /// A request.
    Request,
    /// A query of the resolver itself.
    UpstreamQuery,
    /// The response to it.
    UpstreamResponse,
}

impl Role {
    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        serde_variant::to_variant_name(&self).unwrap_or_default()
    }
}

/// One packet that proves something. File and frame are filled in by the report from the ordinal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Evidence {
    /// Ordinal of the packet over the whole set.
    pub packet: u64,
    /// Its capture time.
    pub time: Timestamp,
    /// What the packet is to the finding.
    pub role: Role,
    /// The fields that matter, in the field's words: `seq 1448, len 1448, DF`.
    pub fields: String,
}

impl Evidence {
    /// Packets cited per finding.
    pub const MOST: usize = 24;

    /// The packet `at`.
    pub fn new(at: PacketRef, role: Role, fields: impl Into<String>) -> Self {
        Self { packet: at.packet, time: at.time, role, fields: fields.into() }
    }
}

/// The packets of a few telling flows: those of lowest rank, then of lowest ordinal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EvidenceSample(BTreeMap<(i64, u64), Vec<Evidence>>);

impl EvidenceSample {
    /// Flows shown.
    const FLOWS: usize = 4;

    /// Shows `flow`'s packets when its rank is among the lowest; they are gathered only then.
    pub fn add<I: IntoIterator<Item = Evidence>>(
        &mut self,
        rank: i64,
        flow: u64,
        gather: impl FnOnce() -> I,
    ) {
        let full = self.0.len() >= Self::FLOWS;
        if full && self.0.last_key_value().is_some_and(|(last, _)| *last < (rank, flow)) {
            return;
        }
        self.0.entry((rank, flow)).or_default().extend(gather());
        self.cut();
    }

    fn cut(&mut self) {
        while self.0.len() > Self::FLOWS {
            self.0.pop_last();
        }
    }

    /// In packet order, as many as a finding cites; every flow shown has its share.
    pub fn evidence(&self) -> Vec<Evidence> {
        let share = Evidence::MOST / self.0.len().max(1);
        let mut evidence: Vec<Evidence> = Vec::new();
        for packets in self.0.values() {
            let mut packets = packets.clone();
            packets.sort();
            packets.dedup_by_key(|one| one.packet);
            evidence.extend(packets.into_iter().take(share));
        }
        evidence.sort();
        evidence.dedup_by_key(|one| one.packet);
        evidence
    }
}

impl Merge for EvidenceSample {
    fn absorb(&mut self, other: Self) {
        for (key, packets) in other.0 {
            self.0.entry(key).or_default().extend(packets);
        }
        self.cut();
    }
}
