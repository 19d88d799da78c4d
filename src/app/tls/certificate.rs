//! Certificates of a TLS 1.2 (or older) handshake; later versions encrypt them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use x509_parser::extensions::{GeneralName, ParsedExtension};

use crate::time::Timestamp;

/// Certificates read per chain.
pub(super) const MAX_CHAIN: usize = 16;

/// Names kept per certificate.
const MAX_NAMES: usize = 64;

/// What a certificate says (RFC 5280).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Subject, RFC 4514 style.
    pub subject: String,
    /// Issuer.
    pub issuer: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// DNS names and IP addresses it is for (subject alternative names).
    pub names: Vec<String>,
    /// Subject and issuer are the same.
    pub self_issued: bool,
    /// It may sign others (basic constraints).
    pub authority: bool,
}

impl Certificate {
    /// Reads one from DER.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        let time =
            |time: x509_parser::time::ASN1Time| Timestamp(time.timestamp().saturating_mul(1_000_000_000));
        let mut names = Vec::new();
        let mut authority = false;
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(list) => {
                    names.extend(list.general_names.iter().filter_map(alternative_name).take(MAX_NAMES));
                }
                ParsedExtension::BasicConstraints(constraints) => authority = constraints.ca,
                _ => {}
            }
        }
        Some(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            serial: parsed.raw_serial().iter().map(|octet| format!("{octet:02x}")).collect(),
            not_before: time(parsed.validity().not_before),
            not_after: time(parsed.validity().not_after),
            names,
            self_issued: parsed.subject() == parsed.issuer(),
            authority,
        })
    }
}

fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => match octets.len() {
            4 => <[u8; 4]>::try_from(*octets).ok().map(|octets| IpAddr::from(octets).to_string()),
            16 => <[u8; 16]>::try_from(*octets).ok().map(|octets| IpAddr::from(octets).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// The DER certificates of a Certificate message: the list and each entry begin with three octets of length.
pub(super) fn chain(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body.get(3..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&[high, middle, low], after) = rest.split_first_chunk::<3>()?;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let der = after.get(..length)?;
        rest = &after[length..];
        Some(der)
    })
}
