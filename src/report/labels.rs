//! Names that people have for addresses, from a file of theirs: hosts, pods, nodes, load balancers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::path::Path;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::report::escape::terminal;
use crate::report::list::{self, ListError};
use crate::report::model::Report;

/// Longest file of names, MiB.
const LONGEST: u64 = 64;
/// Longest name, characters.
const NAME: usize = 60;
/// Addresses of one text that are named.
const NAMED: usize = 16;

/// What an address is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// What it is there for; empty when the file does not say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,
}

/// The names of addresses and networks. Of several networks the longest prefix names an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// By length of the prefix and network.
    networks: BTreeMap<(u8, IpAddr), Label>,
}

impl Label {
    fn new(name: &str, role: &str) -> Self {
        let short = |text: &str| -> String {
            let text: String = text.trim().chars().take(NAME).collect();
            // They stand in brackets.
            terminal(&text).replace(['[', ']'], "")
        };
        Self { name: short(name), role: short(role) }
    }

    /// `db-1`, or `db-1, database`.
    pub fn words(&self) -> String {
        if self.role.is_empty() { self.name.clone() } else { format!("{}, {}", self.name, self.role) }
    }
}

/// The first `length` bits of an address.
fn network(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
            Ipv4Addr::from(u32::from(v4) & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
            Ipv6Addr::from(u128::from(v6) & mask).into()
        }
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// An address, or a network such as `10.9.0.0/16`.
fn prefix(text: &str) -> Option<(u8, IpAddr)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    // An address of a link has the name of an interface behind it (RFC 4007 section 11).
    let address: IpAddr = address.split('%').next().unwrap_or_default().parse().ok()?;
    let length = length.unwrap_or(bits(address));
    (length <= bits(address)).then(|| (length, network(address, length)))
}

impl Labels {
    /// Reads CSV (address or network, name, role; the first line may name the columns), or lines as
    /// `/etc/hosts` has them. Of several names of an address the first counts.
    ///
    /// # Errors
    /// When the file cannot be read, is longer than 64 MiB, or a line is not understood.
    pub fn read(path: &Path) -> Result<Self, ListError> {
        list::read(path, LONGEST, Self::parse)
    }

    fn parse(text: &str) -> Result<Self, (u64, String)> {
        // What stands behind a sign for comments decides nothing.
        let mut lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let is_csv = lines.find(|line| !line.is_empty()).is_some_and(|line| line.contains(','));
        let mut labels = Self::default();
        if !is_csv {
            for (line, text) in (1..).zip(text.lines()) {
                let mut words = text.split('#').next().unwrap_or_default().split_whitespace();
                if let Some(address) = words.next() {
                    labels.add(line, address, words.next().unwrap_or_default(), "")?;
                }
            }
            return Ok(labels);
        }
        let mut reader = csv::ReaderBuilder::new();
        let reader = reader.has_headers(false).flexible(true).comment(Some(b'#'));
        for (place, record) in reader.from_reader(text.as_bytes()).records().enumerate() {
            let record = record.map_err(|error| {
                (error.position().map_or(0, csv::Position::line), "is no comma-separated line".to_owned())
            })?;
            let line = record.position().map_or(0, csv::Position::line);
            let [address, name, role] = [0, 1, 2].map(|column| record.get(column).unwrap_or_default().trim());
            let is_header =
                ["address", "ip", "cidr", "network"].iter().any(|one| address.eq_ignore_ascii_case(one));
            if !(address.is_empty() && name.is_empty() || place == 0 && is_header) {
                labels.add(line, address, name, role)?;
            }
        }
        Ok(labels)
    }

    fn add(&mut self, line: u64, address: &str, name: &str, role: &str) -> Result<(), (u64, String)> {
        let Some(key) = prefix(address.trim()) else {
            let address = terminal(address);
            return Err((
                line,
                format!("expected an address or a network such as 10.9.0.0/16, found {address:?}"),
            ));
        };
        let label = Label::new(name, role);
        if label.name.is_empty() {
            return Err((line, format!("{address} has no name")));
        }
        self.networks.entry(key).or_insert(label);
        Ok(())
    }

    /// Nothing has a name.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// What an address is called: by the longest prefix.
    pub fn of(&self, address: IpAddr) -> Option<&Label> {
        let address = address.to_canonical();
        let mut lengths: Vec<u8> = Vec::new();
        // A few lengths are in use: each is looked up once.
        let mut next = Some(bits(address));
        while let Some(most) = next {
            let known = self.networks.range(..=(most, IpAddr::V6(Ipv6Addr::from(u128::MAX)))).next_back();
            let Some(((length, _), _)) = known else { break };
            lengths.push(*length);
            next = length.checked_sub(1);
        }
        lengths.into_iter().find_map(|length| self.networks.get(&(length, network(address, length))))
    }

    /// The names of the addresses in a text, in their order and each once; empty when none has a name.
    pub fn names(&self, text: &str) -> String {
        let mut names: Vec<String> = Vec::new();
        for (_, shown) in shown(text).into_iter().filter(|_| !self.is_empty()) {
            let Some(label) = self.label(&shown) else { continue };
            if !names.contains(&label.name) && names.len() < NAMED {
                names.push(label.name.clone());
            }
        }
        names.join(", ")
    }

    /// A text with the name of every address behind it where it stands first.
    pub fn said(&self, text: &str) -> String {
        if self.is_empty() {
            return text.to_owned();
        }
        let (mut said, mut done, mut known) = (String::with_capacity(text.len()), 0, BTreeSet::new());
        for (end, shown) in shown(text) {
            let Some(label) = self.label(&shown).filter(|_| known.len() < NAMED) else { continue };
            if known.insert(shown) {
                said.push_str(text.get(done..end).unwrap_or_default());
                said.push_str(&format!(" [{}]", label.words()));
                done = end;
            }
        }
        said.push_str(text.get(done..).unwrap_or_default());
        said
    }

    fn label(&self, shown: &Shown) -> Option<&Label> {
        match shown {
            Shown::Address(address) => self.of(*address),
            Shown::Network(key) => self.networks.get(key),
        }
    }

    /// Those that a text shows, address by address.
    pub(super) fn only(&self, text: &str) -> Self {
        let mut networks = BTreeMap::new();
        for (_, shown) in shown(text) {
            if let Some(label) = self.label(&shown) {
                let key = match shown {
                    Shown::Address(address) => (bits(address), address),
                    Shown::Network(key) => key,
                };
                networks.insert(key, label.clone());
            }
        }
        Self { networks }
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.networks.len()))?;
        for ((length, address), label) in &self.networks {
            match *length == bits(*address) {
                true => map.serialize_entry(address, label)?,
                false => map.serialize_entry(&format!("{address}/{length}"), label)?,
            }
        }
        map.end()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shown {
    Address(IpAddr),
    Network((u8, IpAddr)),
}

/// The addresses and networks in a text, and where each ends, its port included.
fn shown(text: &str) -> Vec<(usize, Shown)> {
    let bytes = text.as_bytes();
    let inside = |octet: &u8| octet.is_ascii_hexdigit() || matches!(octet, b'.' | b':');
    let word = |octet: Option<&u8>| {
        octet.is_some_and(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | 0x80..))
    };
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let length = rest.iter().take_while(|octet| inside(octet)).count();
        let (start, end) = (at, at + length);
        at = end + usize::from(length == 0);
        let alone = !word(start.checked_sub(1).and_then(|before| bytes.get(before))) && !word(bytes.get(end));
        let Some(run) = text.get(start..end).filter(|run| alone && run.len() >= 2) else { continue };
        let run = if run.ends_with("::") { run } else { run.trim_end_matches(['.', ':']) };
        let end = start + run.len();
        let behind = bytes.get(end..).unwrap_or_default();
        if let Ok(address) = run.parse::<IpAddr>() {
            let digits = |from: usize| {
                behind
                    .get(from..)
                    .unwrap_or_default()
                    .iter()
                    .take_while(|octet| octet.is_ascii_digit())
                    .count()
            };
            let bracket = start.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'[');
            match behind {
                [b'/', b'0'..=b'9', ..] => {
                    let length =
                        text.get(end + 1..end + 1 + digits(1)).and_then(|length| length.parse().ok());
                    let key = length.map(|length: u8| (length, network(address, length)));
                    found.extend(key.map(|key| (end + 1 + digits(1), Shown::Network(key))));
                }
                [b']', b':', ..] if bracket => found.push((end + 2 + digits(2), Shown::Address(address))),
                [b']', ..] if bracket => found.push((end + 1, Shown::Address(address))),
                _ => found.push((end, Shown::Address(address))),
            }
        } else if let Ok(end_point) = run.parse::<SocketAddrV4>() {
            found.push((end, Shown::Address((*end_point.ip()).into())));
        }
    }
    found
}

impl Report {
    /// Names the addresses: behind them in what is said for people, and once in `labels`. Commands and
    /// filters stay, to be copied.
    pub fn label(&mut self, labels: &Labels) {
        if labels.is_empty() {
            return;
        }
        self.labels = labels.only(&serde_json::to_string(&*self).unwrap_or_default());
        let name = |text: &mut String| *text = labels.said(text);
        for incident in self.incidents.iter_mut().map(|cited| &mut cited.incident) {
            name(&mut incident.title);
            name(&mut incident.story);
            incident.links.iter_mut().for_each(|link| name(&mut link.why));
            incident.contrast.iter_mut().for_each(|contrast| name(&mut contrast.text));
            incident.cleared.iter_mut().for_each(|cleared| name(&mut cleared.text));
            incident.not_known.iter_mut().for_each(name);
        }
        for ranked in &mut self.findings {
            name(&mut ranked.finding.title);
            name(&mut ranked.finding.summary);
        }
        self.layers.iter_mut().for_each(|layer| name(&mut layer.reason));
        self.cleared.iter_mut().for_each(|cleared| name(&mut cleared.text));
    }
}

#[cfg(test)]
mod tests;
