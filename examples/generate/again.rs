//! Recorded traffic many times over, every copy between other hosts: a load that no generator was tuned to.

use std::io::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;

use pcapsy::capture::{CaptureLimits, LinkType, Reader};

use super::crowd::Actor;
use super::support::capture::{Capture, Packet};

/// One copy begins so long after the one before, microseconds: no two hosts keep the same beat.
const APART: u64 = 37_000;

/// Every capture as often as it takes to reach `size` octets. Its clock starts with its first packet.
pub fn crowd(captures: &[String], size: u64) -> Result<Vec<Box<dyn Actor>>> {
    let recorded = captures.iter().map(recorded).collect::<Result<Vec<_>>>()?;
    let octets: u64 = recorded.iter().flat_map(|one| one.iter()).map(|p| p.frame.len() as u64 + 16).sum();
    let copies = size.div_ceil(octets.max(1)).min(u64::from(u16::MAX));
    Ok((0..copies)
        .flat_map(|copy| recorded.iter().map(move |packets| (copy, packets.clone())))
        .map(|(copy, packets)| Box::new(Again { packets, copy, next: 0 }) as Box<dyn Actor>)
        .collect())
}

/// The packets of a capture, microseconds from the first.
fn recorded(path: &String) -> Result<Arc<Vec<Packet>>> {
    let mut reader = Reader::open(&[PathBuf::from(path)], &CaptureLimits::default()).map_err(Error::other)?;
    let mut packets = Vec::new();
    let mut first = None;
    while let Some(chunk) = reader.next_chunk() {
        for packet in chunk.packets() {
            if packet.link_type != LinkType::ETHERNET || (packet.data.len() as u32) < packet.wire {
                return Err(Error::other(format!("{path}: whole packets of ethernet only")));
            }
            let micros = packet.time.map_or(0, |time| time.0.div_euclid(1_000));
            let since = (micros - *first.get_or_insert(micros)).max(0) as u64;
            packets.push(Packet { micros: since, frame: packet.data.to_vec() });
        }
    }
    Ok(Arc::new(packets))
}

/// One copy of a capture.
struct Again {
    packets: Arc<Vec<Packet>>,
    copy: u64,
    next: usize,
}

impl Actor for Again {
    fn step(&mut self, capture: &mut Capture) {
        if let Some(packet) = self.packets.get(self.next) {
            self.next += 1;
            let mut frame = packet.frame.clone();
            readdress(&mut frame, self.copy as u16);
            capture.record(packet.micros + self.copy * APART, frame);
        }
    }
}

/// Gives the hosts of the outermost IP header, or of an ARP packet, the addresses they have in that copy.
/// What an ICMP error quotes and what names resolve to stays as it was.
fn readdress(frame: &mut [u8], copy: u16) {
    let mut at = 12;
    while matches!(frame.get(at..at + 2), Some([0x81 | 0x91, 0x00] | [0x88, 0xa8])) {
        at += 4;
    }
    let Some([high, low]) = frame.get(at..at + 2) else { return };
    let (ethertype, network) = (u16::from_be_bytes([*high, *low]), at + 2);
    let Some(packet) = frame.get_mut(network..) else { return };
    match ethertype {
        0x0806 => [14, 24].into_iter().for_each(|address| {
            if let Some(address) = packet.get_mut(address..address + 4) {
                turn(&mut address[1..3], copy);
            }
        }),
        0x0800 if packet.len() >= 20 => {
            let header = usize::from(packet[0] & 0x0f) * 4;
            let later = u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff != 0;
            // Octets two and three lie across two words of the checksum.
            let change = [12, 16].map(|at| moved(packet, at, 1, copy));
            change.into_iter().for_each(|change| {
                mend(packet, 10, change);
                if !later && let Some(sum) = checksum(packet[9], header) {
                    mend(packet, sum, change);
                }
            });
        }
        0x86dd if packet.len() >= 40 => {
            let next = packet[6];
            [8, 24].map(|at| moved(packet, at, 6, copy)).into_iter().for_each(|change| {
                let sum = if next == 58 { Some(42) } else { checksum(next, 40) };
                if let Some(sum) = sum {
                    mend(packet, sum, change);
                }
            });
        }
        _ => {}
    }
}

/// Where the checksum is that covers the addresses.
fn checksum(protocol: u8, header: usize) -> Option<usize> {
    match protocol {
        6 => Some(header + 16),
        17 => Some(header + 6),
        _ => None,
    }
}

/// Moves the address at `at` and returns by how much its words grew, as a ones' complement sum. Groups and
/// broadcasts stay.
fn moved(packet: &mut [u8], at: usize, octet: usize, copy: u16) -> u32 {
    let length = if octet == 1 { 4 } else { 16 };
    let address = &mut packet[at..at + length];
    if address[0] >= 224 {
        return 0;
    }
    let sum =
        |address: &[u8]| address.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum::<u32>();
    let before = sum(address);
    turn(&mut address[octet..octet + 2], copy);
    sum(address) + 0xffff * 8 - before
}

fn turn(octets: &mut [u8], copy: u16) {
    octets.iter_mut().zip(copy.to_be_bytes()).for_each(|(octet, bits)| *octet ^= bits);
}

/// The checksum at `at` after its words grew by `change` (RFC 1624, equation 3). Zero in UDP is no checksum.
fn mend(packet: &mut [u8], at: usize, change: u32) {
    if let Some(&mut [high, low]) = packet.get_mut(at..at + 2)
        && (high, low) != (0, 0)
    {
        let sum = u64::from(!u16::from_be_bytes([high, low])) + u64::from(change);
        packet[at..at + 2].copy_from_slice(&(!pcapsy::dissect::fold_checksum(sum)).to_be_bytes());
    }
}
