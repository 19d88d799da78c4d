//! Certificates of a TLS handshake; TLS 1.3 encrypts them.

use std::cell::RefCell;
use std::net::IpAddr;
use std::num::NonZeroUsize;

use data_encoding::HEXLOWER;
use lru::LruCache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::objects::{oid_registry, oid2sn};
use x509_parser::oid_registry::Oid;
use x509_parser::public_key::PublicKey;

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
    /// DNS names and IP addresses it is for (subject alternative names), first 64.
    pub names: Vec<String>,
    /// Names beyond that number.
    pub more_names: u32,
    /// The last common name of the subject.
    pub common_name: Option<String>,
    /// Kind of its public key: `RSA`, `EC`, or the name of the algorithm.
    pub key: String,
    /// Length of its public key, bits; 0 when the kind has one length only.
    pub key_bits: u32,
    /// Algorithm of its signature, e.g. `sha256WithRSAEncryption`.
    pub signature: String,
    /// SHA-256 of its DER form.
    pub fingerprint: [u8; 32],
    /// Subject and issuer are the same.
    pub self_issued: bool,
    /// It may sign others (basic constraints).
    pub authority: bool,
}

/// Certificates kept as they were read: servers send the same few again and again.
const KNOWN: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Longer ones are read every time they come, bytes.
const LONG: usize = 1 << 13;

thread_local! {
    static READ: RefCell<LruCache<Vec<u8>, Certificate>> = RefCell::new(LruCache::new(KNOWN));
}

impl Certificate {
    /// What a certificate in DER says, read or remembered.
    pub(super) fn of(der: &[u8]) -> Option<Self> {
        if der.len() > LONG {
            return Self::read(der);
        }
        READ.with_borrow_mut(|read| {
            if let Some(known) = read.get(der) {
                return Some(known.clone());
            }
            let certificate = Self::read(der)?;
            read.put(der.to_vec(), certificate.clone());
            Some(certificate)
        })
    }

    fn read(der: &[u8]) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        let time =
            |time: x509_parser::time::ASN1Time| Timestamp(time.timestamp().saturating_mul(1_000_000_000));
        let (mut names, mut more_names) = (Vec::new(), 0);
        let mut authority = false;
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(list) => {
                    let mut all = list.general_names.iter().filter_map(alternative_name);
                    names.extend(all.by_ref().take(MAX_NAMES.saturating_sub(names.len())));
                    more_names += all.count() as u32;
                }
                ParsedExtension::BasicConstraints(constraints) => authority = constraints.ca,
                _ => {}
            }
        }
        let public_key = parsed.public_key();
        let (key, key_bits) = match public_key.parsed() {
            Ok(PublicKey::RSA(key)) => ("RSA".to_owned(), key.key_size()),
            // The points of P-521 are whole octets.
            Ok(PublicKey::EC(point)) => ("EC".to_owned(), point.key_size().min(521)),
            _ => (algorithm(&public_key.algorithm.algorithm), 0),
        };
        let common_name = parsed.subject().iter_common_name().last().and_then(|name| name.as_str().ok());
        Some(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            serial: parsed.raw_serial().iter().map(|octet| format!("{octet:02x}")).collect(),
            not_before: time(parsed.validity().not_before),
            not_after: time(parsed.validity().not_after),
            names,
            more_names,
            common_name: common_name.map(str::to_owned),
            key,
            key_bits: key_bits as u32,
            signature: algorithm(&parsed.signature_algorithm.algorithm),
            fingerprint: Sha256::digest(der).into(),
            self_issued: parsed.subject() == parsed.issuer(),
            authority,
        })
    }
}

impl Certificate {
    /// Its fingerprint in hexadecimal.
    pub fn fingerprint_text(&self) -> String {
        HEXLOWER.encode(&self.fingerprint)
    }

    /// The time is within its validity (RFC 5280 section 4.1.2.5: both ends belong to it).
    pub fn is_valid_at(&self, time: Timestamp) -> bool {
        (self.not_before..=Timestamp(self.not_after.0.saturating_add(999_999_999))).contains(&time)
    }

    /// It names this host (RFC 9525 section 6: a wildcard stands for the whole first label). Without
    /// alternative names the common name counts, as RFC 6125 section 6.4.4 had it. `None` when not all of
    /// its names were kept.
    pub fn is_for(&self, host: &str) -> Option<bool> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let parent = host.split_once('.').map(|(_, parent)| parent);
        let fits = |name: &String| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == host || name.strip_prefix("*.").is_some_and(|rest| Some(rest) == parent)
        };
        let found = match self.names.is_empty() {
            true => self.common_name.iter().any(fits),
            false => self.names.iter().any(fits),
        };
        (found || self.more_names == 0).then_some(found)
    }
}

/// OpenSSL's short name of an algorithm, or its object identifier.
fn algorithm(oid: &Oid<'_>) -> String {
    oid2sn(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned)
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
/// In TLS 1.3 a context stands before the list, and extensions behind each entry (RFC 8446 section 4.4.2).
pub(super) fn chain(body: &[u8], tls13: bool) -> impl Iterator<Item = &[u8]> {
    let context = if tls13 { body.first().map_or(0, |length| 1 + usize::from(*length)) } else { 0 };
    let mut rest = body.get(context + 3..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&[high, middle, low], after) = rest.split_first_chunk::<3>()?;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let (der, after) = after.split_at_checked(length)?;
        rest = after;
        if let (true, Some((length, after))) = (tls13, after.split_first_chunk::<2>()) {
            rest = after.get(usize::from(u16::from_be_bytes(*length))..).unwrap_or_default();
        }
        Some(der)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_says_the_same() {
        let all: [&[u8]; 3] = [
            include_bytes!("../../../testdata/certs/leaf.der"),
            include_bytes!("../../../testdata/certs/expired.der"),
            include_bytes!("../../../testdata/certs/intermediate.der"),
        ];
        for der in all.iter().cycle().take(9) {
            let known = Certificate::of(der);
            assert!(known.is_some());
            assert_eq!(known, Certificate::read(der));
            // One octet makes another certificate, or none.
            let mut other = der.to_vec();
            other.last_mut().into_iter().for_each(|octet| *octet ^= 1);
            assert_ne!(Certificate::of(&other), known);
        }
        let kept = READ.with_borrow(LruCache::len);
        assert!((all.len()..=2 * all.len()).contains(&kept), "{kept}");
        assert_eq!(Certificate::of(&vec![0x30; LONG + 1]), None);
    }
}
