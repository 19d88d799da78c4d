//! Zeek's `history` and `conn_state` of a connection, with Zeek's letters and meanings.

use serde::{Deserialize, Serialize};

use crate::dissect::{Direction, TcpFlags};
use crate::flow::sender::Placed;
use crate::flow::sent::Segment;

/// Letters in order of appearance: upper case for the originator. `s` SYN, `h` SYN-ACK, `a` bare ACK, `d`
/// data, `f` FIN, `r` RST, `t` retransmission, `w` zero window, `g` gap, `i` inconsistent flags, `q` SYN with
/// FIN, `^` roles flipped. `t`, `w` and `g` appear at their 1st, 10th, 100th ... time, the others once.
#[derive(Debug, Default)]
pub(super) struct History {
    text: String,
    /// The letters that appeared, one bit each.
    seen: [u32; 2],
    /// How often those of [`COUNTED`] did.
    counts: [[u32; 3]; 2],
}

/// Letters that appear more than once.
const COUNTED: [u8; 3] = *b"twg";

impl History {
    pub(super) fn flipped(&mut self) {
        self.text.insert(0, '^');
    }

    /// The letters of a segment.
    pub(super) fn segment(
        &mut self,
        direction: Direction,
        flags: TcpFlags,
        segment: &Segment,
        placed: Placed,
    ) {
        let letters = [
            (b's', flags.is_syn()),
            (b'h', flags.is_syn_ack()),
            (b'i', flags.syn() && flags.rst()),
            (b'q', flags.syn() && flags.fin()),
            (b't', placed == Placed::Repeat),
            (b'd', segment.length > 0 && placed != Placed::Repeat),
            (b'a', flags.ack() && !segment.occupies() && !segment.rst),
            (b'f', flags.fin()),
            (b'r', flags.rst()),
        ];
        for (letter, _) in letters.iter().filter(|(_, applies)| *applies) {
            self.add(direction, *letter);
        }
    }

    pub(super) fn add(&mut self, direction: Direction, letter: u8) {
        let index = direction.index();
        let shown = match COUNTED.iter().position(|counted| *counted == letter) {
            Some(place) => {
                let count = &mut self.counts[index][place];
                *count = count.saturating_add(1);
                is_power_of_ten(*count)
            }
            None => {
                let bit = 1 << (letter & 31);
                let first = self.seen[index] & bit == 0;
                self.seen[index] |= bit;
                first
            }
        };
        if shown {
            let letter = if direction == Direction::ToServer { letter.to_ascii_uppercase() } else { letter };
            self.text.push(char::from(letter));
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

fn is_power_of_ten(mut count: u32) -> bool {
    while count >= 10 && count.is_multiple_of(10) {
        count /= 10;
    }
    count == 1
}

/// What `conn_state` is made from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ending {
    pub(super) syn: bool,
    pub(super) syn_ack: bool,
    pub(super) established: bool,
    /// FIN by client, by server.
    pub(super) fin: [bool; 2],
    /// RST by client, by server.
    pub(super) rst: [bool; 2],
}

/// Zeek's `conn_state` (base/protocols/conn). The client is Zeek's originator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ConnState {
    /// A SYN without an answer.
    S0,
    /// Established, not ended.
    S1,
    /// Established, the client closed, the server did not.
    S2,
    /// Established, the server closed, the client did not.
    S3,
    /// Established and closed by both.
    Sf,
    /// The SYN was answered with RST.
    Rej,
    /// Established, the client reset it.
    Rsto,
    /// The server reset it.
    Rstr,
    /// A SYN, then a RST of the client, and nothing of the server.
    Rstos0,
    /// A SYN-ACK, then a RST of the server, and no SYN.
    Rstrh,
    /// A SYN, then a FIN of the client, and nothing of the server.
    Sh,
    /// A SYN-ACK, then a FIN of the server, and no SYN.
    Shr,
    /// No SYN: it was running already.
    #[default]
    Oth,
}

impl ConnState {
    /// Zeek's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::S0 => "S0",
            Self::S1 => "S1",
            Self::S2 => "S2",
            Self::S3 => "S3",
            Self::Sf => "SF",
            Self::Rej => "REJ",
            Self::Rsto => "RSTO",
            Self::Rstr => "RSTR",
            Self::Rstos0 => "RSTOS0",
            Self::Rstrh => "RSTRH",
            Self::Sh => "SH",
            Self::Shr => "SHR",
            Self::Oth => "OTH",
        }
    }
}

pub(super) fn conn_state(seen: Ending) -> ConnState {
    let Ending { syn, syn_ack, established, fin: [client_fin, server_fin], rst: [client_rst, server_rst] } =
        seen;
    if established {
        return match (client_rst, server_rst, client_fin, server_fin) {
            (_, _, true, true) => ConnState::Sf,
            (true, _, _, _) => ConnState::Rsto,
            (_, true, _, _) => ConnState::Rstr,
            (_, _, true, false) => ConnState::S2,
            (_, _, false, true) => ConnState::S3,
            _ => ConnState::S1,
        };
    }
    match (syn, syn_ack) {
        (true, false) if server_rst => ConnState::Rej,
        (true, false) if client_rst => ConnState::Rstos0,
        (true, false) if client_fin => ConnState::Sh,
        (true, false) => ConnState::S0,
        (false, true) if server_rst => ConnState::Rstrh,
        (false, true) if server_fin => ConnState::Shr,
        (true, true) if server_rst => ConnState::Rstr,
        (true, true) if client_rst => ConnState::Rsto,
        (true, true) => ConnState::S1,
        _ => ConnState::Oth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_reads_as_zeek_writes_it() {
        let mut history = History::default();
        for (direction, letter) in
            [(Direction::ToServer, b's'), (Direction::ToClient, b'h'), (Direction::ToServer, b'a')]
        {
            history.add(direction, letter);
            history.add(direction, letter);
        }
        for _ in 0..10 {
            history.add(Direction::ToClient, b't');
        }
        assert_eq!(history.into_text(), "ShAtt");
    }

    #[test]
    fn states_follow_what_was_seen() {
        let base = Ending { syn: true, ..Ending::default() };
        assert_eq!(conn_state(base), ConnState::S0);
        assert_eq!(conn_state(Ending { rst: [false, true], ..base }), ConnState::Rej);
        let open = Ending { syn_ack: true, established: true, ..base };
        assert_eq!(conn_state(open), ConnState::S1);
        assert_eq!(conn_state(Ending { fin: [true, true], ..open }), ConnState::Sf);
        assert_eq!(conn_state(Ending { rst: [true, false], ..open }), ConnState::Rsto);
        assert_eq!(conn_state(Ending::default()), ConnState::Oth);
    }
}
