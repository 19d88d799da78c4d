//! A display filter: a small part of Wireshark's language, with Wireshark's names and meaning.
//!
//! `FIELD`, `FIELD OP VALUE`, `FIELD in {VALUE, LOW..HIGH}`, `!`, `&&`, `||` and brackets; `not`, `and`,
//! `or`, `eq`, `ne`, `lt`, `le`, `gt`, `ge` mean the same. `OP` is one of `== != < <= > >=`. A field with two
//! values in a packet (`ip.addr`, `tcp.port`) fits when one of them does; `!=` says that there are some and
//! none does, as in Wireshark 4. Addresses may be networks: `ip.addr == 10.0.0.0/8`. `&&` binds tighter than
//! `||`.
//! [`FILTER_FIELDS`](super::FILTER_FIELDS) has the fields, which are those of the innermost headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use super::fields::{FIELDS, Field, Kind, Seen, time};
use crate::config::nearest;
use crate::time::Timestamp;

/// Brackets and negations inside each other: more is nobody's question.
const DEPTH: u32 = 64;

/// A condition on packets.
#[derive(Clone, Debug)]
pub struct DisplayFilter {
    text: String,
    node: Node,
}

#[derive(Clone, Debug)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    /// The field has a value in one of the ranges.
    Fits(&'static Field, Vec<RangeInclusive<u128>>),
}

impl DisplayFilter {
    /// Reads a filter.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0 };
        let node = parser.any(0)?;
        match parser.next() {
            None => Ok(Self { text: text.to_owned(), node }),
            Some(rest) => Err(format!("{rest:?} where && or || or the end was expected")),
        }
    }

    pub(super) fn fits(&self, seen: &Seen<'_>) -> bool {
        self.node.fits(seen)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The TCP streams that it names: their packets have to be told from those of others first.
    pub fn streams(&self) -> Vec<RangeInclusive<u128>> {
        let mut streams = Vec::new();
        self.node.visit(&mut |field, ranges| {
            if field.name == "tcp.stream" && ranges.iter().all(|range| *range.end() < u128::MAX) {
                streams.extend(ranges.iter().cloned());
            }
        });
        streams
    }
}

impl Node {
    fn fits(&self, seen: &Seen<'_>) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.fits(seen)),
            Self::Any(nodes) => nodes.iter().any(|node| node.fits(seen)),
            Self::Not(node) => !node.fits(seen),
            Self::Fits(field, ranges) => {
                let values = (field.values)(seen);
                values.iter().flatten().any(|value| ranges.iter().any(|range| range.contains(value)))
            }
        }
    }

    fn visit(&self, each: &mut dyn FnMut(&'static Field, &[RangeInclusive<u128>])) {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().for_each(|node| node.visit(each)),
            Self::Not(node) => node.visit(each),
            Self::Fits(field, ranges) => each(field, ranges),
        }
    }
}

/// Splits a filter into words and signs.
fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            let end =
                rest[1..].find('"').ok_or_else(|| format!("{rest:?}: the quotation mark is not closed"))?;
            tokens.push(rest[1..=end].to_owned());
            end + 2
        } else {
            let sign = ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "{", "}", ","];
            let sign = sign.iter().find(|sign| rest.starts_with(**sign)).map(|sign| sign.len());
            let word = |text: &str| {
                let part = |character: char| character.is_alphanumeric() || "._:/-+".contains(character);
                text.find(|character| !part(character)).unwrap_or(text.len())
            };
            let length = sign.unwrap_or_else(|| word(rest));
            if length == 0 {
                return Err(format!("{first:?} is no part of a filter"));
            }
            tokens.push(rest[..length].to_owned());
            length
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<String>,
    at: usize,
}

impl Parser {
    fn next(&mut self) -> Option<String> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    /// Goes on behind the next word when it is one of these.
    fn takes(&mut self, words: &[&str]) -> bool {
        let is = self.tokens.get(self.at).is_some_and(|token| words.contains(&token.as_str()));
        self.at += usize::from(is);
        is
    }

    fn any(&mut self, depth: u32) -> Result<Node, String> {
        let mut nodes = vec![self.all(depth)?];
        while self.takes(&["||", "or"]) {
            nodes.push(self.all(depth)?);
        }
        Ok(Node::Any(nodes))
    }

    fn all(&mut self, depth: u32) -> Result<Node, String> {
        let mut nodes = vec![self.one(depth)?];
        while self.takes(&["&&", "and"]) {
            nodes.push(self.one(depth)?);
        }
        Ok(Node::All(nodes))
    }

    fn one(&mut self, depth: u32) -> Result<Node, String> {
        if depth > DEPTH {
            return Err(format!("more than {DEPTH} brackets and negations inside each other"));
        }
        if self.takes(&["!", "not"]) {
            return Ok(Node::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.takes(&["("]) {
            let node = self.any(depth + 1)?;
            return if self.takes(&[")"]) { Ok(node) } else { Err("a bracket is not closed".to_owned()) };
        }
        let name = self.next().ok_or("the filter ends where a field was expected")?;
        let field = FIELDS.iter().find(|field| field.name == name).ok_or_else(|| {
            let near = nearest(&name, FIELDS.iter().map(|field| field.name));
            near.map_or_else(
                || format!("no field {name}; those there are: {}", super::FILTER_FIELDS.join(", ")),
                |near| format!("no field {name}; did you mean {near}?"),
            )
        })?;
        self.condition(field)
    }

    fn condition(&mut self, field: &'static Field) -> Result<Node, String> {
        const OPERATORS: [(&str, &str); 6] =
            [("==", "eq"), ("!=", "ne"), ("<=", "le"), (">=", "ge"), ("<", "lt"), (">", "gt")];
        if self.takes(&["in"]) {
            return Ok(Node::Fits(field, self.set(field)?));
        }
        let found = OPERATORS.iter().find(|(sign, word)| self.takes(&[sign, word]));
        let Some((sign, _)) = found else { return Ok(Node::Fits(field, vec![0..=u128::MAX])) };
        let text = self.next().ok_or_else(|| format!("{} {sign}: a value was expected", field.name))?;
        let range = value(field, &text)?;
        let (low, high) = (*range.start(), *range.end());
        let fits = |ranges| Ok(Node::Fits(field, ranges));
        if field.name == "tcp.stream" && !matches!(*sign, "==" | "!=") {
            return Err("tcp.stream is compared with ==, != or in {..}".to_owned());
        }
        match *sign {
            "==" => fits(vec![range]),
            "!=" => Ok(Node::All(vec![
                Node::Fits(field, vec![0..=u128::MAX]),
                Node::Not(Box::new(Node::Fits(field, vec![range]))),
            ])),
            "<=" => fits(vec![0..=high]),
            ">=" => fits(vec![low..=u128::MAX]),
            "<" => fits(low.checked_sub(1).map(|below| 0..=below).into_iter().collect()),
            _ => fits(high.checked_add(1).map(|above| above..=u128::MAX).into_iter().collect()),
        }
    }

    fn set(&mut self, field: &'static Field) -> Result<Vec<RangeInclusive<u128>>, String> {
        let shape = || format!("{} in: expected {{1, 4..6}}", field.name);
        if !self.takes(&["{"]) {
            return Err(shape());
        }
        let mut ranges = Vec::new();
        loop {
            if self.takes(&["}"]) {
                return if ranges.is_empty() { Err(shape()) } else { Ok(ranges) };
            }
            // Wireshark 4 wants commas, older ones took blanks.
            if self.takes(&[","]) {
                continue;
            }
            let text = self.next().ok_or_else(shape)?;
            let (low, high) = text.split_once("..").unwrap_or((&text, &text));
            ranges.push(*value(field, low)?.start()..=*value(field, high)?.end());
        }
    }
}

/// Reads a value as a user writes it.
type Read = fn(&str) -> Option<RangeInclusive<u128>>;

/// The values that a text stands for: a network stands for its addresses.
fn value(field: &'static Field, text: &str) -> Result<RangeInclusive<u128>, String> {
    let (read, expected): (Read, &str) = match field.kind {
        Kind::Presence => return Err(format!("{} is a protocol and has no value", field.name)),
        Kind::Number => (number, "a whole number"),
        Kind::V4 => (|text| network(text, true), "an IPv4 address or network"),
        Kind::V6 => (|text| network(text, false), "an IPv6 address or network"),
        Kind::Link => (hardware, "a MAC address such as 02:00:00:00:00:01"),
        Kind::Time => (moment, "a time such as 2026-11-21T14:02:11Z, or seconds since 1970"),
    };
    read(text).ok_or_else(|| format!("{}: expected {expected}, found {text:?}", field.name))
}

fn number(text: &str) -> Option<RangeInclusive<u128>> {
    let number = match (text.strip_prefix("0x"), text) {
        (Some(hex), _) => u64::from_str_radix(hex, 16).ok()?,
        (None, "true" | "True") => 1,
        (None, "false" | "False") => 0,
        (None, text) => text.parse().ok()?,
    };
    Some(number.into()..=number.into())
}

fn network(text: &str, v4: bool) -> Option<RangeInclusive<u128>> {
    let (address, length) = text.split_once('/').map_or((text, None), |(net, length)| (net, Some(length)));
    let (address, bits) = match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(address) if v4 => (u128::from(u32::from(address)), Ipv4Addr::BITS),
        IpAddr::V6(address) if !v4 => (u128::from(address), Ipv6Addr::BITS),
        _ => return None,
    };
    let length: u32 = length.map_or(Some(bits), |length| length.parse().ok())?;
    let free = bits.checked_sub(length)?;
    let hosts = 1_u128.checked_shl(free).map_or(u128::MAX, |count| count - 1);
    Some(address & !hosts..=address | hosts)
}

fn hardware(text: &str) -> Option<RangeInclusive<u128>> {
    let octets: Vec<u8> =
        text.split([':', '-']).map(|octet| u8::from_str_radix(octet, 16).ok()).collect::<Option<_>>()?;
    let address = octets.iter().fold(0, |number: u128, octet| number << 8 | u128::from(*octet));
    (octets.len() == 6).then_some(address..=address)
}

fn moment(text: &str) -> Option<RangeInclusive<u128>> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let nanos = match seconds.parse::<i64>() {
        Ok(seconds) => {
            let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
            seconds.checked_mul(1_000_000_000)?.checked_add(digits.parse().ok()?)?
        }
        Err(_) => Timestamp::parse(text)?.0,
    };
    Some(time(nanos)..=time(nanos))
}

#[cfg(test)]
mod tests;
