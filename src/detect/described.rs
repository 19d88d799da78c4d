//! Certificates in words: kept once by fingerprint, however many sessions presented them.

use serde::{Deserialize, Serialize};

use crate::app::tls::Certificate;
use crate::detect::{Bounded, Merge};
use crate::time::Timestamp;

/// What is said of a certificate.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Described {
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) names: String,
    pub(super) key: String,
    pub(super) valid: Option<(Timestamp, Timestamp)>,
}

impl Merge for Described {
    fn absorb(&mut self, other: Self) {
        // The same fingerprint is the same certificate.
        if self.valid.is_none() {
            *self = other;
        }
    }
}

/// Certificates with a fault by fingerprint, however many sessions presented them.
pub(super) type Known = Bounded<[u8; 32], Described, 4096>;

impl Described {
    /// What is said of this one.
    pub(super) fn of(certificate: &Certificate) -> Self {
        let names = certificate.names.iter().take(3).map(|name| short(name)).collect::<Vec<_>>().join(", ");
        let more = certificate.names.len().saturating_sub(3) as u64 + u64::from(certificate.more_names);
        let common = || short(certificate.common_name.as_deref().unwrap_or("no name"));
        Self {
            subject: short(&certificate.subject),
            issuer: short(&certificate.issuer),
            names: match more {
                _ if certificate.names.is_empty() => common(),
                0 => names,
                more => format!("{names} and {more} more"),
            },
            key: format!("{} {} bit, {}", certificate.key, certificate.key_bits, certificate.signature),
            valid: Some((certificate.not_before, certificate.not_after)),
        }
    }
}

/// Names are hostile input: enough of them to be recognised.
fn short(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The date of a time in UTC.
pub(super) fn day(time: Timestamp) -> String {
    time.rfc3339().chars().take_while(|character| *character != 'T').collect()
}
