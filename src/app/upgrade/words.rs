//! How protocols go over to TLS in the middle of a connection: who says what.

use serde::{Deserialize, Serialize};

/// A protocol that may begin in plain text and go on in TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlainProtocol {
    /// SMTP and LMTP (RFC 3207).
    Smtp,
    /// IMAP (RFC 9051 section 6.2.1).
    Imap,
    /// POP3 (RFC 2595 section 4).
    Pop3,
    /// FTP's control connection (RFC 4217).
    Ftp,
    /// LDAP (RFC 4511 section 4.14).
    Ldap,
    /// PostgreSQL (protocol 3.0, section SSL Session Encryption).
    Postgresql,
    /// MySQL and MariaDB (SSLRequest of the connection phase).
    Mysql,
    /// XMPP (RFC 6120 section 5).
    Xmpp,
}

impl PlainProtocol {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smtp => "SMTP",
            Self::Imap => "IMAP",
            Self::Pop3 => "POP3",
            Self::Ftp => "FTP",
            Self::Ldap => "LDAP",
            Self::Postgresql => "PostgreSQL",
            Self::Mysql => "MySQL",
            Self::Xmpp => "XMPP",
        }
    }
}

/// What a message means to the way over to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The client asks for TLS.
    Ask(PlainProtocol),
    /// The client goes over without waiting for an answer.
    Begin(PlainProtocol),
    /// The server agrees.
    Agree,
    /// The server does not.
    Refuse,
    /// The client takes its leave, or does what needs no TLS and leads to nothing.
    Idle,
    /// Anything else.
    Other,
}

/// A protocol of lines or elements, by the words they begin with. Case does not matter.
pub(super) struct Words {
    pub(super) protocol: PlainProtocol,
    /// What the server begins with, and what the client does when it is first.
    pub(super) begins: [&'static [&'static str]; 2],
    /// The octet that ends a message.
    pub(super) end: u8,
    /// A word of the client's choice stands in front of commands and their answers.
    tagged: bool,
    ask: &'static [&'static str],
    agree: &'static [&'static str],
    refuse: &'static [&'static str],
    idle: &'static [&'static str],
}

/// SMTP and FTP begin alike: what the client asks with tells them apart.
pub(super) const WORDS: [Words; 5] = [
    Words {
        protocol: PlainProtocol::Smtp,
        begins: [&["EHLO ", "HELO ", "LHLO "], &["220 ", "220-"]],
        end: b'\n',
        tagged: false,
        ask: &["STARTTLS"],
        agree: &["220"],
        refuse: &["4", "5"],
        idle: &["QUIT", "RSET", "NOOP", "EHLO", "HELO"],
    },
    Words {
        protocol: PlainProtocol::Ftp,
        begins: [&[], &["220 ", "220-"]],
        end: b'\n',
        tagged: false,
        ask: &["AUTH TLS", "AUTH SSL"],
        agree: &["234"],
        refuse: &["4", "5"],
        // A client that is refused TLS may try its older name.
        idle: &["QUIT", "NOOP", "FEAT", "AUTH"],
    },
    Words {
        protocol: PlainProtocol::Pop3,
        begins: [&[], &["+OK"]],
        end: b'\n',
        tagged: false,
        ask: &["STLS"],
        agree: &["+OK"],
        refuse: &["-ERR"],
        idle: &["QUIT", "NOOP", "CAPA"],
    },
    Words {
        protocol: PlainProtocol::Imap,
        begins: [&[], &["* OK", "* PREAUTH"]],
        end: b'\n',
        tagged: true,
        ask: &["STARTTLS"],
        agree: &["OK"],
        refuse: &["NO", "BAD"],
        idle: &["LOGOUT", "NOOP", "CAPABILITY"],
    },
    Words {
        protocol: PlainProtocol::Xmpp,
        begins: [&["<?xml", "<stream:stream"], &[]],
        end: b'>',
        tagged: false,
        ask: &["<starttls"],
        agree: &["<proceed"],
        refuse: &["<failure"],
        idle: &["</stream:stream"],
    },
];

impl Words {
    /// What a message of the client or of the server means.
    pub(super) fn said(&self, by_client: bool, message: &[u8]) -> Said {
        let mut message = message.trim_ascii();
        if self.tagged {
            // Answers without a tag are no answers to a command.
            let tag = message.iter().position(|octet| *octet == b' ').unwrap_or(message.len());
            let (tag, rest) = message.split_at(tag);
            message = if matches!(tag, b"*" | b"+") { b"" } else { rest.trim_ascii_start() };
        }
        let is = |words: &[&str]| words.iter().any(|word| begins_with(message, word.as_bytes()));
        match by_client {
            true if is(self.ask) => Said::Ask(self.protocol),
            true if is(self.idle) => Said::Idle,
            false if is(self.agree) => Said::Agree,
            false if is(self.refuse) => Said::Refuse,
            _ => Said::Other,
        }
    }
}

/// `message` begins with `word`, whatever the case of its letters.
pub(super) fn begins_with(message: &[u8], word: &[u8]) -> bool {
    message.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
}
