//! Zeek's `history` and `conn_state` of a connection, with Zeek's letters and meanings.

use crate::dissect::Direction;

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

/// Zeek's `conn_state` (base/protocols/conn).
pub(super) fn conn_state(seen: Ending) -> &'static str {
    let Ending { syn, syn_ack, established, fin: [client_fin, server_fin], rst: [client_rst, server_rst] } =
        seen;
    if established {
        return match (client_rst, server_rst, client_fin, server_fin) {
            (_, _, true, true) => "SF",
            (true, _, _, _) => "RSTO",
            (_, true, _, _) => "RSTR",
            (_, _, true, false) => "S2",
            (_, _, false, true) => "S3",
            _ => "S1",
        };
    }
    match (syn, syn_ack) {
        (true, false) if server_rst => "REJ",
        (true, false) if client_rst => "RSTOS0",
        (true, false) if client_fin => "SH",
        (true, false) => "S0",
        (false, true) if server_rst => "RSTRH",
        (false, true) if server_fin => "SHR",
        (true, true) if server_rst => "RSTR",
        (true, true) if client_rst => "RSTO",
        (true, true) => "S1",
        _ => "OTH",
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
        assert_eq!(conn_state(base), "S0");
        assert_eq!(conn_state(Ending { rst: [false, true], ..base }), "REJ");
        let open = Ending { syn_ack: true, established: true, ..base };
        assert_eq!(conn_state(open), "S1");
        assert_eq!(conn_state(Ending { fin: [true, true], ..open }), "SF");
        assert_eq!(conn_state(Ending { rst: [true, false], ..open }), "RSTO");
        assert_eq!(conn_state(Ending::default()), "OTH");
    }
}
