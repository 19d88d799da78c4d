//! TLS records and the handshakes of TLS 1.2 and 1.3 as a capture shows them: what is encrypted is filler.

use super::capture::Capture;
use super::filler;
use super::tcp::{ACK, CLIENT, SERVER, Talk};

/// Valid for shop.example and *.shop.example at [`super::capture::EPOCH`].
pub const LEAF: &[u8] = include_bytes!("../../testdata/certs/leaf.der");
/// The same names, expired nine days before.
pub const EXPIRED: &[u8] = include_bytes!("../../testdata/certs/expired.der");
/// Issuer of both; its own issuer is a root that is not sent.
pub const INTERMEDIATE: &[u8] = include_bytes!("../../testdata/certs/intermediate.der");

/// Expired three days before; its own issuer is not sent.
pub const OLD_INTERMEDIATE: &[u8] = include_bytes!("../../testdata/certs/old_intermediate.der");
/// Valid, for the names of [`LEAF`], issued by [`OLD_INTERMEDIATE`].
pub const UNDER_OLD: &[u8] = include_bytes!("../../testdata/certs/under_old.der");
/// Valid, for the same names, its own issuer.
pub const SELF_SIGNED: &[u8] = include_bytes!("../../testdata/certs/self_signed.der");

pub const CHANGE_CIPHER_SPEC: u8 = 20;
pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const DATA: u8 = 23;

pub const WARNING: u8 = 1;
pub const FATAL: u8 = 2;

/// A record.
pub fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    sized(&[kind, 3, 3], 2, body)
}

/// An encrypted record: `length` bytes of filler.
pub fn encrypted(kind: u8, seed: u32, length: usize) -> Vec<u8> {
    record(kind, &filler(seed, length))
}

/// An alert in the clear.
pub fn alert(level: u8, description: u8) -> Vec<u8> {
    record(ALERT, &[level, description])
}

/// `head`, the length of `body` in `width` bytes, `body`.
fn sized(head: &[u8], width: usize, body: &[u8]) -> Vec<u8> {
    let mut bytes = head.to_vec();
    bytes.extend(&(body.len() as u32).to_be_bytes()[4 - width..]);
    bytes.extend(body);
    bytes
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    sized(&kind.to_be_bytes(), 2, body)
}

/// A ClientHello for `name`. `versions` go into supported_versions; without 1.3 the extension is left out.
pub fn client_hello(name: &str, tls13: bool, seed: u32) -> Vec<u8> {
    let mut extensions = extension(0, &sized(&[], 2, &sized(&[0], 2, name.as_bytes())));
    extensions.extend(extension(10, b"\x00\x06\x00\x1d\x00\x17\x00\x18"));
    extensions.extend(extension(11, b"\x01\x00"));
    extensions.extend(extension(13, b"\x00\x08\x04\x03\x08\x04\x04\x01\x05\x03"));
    extensions.extend(extension(16, &sized(&[], 2, b"\x02h2\x08http/1.1")));
    if tls13 {
        extensions.extend(extension(43, b"\x04\x03\x04\x03\x03"));
        extensions.extend(extension(45, b"\x01\x01"));
        extensions.extend(extension(51, &sized(&[], 2, &sized(b"\x00\x1d", 2, &filler(seed ^ 7, 32)))));
    }
    let ciphers: &[u8] = if tls13 { b"\x13\x01\x13\x02\xc0\x2b\xc0\x2f" } else { b"\xc0\x2b\xc0\x2f" };
    let mut body = vec![3, 3];
    body.extend(filler(seed, 32));
    body.extend(sized(&[], 1, &filler(seed ^ 3, 32)));
    body.extend(sized(&[], 2, ciphers));
    body.extend(b"\x01\x00");
    body.extend(sized(&[], 2, &extensions));
    record(HANDSHAKE, &sized(&[1], 3, &body))
}

/// A ServerHello.
pub fn server_hello(tls13: bool, seed: u32) -> Vec<u8> {
    let mut extensions = Vec::new();
    if tls13 {
        extensions.extend(extension(43, b"\x03\x04"));
        extensions.extend(extension(51, &sized(b"\x00\x1d", 2, &filler(seed ^ 11, 32))));
    } else {
        extensions.extend(extension(16, &sized(&[], 2, b"\x08http/1.1")));
    }
    let mut body = vec![3, 3];
    body.extend(filler(seed ^ 5, 32));
    body.extend(sized(&[], 1, &filler(seed ^ 3, 32)));
    body.extend(if tls13 { b"\x13\x01\x00" } else { b"\xc0\x2b\x00" });
    body.extend(sized(&[], 2, &extensions));
    record(HANDSHAKE, &sized(&[2], 3, &body))
}

/// Certificate, ServerKeyExchange and ServerHelloDone of TLS 1.2, one record each.
pub fn server_certificate(chain: &[&[u8]], seed: u32) -> Vec<u8> {
    let list: Vec<u8> = chain.iter().flat_map(|certificate| sized(&[], 3, certificate)).collect();
    let mut bytes = record(HANDSHAKE, &sized(&[11], 3, &sized(&[], 3, &list)));
    let mut exchange = b"\x03\x00\x1d\x20".to_vec();
    exchange.extend(filler(seed ^ 13, 32));
    exchange.extend(b"\x04\x03");
    exchange.extend(sized(&[], 2, &filler(seed ^ 17, 71)));
    bytes.extend(record(HANDSHAKE, &sized(&[12], 3, &exchange)));
    bytes.extend(record(HANDSHAKE, &[14, 0, 0, 0]));
    bytes
}

/// The client's answer in TLS 1.2: key exchange, ChangeCipherSpec, Finished.
pub fn client_finished(seed: u32) -> Vec<u8> {
    let mut exchange = vec![32];
    exchange.extend(filler(seed ^ 19, 32));
    let mut bytes = record(HANDSHAKE, &sized(&[16], 3, &exchange));
    bytes.extend(record(CHANGE_CIPHER_SPEC, &[1]));
    bytes.extend(encrypted(HANDSHAKE, seed ^ 23, 40));
    bytes
}

/// A whole TLS 1.2 handshake on an open connection.
pub fn handshake12(talk: &mut Talk, capture: &mut Capture, name: &str) {
    let seed = u32::from(talk.ends[CLIENT].port);
    hello(talk, capture, name, false);
    talk.stream(
        capture,
        SERVER,
        &[server_hello(false, seed), server_certificate(&[LEAF, INTERMEDIATE], seed)].concat(),
    );
    talk.wait(900);
    talk.send(capture, CLIENT, ACK, &client_finished(seed));
    talk.turn(CLIENT).wait(400);
    let finished = [record(CHANGE_CIPHER_SPEC, &[1]), encrypted(HANDSHAKE, seed ^ 29, 40)].concat();
    talk.send(capture, SERVER, ACK, &finished);
    talk.turn(SERVER);
}

/// A whole TLS 1.3 handshake on an open connection.
pub fn handshake13(talk: &mut Talk, capture: &mut Capture, name: &str) {
    let seed = u32::from(talk.ends[CLIENT].port);
    hello(talk, capture, name, true);
    server_flight13(talk, capture);
    talk.wait(600);
    let finished = [record(CHANGE_CIPHER_SPEC, &[1]), encrypted(DATA, seed ^ 43, 69)].concat();
    talk.send(capture, CLIENT, ACK, &finished);
}

/// What a TLS 1.3 server sends before the client's Finished.
pub fn server_flight13(talk: &mut Talk, capture: &mut Capture) {
    let seed = u32::from(talk.ends[CLIENT].port);
    let flight = [
        server_hello(true, seed),
        record(CHANGE_CIPHER_SPEC, &[1]),
        encrypted(DATA, seed ^ 31, 27),
        encrypted(DATA, seed ^ 37, 1_107),
        encrypted(DATA, seed ^ 41, 69),
    ];
    talk.stream(capture, SERVER, &flight.concat());
}

/// The ClientHello, its ACK and the server's time to think.
pub fn hello(talk: &mut Talk, capture: &mut Capture, name: &str, tls13: bool) {
    let seed = u32::from(talk.ends[CLIENT].port);
    talk.wait(350);
    talk.send(capture, CLIENT, ACK, &client_hello(name, tls13, seed));
    talk.turn(CLIENT);
    talk.ack(capture, SERVER, &[]);
    talk.wait(1_200);
}

/// Encrypted request and response.
pub fn exchange(talk: &mut Talk, capture: &mut Capture, length: usize) {
    let seed = u32::from(talk.ends[CLIENT].port);
    talk.wait(250);
    talk.send(capture, CLIENT, ACK, &encrypted(DATA, seed ^ 47, 240));
    talk.turn(CLIENT).wait(3_100);
    talk.stream(capture, SERVER, &encrypted(DATA, seed ^ 53, length));
}

/// The client says goodbye, encrypted, and the connection closes.
pub fn close(talk: &mut Talk, capture: &mut Capture, tls13: bool) {
    let seed = u32::from(talk.ends[CLIENT].port);
    talk.wait(500);
    let notify = if tls13 { encrypted(DATA, seed ^ 59, 19) } else { encrypted(ALERT, seed ^ 61, 26) };
    talk.send(capture, CLIENT, ACK, &notify);
    talk.close(capture);
}
