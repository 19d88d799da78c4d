//! Times, severities and texts as the page writes them.

use maud::{Markup, html};

use crate::correlate::State;
use crate::detect::Severity;
pub(super) use crate::report::filter::shell;
use crate::report::rca::Zone;
use crate::time::{Span, Timestamp};

/// The times of the page: all in one zone.
pub(super) struct Moments<'z> {
    pub(super) zone: &'z Zone,
}

impl Moments<'_> {
    /// Date and time to the second, with the zone.
    pub(super) fn full(&self, time: Timestamp) -> String {
        self.zone.format(time, "%Y-%m-%d %H:%M:%S %:z").replace("+00:00", "UTC")
    }

    /// Time of day.
    pub(super) fn clock(&self, time: Timestamp) -> String {
        self.zone.format(time, "%H:%M:%S")
    }

    /// Time of day to the microsecond.
    pub(super) fn precise(&self, time: Timestamp) -> String {
        self.zone.format(time, "%H:%M:%S%.6f")
    }

    /// A label on an axis that covers so much time.
    pub(super) fn label(&self, time: Timestamp, whole: Span) -> String {
        let format = match whole {
            whole if whole <= Span::secs(8) => "%H:%M:%S%.3f",
            whole if whole <= Span::secs(90_000) => "%H:%M:%S",
            _ => "%m-%d %H:%M",
        };
        self.zone.format(time, format)
    }
}

/// Names that are written in capitals.
const ACRONYMS: &[&str] =
    &["ack", "arp", "dns", "fin", "icmp", "quic", "rst", "syn", "tcp", "tls", "ttl", "udp"];

/// A name of the tables for people: with blanks, acronyms in capitals, and a capital in front.
pub(super) fn first_of(name: &str) -> String {
    if name == "syn_ack" {
        return "SYN-ACK".to_owned();
    }
    let word = |(place, word): (usize, &str)| match (ACRONYMS.contains(&word), place, word.get(1..)) {
        (true, ..) => word.to_ascii_uppercase(),
        (false, 0, Some(rest)) => word.get(..1).unwrap_or_default().to_ascii_uppercase() + rest,
        _ => word.to_owned(),
    };
    name.split('_').enumerate().map(word).collect::<Vec<_>>().join(" ")
}

/// The word for a severity.
pub(crate) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// A table in a frame that scrolls. Heads that begin with `#` stand over numbers.
pub(crate) fn table(label: &str, sortable: bool, caption: &Markup, heads: &[&str], rows: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label=(label) {
            table class=[sortable.then_some("sortable")] {
                caption { (caption) }
                thead { tr {
                    @for head in heads {
                        @match head.strip_prefix('#') {
                            Some(head) => th.number scope="col" { (head) },
                            None => th scope="col" { (head) },
                        }
                    }
                } }
                tbody { (rows) }
            }
        }
    }
}

/// A severity by shape, word and colour.
pub(crate) fn badge(of: Severity) -> Markup {
    let word = severity(of);
    html! {
        span.{ "badge " (word) } {
            svg viewBox="0 0 16 16" aria-hidden="true" {
                @match of {
                    Severity::Critical => path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" fill="currentColor" {}
                    Severity::Warning => path d="M8 1.5L15.5 14.5H.5z" fill="currentColor" {}
                    Severity::Info => circle cx="8" cy="8" r="6" fill="none" stroke="currentColor"
                        stroke-width="3" {}
                }
            }
            (word)
        }
    }
}

/// The state of a layer by sign and word.
pub(super) fn state(state: State) -> (&'static str, &'static str, &'static str) {
    match state {
        State::Ok => ("ok", "\u{2713}", "ok"),
        State::Degraded => ("warning", "\u{25b2}", "degraded"),
        State::Broken => ("critical", "\u{2715}", "broken"),
        State::NotSeen => ("unknown", "\u{2013}", "not seen"),
    }
}

/// Commands that stand in the texts of next steps.
const COMMANDS: &[&str] = &[
    "arping",
    "conntrack",
    "curl",
    "dig",
    "dumpcap",
    "ethtool",
    "host",
    "ip",
    "iptables",
    "kdig",
    "mtr",
    "nc",
    "nft",
    "nstat",
    "openssl",
    "ping",
    "ping6",
    "resolvectl",
    "ss",
    "sysctl",
    "tc",
    "tcpdump",
    "tracepath",
    "traceroute",
    "tshark",
];

/// The command at the end of a next step: `probe the path: ping -M do -s SIZE` has one.
pub(super) fn command(step: &str) -> Option<&str> {
    let (_, rest) = step.split_once(": ")?;
    let word = rest.split_whitespace().next()?;
    // What goes on in words behind the command is no part of it.
    let end = rest.find([',', ';']).unwrap_or(rest.len());
    COMMANDS.contains(&word).then(|| rest.get(..end)).flatten().map(str::trim)
}

/// Text to copy. The button comes with the script.
pub(super) fn copied(what: &str, text: &str) -> Markup {
    html! { div.copy data-what=(what) { pre tabindex="0" { code { (text) } } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_tables_are_written_for_people() {
        assert_eq!(first_of("before_pause"), "Before pause");
        assert_eq!(
            (first_of("syn_ack"), first_of("duplicate_ack")),
            ("SYN-ACK".into(), "Duplicate ACK".into())
        );
        assert_eq!((first_of("dns"), first_of("icmp")), ("DNS".into(), "ICMP".into()));
        assert_eq!(first_of(""), "");
    }

    #[test]
    fn commands_are_found_and_shells_are_not_fooled() {
        assert_eq!(command("probe the path: ping -M do -s SIZE, or tracepath"), Some("ping -M do -s SIZE"));
        assert_eq!(command("ask the owner: who changed it"), None);
        assert_eq!(shell("a b'; rm -rf $HOME"), "'a b'\\''; rm -rf $HOME'");
        assert_eq!((shell("/tmp/x.pcap"), shell("-x")), ("/tmp/x.pcap".to_owned(), "'./-x'".to_owned()));
    }

    #[test]
    fn times_are_of_the_zone() {
        let zone: Zone = "+02:00".parse().expect("a zone");
        let moments = Moments { zone: &zone };
        assert_eq!(moments.full(Timestamp(0)), "1970-01-01 02:00:00 +02:00");
        assert_eq!(moments.precise(Timestamp(1_500)), "02:00:00.000001");
        let utc = Zone::default();
        assert_eq!(Moments { zone: &utc }.full(Timestamp(0)), "1970-01-01 00:00:00 UTC");
    }
}
