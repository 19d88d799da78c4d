//! The first bytes that a side of a connection sent: enough to say what was spoken where TLS was expected.

use serde::{Deserialize, Serialize};

use crate::app::tls::{Recognition, looks_like_tls};
use crate::dissect::PacketRef;

/// The first bytes of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The packet with the first of them.
    pub at: PacketRef,
    octets: [u8; Self::MOST],
    length: u8,
    /// Bytes before them are missing from the capture.
    torn: bool,
}

impl Greeting {
    /// As many as the status of an HTTP response needs.
    const MOST: usize = 12;

    /// Takes the next bytes in order.
    pub(super) fn add(&mut self, bytes: &[u8], at: PacketRef) {
        if usize::from(self.length) >= Self::MOST || self.torn {
            return;
        }
        if self.length == 0 {
            self.at = at;
        }
        for (place, octet) in self.octets.iter_mut().skip(usize::from(self.length)).zip(bytes) {
            *place = *octet;
            self.length += 1;
        }
    }

    /// Bytes are missing here.
    pub(super) fn gap(&mut self) {
        self.torn |= usize::from(self.length) < Self::MOST;
    }

    /// The bytes; empty when the side sent none, or when the first are missing.
    pub fn octets(&self) -> &[u8] {
        let known = if self.torn { 0 } else { usize::from(self.length) };
        self.octets.get(..known).unwrap_or_default()
    }

    /// The side sent nothing.
    pub fn is_silent(&self) -> bool {
        self.length == 0 && !self.torn
    }

    /// It began as TLS does.
    pub fn is_tls(&self) -> bool {
        looks_like_tls(self.octets()) == Recognition::Yes
    }

    /// It began with words: letters, digits, spaces and signs only.
    pub fn is_text(&self) -> bool {
        let text = |octet: &u8| octet.is_ascii_graphic() || matches!(octet, b' ' | b'\r' | b'\n' | b'\t');
        self.octets().len() >= 4 && self.octets().iter().all(text)
    }

    /// It began with the method of an HTTP/1 request (RFC 9110 section 9.3).
    pub fn is_http_request(&self) -> bool {
        let methods: [&[u8]; 8] =
            [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE "];
        methods.iter().any(|method| self.octets().starts_with(method))
    }

    /// The status of an HTTP/1 response (RFC 9112 section 4).
    pub fn http_status(&self) -> Option<u16> {
        let rest = self.octets().strip_prefix(b"HTTP/1.")?;
        std::str::from_utf8(rest.get(2..5)?).ok()?.parse().ok()
    }

    /// The bytes as text, those that do not print escaped.
    pub fn text(&self) -> String {
        self.octets().escape_ascii().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(pieces: &[&[u8]]) -> Greeting {
        let mut greeting = Greeting::default();
        pieces.iter().for_each(|piece| greeting.add(piece, PacketRef::default()));
        greeting
    }

    #[test]
    fn any_cutting_gives_the_same_bytes() {
        let whole = greeting(&[b"HTTP/1.1 400 Bad Request"]);
        assert_eq!(whole, greeting(&[b"HT", b"TP/1.1 40", b"0 Bad Request"]));
        assert_eq!((whole.http_status(), whole.text().as_str()), (Some(400), "HTTP/1.1 400"));
        assert!(whole.is_text() && !whole.is_http_request() && !whole.is_tls());
    }

    #[test]
    fn bytes_behind_a_hole_are_no_greeting() {
        let mut torn = greeting(&[b"GET"]);
        torn.gap();
        torn.add(b" / HTTP/1.1", PacketRef::default());
        assert!(torn.octets().is_empty() && !torn.is_silent());
        assert!(greeting(&[]).is_silent() && greeting(&[b"GET / HTTP/1.1"]).is_http_request());
    }
}
