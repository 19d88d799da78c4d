//! Names that systems look up by themselves, whatever their user does: to see whether the Internet is there,
//! or to keep a connection of their own. Where nothing else fails, nobody's work failed.

use crate::detect::Distinct;

/// Who asks, and for what; a name that ends in a dot is the first label in any zone, and a star stands for
/// anything. Sources: Microsoft, "Network Connectivity Status Indicator", "Teredo", "Web Proxy
/// Auto-Discovery" and "Manage connection endpoints" (rings: which of its networks works); RFC 5214 (ISATAP);
/// Apple, "Use Apple products on enterprise networks"; the captive portal URLs of Android's NetworkMonitor,
/// and Firebase, "FCM ports and your firewall"; Mozilla, `captivedetect.canonicalURL`;
/// NetworkManager.conf(5), `connectivity`, as distributions set it.
const OWN_NAMES: &[(&str, &[&str])] = &[
    (
        "Windows",
        &[
            "*-ring*.msedge.net",
            "dns.msftncsi.com",
            "ipv6.msftconnecttest.com",
            "ipv6.msftncsi.com",
            "isatap.",
            "teredo.ipv6.microsoft.com",
            "win10.ipv6.microsoft.com",
            "wpad.",
            "www.msftconnecttest.com",
            "www.msftncsi.com",
        ],
    ),
    ("macOS or iOS", &["captive.apple.com"]),
    (
        "Android",
        &[
            "clients3.google.com",
            "connect.rom.miui.com",
            "connectivitycheck.android.com",
            PROBE,
            "connectivitycheck.platform.hicloud.com",
            "mtalk.google.com",
        ],
    ),
    ("Firefox", &["detectportal.firefox.com"]),
    (
        "Linux",
        &[
            "conncheck.opensuse.org",
            "connectivity-check.ubuntu.com",
            "network-test.debian.org",
            "networkcheck.kde.org",
            "nmcheck.gnome.org",
            "ping.archlinux.org",
        ],
    ),
];

/// Android asks for it in plain text, and for [`BESIDE`] over TLS at the same time.
const PROBE: &str = "connectivitycheck.gstatic.com";
const BESIDE: &str = "www.google.com";

/// The systems that look up all of these names by themselves; `None` when somebody else may want one.
pub(super) fn asked_by<const MOST: usize>(names: &Distinct<String, MOST>) -> Option<String> {
    let probes = names.iter().any(|name| name == PROBE);
    let mut systems: Vec<&str> = Vec::new();
    for name in names.iter().filter(|name| !(probes && *name == BESIDE)) {
        systems.push(system_of(name)?);
    }
    systems.sort_unstable();
    systems.dedup();
    (!systems.is_empty() && !names.is_full()).then(|| systems.join(" and "))
}

/// The system that looks up this name by itself.
pub(super) fn system_of(name: &str) -> Option<&'static str> {
    let is = |own: &&str| match own.strip_suffix('.') {
        Some(label) => name.split('.').next() == Some(label),
        None => fits(name, own),
    };
    OWN_NAMES.iter().find(|(_, own)| own.iter().any(is)).map(|(system, _)| *system)
}

/// The name is such a one; a star stands for anything.
fn fits(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|left| {
            left.char_indices().any(|(at, _)| left.get(at..).is_some_and(|end| fits(end, rest)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Option<String> {
        let mut all: Distinct<String> = Distinct::default();
        names.iter().for_each(|name| all.add((*name).to_owned()));
        asked_by(&all)
    }

    #[test]
    fn names_of_systems_are_told_from_those_of_people() {
        assert_eq!(
            of(&["dns.msftncsi.com", "captive.apple.com"]).as_deref(),
            Some("Windows and macOS or iOS")
        );
        assert_eq!(of(&[PROBE, BESIDE]).as_deref(), Some("Android"));
        assert_eq!(of(&["wpad.corp.example", "wpad", "isatap.lan"]).as_deref(), Some("Windows"));
        assert_eq!(of(&["t-ring-fdv2.msedge.net", "l-ring.msedge.net"]).as_deref(), Some("Windows"));
        assert_eq!(of(&["www.msedge.net"]), None);
        assert_eq!(of(&["wpadded.example", "wpad"]), None);
        for names in [&[BESIDE][..], &["mtalk.google.com", BESIDE], &[PROBE, "www.shop.example"], &[]] {
            assert_eq!(of(names), None, "{names:?}");
        }
    }
}
