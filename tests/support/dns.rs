//! DNS messages.

pub const A: u16 = 1;
pub const AAAA: u16 = 28;
pub const HTTPS: u16 = 65;

pub const NOERROR: u16 = 0;
pub const SERVFAIL: u16 = 2;
pub const NXDOMAIN: u16 = 3;

fn message(id: u16, flags: u16, name: &str, qtype: u16, answers: &[Vec<u8>], additional: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [id, flags, 1, answers.len() as u16, 0, u16::from(!additional.is_empty())] {
        bytes.extend(word.to_be_bytes());
    }
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(qtype.to_be_bytes());
    bytes.extend(1u16.to_be_bytes());
    bytes.extend(answers.concat());
    bytes.extend(additional);
    bytes
}

/// A recursive query with EDNS.
pub fn query(id: u16, name: &str, qtype: u16) -> Vec<u8> {
    message(id, 0x0100, name, qtype, &[], &opt(&[]))
}

/// A response; IPv4 `addresses` are its answers.
pub fn response(id: u16, name: &str, qtype: u16, rcode: u16, addresses: &[[u8; 4]]) -> Vec<u8> {
    let answers: Vec<_> = addresses.iter().map(|address| record(A, 300, address)).collect();
    message(id, 0x8180 | rcode, name, qtype, &answers, &opt(&[]))
}

/// A response of type HTTPS: service mode, the name itself, ALPN h2.
pub fn response_https(id: u16, name: &str) -> Vec<u8> {
    let answer = record(HTTPS, 300, b"\x00\x01\x00\x00\x01\x00\x03\x02h2");
    message(id, 0x8180, name, HTTPS, &[answer], &opt(&[]))
}

/// A failed response with extended errors (RFC 8914).
pub fn response_errors(id: u16, name: &str, qtype: u16, rcode: u16, errors: &[(u16, &str)]) -> Vec<u8> {
    message(id, 0x8180 | rcode, name, qtype, &[], &opt(errors))
}

fn record(kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xc0, 0x0c];
    bytes.extend(kind.to_be_bytes());
    bytes.extend(1u16.to_be_bytes());
    bytes.extend(ttl.to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// An OPT record, UDP size 1232, with extended errors.
fn opt(errors: &[(u16, &str)]) -> Vec<u8> {
    let mut options = Vec::new();
    for (code, text) in errors {
        options.extend(15u16.to_be_bytes());
        options.extend((text.len() as u16 + 2).to_be_bytes());
        options.extend(code.to_be_bytes());
        options.extend(text.as_bytes());
    }
    let mut bytes = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00".to_vec();
    bytes.extend((options.len() as u16).to_be_bytes());
    bytes.extend(options);
    bytes
}
