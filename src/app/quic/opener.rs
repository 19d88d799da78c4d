//! Opens Handshake and 1-RTT packets of a connection whose secrets are known (RFC 9001 sections 5 and 6).
//!
//! Every packet has its number and opens alone, so that one that is missing costs nothing but itself. Its tag
//! proves which keys it is of: those in force, those that an update put in their place, or those that follow.

use crate::app::quic::protection::{HeaderKey, PacketKey, label};
use crate::app::quic::session::Space;
use crate::app::quic::version::Version;
use crate::app::tls::schedule::Suite;
use crate::app::tls::{Opened, Sealed};
use crate::capture::{Keys, Label, Random, Secret};
use crate::dissect::{Direction, PacketRef};

/// Packets of a direction in a row that no key opened, from which it is left alone.
const MOST_FAILED: u32 = 32;

/// What a packet is, as far as its header says.
pub(super) struct Asked<'p> {
    pub(super) direction: Direction,
    pub(super) space: Space,
    /// The whole packet.
    pub(super) packet: &'p [u8],
    /// Where its number stands.
    pub(super) number: usize,
    pub(super) at: PacketRef,
}

/// What was agreed on in the Initial packets.
#[derive(Clone, Copy)]
pub(super) struct Agreed {
    pub(super) version: &'static Version,
    /// Number of the cipher suite, when the server has chosen it.
    pub(super) cipher: Option<u16>,
    pub(super) random: Option<Random>,
}

/// Opens the packets of one connection.
pub(super) struct Opener {
    keys: Keys,
    sides: [Side; 2],
    pub(super) opened: Opened,
}

/// One direction.
#[derive(Default)]
struct Side {
    /// By packet number space: Handshake, 1-RTT.
    rows: [Option<Box<Row>>; 2],
    /// Packets since the last that was opened.
    failed: u32,
}

/// The packets of a space and what protects them.
struct Row {
    suite: Suite,
    header: HeaderKey,
    key: PacketKey,
    /// What follows the key is derived from it.
    secret: Secret,
    /// The bit of packets that the key is for, in 1-RTT packets.
    phase: bool,
    /// The key before, for packets that were late.
    former: Option<PacketKey>,
    /// The number behind the highest that was opened.
    next: u64,
}

impl Opener {
    pub(super) fn new(keys: Keys) -> Self {
        let (sides, opened) = Default::default();
        Self { keys, sides, opened }
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn held(&self) -> usize {
        let rows = self.sides.iter().flat_map(|side| &side.rows).flatten();
        size_of::<Self>() + rows.count() * (size_of::<Row>() + 3 * 1024)
    }

    /// Another connection begins.
    pub(super) fn begin_anew(&mut self) {
        (self.sides, self.opened) = Default::default();
    }

    /// No secret of any session is known at the first protected packet: nobody asked to open anything.
    pub(super) fn is_idle(&self, at: PacketRef) -> bool {
        self.opened == Opened::default() && !self.keys.any_before(at.packet)
    }

    /// A packet that stays closed.
    pub(super) fn refuse(&mut self, direction: Direction, why: Sealed) {
        let index = direction.index();
        self.opened.sealed[index] += 1;
        self.opened.why[index].get_or_insert(why);
        self.opened.last[index] = false;
    }

    /// The frames of a packet, when keys open it.
    pub(super) fn open(&mut self, asked: &Asked<'_>, agreed: Agreed) -> Option<Vec<u8>> {
        let index = asked.direction.index();
        let frames = match self.sides[index].failed {
            MOST_FAILED.. => Err(self.opened.why[index].unwrap_or(Sealed::NoKeyFits)),
            _ => self.frames(asked, agreed),
        };
        match frames {
            Ok(frames) => {
                self.sides[index].failed = 0;
                self.opened.records[index] += 1;
                self.opened.last[index] = true;
                Some(frames)
            }
            Err(why) => {
                self.sides[index].failed += 1;
                self.refuse(asked.direction, why);
                None
            }
        }
    }

    fn frames(&mut self, asked: &Asked<'_>, agreed: Agreed) -> Result<Vec<u8>, Sealed> {
        let place = usize::from(asked.space == Space::Data);
        let row = &mut self.sides[asked.direction.index()].rows[place];
        let row = match row {
            Some(row) => row,
            // Whoever has not seen the ServerHello does not know the suite.
            None => {
                let suite = Suite::of(agreed.cipher.ok_or(Sealed::Gap)?).ok_or(Sealed::Suite)?;
                let random = agreed.random.as_ref().ok_or(Sealed::Gap)?;
                let secret = self.keys.secret(asked.label(), random, asked.at.packet);
                let secret = secret.ok_or(Sealed::NoKeys)?;
                let fresh = Row::new(agreed.version, suite, secret).ok_or(Sealed::NoKeyFits)?;
                row.insert(Box::new(fresh))
            }
        };
        row.open(asked, agreed.version).ok_or(Sealed::NoKeyFits)
    }
}

impl Asked<'_> {
    fn label(&self) -> Label {
        match (self.space, self.direction) {
            (Space::Data, Direction::ToServer) => Label::ClientTraffic,
            (Space::Data, Direction::ToClient) => Label::ServerTraffic,
            (_, Direction::ToServer) => Label::ClientHandshake,
            (_, Direction::ToClient) => Label::ServerHandshake,
        }
    }
}

impl Row {
    fn new(version: &Version, suite: Suite, secret: Secret) -> Option<Self> {
        let header = HeaderKey::new(version, suite, &secret)?;
        let key = PacketKey::new(version, suite, &secret)?;
        Some(Self { suite, header, key, secret, phase: false, former: None, next: 0 })
    }

    fn open(&mut self, asked: &Asked<'_>, version: &Version) -> Option<Vec<u8>> {
        let header = self.header.header(asked.packet, asked.number)?;
        let number = header.number(self.next);
        let frames = if asked.space != Space::Data || header.phase() == self.phase {
            self.key.open(asked.packet, &header, number)?
        } else if let Some(former) = &self.former
            && let Some(frames) = former.open(asked.packet, &header, number)
        {
            frames
        } else {
            // RFC 9001 section 6.1: the key of headers stays.
            let secret = self.suite.updated(&self.secret, &label(version, "ku"));
            let key = PacketKey::new(version, self.suite, &secret)?;
            let frames = key.open(asked.packet, &header, number)?;
            self.former = Some(std::mem::replace(&mut self.key, key));
            (self.secret, self.phase) = (secret, !self.phase);
            frames
        };
        self.next = self.next.max(number + 1);
        Some(frames)
    }
}

#[cfg(test)]
mod tests;
