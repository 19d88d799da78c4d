use std::net::IpAddr;

use super::*;

fn secrets() -> Secrets {
    Secrets::new(b"a key of a test", false)
}

fn label(text: &str) -> String {
    let mut octets = text.as_bytes().to_vec();
    secrets().label(&mut octets);
    String::from_utf8(octets).expect("letters")
}

fn address(text: &str) -> IpAddr {
    secrets().address(text.parse().expect("an address"))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => u128::from(v6),
    }
}

#[test]
fn addresses_share_as_many_leading_bits_as_before() {
    let all = [
        "10.0.0.1",
        "10.0.0.2",
        "10.0.1.1",
        "10.9.0.1",
        "192.168.1.7",
        "192.168.2.7",
        "172.16.0.1",
        "172.31.255.1",
        "100.64.0.9",
        "8.8.8.8",
        "8.8.4.4",
        "203.0.113.9",
        "203.0.114.9",
        "172.32.0.1",
        "11.0.0.1",
        "198.51.100.4",
        "169.254.3.4",
    ];
    let shared = |a: IpAddr, b: IpAddr| (bits(a) ^ bits(b)).leading_zeros();
    for one in all {
        for other in all.iter().filter(|other| **other != one) {
            let before = shared(one.parse().expect("one"), other.parse().expect("other"));
            assert_eq!(shared(address(one), address(other)), before, "{one} {other}");
        }
    }
    let v6 = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "2a00::1", "fd00::1", "fe80::1", "fe80::2"];
    for one in v6 {
        for other in v6.iter().filter(|other| **other != one) {
            let before = shared(one.parse().expect("one"), other.parse().expect("other"));
            assert_eq!(shared(address(one), address(other)), before, "{one} {other}");
        }
    }
}

#[test]
fn ranges_that_mean_something_keep_their_meaning() {
    for same in ["0.0.0.0", "127.0.0.1", "224.0.0.251", "255.255.255.255", "::", "::1", "ff02::1", "ff02::fb"]
    {
        assert_eq!(address(same).to_string(), same);
    }
    for (old, begins) in [
        ("10.1.2.3", "10."),
        ("192.168.1.1", "192.168."),
        ("169.254.1.1", "169.254."),
        ("fe80::a1b2:c3ff:fed4:e5f6", "fe80::"),
        ("ff02::1:ff12:3456", "ff02::1:ff"),
    ] {
        let new = address(old).to_string();
        assert!(new.starts_with(begins) && new != old, "{old} {new}");
    }
    for public in ["8.8.8.8", "203.0.113.7", "172.32.0.1", "192.167.0.1", "9.255.255.255", "1.1.1.1"] {
        let IpAddr::V4(new) = address(public) else { panic!("IPv4") };
        let special = new.is_private() || new.is_loopback() || new.is_link_local() || new.is_multicast();
        assert!(!special && new.to_string() != public, "{public} {new}");
    }
}

/// Otherwise what a word costs would grow with the square of its length, and a packet may hold any.
#[test]
fn words_of_any_length_cost_as_much_by_octet() {
    let secrets = secrets();
    let rewritten = |last: u8, coded: bool| {
        let mut word = vec![b'a'; 1_000];
        word[999] = last;
        match coded {
            true => hpack::coded(&secrets, &mut word),
            false => secrets.label(&mut word),
        }
        word
    };
    for coded in [false, true] {
        let (one, other) = (rewritten(b'a', coded), rewritten(b'b', coded));
        let alike = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
        assert!((800..1_000).contains(&alike), "{alike}");
    }
}

#[test]
fn labels_keep_their_shape_and_differ_as_before() {
    for text in ["shop", "WWW", "web-01", "_ldap", "xn--bcher-kva", "a", "7", "192", "api2"] {
        let new = label(text);
        assert_eq!(new.len(), text.len());
        let class =
            |octet: u8| (octet.is_ascii_lowercase(), octet.is_ascii_uppercase(), octet.is_ascii_digit());
        assert!(text.bytes().zip(new.bytes()).all(|(old, new)| class(old) == class(new)), "{text} {new}");
    }
    assert_eq!(label("Shop").to_ascii_lowercase(), label("shop"));
    assert_eq!(label("in-addr"), "in-addr");
    let two: std::collections::BTreeSet<String> = (b'a'..=b'z')
        .flat_map(|a| (b'a'..=b'z').map(move |b| label(&format!("{}{}", a as char, b as char))))
        .collect();
    assert_eq!(two.len(), 26 * 26);
    let numbers: std::collections::BTreeSet<String> =
        (0..=255).map(|number: u8| label(&number.to_string())).collect();
    assert_eq!(numbers.len(), 256);
    assert!(numbers.iter().all(|number| number.parse::<u8>().is_ok()));
}

#[test]
fn hardware_addresses_keep_their_kind() {
    let secrets = secrets();
    for same in [[0xff; 6], [0; 6], [1, 0, 0x5e, 0, 0, 0xfb], [0, 0, 0x5e, 0, 1, 7], [0x33, 0x33, 0, 0, 0, 1]]
    {
        assert_eq!(secrets.mac(same), same);
    }
    let new = secrets.mac([0x02, 1, 2, 3, 4, 5]);
    assert_eq!(new[0] & 3, 2);
    assert_ne!(new[3..], [3, 4, 5]);
    assert_eq!(Secrets::new(b"k", true).mac([0, 0x1b, 0x21, 3, 4, 5])[..3], [0, 0x1b, 0x21]);
    assert_eq!(secrets.mac([0x33, 0x33, 0xff, 3, 4, 5])[..3], [0x33, 0x33, 0xff]);
}

#[test]
fn what_is_no_certificate_is_not_read_as_one() {
    let mut octets = b"\x30\x03\x0c\x09ab".to_vec();
    assert!(!der::redact(&secrets(), &mut octets));
    let mut name = b"\x30\x06\x0c\x04shop".to_vec();
    assert!(der::redact(&secrets(), &mut name));
    assert_eq!(&name[..4], b"\x30\x06\x0c\x04");
    assert_eq!(&name[4..], label("shop").as_bytes());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..400),
        link in proptest::sample::select(vec![0u16, 1, 9, 101, 105, 113, 127, 239, 276, 999]),
        tls in proptest::arbitrary::any::<bool>(),
    ) {
        use crate::capture::{LinkType, RawPacket};
        let raw = RawPacket {
            packet: 1,
            offset: 0,
            time: None,
            wire: bytes.len() as u32,
            interface: 0,
            link_type: LinkType(link),
            start: 0,
            data: &bytes,
        };
        let mut streams = Streams::default();
        streams.add(&raw, &crate::dissect::dissect(&raw));
        streams.redact(&secrets());
        if let Some(new) = redact(&secrets(), &streams, &raw) {
            proptest::prop_assert!(new.data.len() <= bytes.len());
        }
        let mut stream = bytes.clone();
        if tls {
            stream.splice(0..0, [22, 3, 1, 0, 200]);
            super::tls::redact(&secrets(), &mut stream, 0, |_, _| true);
        } else {
            stream.splice(0..0, *b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
            let end = stream.len();
            super::http::redact(&secrets(), &mut stream, &[0], |_| end, |rest| rest.len() % 2 == 0);
        }
        let mut message = vec![0; bytes.len()];
        super::dns::redact(&secrets(), &bytes, &mut message);
    }
}
