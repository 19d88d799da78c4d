//! An HTTP/1 stream without paths, values and bodies: start lines, names of well-known fields, the fields
//! that frame a message (RFC 9112), and the names of probes in paths.

use super::secrets::Secrets;
use crate::app::http::looks_like_http;
use crate::app::tls::Recognition;
use crate::detect::is_probed;

/// Fields whose values say how a message is sent and not what.
const PLAIN: [&[u8]; 14] = [
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"keep-alive",
    b"upgrade",
    b"expect",
    b"retry-after",
    b"date",
    b"age",
    b"content-encoding",
    b"accept-encoding",
    b"accept-ranges",
    b"te",
    b"trailer",
];

/// Fields whose names stay and whose values become other words.
const NAMED: [&[u8]; 17] = [
    b"host",
    b"user-agent",
    b"accept",
    b"server",
    b"via",
    b"location",
    b"content-type",
    b"cookie",
    b"set-cookie",
    b"referer",
    b"authorization",
    b"origin",
    b"etag",
    b"last-modified",
    b"cache-control",
    b"x-forwarded-for",
    b"vary",
];

/// Octets of `HTTP/1.1`.
const VERSION: usize = 8;

/// What follows a head.
enum Body {
    None,
    Length(usize),
    Chunked,
    /// The rest is no message, or nobody knows where it ends.
    Rest,
}

/// Rewrites `bytes`, in place: `starts` is where captured runs begin, `end_of` says where the run around a
/// place ends. The answer is where another protocol begins: from there on nothing was rewritten.
pub(super) fn redact(
    secrets: &Secrets,
    bytes: &mut [u8],
    starts: &[usize],
    end_of: impl Fn(usize) -> usize,
    goes_over: impl Fn(&[u8]) -> bool,
) -> Option<usize> {
    let mut done = 0;
    for start in starts {
        let mut at = done.max(*start);
        while at < bytes.len() {
            let end = end_of(at).min(bytes.len());
            let empty = bytes.get(at..end).unwrap_or_default();
            let empty = empty.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
            let begin = at + empty;
            let Some(rest) = bytes.get_mut(begin..end).filter(|rest| !rest.is_empty()) else {
                at = end;
                break;
            };
            if looks_like_http(rest) == Recognition::No {
                if begin > *start && goes_over(rest) {
                    return Some(begin);
                }
                at = begin;
                break;
            }
            let Some(length) = head_length(rest) else {
                // Cut: the lines that are whole, and the start of the last one, which may say it all.
                let whole = rest.iter().rposition(|octet| *octet == b'\n').map_or(0, |last| last + 1);
                let (lines, last) = rest.split_at_mut(whole);
                head(secrets, lines);
                first_word(secrets, last, whole == 0);
                at = end;
                break;
            };
            let body = head(secrets, &mut rest[..length]);
            at = begin + length;
            let next = match body {
                Body::None => at,
                Body::Rest => {
                    let behind = bytes.get(at..end_of(at).min(bytes.len())).unwrap_or_default();
                    if goes_over(behind) {
                        return Some(at);
                    }
                    break;
                }
                Body::Chunked => chunks(bytes, at, &end_of),
                Body::Length(length) => {
                    let behind = bytes.get(at..end_of(at).min(bytes.len())).unwrap_or_default();
                    // The answer to a HEAD request announces a body that does not come.
                    if behind.starts_with(b"HTTP/1.") { at } else { at.saturating_add(length) }
                }
            };
            zero_body(bytes, at, next, &body);
            at = next;
        }
        let next = starts.iter().copied().find(|next| *next > at).unwrap_or(bytes.len());
        if let Some(rest) = bytes.get_mut(at.min(next)..next) {
            rest.fill(0);
        }
        done = at.max(done);
    }
    None
}

fn zero_body(bytes: &mut [u8], from: usize, to: usize, body: &Body) {
    let end = to.min(bytes.len());
    if let (Body::Length(_), Some(run)) = (body, bytes.get_mut(from..end)) {
        run.fill(0);
    }
}

/// Where the empty line behind the fields ends.
fn head_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|octet| *octet == b'\n')? + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

fn head(secrets: &Secrets, head: &mut [u8]) -> Body {
    let (mut status, mut length, mut chunked, mut response) = (0, None, false, false);
    for (place, line) in head.split_inclusive_mut(|octet| *octet == b'\n').enumerate() {
        if place == 0 {
            response = line.starts_with(b"HTTP/");
            status = first_line(secrets, line);
            continue;
        }
        let Some(colon) = line.iter().position(|octet| *octet == b':') else {
            // A value that goes on, or nothing at all.
            secrets.text(line);
            continue;
        };
        let (name, value) = line.split_at_mut(colon);
        if is_plain(name) {
            let text = value.get(1..).unwrap_or_default().trim_ascii();
            if is_of(&[b"content-length"], name) {
                length = std::str::from_utf8(text).ok().and_then(|text| text.parse::<usize>().ok());
            } else if is_of(&[b"transfer-encoding"], name) {
                chunked |= text.to_ascii_lowercase().ends_with(b"chunked");
            }
            continue;
        }
        if !is_named(name) {
            secrets.text(name);
        }
        secrets.text(value);
    }
    match (response, status) {
        (true, 101) => Body::Rest,
        (true, 100..=199 | 204 | 304) => Body::None,
        _ if chunked => Body::Chunked,
        (_, _) => match (length, response) {
            (Some(length), _) => Body::Length(length),
            (None, true) => Body::Rest,
            (None, false) => Body::None,
        },
    }
}

/// `METHOD target HTTP/1.1` or `HTTP/1.1 status reason`: the target and the reason become other words. The
/// answer is the status.
fn first_line(secrets: &Secrets, line: &mut [u8]) -> u16 {
    let space = |bytes: &[u8]| bytes.iter().position(|octet| *octet == b' ');
    let Some(one) = space(line) else {
        // A version and no status: words behind it are nobody's protocol.
        secrets.text(line.get_mut(VERSION..).unwrap_or_default());
        return 0;
    };
    if line.starts_with(b"HTTP/") {
        let status = line.get(one + 1..one + 4).and_then(|status| std::str::from_utf8(status).ok());
        let status = status.and_then(|status| status.parse().ok()).unwrap_or(0);
        if let Some(reason) = line.get_mut(one + 4..) {
            secrets.text(reason);
        }
        return status;
    }
    let last = line.iter().rposition(|octet| *octet == b' ').unwrap_or(one);
    if let Some(target) = line.get_mut(one..last) {
        path(target, |words| secrets.text(words));
    }
    0
}

/// Rewrites the segments of a path and what follows it.
pub(super) fn path(target: &mut [u8], words: impl Fn(&mut [u8])) {
    let path = target.iter().position(|octet| matches!(octet, b'?' | b'#')).unwrap_or(target.len());
    let (path, query) = target.split_at_mut(path);
    for segment in path.split_mut(|octet| *octet == b'/') {
        // A rule knows probes by such a name, and it tells nobody's.
        let probe = std::str::from_utf8(segment).is_ok_and(|name| name == "index.html" || is_probed(name));
        if !probe {
            words(segment);
        }
    }
    words(query);
}

fn is_of(names: &[&[u8]], name: &[u8]) -> bool {
    names.iter().any(|known| name.trim_ascii().eq_ignore_ascii_case(known))
}

/// The value of a field of this name stays.
pub(super) fn is_plain(name: &[u8]) -> bool {
    is_of(&PLAIN, name)
}

/// The name of a field is everybody's.
pub(super) fn is_named(name: &[u8]) -> bool {
    is_of(&NAMED, name)
}

/// What is left of a line that was cut: a method or a version may stay, the rest becomes other words.
fn first_word(secrets: &Secrets, line: &mut [u8], first: bool) {
    let keep = match line.iter().position(|octet| *octet == b' ') {
        _ if !first => 0,
        Some(space) if line.starts_with(b"HTTP/1.") => line.len().min(space + 4),
        Some(space) => space,
        None => line.len().min(8),
    };
    if let Some(rest) = line.get_mut(keep..) {
        secrets.text(rest);
    }
}

/// Zeroes the data of a chunked body and leaves the sizes: where the body ends.
fn chunks(bytes: &mut [u8], mut at: usize, end_of: &impl Fn(usize) -> usize) -> usize {
    loop {
        let end = end_of(at).min(bytes.len());
        let Some(line) = bytes.get(at..end).and_then(|rest| Some(rest.iter().position(|o| *o == b'\n')? + 1))
        else {
            return at;
        };
        let Some(text) = bytes.get_mut(at..at + line) else { return at };
        let digits = text.iter().take_while(|octet| octet.is_ascii_hexdigit()).count();
        let size = std::str::from_utf8(&text[..digits]).ok();
        let size = size.and_then(|digits| usize::from_str_radix(digits, 16).ok());
        // Extensions (RFC 9112 section 7.1.1) are nobody's framing.
        let ending = if text.ends_with(b"\r\n") { 2 } else { 1 };
        if let Some(extension) = text.get_mut(digits..line - ending) {
            extension.fill(b' ');
        }
        at += line;
        let Some(size) = size else { return at };
        if size == 0 {
            // The trailer is rare, and ends with an empty line.
            let blank = bytes.get(at..).unwrap_or_default();
            return at + if blank.starts_with(b"\r\n") { 2 } else { usize::from(blank.starts_with(b"\n")) };
        }
        let behind = at.saturating_add(size);
        let stop = behind.min(bytes.len());
        if let Some(data) = bytes.get_mut(at..stop) {
            data.fill(0);
        }
        let blank = bytes.get(stop..).unwrap_or_default();
        at = stop + if blank.starts_with(b"\r\n") { 2 } else { usize::from(blank.starts_with(b"\n")) };
    }
}
