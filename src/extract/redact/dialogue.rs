//! What goes before STARTTLS without names and contents: verbs, codes, and how messages are told apart.

use super::secrets::Secrets;
use super::zero;
use crate::app::tls::{Recognition, looks_like_tls};
use crate::app::upgrade::Dialogue;
use crate::dissect::Direction;

/// How the messages of a conversation are told apart, and who begins so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spoken {
    form: Form,
    by_client: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// They end with an octet.
    Words(u8),
    Ldap,
    Postgresql,
    Mysql,
}

/// Words that commands and answers are made of. Case does not matter.
const WORDS: [&str; 62] = [
    "ehlo",
    "helo",
    "lhlo",
    "esmtp",
    "starttls",
    "auth",
    "login",
    "plain",
    "external",
    "mail",
    "rcpt",
    "from",
    "to",
    "data",
    "rset",
    "noop",
    "quit",
    "vrfy",
    "help",
    "size",
    "pipelining",
    "8bitmime",
    "smtputf8",
    "dsn",
    "feat",
    "tls",
    "ssl",
    "pbsz",
    "prot",
    "user",
    "pass",
    "syst",
    "stls",
    "capa",
    "sasl",
    "ok",
    "err",
    "capability",
    "logout",
    "no",
    "bad",
    "bye",
    "preauth",
    "imap4rev1",
    "logindisabled",
    "ready",
    "xml",
    "version",
    "stream",
    "streams",
    "proceed",
    "failure",
    "features",
    "xmlns",
    "xmpp-tls",
    "urn",
    "ietf",
    "params",
    "ns",
    "jabber",
    "client",
    "server",
];

/// Longest message that is read: the content of a longer one is of nobody's protocol.
const MOST_MESSAGE: usize = 2 << 10;

/// Name of LDAP's StartTLS.
const LDAP_STARTTLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
/// PostgreSQL asks for TLS or GSSAPI with such eight octets.
const POSTGRES: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16];
/// Length of MySQL's SSLRequest with its header.
const MYSQL_REQUEST: usize = 36;

impl Spoken {
    /// What a direction begins with.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let begins = |direction| Dialogue::recognise(direction, bytes) == Recognition::Yes;
        let direction = Direction::BOTH.into_iter().find(|direction| begins(*direction))?;
        let form = match bytes {
            [b'<', ..] => Form::Words(b'>'),
            [0x30, ..] => Form::Ldap,
            [_, _, _, 0, 10, ..] => Form::Mysql,
            _ if bytes.starts_with(POSTGRES) => Form::Postgresql,
            _ => Form::Words(b'\n'),
        };
        Some(Self { form, by_client: direction == Direction::ToServer })
    }

    /// What the other direction says.
    pub(super) fn answered(self) -> Self {
        Self { by_client: !self.by_client, ..self }
    }

    /// Rewrites a run in place. The answer is where TLS begins: from there on nothing was rewritten.
    pub(super) fn redact(self, secrets: &Secrets, run: &mut [u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(rest) = run.get_mut(at..).filter(|rest| !rest.is_empty()) {
            if looks_like_tls(rest) == Recognition::Yes {
                return Some(at);
            }
            let length = self.message(rest);
            let (message, behind) = rest.split_at_mut(length.unwrap_or(rest.len()).min(rest.len()));
            match self.form {
                Form::Words(_) if length.is_none() && message.len() > MOST_MESSAGE => message.fill(0),
                Form::Words(_) => line(secrets, message),
                Form::Ldap => ldap(message),
                Form::Postgresql => self.postgresql(message),
                Form::Mysql => self.mysql(secrets, message),
            }
            let done = length.is_none() || behind.is_empty();
            at += message.len();
            if done {
                break;
            }
        }
        let end = run.len();
        zero(run, at, end);
        None
    }

    /// Length of the first message; `None` when it is not whole, or when nobody knows.
    fn message(self, bytes: &[u8]) -> Option<usize> {
        let length = match (self.form, self.by_client) {
            (Form::Words(end), _) => bytes.iter().position(|octet| *octet == end)? + 1,
            (Form::Ldap, _) => {
                let (header, content) = ber(bytes)?;
                header + content
            }
            (Form::Postgresql, true) => bytes.starts_with(POSTGRES).then_some(8)?,
            (Form::Postgresql, false) => matches!(bytes, [b'S' | b'N', ..]).then_some(1)?,
            (Form::Mysql, _) => match *bytes {
                [low, middle, high, ..] => {
                    4 + (usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))
                }
                _ => return None,
            },
        };
        (length <= bytes.len()).then_some(length)
    }

    /// Requests for encryption and the octet that answers them; else the length of the first message.
    fn postgresql(self, message: &mut [u8]) {
        let keep = match (self.by_client, &*message) {
            (true, request) if request.starts_with(POSTGRES) => 8,
            (true, _) => 4,
            (false, [b'S' | b'N' | b'E', ..]) => 1,
            (false, _) => 0,
        };
        message.get_mut(keep..).unwrap_or_default().fill(0);
    }

    /// The server's protocol and version, the client's request for TLS; of others length and number.
    fn mysql(self, secrets: &Secrets, message: &mut [u8]) {
        let keep = match (self.by_client, &*message) {
            (false, [_, _, _, 0, 10, version @ ..]) => {
                let length = version.iter().position(|octet| *octet == 0).unwrap_or(version.len());
                secrets.text(message.get_mut(5..5 + length).unwrap_or_default());
                5 + length
            }
            (true, request @ [_, _, _, 1, ..]) if request.len() == MYSQL_REQUEST => MYSQL_REQUEST,
            _ => 4,
        };
        message.get_mut(keep..).unwrap_or_default().fill(0);
    }
}

fn is_word(word: &[u8]) -> bool {
    let word = word.strip_prefix(b"-").unwrap_or(word);
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

/// A command or an answer keeps its code and the words that everybody uses, and gets others in the place of
/// the rest. Of any other line only its length and its end stay.
fn line(secrets: &Secrets, line: &mut [u8]) {
    // Code and sign (RFC 5321 section 4.2).
    let code = match &*line {
        [a, b, c, b' ' | b'-' | b'\r' | b'\n', ..]
            if [a, b, c].iter().all(|octet| octet.is_ascii_digit()) =>
        {
            4
        }
        _ => 0,
    };
    let (_, text) = line.split_at_mut(code);
    let inside = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | 0x80..);
    let words = || text.chunk_by(|a, b| inside(a) == inside(b)).filter(|run| run.first().is_some_and(inside));
    // A word of the client's choice may stand in front (RFC 9051 section 2.2.1).
    let known = code > 0 || words().take(2).any(is_word);
    if !known || text.iter().any(|octet| octet.is_ascii_control() && !octet.is_ascii_whitespace()) {
        text.iter_mut().filter(|octet| !matches!(octet, b'\r' | b'\n')).for_each(|octet| *octet = b'x');
        return;
    }
    for token in text.split_mut(|octet| *octet == b' ') {
        // Part of a name or of an address, a word is nobody's but its owner's.
        let name = token.iter().any(|octet| matches!(octet, b'.' | b'@'));
        let runs = token.chunk_by_mut(|a, b| inside(a) == inside(b));
        for run in runs.filter(|run| run.first().is_some_and(inside) && (name || !is_word(run))) {
            secrets.label(run);
        }
    }
}

/// Octets in front of the content of a BER element, and of the content (X.690 section 8.1.3).
fn ber(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes.get(1)? {
        short @ 0..=0x7f => Some((2, usize::from(short))),
        long @ 0x81..=0x84 => {
            let octets = bytes.get(2..2 + usize::from(long & 0x7f))?;
            let length = octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
            Some((2 + octets.len(), length))
        }
        _ => None,
    }
}

/// Number and operation of an LDAPMessage (RFC 4511 section 4.1.1), the name of StartTLS, and the result of
/// an answer.
fn ldap(message: &mut [u8]) {
    let old = message.to_vec();
    message.fill(0);
    let mut keep = |from: usize, count: usize| {
        if let (Some(old), Some(new)) = (old.get(from..from + count), message.get_mut(from..from + count)) {
            new.copy_from_slice(old);
        }
    };
    let read = || {
        let (header, _) = ber(&old)?;
        let (number, length) = ber(old.get(header..)?)?;
        let operation = header + number + length.min(4);
        let (inside, _) = ber(old.get(operation..)?)?;
        Some((operation, operation + inside))
    };
    let Some((operation, content)) = read().filter(|_| old.first() == Some(&0x30)) else { return };
    keep(0, content);
    match old.get(operation) {
        Some(0x77) => {
            let name = old.windows(LDAP_STARTTLS.len()).position(|octets| octets == LDAP_STARTTLS);
            if let Some(name) = name.filter(|name| *name >= content + 2) {
                keep(name - 2, 2 + LDAP_STARTTLS.len());
            }
        }
        Some(0x61 | 0x65 | 0x78) => keep(content, 3),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets::new(b"a key of a test", false)
    }

    fn redacted(head: &[u8], mine: bool, bytes: &[u8]) -> String {
        let spoken = Spoken::of(head).expect("recognised");
        let mut run = bytes.to_vec();
        let tls = if mine { spoken } else { spoken.answered() }.redact(&secrets(), &mut run);
        assert_eq!(run.len(), bytes.len());
        format!("{tls:?} {}", run.escape_ascii())
    }

    #[test]
    fn verbs_and_codes_stay_and_names_do_not() {
        let server =
            b"220 mail.shop.example ESMTP\r\n250-mail.shop.example\r\n250 STARTTLS\r\n454 TLS down\r\n";
        let new = redacted(server, true, server);
        for kept in ["220 ", " ESMTP\\r\\n250-", "250 STARTTLS\\r\\n454 TLS "] {
            assert!(new.contains(kept), "{new}");
        }
        assert!(!new.contains("mail") && !new.contains("shop"), "{new}");
        let client = b"EHLO pc7.shop.example\r\nstarttls\r\nDear Anna,\r\nAGFubmEAc2VjcmV0\r\nQUIT\r\n";
        let new = redacted(server, false, client);
        assert!(new.starts_with("None EHLO "), "{new}");
        assert!(
            new.ends_with("\\r\\nstarttls\\r\\nxxxxxxxxxx\\r\\nxxxxxxxxxxxxxxxx\\r\\nQUIT\\r\\n"),
            "{new}"
        );
        let imap = redacted(b"* OK hi\r\n", false, b"a1 LOGIN anna secret\r\na2 STARTTLS\r\n");
        assert!(imap.contains(" LOGIN ") && imap.contains(" STARTTLS\\r\\n"), "{imap}");
        assert!(!imap.contains("anna") && !imap.contains("secret"), "{imap}");
    }

    #[test]
    fn what_begins_with_a_record_is_left_to_the_next_reader() {
        let hello = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03";
        for (head, before) in [
            (&b"EHLO a\r\n"[..], &b"EHLO a\r\nSTARTTLS\r\n"[..]),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", b"\0\0\0\x08\x04\xd2\x16\x30\0\0\0\x08\x04\xd2\x16\x2f"),
            (b"<?xml version='1.0'?>", b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        ] {
            let mut run = [before, hello].concat();
            let at = Spoken::of(head).expect("recognised").redact(&secrets(), &mut run);
            assert_eq!(at, Some(before.len()));
            assert_eq!(&run[before.len()..], hello);
        }
    }

    #[test]
    fn ldap_keeps_the_name_of_starttls_and_results() {
        let ask = [&b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16"[..], LDAP_STARTTLS].concat();
        let mut run = ask.clone();
        assert_eq!(Spoken::of(&ask).expect("LDAP").redact(&secrets(), &mut run), None);
        assert_eq!(run, ask);
        let answer = b"\x30\x11\x02\x01\x01\x78\x0c\x0a\x01\x35\x04\x00\x04\x05no,no";
        let mut run = answer.to_vec();
        Spoken::of(&ask).expect("LDAP").answered().redact(&secrets(), &mut run);
        assert_eq!(run[..10], answer[..10]);
        assert!(run[10..].iter().all(|octet| *octet == 0));
        let bind = b"\x30\x14\x02\x01\x01\x60\x0f\x02\x01\x03\x04\x04anna\x80\x04pass";
        let mut run = bind.to_vec();
        Spoken::of(bind).expect("LDAP").redact(&secrets(), &mut run);
        assert_eq!((&run[..7], &run[7..]), (&bind[..7], &[0; 15][..]));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..200),
            head in proptest::sample::select(vec![
                &b"220 "[..], b"EHLO ", b"<?xml", b"\x30\x0c\x02\x01\x01\x60", b"\0\0\0\x08\x04\xd2\x16\x2f",
                b"\x4a\0\0\0\x0a8",
            ]),
            mine in proptest::arbitrary::any::<bool>(),
        ) {
            redacted(head, mine, &bytes);
            redacted(head, true, &[head, &bytes].concat());
        }
    }
}
