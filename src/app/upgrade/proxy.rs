//! The PROXY protocol, versions 1 and 2 (HAProxy's specification of 2020/03/05): a proxy tells the server for
//! whom it connects, in front of the first byte of the client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::dissect::Endpoint;

/// For whom a proxy connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyHeader {
    /// Version of the protocol: 1 or 2.
    pub version: u8,
    /// The client; `None` when the proxy connects for itself (`LOCAL`), or does not say.
    pub client: Option<Endpoint>,
    /// Where the client connected to.
    pub server: Option<Endpoint>,
}

/// What the first bytes of a client are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyPrefix {
    /// No header.
    No,
    /// The beginning of one.
    NeedMore,
    /// A header of so many octets.
    Whole(ProxyHeader, usize),
}

/// Begin of version 1.
const TEXT: &[u8] = b"PROXY ";
/// Longest line of version 1 with its end (section 2.1).
const MOST_TEXT: usize = 107;
/// Begin of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Octets in front of the addresses of version 2.
const FIXED: usize = 16;

/// Reads the header that stands in front of what a client sends.
pub fn proxy_prefix(bytes: &[u8]) -> ProxyPrefix {
    for (begin, read) in [(TEXT, text as fn(&[u8]) -> _), (SIGNATURE, binary)] {
        if bytes.starts_with(begin) {
            return read(bytes);
        }
        if begin.starts_with(bytes) {
            return ProxyPrefix::NeedMore;
        }
    }
    ProxyPrefix::No
}

fn text(bytes: &[u8]) -> ProxyPrefix {
    let Some(end) = bytes.iter().take(MOST_TEXT).position(|octet| *octet == b'\n') else {
        return if bytes.len() < MOST_TEXT { ProxyPrefix::NeedMore } else { ProxyPrefix::No };
    };
    let line = bytes.get(TEXT.len()..end).unwrap_or_default();
    let Some(words) = std::str::from_utf8(line).ok().map(str::trim_ascii_end) else { return ProxyPrefix::No };
    let words: Vec<&str> = words.split(' ').collect();
    let endpoint = |address: &str, port: &str| -> Option<Endpoint> {
        Some(Endpoint { address: address.parse().ok()?, port: port.parse().ok()? })
    };
    let (client, server) = match words[..] {
        ["TCP4" | "TCP6", from, to, from_port, to_port] => {
            match endpoint(from, from_port).zip(endpoint(to, to_port)) {
                Some((client, server)) => (Some(client), Some(server)),
                None => return ProxyPrefix::No,
            }
        }
        ["UNKNOWN", ..] => (None, None),
        _ => return ProxyPrefix::No,
    };
    ProxyPrefix::Whole(ProxyHeader { version: 1, client, server }, end + 1)
}

fn binary(bytes: &[u8]) -> ProxyPrefix {
    let Some((head, rest)) = bytes.split_first_chunk::<FIXED>() else { return ProxyPrefix::NeedMore };
    let [.., command, family, high, low] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if !matches!(command, 0x20 | 0x21) {
        return ProxyPrefix::No;
    }
    let Some(addresses) = rest.get(..length) else { return ProxyPrefix::NeedMore };
    // The families over TCP; what else there is (UDP, sockets of the system) names no end of this connection.
    let ends = match family {
        0x11 if command == 0x21 => ends::<4>(addresses, |octets| Ipv4Addr::from(octets).into()),
        0x21 if command == 0x21 => ends::<16>(addresses, |octets| Ipv6Addr::from(octets).into()),
        _ => None,
    };
    let (client, server) = ends.unzip();
    ProxyPrefix::Whole(ProxyHeader { version: 2, client, server }, FIXED + length)
}

/// Two addresses, then two ports (section 2.2).
fn ends<const N: usize>(octets: &[u8], address: fn([u8; N]) -> IpAddr) -> Option<(Endpoint, Endpoint)> {
    let (client, rest) = octets.split_first_chunk::<N>()?;
    let (server, rest) = rest.split_first_chunk::<N>()?;
    let (ports, _) = rest.split_first_chunk::<4>()?;
    let [from, to] = [[ports[0], ports[1]], [ports[2], ports[3]]].map(u16::from_be_bytes);
    let end = |octets: &[u8; N], port| Endpoint { address: address(*octets), port };
    Some((end(client, from), end(server, to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(address: &str, port: u16) -> Option<Endpoint> {
        Some(Endpoint { address: address.parse().expect("an address"), port })
    }

    #[test]
    fn both_versions_name_the_client_however_they_are_cut() {
        let mut v2 = SIGNATURE.to_vec();
        v2.extend([0x21, 0x11, 0, 15, 10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0, 25, 4, 0, 0]);
        for (bytes, version, client, server) in [
            (&b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 25\r\n"[..], 1, "10.0.0.1", "10.0.0.2"),
            (b"PROXY TCP6 fd00::1 fd00::2 12345 25\r\n", 1, "fd00::1", "fd00::2"),
            (&v2, 2, "10.0.0.1", "10.0.0.2"),
        ] {
            for cut in 0..bytes.len() {
                assert_eq!(proxy_prefix(&bytes[..cut]), ProxyPrefix::NeedMore, "{cut} octets");
            }
            let header = ProxyHeader { version, client: end(client, 12345), server: end(server, 25) };
            let followed = [bytes, b"220 mail"].concat();
            assert_eq!(proxy_prefix(&followed), ProxyPrefix::Whole(header, bytes.len()));
        }
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_names_nobody() {
        let local = [SIGNATURE, &[0x20, 0, 0, 0]].concat();
        for bytes in [&b"PROXY UNKNOWN ::1 ::1 1 2\r\n"[..], &local] {
            let ProxyPrefix::Whole(header, length) = proxy_prefix(bytes) else { panic!("no header") };
            assert_eq!((header.client, length), (None, bytes.len()));
        }
    }

    #[test]
    fn what_only_begins_so_is_none() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 100]].concat();
        for bytes in [
            &b"PROXIED TCP4 1.2.3.4"[..],
            b"PROXY TCP4 name 10.0.0.2 1 2\r\n",
            b"PROXY TCP4 10.0.0.1 10.0.0.2 99999 2\r\n",
            b"PROXY HTTP\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
            &long,
        ] {
            assert_eq!(proxy_prefix(bytes), ProxyPrefix::No, "{}", bytes.escape_ascii());
        }
    }
}
