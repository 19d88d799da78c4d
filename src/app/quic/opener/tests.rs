use super::*;
use crate::dissect::Direction::{ToClient, ToServer};
use data_encoding::HEXLOWER;

const RANDOM: Random = [7; 32];
/// Octets of the ID in front of the number.
const ID: [u8; 8] = *b"a server";

/// A sender of 1-RTT packets.
struct Sender {
    version: &'static Version,
    suite: Suite,
    secret: Secret,
    header: HeaderKey,
    phase: bool,
}

impl Sender {
    fn new(version: u32, cipher: u16, octet: u8) -> Self {
        let version = Version::of(version).expect("read");
        let suite = Suite::of(cipher).expect("opened");
        let secret = Secret::new(vec![octet; length(cipher)]);
        let header = HeaderKey::new(version, suite, &secret).expect("a key");
        Self { version, suite, secret, header, phase: false }
    }

    fn update(&mut self) {
        self.secret = self.suite.updated(&self.secret, &label(self.version, "ku"));
        self.phase = !self.phase;
    }

    /// A packet whose number is written with so many octets.
    fn packet(&self, number: u64, octets: usize, frames: &[u8]) -> Vec<u8> {
        let first = 0x40 | u8::from(self.phase) << 2 | (octets as u8 - 1);
        let number_octets = &number.to_be_bytes()[8 - octets..];
        let header = crate::app::quic::protection::Header {
            octets: [&[first], ID.as_slice(), number_octets].concat(),
            number: 1 + ID.len(),
        };
        let key = PacketKey::new(self.version, self.suite, &self.secret).expect("a key");
        key.seal(&self.header, &header, number, frames).expect("sealed")
    }
}

fn length(cipher: u16) -> usize {
    if cipher == 0x1302 { 48 } else { 32 }
}

/// Secrets of 1-RTT packets: the client's and the server's are made of these octets.
fn keys(cipher: u16, client: u8, server: u8) -> Keys {
    let keys = Keys::default();
    for (word, octet) in [("CLIENT_TRAFFIC_SECRET_0", client), ("SERVER_TRAFFIC_SECRET_0", server)] {
        let secret = HEXLOWER.encode(&vec![octet; length(cipher)]);
        keys.learn(format!("{word} {} {secret}\n", HEXLOWER.encode(&RANDOM)).as_bytes(), 0);
    }
    keys
}

fn open(
    opener: &mut Opener,
    version: u32,
    cipher: u16,
    direction: Direction,
    packet: &[u8],
) -> Option<Vec<u8>> {
    let at = PacketRef { packet: 5, ..PacketRef::default() };
    let asked = Asked { direction, space: Space::Data, packet, number: 1 + ID.len(), at };
    let version = Version::of(version).expect("read");
    opener.open(&asked, Agreed { version, cipher: Some(cipher), random: Some(RANDOM) })
}

/// What was sent comes out again, under updated keys, too, and late packets of the keys before.
#[test]
fn packets_open_across_updates_and_out_of_order() {
    for (version, cipher) in [(1, 0x1301), (1, 0x1302), (0x6b33_43cf, 0x1303), (0xff00_001d, 0x1301)] {
        let mut opener = Opener::new(keys(cipher, 1, 2));
        let mut sender = Sender::new(version, cipher, 2);
        let mut opens = |packet: &[u8], frames: &[u8]| {
            let got = open(&mut opener, version, cipher, ToClient, packet);
            assert_eq!(got.as_deref(), Some(frames), "{version:x} {cipher:x}");
        };
        opens(&sender.packet(0, 1, &[1; 8]), &[1; 8]);
        let late = sender.packet(40, 2, &[3; 8]);
        // The number is cut to one octet, and the nearest to the one that is awaited.
        opens(&sender.packet(120, 1, &[2; 8]), &[2; 8]);
        opens(&sender.packet(230, 1, &[2; 8]), &[2; 8]);
        sender.update();
        opens(&sender.packet(260, 2, &[4; 8]), &[4; 8]);
        opens(&late[..], &[3; 8]);
        sender.update();
        opens(&sender.packet(300, 2, &[5; 8]), &[5; 8]);
        opens(&sender.packet(299, 2, &[6; 8]), &[6; 8]);
        // What is missing between costs nothing but itself.
        opens(&sender.packet(30_000, 2, &[7; 8]), &[7; 8]);
        assert_eq!((opener.opened.records, opener.opened.sealed), ([0, 8], [0, 0]));
    }
}

#[test]
fn what_stays_closed_says_why() {
    let sender = Sender::new(1, 0x1301, 1);
    let packet = sender.packet(0, 1, &[1; 8]);
    let why = |keys: Keys, cipher: Option<u16>, packet: &[u8]| {
        let mut opener = Opener::new(keys);
        let at = PacketRef { packet: 5, ..PacketRef::default() };
        let asked = Asked { direction: ToServer, space: Space::Data, packet, number: 9, at };
        let version = Version::of(1).expect("read");
        let frames = opener.open(&asked, Agreed { version, cipher, random: Some(RANDOM) });
        (frames.is_some(), opener.opened.why())
    };
    assert_eq!(why(keys(0x1301, 1, 2), Some(0x1301), &packet), (true, None));
    assert_eq!(why(keys(0x1301, 3, 2), Some(0x1301), &packet), (false, Some(Sealed::NoKeyFits)));
    assert_eq!(why(Keys::default(), Some(0x1301), &packet), (false, Some(Sealed::NoKeys)));
    assert_eq!(why(keys(0x1301, 1, 2), Some(0x1304), &packet), (false, Some(Sealed::Suite)));
    assert_eq!(why(keys(0x1301, 1, 2), None, &packet), (false, Some(Sealed::Gap)), "no ServerHello");
    // The secret is as long as those of another suite.
    assert_eq!(why(keys(0x1301, 1, 2), Some(0x1302), &packet), (false, Some(Sealed::NoKeyFits)));
    for cut in 0..packet.len() {
        assert!(!why(keys(0x1301, 1, 2), Some(0x1301), &packet[..cut]).0);
    }
}

/// Another connection on the same ports has other keys: whoever meets it does not try for ever.
#[test]
fn who_fails_again_and_again_is_left_alone() {
    let (own, other) = (Sender::new(1, 0x1301, 1), Sender::new(1, 0x1301, 9));
    let mut opener = Opener::new(keys(0x1301, 1, 2));
    let mut opens = |packet: &[u8]| open(&mut opener, 1, 0x1301, ToServer, packet).is_some();
    for number in 0..31 {
        assert!(!opens(&other.packet(number, 1, &[1; 8])));
    }
    assert!(opens(&own.packet(1, 1, &[1; 8])), "one that opens makes good");
    for number in 0..32 {
        assert!(!opens(&other.packet(number, 1, &[1; 8])));
    }
    assert!(!opens(&own.packet(2, 1, &[1; 8])));
    assert_eq!((opener.opened.records, opener.opened.sealed), ([1, 0], [64, 0]));
    assert!(opener.held() < 32 << 10);
}
