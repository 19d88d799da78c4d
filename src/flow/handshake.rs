//! The three-way handshake (RFC 9293 section 3.5) as the capture shows it, and what became of it.

use crate::dissect::{Direction, PacketRef};
use crate::dissect::{Seq, Tcp};
use crate::flow::{Handshake, HandshakeOutcome};

/// Follows one handshake.
#[derive(Debug, Default)]
pub(super) struct Opening {
    pub(super) seen: Handshake,
    pub(super) client_isn: Option<Seq>,
    pub(super) server_isn: Option<Seq>,
    /// What the first SYN-ACK acknowledged, or the RST in its place.
    pub(super) answers: Option<Seq>,
    /// SYNs after the first SYN-ACK, SYN-ACKs after the client's ACK.
    syn_after_reply: u32,
    reply_after_ack: u32,
    /// The client sent something other than SYN or RST.
    client_went_on: bool,
    /// The server sent data or a FIN, or shows that it got what the client sent after its SYN.
    server_went_on: bool,
    /// The last time stamps of the client: of its SYNs, and of what followed them.
    stamps: [Option<Seq>; 2],
    refused: bool,
    /// A RST that refuses a SYN which is not recorded yet (RFC 9293 section 3.10.7.1).
    early_refusal: Option<PacketRef>,
    aborted: bool,
    unreachable: bool,
}

impl Opening {
    /// Both sides are known to have opened the connection.
    pub(super) fn is_established(&self) -> bool {
        self.seen.ack.is_some()
            || self.server_went_on
            || (self.seen.syn_ack_count == 0 && self.client_went_on)
    }

    /// The opening was seen, at least in part.
    pub(super) fn is_seen(&self) -> bool {
        self.seen.syn_count > 0 || self.seen.syn_ack_count > 0
    }

    /// A SYN of the client.
    pub(super) fn syn(&mut self, tcp: &Tcp, at: PacketRef) {
        self.client_isn.get_or_insert(tcp.seq);
        self.stamps[0] = tcp.options.timestamps.map(|(value, _)| Seq(value)).or(self.stamps[0]);
        if self.seen.syn_count == 0 {
            self.seen.syn_window = tcp.window;
        }
        self.seen.syn_count += 1;
        if self.seen.syns.len() < Handshake::MAX_REPEATS {
            // Most connections have one.
            self.seen.syns.reserve_exact(1);
            self.seen.syns.push(at);
        }
        self.seen.options[0].get_or_insert(tcp.options);
        if let Some(at) = self.early_refusal.filter(|_| self.answers == Some(tcp.seq.plus(1))) {
            self.refused = true;
            self.seen.answer.get_or_insert(at);
        }
        self.syn_after_reply += u32::from(self.seen.syn_ack_count > 0);
    }

    /// A SYN-ACK of another responder, as behind a balancer that sent the repeated SYN to it: the client has
    /// taken the first one, and goes on with that.
    pub(super) fn is_too_late(&mut self, tcp: &Tcp) -> bool {
        let differs = self.server_isn.is_some_and(|isn| isn != tcp.seq) && self.is_established();
        self.seen.syn_acks_differ |= differs;
        differs
    }

    /// A SYN-ACK of the server. True when it begins another sequence than the one before it.
    pub(super) fn syn_ack(&mut self, tcp: &Tcp, at: PacketRef) -> bool {
        let differs = self.server_isn.is_some_and(|isn| isn != tcp.seq);
        self.seen.syn_acks_differ |= differs;
        self.server_isn = Some(tcp.seq);
        self.answers.get_or_insert(tcp.ack);
        self.seen.syn_ack_count += 1;
        if self.seen.syn_ack_count == 1 {
            let first = self.seen.syns.first();
            self.seen.connect_time = first.map(|syn| at.time - syn.time);
            self.seen.server_rtt = self.seen.syns.last().map(|syn| at.time - syn.time);
        }
        if self.seen.syn_acks.len() < Handshake::MAX_REPEATS {
            self.seen.syn_acks.reserve_exact(1);
            self.seen.syn_acks.push(at);
        }
        self.seen.options[1] = Some(tcp.options);
        self.reply_after_ack += u32::from(self.seen.ack.is_some());
        differs
    }

    /// Any other segment.
    pub(super) fn segment(&mut self, direction: Direction, tcp: &Tcp, length: u32, at: PacketRef) {
        let (rst, ack) = (tcp.flags.rst(), tcp.flags.ack());
        match direction {
            Direction::ToServer => {
                // Before its first ACK a client gets what its SYN's window takes, which is never scaled (RFC
                // 7323 section 2.2). Anything further is of another connection.
                let answers = self.server_isn.is_some_and(|isn| {
                    let within = self.server_went_on || !tcp.ack.after(isn.plus(1 << 16));
                    tcp.ack.after(isn) && within
                });
                if rst {
                    self.aborted |= self.seen.syn_ack_count > 0 && self.seen.ack.is_none();
                    if self.aborted {
                        self.seen.answer.get_or_insert(at);
                    }
                    return;
                }
                self.client_went_on = true;
                self.stamps[1] = tcp.options.timestamps.map(|(value, _)| Seq(value)).or(self.stamps[1]);
                if ack && answers && self.seen.ack.is_none() {
                    self.seen.ack = Some(at);
                    self.seen.client_rtt = self.seen.syn_acks.last().map(|reply| at.time - reply.time);
                }
            }
            Direction::ToClient => {
                if rst {
                    if self.seen.syn_count > 0 && self.seen.syn_ack_count == 0 && !self.client_went_on {
                        self.refused = true;
                        self.seen.answer.get_or_insert(at);
                        let acknowledges = self.client_isn.is_none_or(|isn| ack && tcp.ack.after(isn));
                        self.seen.refusal_ignored = !acknowledges;
                    }
                    if !self.is_seen() && !self.client_went_on && tcp.flags.ack() && tcp.seq.0 == 0 {
                        // The recorder may put it before its SYN.
                        self.answers.get_or_insert(tcp.ack);
                        self.early_refusal.get_or_insert(at);
                    }
                    return;
                }
                if self.is_challenge(direction, tcp) {
                    self.seen.challenge.get_or_insert(at);
                    self.seen.answer.get_or_insert(at);
                    return;
                }
                let expected = self.client_isn.map(|isn| isn.plus(1));
                let beyond = expected.is_some_and(|isn| tcp.ack.after(isn) || self.tells_of_more(tcp, isn));
                self.server_went_on |=
                    length > 0 || tcp.flags.fin() || (ack && beyond && self.client_went_on);
            }
        }
    }

    /// A segment of the server that acknowledges no byte of the client, and shows that it got a segment after
    /// the SYN: it has bytes behind a hole (RFC 2018 section 3), or echoes a time stamp that no SYN had (RFC
    /// 7323 section 4.3).
    fn tells_of_more(&self, tcp: &Tcp, first: Seq) -> bool {
        let holds = tcp.options.sack_blocks().iter().any(|(_, end)| end.after(first));
        let echo = tcp.options.timestamps.map(|(_, echo)| Seq(echo));
        let later = |echo: Seq| match self.stamps {
            [Some(asked), Some(told)] => echo.after(asked) && !echo.after(told),
            _ => false,
        };
        holds || echo.is_some_and(later)
    }

    /// The answer to a SYN by a host that has another connection on these ports: its numbers are of that one
    /// (RFC 9293 section 3.10.7.4, RFC 5961 section 4).
    pub(super) fn is_challenge(&self, direction: Direction, tcp: &Tcp) -> bool {
        direction == Direction::ToClient
            && self.seen.syn_ack_count == 0
            && self.seen.syn_count > 0
            && !self.client_went_on
            && tcp.flags.ack()
            && !tcp.flags.syn()
            && !tcp.flags.rst()
            && self.client_isn.is_some_and(|isn| tcp.ack != isn.plus(1))
    }

    /// An ICMP error quotes the client's SYN.
    pub(super) fn unreachable(&mut self) {
        self.unreachable |= self.seen.syn_ack_count == 0;
    }

    /// Data of the client was never acknowledged although the server went on repeating its SYN-ACK.
    pub(super) fn finish(mut self) -> Handshake {
        self.seen.outcome = self.outcome();
        self.seen
    }

    fn outcome(&self) -> HandshakeOutcome {
        if self.seen.syn_count == 0 {
            return match self.seen.ack {
                Some(_) => HandshakeOutcome::Established,
                None => HandshakeOutcome::Midstream,
            };
        }
        if self.seen.syn_ack_count == 0 {
            return match () {
                () if self.refused => HandshakeOutcome::Refused,
                () if self.seen.challenge.is_some() => HandshakeOutcome::ChallengeAck,
                () if self.client_went_on || self.server_went_on => HandshakeOutcome::ReplyUnseen,
                () if self.unreachable => HandshakeOutcome::Unreachable,
                () => HandshakeOutcome::Silent,
            };
        }
        if self.aborted && self.seen.ack.is_none() {
            return HandshakeOutcome::Aborted;
        }
        if self.seen.ack.is_some() {
            return match self.reply_after_ack {
                0 | 1 => HandshakeOutcome::Established,
                _ if self.server_went_on => HandshakeOutcome::Established,
                _ => HandshakeOutcome::AckLost,
            };
        }
        if self.server_went_on {
            HandshakeOutcome::Established
        } else if self.syn_after_reply > 0 && !self.client_went_on {
            HandshakeOutcome::ReplyLost
        } else {
            HandshakeOutcome::HalfOpen
        }
    }
}
