//! The file that is being written.

use std::fs::File;
use std::io::{BufWriter, Error, Result, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::support::capture::{Capture, Order, Packet};
use super::support::frame::{Ip, vxlan};

/// Why no further packet is taken.
pub enum Full {
    /// The file has the size that was asked for.
    Reached,
    /// It could not be written.
    Failed(Error),
}

/// A capture file up to a size.
pub struct Sink {
    file: BufWriter<File>,
    pcapng: bool,
    vxlan: bool,
    left: u64,
    scratch: Vec<u8>,
}

impl Sink {
    pub fn create(path: &Path, size: u64, vxlan: bool) -> Result<Self> {
        let pcapng = path.extension().is_some_and(|ending| ending == "pcapng");
        let empty = Capture::default();
        let header = if pcapng { empty.pcapng(Order::Little, None) } else { empty.pcap() };
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        file.write_all(&header)?;
        Ok(Self { file, pcapng, vxlan, left: size.saturating_sub(header.len() as u64), scratch: Vec::new() })
    }

    /// Writes a packet, unless it would make the file too large.
    pub fn packet(&mut self, mut packet: Packet) -> std::result::Result<(), Full> {
        if self.vxlan {
            packet.frame = tunnelled(&packet.frame);
        }
        self.scratch.clear();
        if self.pcapng {
            packet.block(&mut self.scratch, Order::Little);
        } else {
            packet.record(&mut self.scratch, Order::Little, false, 262_144);
        }
        self.left = self.left.checked_sub(self.scratch.len() as u64).ok_or(Full::Reached)?;
        self.file.write_all(&self.scratch).map_err(Full::Failed)
    }

    pub fn finish(mut self) -> Result<()> {
        self.file.flush()
    }
}

/// The frame between two hypervisors: clients run on the first, the servers behind the router on the other.
fn tunnelled(frame: &[u8]) -> Vec<u8> {
    let host = |number| IpAddr::V4(Ipv4Addr::new(192, 168, 100, number));
    let mac = |number| [2, 0, 0, 0, 0, number];
    // Servers' Ethernet addresses have 5e as their second octet: see `Talk`.
    let (from, to) = if frame[1] == 0x5e { (10, 20) } else { (20, 10) };
    let outer = Ip { source: host(from), destination: host(to), ttl: 64, id: 0 };
    vxlan(outer, 5_001, [mac(from), mac(to)], frame)
}
