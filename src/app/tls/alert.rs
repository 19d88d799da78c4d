//! TLS alerts (RFC 8446 section 6, RFC 5246 section 7.2).

use serde::{Deserialize, Serialize};

use crate::dissect::{Direction, PacketRef};

/// Where in the session an alert was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before a ServerHello.
    Hello,
    /// After the ServerHello and before the handshake was complete.
    Handshake,
    /// After the handshake.
    Established,
}

/// An alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The packet that completed it.
    pub at: PacketRef,
    /// Who sent it.
    pub direction: Direction,
    /// 1 warning, 2 fatal; `None` when it is encrypted.
    pub level: Option<u8>,
    /// Description; `None` when it is encrypted.
    pub description: Option<u8>,
    /// When.
    pub phase: Phase,
}

impl Alert {
    /// close_notify.
    pub const CLOSE_NOTIFY: u8 = 0;
    /// user_canceled.
    pub const USER_CANCELED: u8 = 90;
    /// unrecognized_name.
    pub const UNRECOGNIZED_NAME: u8 = 112;

    /// Its name, or `encrypted`.
    pub fn name(&self) -> String {
        self.description.map_or_else(|| "encrypted".to_owned(), alert_name)
    }
}

const NAMES: &[(u8, &str)] = &[
    (0, "close_notify"),
    (10, "unexpected_message"),
    (20, "bad_record_mac"),
    (21, "decryption_failed"),
    (22, "record_overflow"),
    (30, "decompression_failure"),
    (40, "handshake_failure"),
    (41, "no_certificate"),
    (42, "bad_certificate"),
    (43, "unsupported_certificate"),
    (44, "certificate_revoked"),
    (45, "certificate_expired"),
    (46, "certificate_unknown"),
    (47, "illegal_parameter"),
    (48, "unknown_ca"),
    (49, "access_denied"),
    (50, "decode_error"),
    (51, "decrypt_error"),
    (60, "export_restriction"),
    (70, "protocol_version"),
    (71, "insufficient_security"),
    (80, "internal_error"),
    (86, "inappropriate_fallback"),
    (90, "user_canceled"),
    (100, "no_renegotiation"),
    (109, "missing_extension"),
    (110, "unsupported_extension"),
    (111, "certificate_unobtainable"),
    (112, "unrecognized_name"),
    (113, "bad_certificate_status_response"),
    (114, "bad_certificate_hash_value"),
    (115, "unknown_psk_identity"),
    (116, "certificate_required"),
    (120, "no_application_protocol"),
    (121, "ech_required"),
];

/// All names, and `encrypted` for an alert that cannot be read.
pub const ALERT_NAMES: [&str; NAMES.len() + 1] = {
    let mut names = ["encrypted"; NAMES.len() + 1];
    let mut index = 0;
    while index < NAMES.len() {
        names[index] = NAMES[index].1;
        index += 1;
    }
    names
};

/// Name of an alert description as the IANA registry has it, or `alert_<n>`.
pub fn alert_name(description: u8) -> String {
    match NAMES.binary_search_by_key(&description, |(number, _)| *number) {
        Ok(index) => NAMES[index].1.to_owned(),
        Err(_) => format!("alert_{description}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_registrys() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(alert_name(48), "unknown_ca");
        assert_eq!(alert_name(200), "alert_200");
    }
}
