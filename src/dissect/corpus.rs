//! Every packet of a corpus of public captures against the fields another dissector printed for it.
//!
//! The corpus is not part of the project; without it this test does nothing. Differences must have a reason
//! in `REASONS`.
#![allow(clippy::print_stdout, reason = "the counts are the result")]

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::Read;
use std::net::IpAddr;
use std::path::Path as FilePath;

use flate2::read::MultiGzDecoder;
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};

use super::{DefragLimits, Defragmenter, Faults, PacketRecord, Transport, Tunnel, dissect, dissect_datagram};
use crate::capture::{LinkType, RawPacket};
use crate::time::Timestamp;

/// One packet: link type, wire length, captured bytes.
type Packet = (u16, u32, Vec<u8>);

fn packets(path: &FilePath) -> Vec<Packet> {
    let mut found = Vec::new();
    let mut links = Vec::new();
    let Ok(mut reader) = create_reader(1 << 22, File::open(path).unwrap()) else {
        return found;
    };
    loop {
        let used = match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => links = vec![header.network.0 as u16],
                    PcapBlockOwned::Legacy(packet) => {
                        found.push((links[0], packet.origlen, packet.data.to_vec()));
                    }
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => links.clear(),
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                        links.push(interface.linktype.0 as u16);
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        let link = links.get(packet.if_id as usize).copied().unwrap_or(u16::MAX);
                        let captured = packet.data.len().min(packet.caplen as usize);
                        found.push((link, packet.origlen, packet.data[..captured].to_vec()));
                    }
                    PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                        let captured = packet.data.len().min(packet.origlen as usize);
                        found.push((links[0], packet.origlen, packet.data[..captured].to_vec()));
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                used
            }
            Err(PcapError::Incomplete(_)) => 0,
            Err(_) => return found,
        };
        if used > 0 {
            reader.consume(used);
        } else if reader.reader_exhausted() || reader.refill().is_err() {
            return found;
        }
    }
}

/// One row of the oracle by column name.
struct Row<'t> {
    columns: &'t BTreeMap<&'t str, usize>,
    fields: Vec<&'t str>,
}

impl<'t> Row<'t> {
    fn list(&self, column: &str) -> Vec<&'t str> {
        let field = self.fields.get(self.columns[column]).copied().unwrap_or_default();
        field.split(',').filter(|value| !value.is_empty()).collect()
    }
    fn number(&self, column: &str) -> Option<u64> {
        self.list(column).last().and_then(|value| number(value))
    }
}

fn address(text: Option<&str>) -> Option<IpAddr> {
    text.and_then(|text| text.parse().ok())
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[derive(Default)]
struct Tally {
    agree: BTreeMap<&'static str, u64>,
    differ: Vec<(String, u64, &'static str, String)>,
    frames: u64,
    file: String,
    frame: u64,
    protocols: String,
}

impl Tally {
    fn check<T: PartialEq + Display>(&mut self, field: &'static str, ours: Option<T>, theirs: Option<T>) {
        let Some(theirs) = theirs else { return };
        if ours.as_ref() == Some(&theirs) {
            *self.agree.entry(field).or_default() += 1;
        } else {
            let ours = ours.map_or("nothing".to_owned(), |ours| ours.to_string());
            let text = format!("{ours} for {theirs} [{}]", self.protocols);
            self.differ.push((self.file.clone(), self.frame, field, text));
        }
    }

    fn compare(&mut self, record: &PacketRecord, row: &Row<'_>) {
        let protocols = self.protocols.clone();
        let tokens: Vec<&str> = protocols.split(':').collect();
        let quote = tokens.iter().position(|token| matches!(*token, "icmp" | "icmpv6"));
        let own = &tokens[..quote.map_or(tokens.len(), |at| at + 1)];
        let count = |name: &str| own.iter().filter(|token| **token == name).count();
        let (v4, v6) = (count("ip"), count("ipv6"));
        let last = own.iter().rposition(|token| matches!(*token, "ip" | "ipv6"));
        let (source, destination) = match last.map(|at| own[at]) {
            Some("ip") => (row.list("ip.src").get(v4 - 1).copied(), row.list("ip.dst").get(v4 - 1).copied()),
            Some(_) => (row.list("ipv6.src").get(v6 - 1).copied(), row.list("ipv6.dst").get(v6 - 1).copied()),
            None => (None, None),
        };
        if own.last() == Some(&"arp") {
            let arp = matches!(record.transport, Transport::Arp(_));
            return self.check("arp", Some(arp), Some(true));
        }
        // Both sides as addresses: an address can be written in several ways.
        let (source, destination) = (address(source), address(destination));
        let ip = record.ip;
        self.check("source", ip.map(|ip| ip.source), source);
        self.check("destination", ip.map(|ip| ip.destination), destination);
        if last.is_none() {
            self.check("no ip", Some(ip.is_none()), Some(true));
        }
        if !own.iter().any(|token| matches!(*token, "tcp" | "udp" | "icmp" | "icmpv6")) {
            let read = matches!(
                record.transport,
                Transport::Tcp(_) | Transport::Udp(_) | Transport::Icmp(_) | Transport::Arp(_)
            );
            self.check("no transport", Some(read), Some(false));
        }
        let fragments = row.list("ip.flags.mf").contains(&"1") || !row.list("ipv6.fraghdr.offset").is_empty();
        if own.last() == Some(&"data") && fragments {
            let waits = matches!(record.transport, Transport::Fragment(_));
            self.check("fragment", Some(waits), Some(true));
        }
        let tags: Vec<_> = row.list("vlan.id").into_iter().filter_map(number).filter(|id| *id != 0).collect();
        self.check("vlan", Some(u64::from(record.path.vlan)), tags.first().copied());
        self.check("inner vlan", Some(u64::from(record.path.inner_vlan)), tags.get(1).copied());
        let id = |kind| (record.path.tunnel == kind).then_some(u64::from(record.path.tunnel_id));
        if record.path.depth > 0 && last.is_some_and(|at| at > 2) {
            self.check(
                "vni",
                id(Tunnel::Vxlan).or(id(Tunnel::Geneve)),
                match record.path.tunnel {
                    Tunnel::Vxlan => row.number("vxlan.vni"),
                    Tunnel::Geneve => row.number("geneve.vni"),
                    _ => None,
                },
            );
            if record.path.tunnel == Tunnel::Mpls {
                self.check("label", id(Tunnel::Mpls), row.number("mpls.label"));
            }
        }
        if quote.is_some() {
            self.icmp(record, row);
        } else if count("tcp") > 0 && own.iter().rposition(|token| *token == "tcp") > last {
            self.tcp(record, row);
        } else if count("udp") > 0 && own.iter().rposition(|token| *token == "udp") > last {
            let udp = match record.transport {
                Transport::Udp(udp) => Some(udp),
                _ => None,
            };
            self.check("udp ports", udp.map(|udp| u64::from(udp.source_port)), row.number("udp.srcport"));
            self.check(
                "udp ports",
                udp.map(|udp| u64::from(udp.destination_port)),
                row.number("udp.dstport"),
            );
        }
    }

    fn icmp(&mut self, record: &PacketRecord, row: &Row<'_>) {
        let version = if self.protocols.contains("icmpv6") { "icmpv6" } else { "icmp" };
        let first =
            |name: &str| row.list(&format!("{version}.{name}")).first().and_then(|value| number(value));
        let icmp = match record.transport {
            Transport::Icmp(icmp) => icmp,
            Transport::Arp(_) if matches!(first("type"), Some(135 | 136)) => {
                return self.check("neighbour", Some(1), Some(1));
            }
            _ => return self.check("icmp type", None, first("type")),
        };
        self.check("icmp type", Some(u64::from(icmp.kind)), first("type"));
        self.check("icmp code", Some(u64::from(icmp.code)), first("code"));
        self.check("mtu", icmp.mtu.map(u64::from), first("mtu"));
        let quoted = icmp.quoted;
        if quoted.is_some_and(|quoted| quoted.ip.protocol == 6) {
            let port = quoted.map(|quoted| u64::from(quoted.source_port));
            self.check("quoted port", port, row.number("tcp.srcport"));
            let seq = quoted.and_then(|quoted| quoted.seq).map(|seq| u64::from(seq.0));
            self.check("quoted seq", seq, row.number("tcp.seq_raw"));
            let flags = quoted.and_then(|quoted| quoted.flags).map(|flags| u64::from(flags.0));
            self.check("quoted flags", flags, row.number("tcp.flags").map(|flags| flags & 0xff));
        } else if quoted.is_some_and(|quoted| quoted.ip.protocol == 17) {
            let port = quoted.map(|quoted| u64::from(quoted.destination_port));
            self.check("quoted port", port, row.number("udp.dstport"));
        }
    }

    fn tcp(&mut self, record: &PacketRecord, row: &Row<'_>) {
        let tcp = match record.transport {
            Transport::Tcp(tcp) => Some(tcp),
            _ => None,
        };
        let mut field = |name, value: Option<u64>, column: &str| {
            let theirs = row.number(column);
            let theirs = if column == "tcp.flags" { theirs.map(|flags| flags & 0xff) } else { theirs };
            self.check(name, value, theirs);
        };
        field("tcp ports", tcp.map(|tcp| tcp.source_port.into()), "tcp.srcport");
        field("tcp ports", tcp.map(|tcp| tcp.destination_port.into()), "tcp.dstport");
        field("seq", tcp.map(|tcp| tcp.seq.0.into()), "tcp.seq_raw");
        field("ack", tcp.map(|tcp| tcp.ack.0.into()), "tcp.ack_raw");
        // tshark takes the length of a record that was cut, and the zeros of a padded frame for data.
        let padding = matches!(row.number("tcp.len"), Some(2 | 6)) && record.payload.length == 0;
        if !record.faults.contains(Faults::IP_LENGTH) && !padding {
            field("length", tcp.map(|_| record.payload.length.into()), "tcp.len");
        }
        field("flags", tcp.map(|tcp| tcp.flags.0.into()), "tcp.flags");
        field("window", tcp.map(|tcp| tcp.window.into()), "tcp.window_size_value");
        field("mss", tcp.and_then(|tcp| tcp.options.mss).map(u64::from), "tcp.options.mss_val");
    }
}

/// Differences that stand, by file and the start of the field's name: ours is right, or the other dissector
/// goes where we do not.
const REASONS: &[(&str, &str, &str)] = &[
    ("netlink-conntrack", "", "packets inside netlink messages of a netfilter log: not network traffic"),
    ("bgp-aigp", "", "Juniper's own link header is not read"),
    ("ipoib", "arp", "ARP with the 20-octet addresses of InfiniBand is not read"),
    ("linux_dlt_sll2", "arp", "reverse ARP is not ARP"),
    ("atm_capture1", "", "link type 19 (Classical IP over ATM) is not read"),
    ("arcnet", "", "ARCNET is not read"),
    ("6lowpan", "", "6LoWPAN header compression is not read"),
    ("gmail.pcapng", "", "Teredo is not read: the record is the outer UDP"),
    ("filestore-5408", "", "sFlow samples are not packets on this wire"),
    ("transform-base64-7296", "", "TCP data offset below 5: a segment without a sound header is not one"),
    ("randpkt_all", "", "random bytes: TCP and ARP headers that contradict themselves"),
];

#[test]
fn records_agree_with_another_dissector() {
    let corpus = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let Ok(listing) = fs::read_dir(corpus.join("oracle")) else { return };
    let mut oracles: Vec<_> = listing
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".frames.tsv.gz").map(str::to_owned))
        .collect();
    oracles.sort();
    let mut tally = Tally::default();
    for name in oracles {
        let mut text = String::new();
        let packed = File::open(corpus.join("oracle").join(format!("{name}.frames.tsv.gz"))).unwrap();
        if MultiGzDecoder::new(packed).read_to_string(&mut text).is_err() {
            continue;
        }
        check_file(&mut tally, &name, &packets(&corpus.join(&name)), &text);
    }
    let mut unexplained = 0;
    for (file, frame, field, text) in &tally.differ {
        let known = REASONS.iter().any(|(f, start, _)| file.contains(f) && field.starts_with(start));
        if !known {
            unexplained += 1;
            if unexplained <= 400 {
                println!("{file} {frame} {field}: {text}");
            }
        }
    }
    println!("{} frames, agreeing: {:?}", tally.frames, tally.agree);
    println!("differing {} of which explained {}", tally.differ.len(), tally.differ.len() - unexplained);
    assert_eq!(unexplained, 0, "differences without a reason");
}

fn check_file(tally: &mut Tally, name: &str, packets: &[Packet], text: &str) {
    let mut lines = text.lines();
    let columns: BTreeMap<&str, usize> = match lines.next() {
        Some(head) => head.split('\t').enumerate().map(|(at, name)| (name, at)).collect(),
        None => return,
    };
    let mut defragmenter = Defragmenter::new(DefragLimits::default());
    tally.file = name.to_owned();
    for ((link, wire, data), line) in packets.iter().zip(lines) {
        let row = Row { columns: &columns, fields: line.split('\t').collect() };
        tally.frame = row.number("frame.number").unwrap();
        tally.protocols = row.list("frame.protocols").first().copied().unwrap_or_default().to_owned();
        tally.frames += 1;
        if row.number("frame.cap_len") != Some(data.len() as u64) {
            println!("{name} {}: packets out of step", tally.frame);
            return;
        }
        let seconds: f64 =
            row.list("frame.time_epoch").first().map_or(0.0, |time| time.parse().unwrap_or(0.0));
        let packet = RawPacket {
            packet: tally.frame,
            offset: 0,
            time: Some(Timestamp((seconds * 1e9) as i64)),
            wire: *wire,
            interface: 0,
            link_type: LinkType(*link),
            start: 0,
            data,
        };
        let mut record = dissect(&packet);
        // A datagram put together may hold a tunnel with another fragment in it.
        let mut held = data.clone();
        while let Transport::Fragment(_) = record.transport {
            let start = record.payload.start as usize;
            let bytes = &held[start..start + record.payload.captured as usize];
            let Some(whole) = defragmenter.feed(&record, bytes) else { break };
            held = whole.bytes;
            record = dissect_datagram(&record, whole.protocol, &held, 0);
        }
        tally.compare(&record, &row);
    }
}
