//! Where a body ends (RFC 9112 sections 6 and 7).

/// Largest line of chunked framing; extensions and trailer fields are rare and short.
const MAX_LINE: usize = 4096;

/// A body that goes on.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    /// So many octets are left.
    Length(u64),
    /// Chunks.
    Chunked(Chunks),
    /// It ends with the connection.
    UntilClose,
}

/// Where in chunked framing a body is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Chunks {
    /// In a line with a size: what of it was seen.
    Size(Vec<u8>),
    /// In a chunk: octets left.
    Data(u64),
    /// Behind a chunk, before its line end.
    DataEnd,
    /// In the trailer; octets of the current line, without its end.
    Trailer(usize),
}

/// What bytes were to a body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Taken {
    /// Octets used, framing included.
    pub(super) used: usize,
    /// Octets of the body among them.
    pub(super) body: u64,
    /// What follows.
    pub(super) then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Then {
    /// More of it.
    More,
    /// It is whole.
    Whole,
    /// The framing is broken.
    Broken,
}

impl Body {
    /// Of an announced length.
    pub(super) fn of_length(length: u64) -> Self {
        Self::Length(length)
    }

    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunks::Size(Vec::new()))
    }

    /// Bytes of memory that it takes.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Chunked(Chunks::Size(line)) => line.capacity(),
            _ => 0,
        }
    }

    /// Takes the next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Taken {
        match self {
            Self::UntilClose => Taken { used: bytes.len(), body: bytes.len() as u64, then: Then::More },
            Self::Length(left) => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= used as u64;
                let then = if *left == 0 { Then::Whole } else { Then::More };
                Taken { used, body: used as u64, then }
            }
            Self::Chunked(chunks) => chunks.take(bytes),
        }
    }

    /// Bytes that were not captured: what follows, or `Broken` when it is not known any more where it ends.
    pub(super) fn skip(&mut self, length: u64) -> Then {
        match self {
            Self::UntilClose => Then::More,
            Self::Length(left) if *left == length => Then::Whole,
            Self::Length(left) | Self::Chunked(Chunks::Data(left)) if *left > length => {
                *left -= length;
                Then::More
            }
            Self::Length(_) | Self::Chunked(_) => Then::Broken,
        }
    }
}

impl Chunks {
    fn take(&mut self, bytes: &[u8]) -> Taken {
        let (mut used, mut body) = (0, 0);
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            match self {
                Self::Size(line) => {
                    let end = rest.iter().position(|octet| *octet == b'\n');
                    let taken = end.map_or(rest.len(), |end| end + 1);
                    line.extend_from_slice(&rest[..taken]);
                    used += taken;
                    if line.len() > MAX_LINE {
                        return Taken { used, body, then: Then::Broken };
                    }
                    if end.is_some() {
                        let Some(size) = chunk_size(line) else {
                            return Taken { used, body, then: Then::Broken };
                        };
                        *self = if size == 0 { Self::Trailer(0) } else { Self::Data(size) };
                    }
                }
                Self::Data(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= taken as u64;
                    (used, body) = (used + taken, body + taken as u64);
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                }
                Self::DataEnd => {
                    used += 1;
                    match rest[0] {
                        b'\r' => {}
                        b'\n' => *self = Self::Size(Vec::new()),
                        _ => return Taken { used, body, then: Then::Broken },
                    }
                }
                Self::Trailer(line) => {
                    used += 1;
                    match (rest[0], *line) {
                        (b'\n', 0) => return Taken { used, body, then: Then::Whole },
                        (b'\n', _) => *line = 0,
                        (b'\r', _) => {}
                        (_, MAX_LINE..) => return Taken { used, body, then: Then::Broken },
                        _ => *line += 1,
                    }
                }
            }
        }
        Taken { used, body, then: Then::More }
    }
}

/// The size in a line such as `1a;name=value\r\n`.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|octet| matches!(octet, b';' | b'\r' | b'\n'))?;
    let digits = std::str::from_utf8(line[..end].trim_ascii()).ok()?;
    let hexadecimal = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| hexadecimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_end_where_they_end_however_they_are_cut() {
        let bytes = b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\nHTTP/1.1";
        for piece in 1..bytes.len() {
            let (mut body, mut used, mut length) = (Body::chunked(), 0, 0);
            for part in bytes.chunks(piece) {
                let taken = body.take(part);
                (used, length) = (used + taken.used, length + taken.body);
                assert_ne!(taken.then, Then::Broken);
                if taken.then == Then::Whole {
                    break;
                }
            }
            assert_eq!((used, length), (bytes.len() - 8, 6), "in pieces of {piece}");
        }
    }

    #[test]
    fn sizes_that_are_none_are_broken() {
        for bytes in [&b"+5\r\nhello"[..], b"\r\n", b"ffffffffffffffffff\r\n", b"5\r\nhelloXX"] {
            assert_eq!(Body::chunked().take(bytes).then, Then::Broken, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_gap_inside_a_body_is_bridged_and_one_beyond_it_is_not() {
        let mut body = Body::of_length(100);
        assert_eq!((body.skip(99), body.clone()), (Then::More, Body::Length(1)));
        assert_eq!((body.skip(2), body.skip(1)), (Then::Broken, Then::Whole));
        assert_eq!(Body::chunked().skip(1), Then::Broken);
    }
}
