//! packet, key -> the same packet without who it is from, to and about
//!
//! A redacted packet starts as zeros of the same length. Only what is known to name nobody is copied into it,
//! and what names somebody is written in other words of equal length: so what nobody thought of is zero, and
//! not secret by luck. Checksums change by as much as the bytes under them (RFC 1624): what was right stays
//! right, and what was wrong (offload) stays wrong.
//!
//! - IP addresses: prefix-preserving (ipcrypt-pfx, draft-denis-ipcrypt). Private, shared, link-local,
//!   loopback and multicast ranges stay what they are; inside private ones hosts change.
//! - MAC addresses: by keyed hash; group and local bits stay, on request the vendor's part, and the addresses
//!   of router redundancy protocols.
//! - Names (DNS, SNI, certificates, HTTP): label by label, letters to letters and digits to digits, at equal
//!   length. The same label always becomes the same, so that a mismatch stays a mismatch.
//! - Payload: TLS record headers, alerts and hellos without randoms and keys, certificates without names and
//!   keys, DNS messages, HTTP heads and chunk sizes, frames and field sections of HTTP/2, commands and codes
//!   in front of STARTTLS, headers of the PROXY protocol. QUIC's Initial packets are sealed again with the
//!   keys that everybody can derive. Everything else is zero.
//!
//! TCP payload is redacted as a stream and not by the packet, and QUIC's handshake as a connection:
//! [`Streams`] takes the packets a first time.

mod addresses;
mod checksum;
mod der;
mod dns;
mod dialogue;
mod headers;
mod hpack;
mod http;
mod http2;
mod proxy;
mod quic;
mod runs;
mod secrets;
mod streams;
mod tls;

pub use headers::{Redacted, redact};
pub use secrets::Secrets;
pub use streams::Streams;

/// What a redacted file still tells, for the manifest and for people.
pub const NOT_REDACTED: &[&str] = &[
    "times, lengths, TTLs, IP identifications, ports, TCP sequence numbers, options and timestamps",
    "which addresses share a prefix, and which are private, link-local, loopback or multicast",
    "public addresses keep the leading bits that they share with such a range",
    "VLAN, MPLS, VXLAN, GRE and other tunnel identifiers",
    "lengths of names, and where digits, hyphens and dots stand in them; labels arpa, in-addr, ip6 and local",
    "TLS versions, cipher suites, ALPN, alerts, validity and algorithms of certificates",
    "DNS types, codes, TTLs and transaction numbers",
    "HTTP methods, status codes, names of well-known header fields, message lengths, dates",
    "paths of probes such as /healthz",
    "HTTP/2 frames, settings and error codes; of each word of a field how many octets have which code length",
    "QUIC versions, connection IDs and packet numbers; which sealed packets are the same",
    "commands and reply codes of protocols in front of STARTTLS",
];

/// Writes zeros over a run.
fn zero(bytes: &mut [u8], from: usize, to: usize) {
    if let Some(run) = bytes.get_mut(from..to) {
        run.fill(0);
    }
}

#[cfg(test)]
mod tests;
