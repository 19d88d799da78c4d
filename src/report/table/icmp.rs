//! `icmp`: one row per ICMP error, joined to the flow whose packet it quotes.

use super::shared::{FileIndex, protocol, side};
use super::{Column, Table, columns};
use crate::flow::{Flow, IcmpError};

/// An ICMP error and the flow it is about.
#[derive(Clone, Copy, Debug)]
pub struct IcmpRow<'a> {
    /// The quoted flow.
    pub flow: &'a Flow,
    /// The error.
    pub error: &'a IcmpError,
    /// The files.
    pub files: &'a FileIndex,
}

/// The table of ICMP errors.
#[derive(Debug)]
pub struct Icmp;

impl Table for Icmp {
    const NAME: &'static str = "icmp";
    const DOC: &'static str = "One row per ICMP or ICMPv6 error that quotes a packet of a captured flow, at \
        most 64 a flow (`icmp_errors` in flows counts them all).";
    const BRIEF: &'static [&'static str] =
        &["ts", "frame", "reporter", "type", "code", "meaning", "mtu", "id.orig_h", "id.resp_h", "id.resp_p"];
    const COLUMNS: &'static [Column<Self>] = ERROR;
    type Row<'a> = IcmpRow<'a>;
}

const ERROR: &[Column<Icmp>] = columns! { Icmp:
    "ts" Time "time of the error" = |row| row.error.at.time;
    "flow_id" U64 "the flow that is quoted, in flows" = |row| row.flow.id;
    "packet" U64 "ordinal of the error over the capture set" = |row| row.error.at.packet;
    "file" Text "file of the error" = |row| row.files.file(row.error.at.packet);
    "frame" U64 "frame number of the error in its file" = |row| row.files.frame(row.error.at.packet);
    "reporter" Text "who reported it" = |row| row.error.reporter;
    "receiver" Text "to whom" = |row| row.error.receiver;
    "v6" Bool "ICMPv6" = |row| row.error.icmp.v6;
    "type" U8 "ICMP type" = |row| row.error.icmp.kind;
    "code" U8 "ICMP code" = |row| row.error.icmp.code;
    "meaning" Text "type and code in words" = |row| row.error.icmp.meaning();
    "mtu" U32 "next-hop MTU that it announces, bytes" = |row| row.error.icmp.mtu;
    "quoted" Text "who sent the quoted packet: orig (client), resp (server)" = |row| side(row.error.quoted);
    "quoted_seq" U32 "sequence number in the quoted TCP header, raw"
        = |row| row.error.icmp.quoted.and_then(|quoted| quoted.seq).map(|seq| seq.0);
    "quoted_ip_length" U32 "IP datagram bytes of the quoted packet"
        = |row| row.error.icmp.quoted.map(|quoted| quoted.ip.length);
    "id.orig_h" Text "client address of the flow" = |row| row.flow.client.address;
    "id.orig_p" U16 "client port of the flow" = |row| row.flow.client.port;
    "id.resp_h" Text "server address of the flow" = |row| row.flow.server.address;
    "id.resp_p" U16 "server port of the flow" = |row| row.flow.server.port;
    "proto" Text "transport protocol of the flow" = |row| protocol(row.flow.protocol);
};
