//! `certificates`: one row per certificate of a chain that was sent in the clear, or that keys opened.

use super::shared::{FileIndex, ordinal, side, word};
use super::{Column, Table, columns};
use crate::app::tls::{Certificate, TlsSession, chain_faults};
use crate::dissect::{Direction, PacketRef};
use crate::flow::Flow;

/// A certificate, the session it was sent in, and its place in the chain.
#[derive(Clone, Copy, Debug)]
pub struct CertificateRow<'a> {
    flow: &'a Flow,
    session: &'a TlsSession,
    by: Direction,
    position: usize,
    certificate: &'a Certificate,
    files: &'a FileIndex,
}

impl<'a> CertificateRow<'a> {
    /// The certificates of a flow, the client's first.
    pub(super) fn of(flow: &'a Flow, files: &'a FileIndex) -> impl Iterator<Item = Self> {
        flow.tls.as_deref().into_iter().flat_map(move |session| {
            Direction::BOTH.into_iter().flat_map(move |by| {
                let chain = session.certificates[by.index()].iter().enumerate();
                chain.map(move |(position, certificate)| Self {
                    flow,
                    session,
                    by,
                    position,
                    certificate,
                    files,
                })
            })
        })
    }

    fn at(self) -> PacketRef {
        self.session.certificates_at[self.by.index()].unwrap_or(self.flow.first)
    }

    fn server_name(self) -> Option<&'a str> {
        self.session.client_hello.as_ref()?.sni.as_deref()
    }

    fn faults(self) -> Option<String> {
        let chain = &self.session.certificates[self.by.index()];
        // What a client is asked for, and which chain it has to send, is between it and the server.
        let serves = self.by == Direction::ToClient;
        let host = if serves { self.session.server_name() } else { "" };
        let faults = chain_faults(chain, self.at().time, host);
        let own = faults.iter().filter(|(_, position)| *position == self.position);
        let own = own.filter(|(fault, _)| serves || fault.is_of_time());
        let names: Vec<&str> = own.map(|(fault, _)| word(fault)).collect();
        (!names.is_empty()).then(|| names.join(","))
    }
}

/// The table of certificates.
#[derive(Debug)]
pub struct Certificates;

impl Table for Certificates {
    const NAME: &'static str = "certificates";
    const DOC: &'static str = "One row per certificate that was sent in a TLS session: TLS 1.3 encrypts \
        them, which only keys open, and a resumed session sends none.";
    const BRIEF: &'static [&'static str] = &[
        "ts",
        "id.resp_h",
        "id.resp_p",
        "server_name",
        "position",
        "subject",
        "issuer",
        "not_valid_before",
        "not_valid_after",
        "faults",
        "frame",
    ];
    const COLUMNS: &'static [Column<Self>] = CHAIN;
    type Row<'a> = CertificateRow<'a>;
}

const CHAIN: &[Column<Certificates>] = columns! { Certificates:
    "ts" Time "time of the packet that completed the Certificate message" = |row| row.at().time;
    "flow_id" U64 "the flow, in flows" = |row| row.flow.id;
    "id.orig_h" Text "client address" = |row| row.flow.client.address;
    "id.orig_p" U16 "client port" = |row| row.flow.client.port;
    "id.resp_h" Text "server address" = |row| row.flow.server.address;
    "id.resp_p" U16 "server port" = |row| row.flow.server.port;
    "packet" U64 "ordinal of that packet" = |row| ordinal(Some(row.at()));
    "file" Text "file of that packet" = |row| row.files.file(row.at().packet);
    "frame" U64 "frame number of that packet in its file" = |row| row.files.frame(row.at().packet);
    "server_name" Text "server name that the client asked for (SNI)" = |row| row.server_name();
    "by" Text "whose chain it belongs to: orig, resp" = |row| side(row.by);
    "position" U8 "its place in the chain; 0 is the sender's own" = |row| row.position;
    "fingerprint" Text "SHA-256 of the certificate, hexadecimal" = |row| row.certificate.fingerprint_text();
    "subject" Text "subject" = |row| row.certificate.subject.as_str();
    "issuer" Text "issuer" = |row| row.certificate.issuer.as_str();
    "serial" Text "serial number, hexadecimal" = |row| row.certificate.serial.as_str();
    "not_valid_before" Time "start of its validity" = |row| row.certificate.not_before;
    "not_valid_after" Time "end of its validity" = |row| row.certificate.not_after;
    "san" Text "names it is for, joined by commas" = |row| row.certificate.names.join(",");
    "key" Text "kind of its public key: RSA, EC, or the algorithm" = |row| row.certificate.key.as_str();
    "key_length" U32 "length of that key, bits; 0 when the kind has one length only"
        = |row| row.certificate.key_bits;
    "signature" Text "algorithm of its signature" = |row| row.certificate.signature.as_str();
    "self_issued" Bool "subject and issuer are the same" = |row| row.certificate.self_issued;
    "authority" Bool "it may sign others (basic constraints)" = |row| row.certificate.authority;
    "faults" Text "what is wrong with it at the time of the packet, joined by commas: expired, \
        not_yet_valid, expired_intermediate, name_mismatch, self_signed, incomplete_chain, chain_order, weak"
        = |row| row.faults();
};
