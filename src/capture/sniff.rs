//! What a file is, by its first bytes: a capture, something compressed, or something else we can name.
//!
//! Names of files are never looked at: rotated captures are called `trace.pcap.003`, and `.pcap` files hold
//! HTML error pages.

/// A container recognised by its magic number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Magic {
    /// pcap in one of its variants.
    Pcap,
    /// pcapng.
    Pcapng,
    /// gzip (RFC 1952), also bgzip.
    Gzip,
    /// Zstandard frame (RFC 8878), also a skippable one.
    Zstd,
    /// LZ4 frame.
    Lz4,
    /// None of these.
    Other,
}

/// Bytes needed to tell captures and compression apart.
pub(super) const MAGIC_BYTES: usize = 4;

/// Reads the magic number.
pub(super) fn magic(bytes: &[u8]) -> Magic {
    match bytes {
        [0xa1, 0xb2, 0xc3, 0xd4, ..] | [0xd4, 0xc3, 0xb2, 0xa1, ..] => Magic::Pcap,
        [0xa1, 0xb2, 0x3c, 0x4d, ..] | [0x4d, 0x3c, 0xb2, 0xa1, ..] => Magic::Pcap,
        [0xa1, 0xb2, 0xcd, 0x34, ..] | [0x34, 0xcd, 0xb2, 0xa1, ..] => Magic::Pcap,
        [0x0a, 0x0d, 0x0d, 0x0a, ..] => Magic::Pcapng,
        [0x1f, 0x8b, 0x08, ..] => Magic::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Magic::Zstd,
        [0x04, 0x22, 0x4d, 0x18, ..] => Magic::Lz4,
        _ => Magic::Other,
    }
}

const CONVERT: &str = "convert it with editcap -F pcap IN OUT";
const GIVE: &str = "give the capture file itself";

/// (offset, bytes, what it is, what to do), first match wins.
const KNOWN: &[(usize, &[u8], &str, &str)] = &[
    (0, b"snoop\0\0\0", "a snoop capture (Solaris)", CONVERT),
    (0, b"RTSS", "a Network Monitor 1.x capture", CONVERT),
    (0, b"GMBU", "a Network Monitor 2.x capture", CONVERT),
    (0, b"\x54\x52\x00\x64\x00", "an old AIX iptrace", CONVERT),
    (0, b"iptrace ", "an AIX iptrace", CONVERT),
    (0, b"TRSNIFF data", "a Sniffer capture", CONVERT),
    (0, b"XCP\0", "a NetXRay or Windows Sniffer capture", CONVERT),
    (0, b"\x7fver", "an EtherPeek capture", CONVERT),
    (0, b"\x01\x50\xff\xff", "an nettl trace (HP-UX)", CONVERT),
    (0, b"\xac\x01\x00\x1c", "an IXIA capture", CONVERT),
    (0, b"\x1c\x00\x01\xac", "an IXIA capture", CONVERT),
    (0, b"\x7fELF", "an ELF program", GIVE),
    (0, b"MZ", "a Windows program", GIVE),
    (0, b"PK\x03\x04", "a zip archive", "unpack it with unzip first"),
    (257, b"ustar", "a tar archive", "unpack it with tar -xf first and give the directory"),
    (0, b"\xfd7zXZ\0", "xz-compressed data", "decompress it with xz -d first"),
    (0, b"BZh", "bzip2-compressed data", "decompress it with bzip2 -d first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-zip archive", "unpack it first"),
    (0, b"Rar!", "a rar archive", "unpack it first"),
    (0, b"\x1f\x8b", "gzip data of an unknown method", "decompress it first"),
    (0, b"PAR1", "a Parquet table", GIVE),
    (0, b"SQLite format 3", "an SQLite database", GIVE),
    (0, b"%PDF", "a PDF document", GIVE),
    (0, b"\x89PNG", "a PNG image", GIVE),
    (0, b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself with git lfs pull"),
];

/// Names what something that is not a capture looks like, and says what to do. `bytes` is the start of the
/// file, the longer the better up to some 512 bytes.
pub(super) fn describe(bytes: &[u8]) -> (String, &'static str) {
    for (offset, pattern, looks, advice) in KNOWN {
        if bytes.get(*offset..).is_some_and(|rest| rest.starts_with(pattern)) {
            return ((*looks).to_owned(), advice);
        }
    }
    // An event trace log starts with a 32-bit buffer size (a power of two, at least 1 KiB) twice over.
    if let Some([a, b, c, d]) = bytes.first_chunk::<4>() {
        let size = u32::from_le_bytes([*a, *b, *c, *d]);
        if size.is_power_of_two()
            && (1024..=1 << 24).contains(&size)
            && bytes.get(8..12).is_some_and(|found| found != [0; 4])
        {
            return (
                "an event trace log (ETL)".to_owned(),
                "convert it on Windows with pktmon etl2pcap or etl2pcapng",
            );
        }
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return ("zeros only".to_owned(), "copy the file again: its content was never written");
    }
    if let Some(text) = text(bytes) {
        return text;
    }
    let head: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    (format!("unknown binary data (first bytes {})", head.join(" ")), GIVE)
}

fn text(bytes: &[u8]) -> Option<(String, &'static str)> {
    let printable = |byte: &&u8| matches!(**byte, 0x09 | 0x0a | 0x0d | 0x20..=0x7e | 0x80..);
    let utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    if !utf16 && bytes.iter().filter(printable).count() < bytes.len() {
        return None;
    }
    let start = String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').trim_start().to_lowercase();
    let export = "save the packets themselves: tshark -w, or File > Save As in Wireshark";
    let (looks, advice) = if start.starts_with("<!doctype html") || start.starts_with("<html") {
        ("an HTML page (a login or error page saved in place of the file?)", "download it again")
    } else if start.starts_with("<?xml") && start.contains("pdml") || start.starts_with("<pdml") {
        ("a Wireshark PDML export", export)
    } else if start.starts_with("<?xml") {
        ("XML text", GIVE)
    } else if start.starts_with('{') || start.starts_with('[') {
        ("JSON text", export)
    } else if start.starts_with("no.") || start.starts_with("\"no.\"") || start.contains("destination") {
        ("a Wireshark text export", export)
    } else if start.starts_with("0000") {
        ("a hex dump", "convert it with text2pcap IN OUT")
    } else if start.contains(" ip ") && start.contains(" > ") {
        ("tcpdump's text output", "capture again with tcpdump -w FILE")
    } else {
        ("text", GIVE)
    };
    Some((looks.to_owned(), advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capture_and_compression_magic_numbers() {
        assert_eq!(magic(&[0xd4, 0xc3, 0xb2, 0xa1, 2]), Magic::Pcap);
        assert_eq!(magic(&[0xa1, 0xb2, 0xcd, 0x34]), Magic::Pcap);
        assert_eq!(magic(&[0x0a, 0x0d, 0x0d, 0x0a]), Magic::Pcapng);
        assert_eq!(magic(&[0x1f, 0x8b, 8, 0]), Magic::Gzip);
        assert_eq!(magic(b"GET "), Magic::Other);
        assert_eq!(magic(&[]), Magic::Other);
    }

    #[test]
    fn what_is_not_a_capture_is_named() {
        let cases: &[(&[u8], &str)] = &[
            (b"snoop\0\0\0\0\0\0\x02", "snoop"),
            (b"GMBU\0", "Network Monitor"),
            (b"\x7fELF\x02", "ELF"),
            (b"PK\x03\x04\x14", "zip"),
            (b"\xfd7zXZ\0\0", "xz"),
            (b"BZh91AY", "bzip2"),
            (b"<!DOCTYPE html><html>", "HTML"),
            (b"{\"a\": 1}", "JSON"),
            (b"No.     Time        Source   Destination", "text export"),
            (b"0000  00 11 22 33", "hex dump"),
            (b"10:00:00.1 IP 10.0.0.1.80 > 10.0.0.2.81: Flags [S]", "tcpdump"),
            (b"hello\n", "text"),
            (&[0; 64], "zeros"),
            (&[1, 2, 3, 0xff], "01 02 03 ff"),
            (&[0, 0, 1, 0, 0, 0, 0, 0, 9, 9, 9, 9], "ETL"),
        ];
        for (bytes, expected) in cases {
            let (looks, advice) = describe(bytes);
            assert!(looks.contains(expected), "{looks} should contain {expected}");
            assert!(!advice.is_empty());
        }
        let mut tar = vec![b'a'; 300];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(describe(&tar).0.contains("tar"));
    }
}
