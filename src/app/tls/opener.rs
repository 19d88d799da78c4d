//! Opens the encrypted records of a session whose secrets are known.
//!
//! A record opens under the keys in force, under those that can follow them, or not at all: its tag proves
//! which. So nobody has to know where keys change. Whoever fails where a record should have opened stops:
//! what follows is counted.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::app::tls::cbc::{CbcKeys, CbcSuite};
use crate::app::tls::record::Record;
use crate::app::tls::schedule::{RecordKeys, Suite, TAG};
use crate::app::tls::session::TLS13;
use crate::capture::{Keys, Label, Random, Secret};
use crate::dissect::{Direction, PacketRef};

/// Records of a direction that no key opened before one did: early data, and what the server passes over.
const MOST_FAILED: u32 = 32;

/// TLS 1.2.
const TLS12: u16 = 0x0303;
/// Number of its extension.
const ENCRYPT_THEN_MAC: [u8; 2] = [0, 22];

/// Why a record was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sealed {
    /// The secret for it is not at hand.
    NoKeys,
    /// Its cipher suite is none with AES-GCM or ChaCha20-Poly1305, and none with AES-CBC of TLS 1.2.
    Suite,
    /// Bytes are missing in front of it or in it: nobody knows which record it is.
    Gap,
    /// No key at hand opens it: it may be damaged.
    NoKeyFits,
    /// What a client sends before the server has answered (RFC 8446 section 2.3), whose keys are not kept.
    EarlyData,
}

impl Sealed {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoKeys => "no_keys",
            Self::Suite => "suite",
            Self::Gap => "gap",
            Self::NoKeyFits => "no_key_fits",
            Self::EarlyData => "early_data",
        }
    }

    /// Why certificates of TLS 1.3 behind it cannot be judged.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoKeys => "TLS 1.3 encrypts the certificates, and the keys at hand are of other sessions",
            Self::Suite => "TLS 1.3 encrypts the certificates with a cipher suite that is not opened",
            Self::Gap => "bytes of the handshake are missing: what follows them was not opened",
            Self::NoKeyFits | Self::EarlyData => {
                "TLS 1.3 encrypts the certificates, and no key at hand opens them"
            }
        }
    }
}

/// What keys opened of a session, by direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Records, or packets of QUIC, that were opened.
    pub records: [u64; 2],
    /// Encrypted records that were not.
    pub sealed: [u64; 2],
    /// Why the first of those was not.
    pub why: [Option<Sealed>; 2],
    /// The last encrypted record was opened.
    pub last: [bool; 2],
    /// HTTP was read inside.
    pub http: bool,
}

impl Opened {
    /// Why some record was not opened; `None` when all were.
    pub fn why(&self) -> Option<Sealed> {
        self.why.iter().flatten().copied().min()
    }
}

/// What stands inside application data.
#[derive(Clone, PartialEq, Eq)]
pub struct Plain {
    /// Who sent it.
    pub direction: Direction,
    /// The packet that completed its record.
    pub at: PacketRef,
    /// The octets.
    pub octets: Octets,
}

/// Octets, or how many are not known.
#[derive(Clone, PartialEq, Eq)]
pub enum Octets {
    /// These.
    Known(Vec<u8>),
    /// So many, unless the record was padded.
    Missing(u64),
}

/// Opens the records of one session.
#[derive(Clone)]
pub(super) struct Opener {
    keys: Keys,
    /// Of the last ClientHello and ServerHello.
    randoms: [Option<Random>; 2],
    /// Both agreed to encrypt first and authenticate then, with AES-CBC.
    encrypts_first: bool,
    /// The client resumes a session, as early data needs (RFC 8446 section 4.2.10).
    pub(super) may_be_early: bool,
    sides: [Side; 2],
    pub(super) opened: Opened,
    plain: Vec<Plain>,
}

/// One direction.
#[derive(Clone, Default)]
struct Side {
    epoch: Option<Box<Epoch>>,
    /// Number of the next record under these keys.
    sequence: u64,
    failed: u32,
    /// Part of a record is missing since these keys are in force.
    torn: bool,
    stopped: bool,
}

/// Keys in force.
#[derive(Clone)]
struct Epoch {
    keys: Protection,
    /// What follows them is derived from it, in TLS 1.3.
    secret: Secret,
    stage: Stage,
}

#[derive(Clone)]
enum Protection {
    Aead(RecordKeys),
    Cbc(CbcKeys),
}

impl Protection {
    fn open(&self, sequence: u64, kind: u8, body: &mut Vec<u8>) -> bool {
        match self {
            Self::Aead(keys) => keys.open(sequence, kind, body),
            Self::Cbc(keys) => keys.open(sequence, kind, body),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Handshake,
    Traffic,
}

/// Keys and what they open are never shown.
impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("opened", &self.opened).finish_non_exhaustive()
    }
}

impl Opener {
    pub(super) fn new(keys: Keys) -> Self {
        let (randoms, encrypts_first, may_be_early, sides) = Default::default();
        Self {
            keys,
            randoms,
            encrypts_first,
            may_be_early,
            sides,
            opened: Opened::default(),
            plain: Vec::new(),
        }
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn held(&self) -> usize {
        let plain = |plain: &Plain| match &plain.octets {
            Octets::Known(octets) => octets.len(),
            Octets::Missing(_) => 0,
        };
        size_of::<Self>() + 2 * (size_of::<Epoch>() + 1024) + self.plain.iter().map(plain).sum::<usize>()
    }

    /// Some record of this direction may yet be opened.
    pub(super) fn is_open(&self, direction: Direction) -> bool {
        !self.sides[direction.index()].stopped
    }

    /// A ClientHello (1) or ServerHello (2): two octets of version, then the random.
    pub(super) fn hello(&mut self, kind: u8, body: &[u8]) {
        let random = body.get(2..).and_then(|rest| rest.first_chunk()).copied();
        self.randoms[usize::from(kind == 2)] = random;
        if kind == 2 {
            self.encrypts_first = encrypts_first(body);
        }
    }

    /// A ChangeCipherSpec of TLS 1.2: other keys begin, and their records are counted from 0.
    pub(super) fn change(&mut self, direction: Direction) {
        self.sides[direction.index()] = Side::default();
    }

    /// An encrypted record that is not whole.
    pub(super) fn torn(&mut self, direction: Direction, record: &Record) {
        let side = &mut self.sides[direction.index()];
        side.sequence += 1;
        side.torn = true;
        self.refuse(direction, record, Sealed::Gap);
    }

    /// Nobody knows where the next record of this direction begins; `length` bytes are missing.
    pub(super) fn lose(&mut self, direction: Direction, length: u64, at: PacketRef) {
        let index = direction.index();
        if !std::mem::replace(&mut self.sides[index].stopped, true) {
            self.opened.why[index].get_or_insert(Sealed::Gap);
        }
        self.opened.last[index] = false;
        if self.opened.records[index] > 0 {
            self.plain.push(Plain { direction, at, octets: Octets::Missing(length) });
        }
    }

    /// Opens a whole record in place and says what it holds; `None` leaves it as it is. `chosen` are version
    /// and suite in force, unless nobody has chosen them yet.
    pub(super) fn open(
        &mut self,
        direction: Direction,
        chosen: Option<(u16, u16)>,
        record: &mut Record,
    ) -> Option<u8> {
        let index = direction.index();
        let opened = match chosen {
            _ if self.sides[index].stopped => Err(self.opened.why[index].unwrap_or(Sealed::NoKeyFits)),
            // Early data comes before anything was chosen.
            None if self.may_be_early && direction == Direction::ToServer => Err(Sealed::EarlyData),
            None => Err(Sealed::NoKeyFits),
            Some((version, cipher)) => match (version, Suite::of(cipher), CbcSuite::of(cipher)) {
                (TLS13, Some(suite), _) => self.open_13(direction, suite, record),
                (TLS12, Some(_), _) | (TLS12, _, Some(_)) => self.open_12(direction, cipher, record),
                _ => {
                    self.sides[index].stopped = true;
                    Err(Sealed::Suite)
                }
            },
        };
        match opened {
            Ok(kind) => {
                self.opened.records[index] += 1;
                self.opened.last[index] = true;
                Some(kind)
            }
            Err(why) => {
                self.refuse(direction, record, why);
                None
            }
        }
    }

    fn refuse(&mut self, direction: Direction, record: &Record, why: Sealed) {
        let index = direction.index();
        self.opened.sealed[index] += 1;
        self.opened.why[index].get_or_insert(why);
        self.opened.last[index] = false;
        // Before any was opened there is nothing that this could be a hole in.
        if self.opened.records[index] > 0 {
            let octets = Octets::Missing(record.length.saturating_sub(TAG + 1) as u64);
            self.plain.push(Plain { direction, at: record.at, octets });
        }
    }

    fn open_13(&mut self, direction: Direction, suite: Suite, record: &mut Record) -> Result<u8, Sealed> {
        let index = direction.index();
        let kind = record.kind;
        let side = &mut self.sides[index];
        if let Some(epoch) = &side.epoch
            && epoch.keys.open(side.sequence, kind, &mut record.body)
        {
            side.sequence += 1;
            return inner(&mut record.body).ok_or(Sealed::NoKeyFits);
        }
        let in_force = self.sides[index].epoch.as_deref();
        let stages: &[Stage] = match in_force {
            None => &[Stage::Handshake, Stage::Traffic],
            Some(_) => &[Stage::Traffic],
        };
        let mut known = false;
        for stage in stages {
            let Some(epoch) = self.next(direction, suite, *stage, in_force, record.at) else { continue };
            known = true;
            // Records that were torn before the first keys are theirs.
            let first = if in_force.is_none() { self.sides[index].sequence } else { 0 };
            if epoch.keys.open(first, kind, &mut record.body) {
                let epoch = Some(Box::new(epoch));
                self.sides[index] = Side { epoch, sequence: first + 1, ..Side::default() };
                return inner(&mut record.body).ok_or(Sealed::NoKeyFits);
            }
        }
        Err(self.failed(direction, known))
    }

    /// The keys that follow those in force.
    fn next(
        &self,
        direction: Direction,
        suite: Suite,
        stage: Stage,
        in_force: Option<&Epoch>,
        at: PacketRef,
    ) -> Option<Epoch> {
        let secret = match in_force {
            Some(epoch) if epoch.stage == Stage::Traffic => RecordKeys::updated(suite, &epoch.secret),
            _ => {
                let label = match (stage, direction) {
                    (Stage::Handshake, Direction::ToServer) => Label::ClientHandshake,
                    (Stage::Handshake, Direction::ToClient) => Label::ServerHandshake,
                    (Stage::Traffic, Direction::ToServer) => Label::ClientTraffic,
                    (Stage::Traffic, Direction::ToClient) => Label::ServerTraffic,
                };
                self.keys.secret(label, self.randoms[0].as_ref()?, at.packet)?
            }
        };
        let keys = Protection::Aead(RecordKeys::of_traffic(suite, &secret)?);
        Some(Epoch { keys, secret, stage })
    }

    fn open_12(&mut self, direction: Direction, cipher: u16, record: &mut Record) -> Result<u8, Sealed> {
        let index = direction.index();
        if self.sides[index].epoch.is_none() {
            let Some(keys) = self.keys_12(direction, cipher, record.at) else {
                return Err(self.failed(direction, false));
            };
            let epoch = Epoch { keys, secret: Zeroizing::default(), stage: Stage::Traffic };
            self.sides[index].epoch = Some(Box::new(epoch));
        }
        let side = &mut self.sides[index];
        let number = side.sequence;
        side.sequence += 1;
        let epoch = side.epoch.as_ref();
        match epoch.is_some_and(|epoch| epoch.keys.open(number, record.kind, &mut record.body)) {
            true => Ok(record.kind),
            false => Err(self.failed(direction, true)),
        }
    }

    fn keys_12(&self, direction: Direction, cipher: u16, at: PacketRef) -> Option<Protection> {
        let [client, server] = self.randoms;
        let (client, server) = client.zip(server)?;
        let (master, randoms) = (self.keys.secret(Label::Master, &client, at.packet)?, [&client, &server]);
        if let Some(suite) = Suite::of(cipher) {
            return RecordKeys::of_master(suite, &master, randoms, direction).map(Protection::Aead);
        }
        let (suite, behind) = (CbcSuite::of(cipher)?, self.encrypts_first);
        CbcKeys::of_master(suite, &master, randoms, direction, behind).map(Protection::Cbc)
    }

    /// No key opened a record; `known`: there was one to try.
    fn failed(&mut self, direction: Direction, known: bool) -> Sealed {
        let side = &mut self.sides[direction.index()];
        side.failed += 1;
        // Under the keys in force every record opens.
        side.stopped |= side.epoch.is_some() || side.failed >= MOST_FAILED;
        match (known, side.torn) {
            (false, _) => Sealed::NoKeys,
            (true, true) => Sealed::Gap,
            (true, false) => Sealed::NoKeyFits,
        }
    }

    /// Application data that was opened.
    pub(super) fn inside(&mut self, direction: Direction, octets: Vec<u8>, at: PacketRef) {
        self.plain.push(Plain { direction, at, octets: Octets::Known(octets) });
    }

    /// What stood inside application data since the last call.
    pub(super) fn take_plain(&mut self) -> Vec<Plain> {
        std::mem::take(&mut self.plain)
    }

    /// No secret of any session is known at the first encrypted record: nobody asked to open anything.
    pub(super) fn is_idle(&self, at: PacketRef) -> bool {
        self.opened == Opened::default() && !self.keys.any_before(at.packet)
    }
}

/// A ServerHello has the extension of RFC 7366.
fn encrypts_first(hello: &[u8]) -> bool {
    let session = hello.get(34).map_or(0, |length| usize::from(*length));
    // Behind version, random, session ID, suite, compression and the length of all extensions.
    let mut rest = hello.get(34 + 1 + session + 2 + 1 + 2..).unwrap_or_default();
    while let Some((&[k0, k1, l0, l1], after)) = rest.split_first_chunk::<4>() {
        if [k0, k1] == ENCRYPT_THEN_MAC {
            return true;
        }
        rest = after.get(usize::from(u16::from_be_bytes([l0, l1]))..).unwrap_or_default();
    }
    false
}

/// RFC 8446 section 5.2: the content, its type, and zeros.
fn inner(body: &mut Vec<u8>) -> Option<u8> {
    let end = body.iter().rposition(|octet| *octet != 0)?;
    let kind = body.get(end).copied();
    body.truncate(end);
    kind
}

#[cfg(test)]
mod tests;
