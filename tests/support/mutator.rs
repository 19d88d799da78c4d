//! Damage: captures with bits, fields and records changed at random, the same for the same seed.

/// Numbers that look random: splitmix64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, or 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() % end.max(1) as u64) as usize
    }
}

/// Values at which lengths, counts and sequence numbers go wrong.
const EDGES: [u32; 12] =
    [0, 1, 4, 20, 0x7f, 0xff, 0x7fff, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/// Bytes at the start that stay, so that it is a capture at all.
const KEEP: usize = 28;

/// Where the records of a little-endian pcap begin, and where the last one ends.
fn records(bytes: &[u8]) -> Vec<usize> {
    let mut at = 24;
    let mut starts = vec![];
    while bytes.starts_with(&[0xd4, 0xc3, 0xb2, 0xa1]) && at + 16 <= bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().expect("four bytes")) as usize;
        starts.push(at);
        match at.checked_add(16 + length).filter(|end| *end <= bytes.len()) {
            Some(end) => at = end,
            None => return starts,
        }
    }
    starts.push(at);
    starts
}

/// Changes `bytes` in one to eight places.
pub fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(8) {
        if bytes.len() <= KEEP + 8 {
            return;
        }
        let at = KEEP + dice.below(bytes.len() - KEEP - 8);
        let edge = EDGES[dice.below(EDGES.len())];
        match dice.below(12) {
            0 | 1 => bytes[at] ^= 1 << dice.below(8),
            2 => bytes[at] = edge as u8,
            3 => bytes[at..at + 2].copy_from_slice(&(edge as u16).to_be_bytes()),
            4 => bytes[at..at + 4].copy_from_slice(&edge.to_be_bytes()),
            5 => bytes[at..at + 4].copy_from_slice(&edge.to_le_bytes()),
            6 => {
                let random = dice.roll().to_le_bytes();
                bytes[at..at + 8].copy_from_slice(&random);
            }
            7 => {
                let length = dice.below(64).min(bytes.len() - at);
                bytes.drain(at..at + length);
            }
            8 => {
                let length = dice.below(64).min(bytes.len() - at);
                let piece = bytes[at..at + length].to_vec();
                let to = KEEP + dice.below(bytes.len() - KEEP);
                bytes.splice(to..to, piece);
            }
            9 => bytes.truncate(at),
            kind => record(bytes, dice, kind == 10),
        }
    }
}

/// Moves a record to another place, or has it twice.
fn record(bytes: &mut Vec<u8>, dice: &mut Dice, twice: bool) {
    let starts = records(bytes);
    if starts.len() < 3 {
        return;
    }
    let (one, other) = (dice.below(starts.len() - 1), dice.below(starts.len() - 1));
    let range = starts[one]..starts[one + 1];
    let piece = bytes[range.clone()].to_vec();
    if twice {
        bytes.splice(starts[other]..starts[other], piece);
    } else if other < one {
        bytes.drain(range);
        bytes.splice(starts[other]..starts[other], piece);
    } else {
        bytes.splice(starts[other]..starts[other], piece);
        bytes.drain(range);
    }
}
