//! The secrets of TLS sessions: lines of a key log (draft-ietf-tls-keylogfile, the format of NSS's
//! SSLKEYLOGFILE), in a file beside the capture or in Decryption Secrets Blocks of it
//! (draft-ietf-opsawg-pcapng section 4.7).
//!
//! A block counts for the packets behind it, as it does for whoever reads a file once. So it changes nothing
//! how far the reader is ahead of those who ask.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// Secrets kept, of all sessions; a session of TLS 1.3 has four.
const MOST: usize = 1 << 18;

/// More than a line takes: a word of 31 octets, 32 and 48 octets in hexadecimal.
const LONGEST_LINE: usize = 256;

/// The random of a ClientHello, by which a session is known.
pub type Random = [u8; 32];

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Label {
    /// The master secret, before TLS 1.3.
    Master,
    /// Handshake records of the client in TLS 1.3.
    ClientHandshake,
    /// Handshake records of the server.
    ServerHandshake,
    /// The first records of the client behind the handshake.
    ClientTraffic,
    /// The first records of the server behind the handshake.
    ServerTraffic,
}

/// The words of the format, behind them QUIC's of before it took those of TLS. Others that it has are for
/// what is not read here: early data and exporters.
const LABELS: [(&str, Label); 9] = [
    ("CLIENT_RANDOM", Label::Master),
    ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", Label::ClientHandshake),
    ("SERVER_HANDSHAKE_TRAFFIC_SECRET", Label::ServerHandshake),
    ("CLIENT_TRAFFIC_SECRET_0", Label::ClientTraffic),
    ("SERVER_TRAFFIC_SECRET_0", Label::ServerTraffic),
    ("QUIC_CLIENT_HANDSHAKE_TRAFFIC_SECRET", Label::ClientHandshake),
    ("QUIC_SERVER_HANDSHAKE_TRAFFIC_SECRET", Label::ServerHandshake),
    ("QUIC_CLIENT_TRAFFIC_SECRET_0", Label::ClientTraffic),
    ("QUIC_SERVER_TRAFFIC_SECRET_0", Label::ServerTraffic),
];

/// Octets of a secret, cleared when they are given up.
pub type Secret = Zeroizing<Vec<u8>>;

/// The secrets of a capture set. Copies are of the same secrets, and what one learns all know.
#[derive(Clone, Default)]
pub struct Keys(Arc<RwLock<Store>>);

#[derive(Default)]
struct Store {
    secrets: BTreeMap<(Random, Label), Known>,
    /// The packets before the first of them.
    first: Option<u64>,
    /// Secrets that found no room.
    refused: u64,
}

struct Known {
    /// Ordinal of the last packet before it.
    after: u64,
    octets: Secret,
}

impl Keys {
    /// Takes the lines of a key log, which stands behind packet `after` of the set: how many secrets they
    /// have. Lines that have none are passed over.
    pub fn learn(&self, text: &[u8], after: u64) -> usize {
        let mut store = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let read = text.split(|octet| *octet == b'\n').filter_map(line);
        read.map(|(label, random, octets)| store.add((random, label), Known { after, octets })).count()
    }

    /// A secret of the session of `random`, when it stands before `packet`.
    pub fn secret(&self, label: Label, random: &Random, packet: u64) -> Option<Secret> {
        let store = self.store();
        let known = store.secrets.get(&(*random, label)).filter(|known| known.after < packet)?;
        Some(known.octets.clone())
    }

    /// Some secret of some session stands before `packet`.
    pub fn any_before(&self, packet: u64) -> bool {
        self.store().first.is_some_and(|first| first < packet)
    }

    /// Secrets that found no room.
    pub fn refused(&self) -> u64 {
        self.store().refused
    }

    /// A key log with all that is known of these sessions.
    pub fn lines(&self, randoms: &BTreeSet<Random>) -> Secret {
        let store = self.store();
        let wanted = || store.secrets.iter().filter(|((random, _), _)| randoms.contains(random));
        // At once, so that growing leaves no copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(wanted().count() * LONGEST_LINE));
        for ((random, label), known) in wanted() {
            if let Some((word, _)) = LABELS.iter().find(|(_, known)| known == label) {
                let octets = Zeroizing::new(HEXLOWER.encode(&known.octets));
                let parts = [word, " ", &HEXLOWER.encode(random), " ", octets.as_str(), "\n"];
                parts.iter().for_each(|part| text.extend_from_slice(part.as_bytes()));
            }
        }
        text
    }

    fn store(&self) -> RwLockReadGuard<'_, Store> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// The first that is said of a session counts.
    fn add(&mut self, key: (Random, Label), known: Known) {
        if self.secrets.len() >= MOST && !self.secrets.contains_key(&key) {
            self.refused += 1;
            return;
        }
        self.first = Some(self.first.map_or(known.after, |first| first.min(known.after)));
        self.secrets.entry(key).or_insert(known);
    }
}

/// What a line says: a word, the random and the secret in hexadecimal.
fn line(line: &[u8]) -> Option<(Label, Random, Secret)> {
    let mut words = line.trim_ascii().split(|octet| *octet == b' ').filter(|word| !word.is_empty());
    let first = words.next()?;
    let (_, label) = LABELS.iter().find(|(word, _)| word.as_bytes() == first)?;
    let random = HEXLOWER_PERMISSIVE.decode(words.next()?).ok()?.try_into().ok()?;
    let octets = Zeroizing::new(HEXLOWER_PERMISSIVE.decode(words.next()?).ok()?);
    // As long as the hash: SHA-256 or SHA-384; a master secret has 48 octets (RFC 5246 section 8.1).
    let fits = octets.len() == 48 || (octets.len() == 32 && *label != Label::Master);
    (fits && words.next().is_none()).then_some((*label, random, octets))
}

/// Secrets are never shown.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} secrets)", self.store().secrets.len())
    }
}

impl Serialize for Keys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let store = self.store();
        let all = store.secrets.iter();
        serializer.collect_seq(all.map(|(key, known)| (key, known.after, known.octets.as_slice())))
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut store = Store::default();
        for (key, after, octets) in Vec::<((Random, Label), u64, Vec<u8>)>::deserialize(deserializer)? {
            store.add(key, Known { after, octets: Zeroizing::new(octets) });
        }
        Ok(Self(Arc::new(RwLock::new(store))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(word: &str, random: u8, octets: &[u8]) -> String {
        format!("{word} {} {}", HEXLOWER.encode(&[random; 32]), HEXLOWER.encode(octets))
    }

    #[test]
    fn lines_are_read_and_what_is_none_is_passed_over() {
        let log = [
            "# a comment".to_owned(),
            text("CLIENT_RANDOM", 1, &[7; 48]) + "\r",
            text("SERVER_TRAFFIC_SECRET_0", 0xab, &[8; 32]).to_uppercase(),
            text("SERVER_TRAFFIC_SECRET_0", 2, &[9; 32]),
            text("SERVER_TRAFFIC_SECRET_0", 3, &[9; 31]),
            text("CLIENT_RANDOM", 3, &[9; 32]),
            text("EXPORTER_SECRET", 3, &[9; 32]),
            text("QUIC_CLIENT_TRAFFIC_SECRET_0", 4, &[9; 32]),
            text("CLIENT_TRAFFIC_SECRET_0", 3, &[9; 32]) + " more",
            "CLIENT_RANDOM zz zz".to_owned(),
        ];
        let keys = Keys::default();
        assert_eq!(keys.learn(log.join("\n").as_bytes(), 0), 4);
        assert_eq!(keys.secret(Label::ClientTraffic, &[4; 32], 1).as_deref(), Some(&vec![9; 32]));
        assert_eq!(keys.secret(Label::Master, &[1; 32], 1).as_deref(), Some(&vec![7; 48]));
        assert_eq!(keys.secret(Label::ServerTraffic, &[2; 32], 1).as_deref(), Some(&vec![9; 32]));
        assert_eq!(keys.secret(Label::ServerTraffic, &[3; 32], 1), None);
        assert!(!format!("{keys:?}").contains("07"), "{keys:?}");
    }

    #[test]
    fn a_secret_counts_for_the_packets_behind_it() {
        let keys = Keys::default();
        keys.learn(text("CLIENT_RANDOM", 1, &[7; 48]).as_bytes(), 10);
        assert_eq!((keys.any_before(10), keys.any_before(11)), (false, true));
        assert_eq!(keys.secret(Label::Master, &[1; 32], 10), None);
        assert!(keys.secret(Label::Master, &[1; 32], 11).is_some());
        // What is said again changes nothing.
        keys.learn(text("CLIENT_RANDOM", 1, &[8; 48]).as_bytes(), 20);
        assert_eq!(keys.secret(Label::Master, &[1; 32], 30).as_deref(), Some(&vec![7; 48]));
    }

    #[test]
    fn they_travel_and_are_written_again() {
        let (keys, wanted) = (Keys::default(), [[1; 32]].into());
        let line = text("CLIENT_RANDOM", 1, &[7; 48]) + "\n";
        keys.learn(line.as_bytes(), 5);
        keys.learn(text("CLIENT_RANDOM", 2, &[7; 48]).as_bytes(), 5);
        let bytes = postcard::to_stdvec(&keys).expect("encoded");
        let again: Keys = postcard::from_bytes(&bytes).expect("decoded");
        assert_eq!(*again.lines(&wanted), line.as_bytes());
        let all = again.lines(&[[1; 32], [2; 32]].into());
        assert_eq!((all.len(), all.capacity()), (2 * line.len(), 2 * LONGEST_LINE), "it never grew");
        assert!(!again.any_before(5) && again.any_before(6));
    }
}
