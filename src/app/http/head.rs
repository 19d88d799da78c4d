//! Start lines and header fields (RFC 9112 sections 2 to 5), read by `httparse`.

use httparse::{EMPTY_HEADER, Header, ParserConfig, Request, Response, Status};

use crate::app::http::Exchange;
use crate::app::tls::Recognition;

/// Largest head that is read; servers allow 8 to 64 KiB.
pub(super) const MAX_HEAD: usize = 1 << 16;

/// Header fields that are read.
const MAX_FIELDS: usize = 128;

/// Methods of RFC 9110, WebDAV (RFC 4918, 3253, 5323, 5789) and UPnP: what other protocols share with them is
/// told by the version at the end of the line.
const METHODS: [&[u8]; 26] = [
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PROPFIND ",
    b"PROPPATCH ",
    b"MKCOL ",
    b"COPY ",
    b"MOVE ",
    b"LOCK ",
    b"UNLOCK ",
    b"REPORT ",
    b"SEARCH ",
    b"SUBSCRIBE ",
    b"UNSUBSCRIBE ",
    b"NOTIFY ",
    b"MERGE ",
    b"CHECKOUT ",
    b"MKACTIVITY ",
    b"PURGE ",
    b"BPROPFIND ",
];

const VERSION: &[u8] = b"HTTP/1.";

/// Whether bytes are the start of a request or a response of HTTP/1. A request is told from other protocols
/// with such methods (SIP, RTSP) when its line is whole.
pub fn looks_like_http(bytes: &[u8]) -> Recognition {
    let bytes = skip_lines(bytes);
    let begins = |start: &[u8]| {
        let both = bytes.len().min(start.len());
        bytes[..both] == start[..both]
    };
    if begins(VERSION) {
        return if bytes.len() >= VERSION.len() { Recognition::Yes } else { Recognition::NeedMore };
    }
    match METHODS.iter().find(|method| begins(method)) {
        None => Recognition::No,
        Some(method) if bytes.len() < method.len() => Recognition::NeedMore,
        Some(_) => match bytes.iter().position(|octet| *octet == b'\n') {
            None => Recognition::NeedMore,
            Some(end) => {
                let line = bytes[..end].trim_ascii_end();
                let version = line.rsplit(|octet| *octet == b' ').next().unwrap_or_default();
                if version.starts_with(VERSION) { Recognition::Yes } else { Recognition::No }
            }
        },
    }
}

/// Whether bytes begin with a method and a target, though the line may not be whole: captures are often cut
/// behind some octets of each packet.
pub fn begins_request(bytes: &[u8]) -> bool {
    let target = METHODS.iter().find_map(|method| bytes.strip_prefix(*method));
    target.is_some_and(|target| target.starts_with(b"/") || target.starts_with(b"http"))
}

/// Without empty lines in front (RFC 9112 section 2.2).
pub(super) fn skip_lines(bytes: &[u8]) -> &[u8] {
    let empty = bytes.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
    &bytes[empty..]
}

/// What of a head decides how the message goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Framing {
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    /// There is a transfer coding other than chunked at the end, or lengths that contradict each other.
    pub(super) odd: bool,
    /// The other protocol is HTTP/2 (RFC 7540 section 3.2).
    pub(super) h2c: bool,
}

fn config() -> ParserConfig {
    let mut config = ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_request_line_delimiters(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .ignore_invalid_headers_in_responses(true)
        .ignore_invalid_headers_in_requests(true);
    config
}

/// Text from packets: octets that do not print escaped, cut.
fn text(octets: &[u8]) -> String {
    octets[..octets.len().min(Exchange::TEXT)].escape_ascii().to_string()
}

impl Framing {
    /// Takes the fields that frame the body (RFC 9112 section 6).
    fn of(fields: &[Header<'_>]) -> Self {
        let mut framing = Self::default();
        for field in fields {
            let value = field.value.trim_ascii();
            if field.name.eq_ignore_ascii_case("content-length") {
                // RFC 9110 section 8.6: the same length several times is that length.
                for part in value.split(|octet| *octet == b',') {
                    let part = std::str::from_utf8(part.trim_ascii()).ok();
                    let length = part.and_then(|part| part.parse::<u64>().ok());
                    framing.odd |=
                        length.is_none() || framing.length.is_some_and(|known| Some(known) != length);
                    framing.length = framing.length.or(length);
                }
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                let last = value.rsplit(|octet| *octet == b',').next().unwrap_or_default();
                framing.chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
                framing.odd |= !framing.chunked && !last.trim_ascii().eq_ignore_ascii_case(b"identity");
            } else if field.name.eq_ignore_ascii_case("upgrade") {
                framing.h2c |= value.eq_ignore_ascii_case(b"h2c");
            }
        }
        framing
    }
}

fn take(slot: &mut String, value: &[u8]) {
    if slot.is_empty() {
        *slot = text(value.trim_ascii());
    }
}

/// Start line and fields of a head that breaks the rules: what servers and clients read all the same (RFC
/// 9112 section 2.2), and what is left of one that the capture cut.
fn loosely(head: &[u8]) -> (&[u8], Vec<Header<'_>>) {
    let mut lines = head.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii_end);
    let start = lines.next().unwrap_or_default();
    let fields = lines.filter_map(|line| {
        let colon = line.iter().position(|octet| *octet == b':')?;
        let (name, value) = line.split_at(colon);
        Some(Header { name: std::str::from_utf8(name.trim_ascii()).ok()?, value: value.get(1..)? })
    });
    (start, fields.take(MAX_FIELDS).collect())
}

/// Method, target and minor version of a line whose target may have spaces, and whose end may be missing.
fn request_line(line: &[u8]) -> Option<(&[u8], &[u8], u8)> {
    let method = METHODS.iter().find(|method| line.starts_with(method))?.trim_ascii_end();
    let rest = line.get(method.len()..)?.trim_ascii();
    let last = rest.rsplit(|octet| *octet == b' ').next().unwrap_or_default();
    let is_version = last.len() < rest.len() && (last.starts_with(VERSION) || VERSION.starts_with(last));
    let target = if is_version { rest.get(..rest.len() - last.len())?.trim_ascii_end() } else { rest };
    Some((method, target, u8::from(last != b"HTTP/1.0")))
}

/// Reads the head of a request into `exchange`; `None` when it is none.
pub(super) fn read_request(head: &[u8], exchange: &mut Exchange) -> Option<Framing> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut request = Request::new(&mut fields);
    let loose;
    let (method, target, version, fields) = match config().parse_request(&mut request, head) {
        Ok(Status::Complete(_)) => {
            (request.method?.as_bytes(), request.path?.as_bytes(), request.version?, &*request.headers)
        }
        _ => {
            let (line, fields) = loosely(head);
            loose = fields;
            let (method, target, version) = request_line(line)?;
            (method, target, version, &loose[..])
        }
    };
    (exchange.method, exchange.target, exchange.version) = (text(method), text(target), version);
    for field in fields {
        match field.name {
            name if name.eq_ignore_ascii_case("host") => take(&mut exchange.host, field.value),
            name if name.eq_ignore_ascii_case("via") => take(&mut exchange.via, field.value),
            name if name.eq_ignore_ascii_case("x-forwarded-for") => {
                take(&mut exchange.forwarded_for, field.value);
            }
            _ => {}
        }
    }
    Some(Framing::of(fields))
}

/// Status and minor version of a line whose version may be damaged.
fn status_line(line: &[u8]) -> Option<(u16, u8)> {
    let mut parts = line.strip_prefix(VERSION)?.splitn(3, |octet| *octet == b' ');
    let version = u8::from(parts.next()? != b"0");
    let status = std::str::from_utf8(parts.next()?).ok().filter(|status| status.len() == 3)?;
    Some((status.parse().ok()?, version))
}

/// Reads the head of a response into `exchange`; `None` when it is none. Its status is returned and not
/// written: an interim response is no answer.
pub(super) fn read_response(head: &[u8], exchange: &mut Exchange) -> Option<(u16, Framing)> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut response = Response::new(&mut fields);
    let loose;
    let (status, version, fields) = match config().parse_response(&mut response, head) {
        Ok(Status::Complete(_)) => (response.code?, response.version?, &*response.headers),
        _ => {
            let (line, fields) = loosely(head);
            loose = fields;
            let (status, version) = status_line(line)?;
            (status, version, &loose[..])
        }
    };
    if (200..1000).contains(&status) {
        if exchange.request.is_none() {
            exchange.version = version;
        }
        for field in fields {
            match field.name {
                name if name.eq_ignore_ascii_case("server") => take(&mut exchange.server, field.value),
                name if name.eq_ignore_ascii_case("via") => take(&mut exchange.response_via, field.value),
                name if name.eq_ignore_ascii_case("content-type") => {
                    take(&mut exchange.content_type, field.value);
                }
                _ => {}
            }
        }
    }
    Some((status, Framing::of(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_by_their_line_and_responses_by_their_version() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\n"[..], Recognition::Yes),
            (b"\r\nGET / HTTP/1.0\n", Recognition::Yes),
            (b"GE", Recognition::NeedMore),
            (b"GET /long", Recognition::NeedMore),
            (b"OPTIONS rtsp://a RTSP/1.0\r\n", Recognition::No),
            (b"NOTIFY sip:a SIP/2.0\r\n", Recognition::No),
            (b"PRI * HTTP/2.0\r\n", Recognition::No),
            (b"HTTP/1.1 200", Recognition::Yes),
            (b"HTT", Recognition::NeedMore),
            (b"220 mail ESMTP", Recognition::No),
        ] {
            assert_eq!(looks_like_http(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_head_that_breaks_the_rules_is_read_as_far_as_it_goes() {
        let request = |head: &[u8]| {
            let mut exchange = Exchange::default();
            read_request(head, &mut exchange)?;
            Some((exchange.method, exchange.target, exchange.version, exchange.host))
        };
        let read = |method: &str, target: &str, version, host: &str| {
            Some((method.to_owned(), target.to_owned(), version, host.to_owned()))
        };
        for (head, expected) in [
            (&b"GET /a b c HTTP/1.0\r\nHost: x\r\n\r\n"[..], read("GET", "/a b c", 0, "x")),
            (b"GET /a HTTP/1.1\r\nno field\r\nHost: x\r\n\r\n", read("GET", "/a", 1, "x")),
            (b"GET /images/ri", read("GET", "/images/ri", 1, "")),
            (b"GET /a HTTP/1", read("GET", "/a", 1, "")),
            (b"SSTP /a HTTP/1.1\r\n\r\n\x00", read("SSTP", "/a", 1, "")),
            (b"\x00\x01 /a", None),
        ] {
            assert_eq!(request(head), expected, "{}", head.escape_ascii());
        }
        let status = |head: &[u8]| Some(read_response(head, &mut Exchange::default())?.0);
        assert_eq!(status(b"HTTP/1.\xb1 200 OK\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.1 20"), None);
        assert_eq!(status(b"HTTP/1.1 404"), Some(404));
    }

    #[test]
    fn lengths_that_contradict_each_other_are_odd() {
        let framing = |head: &[u8]| read_response(head, &mut Exchange::default()).map(|(_, framing)| framing);
        let same = framing(b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\n").expect("a head");
        assert_eq!((same.length, same.odd), (Some(3), false));
        let two = framing(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n");
        assert!(two.expect("a head").odd);
        let coded = framing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n").expect("a head");
        assert!(coded.chunked && !coded.odd);
    }
}
