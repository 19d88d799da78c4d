//! A plain-text conversation up to the point where it goes on in TLS.

use serde::{Deserialize, Serialize};

use crate::app::tls::{Recognition, looks_like_tls};
use crate::app::upgrade::PlainProtocol;
use crate::app::upgrade::words::{Said, WORDS, Words, begins_with};
use crate::dissect::{Direction, PacketRef};

/// Octets that are read of each direction: who wants TLS asks for it among the first commands.
const MOST_READ: usize = 8 << 10;

/// Longest message that is read.
const MOST_MESSAGE: usize = 2 << 10;

/// PostgreSQL: length 8 and the code of SSLRequest or GSSENCRequest.
const POSTGRES: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16];
const SSL_REQUEST: u8 = 0x2f;
const GSS_REQUEST: u8 = 0x30;

/// MySQL: the capability of TLS (`CLIENT_SSL`, 0x0800) in the second octet of the capabilities.
const MYSQL_SSL: u8 = 0x08;
/// Payload of MySQL's SSLRequest.
const MYSQL_REQUEST: usize = 32;

/// Name of LDAP's StartTLS.
const LDAP_STARTTLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// What became of a request for TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing, as far as the capture shows.
    #[default]
    Unanswered,
    /// TLS follows.
    Agreed,
    /// The server does not do it.
    Refused,
}

/// A request to go on in TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartTls {
    /// The protocol that the connection began in.
    pub protocol: PlainProtocol,
    /// The packet that completed the request.
    pub asked: PacketRef,
    /// What became of it.
    pub verdict: Verdict,
    /// The packet that completed the answer.
    pub answered: Option<PacketRef>,
    /// First octets of a refusal, those that do not print escaped: at most [`StartTls::REPLY`].
    pub reply: String,
    /// After a refusal the client went on in plain text.
    pub went_on: bool,
}

impl StartTls {
    /// Octets kept of a refusal.
    pub const REPLY: usize = 80;
}

/// How messages are told apart.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// They end with an octet; the place of the first of the [`WORDS`] that begin so.
    Words(usize),
    Ldap,
    Postgresql,
    Mysql,
}

#[derive(Debug, Default)]
struct Side {
    /// A message that is not whole.
    held: Vec<u8>,
    read: usize,
    /// TLS has begun.
    secured: bool,
    /// No more is read.
    over: bool,
}

/// The conversation.
#[derive(Debug)]
pub struct Dialogue {
    form: Form,
    sides: [Side; 2],
    request: Option<StartTls>,
}

impl Dialogue {
    /// Whether the first bytes of a direction begin such a conversation.
    pub fn recognise(direction: Direction, bytes: &[u8]) -> Recognition {
        match Form::of(direction, bytes) {
            Some(_) => Recognition::Yes,
            None if Form::may_be(direction, bytes) => Recognition::NeedMore,
            None => Recognition::No,
        }
    }

    /// Begins with the first bytes of a direction, which are not taken.
    pub fn new(direction: Direction, bytes: &[u8]) -> Option<Self> {
        let form = Form::of(direction, bytes)?;
        Some(Self { form, sides: Default::default(), request: None })
    }

    /// Bytes of memory that it takes, about.
    pub fn held(&self) -> usize {
        size_of::<Self>() + self.sides.iter().map(|side| side.held.capacity()).sum::<usize>()
    }

    /// The request for TLS.
    pub fn request(&self) -> Option<&StartTls> {
        self.request.as_ref()
    }

    /// The direction has gone over to TLS.
    pub fn is_secured(&self, direction: Direction) -> bool {
        self.sides[direction.index()].secured
    }

    /// Nothing that comes changes anything.
    pub fn is_over(&self) -> bool {
        self.sides.iter().all(|side| side.over)
    }

    /// Takes the next bytes of a direction. What it gives is TLS: the first of it, once.
    pub fn data(&mut self, direction: Direction, bytes: &[u8], at: PacketRef) -> Vec<u8> {
        let side = &mut self.sides[direction.index()];
        if side.over || side.secured {
            return Vec::new();
        }
        side.read += bytes.len();
        let mut held = std::mem::take(&mut side.held);
        held.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(rest) = held.get(start..).filter(|rest| !rest.is_empty()) {
            // After its request the client waits, and then begins with a record: also where the answer comes
            // later in the capture, or is not in it.
            if direction == Direction::ToServer && self.wants_tls() {
                match looks_like_tls(rest) {
                    Recognition::Yes => self.secure(direction),
                    Recognition::NeedMore => break,
                    Recognition::No => {}
                }
            }
            if self.is_secured(direction) {
                return rest.to_vec();
            }
            if self.sides[direction.index()].over {
                return Vec::new();
            }
            match self.form.message(direction, rest) {
                Some(length) => {
                    self.message(direction, rest.get(..length).unwrap_or(rest), at);
                    start += length.max(1);
                }
                None if rest.len() > MOST_MESSAGE => {
                    self.sides[direction.index()].over = true;
                    return Vec::new();
                }
                None => break,
            }
        }
        let side = &mut self.sides[direction.index()];
        side.over |= side.read > MOST_READ;
        if !side.over && !side.secured {
            held.drain(..start.min(held.len()));
            side.held = held;
        }
        Vec::new()
    }

    /// Bytes of a direction were not captured: where the next message begins is not known.
    pub fn gap(&mut self, direction: Direction) {
        let side = &mut self.sides[direction.index()];
        (side.held, side.over) = (Vec::new(), true);
    }

    fn wants_tls(&self) -> bool {
        self.request.as_ref().is_some_and(|request| request.verdict != Verdict::Refused)
    }

    fn secure(&mut self, direction: Direction) {
        self.sides[direction.index()].secured = true;
    }

    fn message(&mut self, direction: Direction, message: &[u8], at: PacketRef) {
        let by_client = direction == Direction::ToServer;
        let said = self.form.said(by_client, message);
        match (said, &mut self.request) {
            (Said::Ask(protocol) | Said::Begin(protocol), request) => {
                let new = StartTls {
                    protocol,
                    asked: at,
                    verdict: Verdict::Unanswered,
                    answered: None,
                    reply: String::new(),
                    went_on: false,
                };
                request.get_or_insert(new).verdict = Verdict::Unanswered;
                if let (Said::Begin(_), Some(request)) = (said, request) {
                    request.verdict = Verdict::Agreed;
                    Direction::BOTH.into_iter().for_each(|direction| self.secure(direction));
                }
            }
            (Said::Agree, Some(request)) if request.verdict == Verdict::Unanswered => {
                (request.verdict, request.answered) = (Verdict::Agreed, Some(at));
                self.secure(direction);
            }
            (Said::Refuse, Some(request)) if request.verdict == Verdict::Unanswered => {
                (request.verdict, request.answered) = (Verdict::Refused, Some(at));
                request.reply = self.form.reply(message);
            }
            (Said::Other, Some(request)) if by_client => {
                request.went_on |= request.verdict == Verdict::Refused;
            }
            // Who wants TLS here asks for it first.
            (Said::Other, None) if by_client && matches!(self.form, Form::Mysql | Form::Postgresql) => {
                self.sides.iter_mut().for_each(|side| side.over = true);
            }
            _ => {}
        }
    }
}

impl Form {
    fn of(direction: Direction, bytes: &[u8]) -> Option<Self> {
        let words = WORDS.iter().position(|words| {
            words.begins[direction.index()].iter().any(|begin| begins_with(bytes, begin.as_bytes()))
        });
        match direction {
            _ if words.is_some() => words.map(Self::Words),
            Direction::ToServer if bytes.starts_with(POSTGRES) => {
                let code = bytes.get(POSTGRES.len());
                matches!(code, Some(&(SSL_REQUEST | GSS_REQUEST))).then_some(Self::Postgresql)
            }
            // A message with a number and an operation of the application class (RFC 4511 section 4.1.1).
            Direction::ToServer => matches!(ldap_operation(bytes), Some(0x60..=0x7f)).then_some(Self::Ldap),
            // Length, number 0, protocol 10, and a version that begins with a digit.
            Direction::ToClient => matches!(bytes, [_, 0, 0, 0, 10, b'0'..=b'9', ..]).then_some(Self::Mysql),
        }
    }

    /// They may, when there are more of them.
    fn may_be(direction: Direction, bytes: &[u8]) -> bool {
        let text = WORDS.iter().flat_map(|words| words.begins[direction.index()]);
        let short = |begin: &[u8]| begin.len() > bytes.len() && begins_with(begin, bytes);
        text.into_iter().any(|begin| short(begin.as_bytes()))
            || match direction {
                Direction::ToServer => {
                    POSTGRES.starts_with(bytes) || (bytes.len() < 12 && bytes.starts_with(&[0x30]))
                }
                Direction::ToClient => {
                    matches!(bytes, [_] | [_, 0] | [_, 0, 0] | [_, 0, 0, 0] | [_, 0, 0, 0, 10])
                }
            }
    }

    /// Length of the first message; `None` when it is not whole.
    fn message(self, direction: Direction, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Words(place) => {
                let end = WORDS.get(place).map_or(b'\n', |words| words.end);
                bytes.iter().position(|octet| *octet == end).map(|at| at + 1)
            }
            Self::Ldap => {
                let (header, length) = ber_length(bytes.get(1..)?)?;
                let whole = header.saturating_add(length).saturating_add(1);
                (whole <= bytes.len()).then_some(whole)
            }
            Self::Postgresql => match direction {
                Direction::ToServer => (bytes.len() >= 8).then_some(8),
                Direction::ToClient => Some(1),
            },
            Self::Mysql => {
                let [low, middle, high, ..] = *bytes else { return None };
                let whole = 4 + (usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low));
                (whole <= bytes.len()).then_some(whole)
            }
        }
    }

    fn said(self, by_client: bool, message: &[u8]) -> Said {
        match self {
            Self::Words(first) => {
                let begins = WORDS.get(first).map(|words| words.begins[1]);
                let alike = |words: &&Words| Some(words.begins[1]) == begins;
                let mut said = WORDS.iter().filter(alike).map(|words| words.said(by_client, message));
                said.find(|said| *said != Said::Other).unwrap_or(Said::Other)
            }
            Self::Ldap => {
                let result = || ldap_result(message);
                let asks = || message.windows(LDAP_STARTTLS.len()).any(|octets| octets == LDAP_STARTTLS);
                match ldap_operation(message) {
                    Some(0x77) if asks() => Said::Ask(PlainProtocol::Ldap),
                    // Unbind.
                    Some(0x42) => Said::Idle,
                    Some(0x78) if result() == Some(0) => Said::Agree,
                    Some(0x78) => Said::Refuse,
                    _ => Said::Other,
                }
            }
            Self::Postgresql => match (by_client, message) {
                (true, [.., SSL_REQUEST]) if message.starts_with(POSTGRES) => {
                    Said::Ask(PlainProtocol::Postgresql)
                }
                (true, [.., GSS_REQUEST]) if message.starts_with(POSTGRES) => Said::Idle,
                (false, b"S") => Said::Agree,
                (false, b"N" | b"E") => Said::Refuse,
                _ => Said::Other,
            },
            Self::Mysql => match *message {
                [_, _, _, 1, _, capabilities, ..]
                    if by_client && message.len() == 4 + MYSQL_REQUEST && capabilities & MYSQL_SSL != 0 =>
                {
                    Said::Begin(PlainProtocol::Mysql)
                }
                _ => Said::Other,
            },
        }
    }

    /// What a refusal says, for people.
    fn reply(self, message: &[u8]) -> String {
        match self {
            Self::Words(_) | Self::Postgresql => {
                let message = message.trim_ascii();
                message.get(..StartTls::REPLY).unwrap_or(message).escape_ascii().to_string()
            }
            Self::Ldap => ldap_result(message).map_or(String::new(), |code| format!("resultCode {code}")),
            Self::Mysql => String::new(),
        }
    }
}

/// Octets of a definite BER length, and the length (X.690 section 8.1.3).
fn ber_length(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes.first()? {
        short @ 0..=0x7f => Some((1, usize::from(short))),
        long @ 0x81..=0x84 => {
            let octets = bytes.get(1..=usize::from(long & 0x7f))?;
            let length = octets.iter().fold(0usize, |length, octet| length << 8 | usize::from(*octet));
            Some((1 + octets.len(), length))
        }
        _ => None,
    }
}

/// Content of the BER element at the front, as far as it is there.
fn ber_content(bytes: &[u8]) -> Option<&[u8]> {
    let (header, _) = ber_length(bytes.get(1..)?)?;
    bytes.get(1 + header..)
}

/// The tag of an LDAPMessage's operation (RFC 4511 section 4.1.1), and what is in it.
fn ldap_protocol_op(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let rest = ber_content(bytes.strip_prefix(&[0x30]).map(|_| bytes)?)?;
    let &[0x02, length @ 1..=4, ref rest @ ..] = rest else { return None };
    let operation = rest.get(usize::from(length)..)?;
    Some((*operation.first()?, operation))
}

fn ldap_operation(bytes: &[u8]) -> Option<u8> {
    ldap_protocol_op(bytes).map(|(tag, _)| tag)
}

/// The resultCode of a response (RFC 4511 section 4.1.9).
fn ldap_result(bytes: &[u8]) -> Option<u8> {
    let (_, operation) = ldap_protocol_op(bytes)?;
    match *ber_content(operation)? {
        [0x0a, 1, code, ..] => Some(code),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
