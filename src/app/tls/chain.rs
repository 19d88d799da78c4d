//! What is wrong with a chain of certificates, without knowing what the client trusts.

use serde::{Deserialize, Serialize};

use crate::app::tls::certificate::Certificate;
use crate::time::Timestamp;

/// A fault of a chain, in the order in which one of several is blamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainFault {
    /// The server's own certificate is past its validity.
    Expired,
    /// Its validity has not begun.
    NotYetValid,
    /// A certificate between it and the root is past its validity, and the chain has no other in its place.
    ExpiredIntermediate,
    /// It does not name the host that the client asked for.
    NameMismatch,
    /// Its issuer is its subject.
    SelfSigned,
    /// The certificate of its issuer was not sent.
    IncompleteChain,
    /// A certificate does not certify the one before it (RFC 5246 section 7.4.2).
    ChainOrder,
    /// Its key or a signature is weaker than public authorities have been allowed to issue.
    Weak,
}

impl ChainFault {
    /// It depends on what the time is.
    pub fn is_of_time(self) -> bool {
        matches!(self, Self::Expired | Self::NotYetValid | Self::ExpiredIntermediate | Self::Weak)
    }
}

/// When public authorities had to stop issuing RSA keys below 2048 bits: 2014-01-01 (CA/Browser Forum
/// Baseline Requirements, appendix A).
const SHORT_KEYS: Timestamp = Timestamp(1_388_534_400_000_000_000);
/// When SHA-1 signatures had to stop: 2017-01-01 (CA/Browser Forum ballot 118).
const SHA1: Timestamp = Timestamp(1_483_228_800_000_000_000);

/// The faults of a server's chain, leaf first, as it was sent `at` that time to a client that asked for
/// `host` (empty: for none), each with the position of the certificate at fault. In the order of the
/// faults.
pub fn chain_faults(chain: &[Certificate], at: Timestamp, host: &str) -> Vec<(ChainFault, usize)> {
    let Some(leaf) = chain.first() else { return Vec::new() };
    let path = path(chain, at);
    let mut faults = Vec::new();
    if !leaf.is_valid_at(at) {
        let fault = if at < leaf.not_before { ChainFault::NotYetValid } else { ChainFault::Expired };
        faults.push((fault, 0));
    }
    let above = path.iter().skip(1).filter_map(|position| Some((*position, chain.get(*position)?)));
    let expired = above.clone().find(|(_, one)| !one.is_valid_at(at) && at > one.not_after);
    faults.extend(expired.map(|(position, _)| (ChainFault::ExpiredIntermediate, position)));
    if !host.is_empty() && leaf.is_for(host) == Some(false) {
        faults.push((ChainFault::NameMismatch, 0));
    }
    if leaf.self_issued {
        faults.push((ChainFault::SelfSigned, 0));
    } else if path.len() == 1 {
        faults.push((ChainFault::IncompleteChain, 0));
    }
    let misplaced = path.iter().enumerate().find(|(place, position)| place != *position);
    faults.extend(misplaced.map(|(_, position)| (ChainFault::ChainOrder, *position)));
    let weak = std::iter::once((0, leaf)).chain(above).find(|(_, one)| is_weak(one, at));
    faults.extend(weak.map(|(position, _)| (ChainFault::Weak, position)));
    faults.sort_unstable();
    faults
}

/// The positions of the certificates from the leaf up, as far as issuers were sent; valid ones first.
fn path(chain: &[Certificate], at: Timestamp) -> Vec<usize> {
    let mut path = vec![0];
    while let Some(last) = path.last().and_then(|last| chain.get(*last)).filter(|last| !last.self_issued) {
        let issues =
            |(position, one): &(usize, &Certificate)| one.subject == last.issuer && !path.contains(position);
        let issuers = chain.iter().enumerate().filter(issues);
        let Some((next, _)) = issuers.min_by_key(|(_, one)| !one.is_valid_at(at)) else { break };
        path.push(next);
    }
    path
}

/// A root's own signature protects nothing.
fn is_weak(certificate: &Certificate, at: Timestamp) -> bool {
    let signature = certificate.signature.to_ascii_lowercase();
    let hash = signature.contains("md5") || (at >= SHA1 && signature.contains("sha1"));
    let short = certificate.key == "RSA" && certificate.key_bits < 2048 && at >= SHORT_KEYS;
    short || (hash && !certificate.self_issued)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000_000;

    fn one(subject: &str, issuer: &str, days: std::ops::Range<i64>) -> Certificate {
        Certificate {
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            serial: "01".to_owned(),
            not_before: Timestamp(days.start * DAY),
            not_after: Timestamp(days.end * DAY),
            names: vec!["Shop.example".to_owned(), "*.shop.example".to_owned()],
            more_names: 0,
            common_name: None,
            key: "EC".to_owned(),
            key_bits: 256,
            signature: "ecdsa-with-SHA256".to_owned(),
            fingerprint: [0; 32],
            self_issued: subject == issuer,
            authority: subject != "leaf",
        }
    }

    fn faults(chain: &[Certificate], day: i64, host: &str) -> Vec<(ChainFault, usize)> {
        chain_faults(chain, Timestamp(day * DAY), host)
    }

    #[test]
    fn the_time_of_the_capture_decides() {
        let chain = [one("leaf", "ca", 10..20), one("ca", "root", 0..15)];
        assert_eq!(faults(&chain, 12, "shop.example"), []);
        assert_eq!(faults(&chain, 9, ""), [(ChainFault::NotYetValid, 0)]);
        assert_eq!(faults(&chain, 17, ""), [(ChainFault::ExpiredIntermediate, 1)]);
        assert_eq!(faults(&chain, 21, ""), [(ChainFault::Expired, 0), (ChainFault::ExpiredIntermediate, 1)]);
    }

    #[test]
    fn a_valid_intermediate_beside_the_expired_one_heals_the_chain() {
        let old = one("ca", "old root", 0..15);
        let chain = [one("leaf", "ca", 10..20), old, one("ca", "root", 0..30)];
        assert_eq!(faults(&chain, 17, ""), [(ChainFault::ChainOrder, 2)]);
    }

    #[test]
    fn names_are_compared_as_rfc_9525_says() {
        let leaf = one("leaf", "ca", 0..9);
        for (host, fits) in [
            ("SHOP.example.", true),
            ("www.shop.example", true),
            ("a.b.shop.example", false),
            ("example", false),
            ("otherexample", false),
        ] {
            assert_eq!(leaf.is_for(host), Some(fits), "{host}");
        }
        assert_eq!(Certificate { more_names: 1, ..leaf }.is_for("other.example"), None);
    }

    #[test]
    fn a_root_in_the_chain_is_normal_and_order_is_not_completeness() {
        let (leaf, ca, root) = (one("leaf", "ca", 0..9), one("ca", "root", 0..9), one("root", "root", 0..9));
        assert_eq!(faults(&[leaf.clone(), ca.clone(), root.clone()], 5, ""), []);
        assert_eq!(faults(&[leaf.clone(), root.clone(), ca], 5, ""), [(ChainFault::ChainOrder, 2)]);
        assert_eq!(faults(std::slice::from_ref(&leaf), 5, ""), [(ChainFault::IncompleteChain, 0)]);
        assert_eq!(faults(&[leaf, root.clone()], 5, ""), [(ChainFault::IncompleteChain, 0)]);
        assert_eq!(faults(&[root], 5, ""), [(ChainFault::SelfSigned, 0)]);
        assert_eq!(faults(&[], 5, "shop.example"), []);
    }

    #[test]
    fn chains_that_run_in_a_circle_end() {
        let chain = [one("leaf", "a", 0..9), one("a", "b", 0..9), one("b", "a", 0..9)];
        assert_eq!(faults(&chain, 5, ""), []);
    }

    #[test]
    fn weakness_is_judged_by_what_was_allowed_then() {
        let mut chain = [one("leaf", "ca", 0..30_000), one("ca", "root", 0..30_000)];
        chain[1].signature = "sha1WithRSAEncryption".to_owned();
        assert_eq!(faults(&chain, 10_000, ""), []);
        assert_eq!(faults(&chain, 18_000, ""), [(ChainFault::Weak, 1)]);
        chain[1].self_issued = true;
        assert_eq!(faults(&chain, 18_000, ""), []);
    }
}
