//! What the DNS detectors have in common: which names matter, and when a client got them at last.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::dns::{ExtendedError, Transaction, error_name};
use crate::detect::scope::is_group;
use crate::detect::{Bounded, Distinct, Merge, hash_of, merged};
use crate::dissect::{Endpoint, PacketRef};
use crate::flow::FlowHead;
use crate::time::{Span, Timestamp};

/// Types that an application goes on without: PTR, and what serves DNSSEC or policy (DS, SSHFP, RRSIG, NSEC,
/// DNSKEY, NSEC3, NSEC3PARAM, TLSA, CDS, CDNSKEY, ANY, CAA).
const DISPENSABLE: &[u16] = &[12, 43, 44, 46, 47, 48, 50, 51, 52, 59, 60, 255, 257];

/// SVCB and HTTPS (RFC 9460 section 3): clients ask beside the address, and go on without.
const HINTS: &[u16] = &[64, 65];

/// NULL and TXT: the policies of mail, and whatever else is carried in names (tunnels, telemetry).
const CARRIERS: &[u16] = &[10, 16];

/// The last two labels of a name.
pub(super) fn zone(name: &str) -> &str {
    let name = name.trim_end_matches('.');
    name.rmatch_indices('.').nth(1).map_or(name, |(at, _)| &name[at + 1..])
}

/// A name in words: the root of all names has none.
pub(super) fn shown(name: &str) -> String {
    match name {
        "" | "." => "the root".to_owned(),
        name => name.to_owned(),
    }
}

/// Clients ask for this type beside the address, and go on without.
pub(super) fn is_hint(qtype: u16) -> bool {
    HINTS.contains(&qtype)
}

/// An application goes on without an answer of this type.
pub(super) fn is_dispensable(qtype: u16) -> bool {
    DISPENSABLE.contains(&qtype)
}

/// An application cannot go on without this name: neither a reverse name, nor an entry of a block list
/// (RFC 5782 section 2.1), nor one label, nor a type that is asked for beside the address, or carries text.
pub(super) fn is_needed(name: &str, qtype: u16) -> bool {
    let octets = name.split('.').take_while(|label| label.parse::<u8>().is_ok()).count();
    let reverse = name.ends_with(".arpa") || octets >= 4;
    let beside = is_hint(qtype) || CARRIERS.contains(&qtype);
    !is_dispensable(qtype) && !beside && !reverse && name.contains('.')
}

/// The name ends with a top-level domain that everybody knows (RFC 1591 section 2): it is not short for
/// another one.
pub(super) fn is_whole(name: &str) -> bool {
    const GENERIC: [&str; 8] = ["com", "net", "org", "edu", "gov", "mil", "int", "arpa"];
    let country = |label: &str| label.len() == 2 && label.bytes().all(|octet| octet.is_ascii_lowercase());
    let last = name.rsplit_once('.').map(|(_, last)| last);
    last.is_some_and(|last| GENERIC.contains(&last) || country(last))
}

/// A label of the name is as long and as mixed as people make none: tunnels carry data so, and telemetry.
pub(super) fn carries_data(name: &str) -> bool {
    let labels = name.strip_suffix(zone(name)).unwrap_or_default().split('.');
    labels.into_iter().any(|label| {
        let digits = label.bytes().filter(u8::is_ascii_digit).count();
        let words = label.split('-').map(str::len).max().unwrap_or(0);
        label.len() >= 40 || (words >= 16 && digits * 5 >= words)
    })
}

/// A name as names are compared (RFC 4343): most are sent so.
pub(super) fn lowercase(name: &str) -> Cow<'_, str> {
    match name.bytes().any(|octet| octet.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}

/// A resolver was asked for something. A group or everybody on the link is no resolver.
pub(super) fn asks_resolver(transaction: &Transaction, flow: &FlowHead) -> bool {
    transaction.is_lookup(flow.server.port) && !is_group(flow.server.address)
}

/// An Internet name was asked for in a lookup. CHAOS names say what software a server runs.
pub(super) fn asks_for_name(transaction: &Transaction, flow: &FlowHead) -> bool {
    asks_resolver(transaction, flow) && transaction.qclass == 1
}

/// Who asked for a name, by hash, and the second of the answer.
type Asked = (u64, i64);

/// Answers of one second: the first and the last, and who gave them.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Second {
    first: Option<(Timestamp, Endpoint)>,
    last: Option<(Timestamp, Endpoint)>,
}

impl Merge for Second {
    fn absorb(&mut self, other: Self) {
        self.first = self.first.into_iter().chain(other.first).min();
        self.last = self.last.max(other.last);
    }
}

/// Whether a client got a name after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// At this time, from this resolver.
    At(Timestamp, Endpoint),
    /// From nobody.
    Never,
    /// More names were asked for than are kept.
    Unknown,
}

merged! {
    /// When clients got names: from any resolver, over any transport.
    pub(super) struct Answered(Bounded<Asked, Second, { 1 << 16 }>);
}

impl Answered {
    /// Takes an answer that `client` got.
    pub(super) fn add(&mut self, client: IpAddr, name: &str, at: Timestamp, resolver: Endpoint) {
        let asked = hash_of(&(client, name));
        if let Some(second) = self.0.observe(asked, (asked, second_of(at))) {
            second.absorb(Second { first: Some((at, resolver)), last: Some((at, resolver)) });
        }
    }

    /// The same by any of the client's addresses.
    pub(super) fn after_any(
        &self,
        clients: impl Iterator<Item = IpAddr>,
        name: &str,
        from: Timestamp,
        within: Span,
    ) -> Got {
        let mut all: Vec<Got> = clients.map(|client| self.after(client, name, from, within)).collect();
        all.sort_by_key(|got| match got {
            Got::At(time, _) => (0, *time),
            Got::Unknown => (1, from),
            Got::Never => (2, from),
        });
        all.first().copied().unwrap_or(Got::Never)
    }

    /// The first answer from `from` on, in a few seconds.
    pub(super) fn after(&self, client: IpAddr, name: &str, from: Timestamp, within: Span) -> Got {
        let (asked, until) = (hash_of(&(client, name)), from + within);
        let seconds = second_of(from)..=second_of(until);
        let found = seconds.take(64).filter_map(|second| self.0.get(&(asked, second)));
        let times = found.flat_map(|(_, second)| [second.first, second.last].into_iter().flatten());
        match times.filter(|(time, _)| (from..=until).contains(time)).min() {
            Some((time, resolver)) => Got::At(time, resolver),
            None if self.0.covers(asked) => Got::Never,
            None => Got::Unknown,
        }
    }
}

fn second_of(time: Timestamp) -> i64 {
    time.0.div_euclid(1_000_000_000)
}

/// Answers for a name and type.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) lookups: u64,
    /// The first, and what it said.
    pub(super) first: Option<(PacketRef, String)>,
    pub(super) resolvers: Distinct<Endpoint, 4>,
}

impl Known {
    /// Takes an answer; what it said is put into words only where it is the first.
    pub(super) fn add(&mut self, response: PacketRef, said: &[String], resolver: Endpoint) {
        self.lookups += 1;
        self.resolvers.add(resolver);
        if self.first.as_ref().is_none_or(|(first, _)| response < *first) {
            self.first = Some((response, said.join(", ").chars().take(80).collect()));
        }
    }
}

impl Merge for Known {
    fn absorb(&mut self, other: Self) {
        self.lookups += other.lookups;
        self.first = self.first.take().into_iter().chain(other.first).min();
        self.resolvers.absorb(other.resolvers);
    }
}

/// Extended errors with which a resolver says that it was told to: blocked, censored, filtered, prohibited.
pub(super) fn is_policy(error: &ExtendedError) -> bool {
    (15..=18).contains(&error.code)
}

/// The extended errors in a sentence; empty without any.
pub(super) fn said(errors: &Distinct<(u16, String), 8>) -> String {
    let errors = errors.iter().map(|(code, text)| match text.as_str() {
        "" => format!("{code} ({})", error_name(*code)),
        text => format!("{code} ({}: {text})", error_name(*code)),
    });
    let mut errors: Vec<String> = errors.collect();
    errors.sort();
    match errors.is_empty() {
        true => String::new(),
        false => format!(" The resolver says: {}.", errors.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverse_names_block_lists_and_single_labels_are_not_needed() {
        for name in ["7.2.0.192.in-addr.arpa", "7.2.0.192.zen.example.org", "wpad"] {
            assert!(!is_needed(name, 1), "{name}");
        }
        assert!(is_needed("7.example.org", 1) && !is_needed("www.example.org", 65));
    }

    #[test]
    fn names_that_carry_data_are_told_from_those_of_people() {
        let long = format!("{}.t.example", "k".repeat(50));
        for name in ["0f3a9b2c7d11e05544aa.t.example", "mzxw6ytb2i4dk7zu.a.t.example", &long] {
            assert!(carries_data(name), "{name}");
        }
        for name in [
            "www.example.org",
            "internationalization.example.org",
            "ec2-203-0-113-25.compute-1.amazonaws.com",
            "postgres-primary-0.databases.internal.example",
        ] {
            assert!(!carries_data(name), "{name}");
        }
    }

    #[test]
    fn the_first_answer_in_time_counts() {
        let client: IpAddr = "10.0.0.7".parse().expect("address");
        let resolver = Endpoint { address: client, port: 53 };
        let at = |millis| Timestamp(0) + Span::millis(millis);
        let mut answered = Answered::default();
        [900, 1_200, 1_900]
            .into_iter()
            .for_each(|millis| answered.add(client, "a.example", at(millis), resolver));
        let after = |from| answered.after(client, "a.example", at(from), Span::secs(2));
        assert_eq!(after(1_000), Got::At(at(1_200), resolver));
        assert_eq!(after(1_500), Got::At(at(1_900), resolver));
        assert_eq!(after(2_000), Got::Never);
    }
}
