//! A header of the PROXY protocol with other addresses.

use super::secrets::Secrets;

/// Octets in front of the addresses of version 2.
const FIXED: usize = 16;

/// Rewrites a header that is whole.
pub(super) fn redact(secrets: &Secrets, header: &mut [u8]) {
    if header.starts_with(b"PROXY ") {
        // Command, family, two addresses, two ports. What is of no family may say anything (section 2.1).
        let ports = if header.get(6..).is_some_and(|rest| rest.starts_with(b"TCP")) { 2 } else { 0 };
        let words = header.split_mut(|octet| *octet == b' ').skip(2).enumerate();
        for (_, word) in words.filter(|(place, _)| *place < 2 || ports == 0) {
            match word.contains(&b':') {
                true => secrets.written_v6(word),
                false => secrets.text(word),
            }
        }
        return;
    }
    let length = match header.get(13) {
        Some(0x11) => 4,
        Some(0x21) => 16,
        _ => 0,
    };
    let ports = FIXED + 2 * length;
    for start in [FIXED, FIXED + length] {
        if let Some(address) = header.get_mut(start..start + length).filter(|address| !address.is_empty()) {
            secrets.octets(address);
        }
    }
    // What else it says of the client; of an address of the system all of it.
    let behind = if length > 0 { ports + 4 } else { FIXED };
    header.get_mut(behind..).unwrap_or_default().fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::upgrade::{ProxyPrefix, proxy_prefix};

    #[test]
    fn headers_name_other_clients() {
        let secrets = Secrets::new(b"a key of a test", false);
        let mut v2 = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        v2.extend([0x21, 0x11, 0, 19, 10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0, 25, 2, 0, 4]);
        v2.extend(b"shop");
        for old in [
            &b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 25\r\n"[..],
            b"PROXY TCP6 fd00::1 fd00::2 12345 25\r\n",
            b"PROXY UNKNOWN\r\n",
            b"PROXY UNKNOWN fd00::1 fd00::2 12345 of the shop\r\n",
            &v2,
        ] {
            let mut new = old.to_vec();
            redact(&secrets, &mut new);
            let (ProxyPrefix::Whole(before, length), ProxyPrefix::Whole(after, same)) =
                (proxy_prefix(old), proxy_prefix(&new))
            else {
                panic!("{} {}", old.escape_ascii(), new.escape_ascii())
            };
            assert_eq!((length, before.version), (same, after.version));
            assert_eq!(before.client.map(|one| one.port), after.client.map(|one| one.port));
            assert!(before.client.is_none() || before.client != after.client);
            assert!(!new.windows(4).any(|window| window == b"shop"));
        }
    }
}
