//! Community ID, version 1: the flow identifier of Zeek, Suricata and others, to join their logs.
//!
//! `1:` and the base64 of SHA-1 over seed (2, here 0), lower address, higher address, protocol, 0, lower's
//! port, higher's port. ICMP has types in place of ports: a message type and the type of its answer; a type
//! that has no answer keeps its direction and has the code for second port.

use std::net::IpAddr;

use data_encoding::BASE64;
use sha1::{Digest, Sha1};

use crate::dissect::{FiveTuple, Icmp};

/// The identifier of the flow of `tuple`. For ICMP `icmp` is the message.
pub fn community_id(tuple: &FiveTuple, icmp: Option<&Icmp>) -> String {
    let mut tuple = *tuple;
    let mut one_way = false;
    if let Some(icmp) = icmp {
        let answer = answer(icmp);
        tuple.source.port = u16::from(icmp.kind);
        tuple.destination.port = u16::from(answer.unwrap_or(icmp.code));
        one_way = answer.is_none();
    }
    if !one_way {
        tuple = tuple.canonical();
    }
    let mut sha = Sha1::new();
    let ports = [tuple.source.port, tuple.destination.port].map(u16::to_be_bytes);
    // In one piece: every flow has one, and the hash takes pieces slowly.
    let mut octets = [0; 2 + 2 * 16 + 2 + 4];
    let mut used = 2;
    let mut add = |more: &[u8]| {
        octets[used..used + more.len()].copy_from_slice(more);
        used += more.len();
    };
    for address in [tuple.source.address, tuple.destination.address] {
        match address {
            IpAddr::V4(address) => add(&address.octets()),
            IpAddr::V6(address) => add(&address.octets()),
        }
    }
    add(&[tuple.protocol, 0]);
    ports.iter().for_each(|port| add(port));
    sha.update(&octets[..used]);
    let mut text = String::with_capacity(30);
    text.push_str("1:");
    BASE64.encode_append(&sha.finalize(), &mut text);
    text
}

/// The type that answers a type, by the table of the specification.
fn answer(icmp: &Icmp) -> Option<u8> {
    let pairs: &[(u8, u8)] = if icmp.v6 {
        &[(128, 129), (133, 134), (135, 136), (130, 131), (144, 145), (139, 140)]
    } else {
        &[(8, 0), (13, 14), (15, 16), (10, 9), (17, 18)]
    };
    pairs.iter().find_map(|&(ask, reply)| match icmp.kind {
        kind if kind == ask => Some(reply),
        kind if kind == reply => Some(ask),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::Endpoint;

    fn tuple(source: &str, destination: &str, ports: (u16, u16), protocol: u8) -> FiveTuple {
        let end = |address: &str, port| Endpoint { address: address.parse().unwrap(), port };
        FiveTuple { source: end(source, ports.0), destination: end(destination, ports.1), protocol }
    }

    /// Values published with the specification.
    #[test]
    fn published_values() {
        let tcp = tuple("128.232.110.120", "66.35.250.204", (34855, 80), 6);
        assert_eq!(community_id(&tcp, None), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(community_id(&tcp.reversed(), None), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        let udp = tuple("192.168.1.52", "8.8.8.8", (54585, 53), 17);
        assert_eq!(community_id(&udp, None), "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
        let echo = Icmp { kind: 8, ..Icmp::default() };
        let ping = tuple("192.168.0.89", "192.168.0.1", (0, 0), 1);
        assert_eq!(community_id(&ping, Some(&echo)), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
        let reply = Icmp { kind: 0, ..Icmp::default() };
        assert_eq!(community_id(&ping.reversed(), Some(&reply)), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
    }
}
