//! TLS alerts and DNS failures.

use super::super::quic::Quic;
use super::super::tcp::FIN;
use super::*;

pub(super) const SCENES: &[Scene] = &[
    scene(
        "tls_alert_handshake_failure",
        "A server finds nothing acceptable in the ClientHello.",
        51,
        6,
        |lab| refuses(lab, 5, 40),
        &[alert("handshake_failure").at(110, 443)],
    ),
    scene(
        "tls_alert_unknown_ca",
        "Clients do not know the issuer of a server's certificate.",
        52,
        6,
        |lab| rejects(lab, 48, tls::LEAF),
        &[alert("unknown_ca").at(111, 8443)],
    ),
    scene(
        "tls_alert_certificate_expired",
        "Clients reject a certificate that expired nine days before.",
        53,
        6,
        |lab| rejects(lab, 45, tls::EXPIRED),
        &[alert("certificate_expired").at(111, 8443), warning("tls_certificate", "expired")],
    ),
    scene(
        "tls_alert_protocol_version",
        "A server that knows no TLS 1.3 is offered nothing else.",
        54,
        6,
        |lab| refuses(lab, 5, 70),
        &[alert("protocol_version").at(110, 443)],
    ),
    scene(
        "tls_alert_encrypted_client",
        "TLS 1.3 clients answer the certificate with a record too short for a Finished message, and close.",
        57,
        6,
        rejects_encrypted,
        &[alert("encrypted").at(112, 443)],
    ),
    scene(
        "tls_alert_encrypted_server",
        "A TLS 1.3 server asks for certificates, answers each Finished with an alert's length, and closes.",
        58,
        6,
        requires_certificate,
        &[alert("encrypted").at(113, 443)],
    ),
    scene(
        "tls_stall_server_silent",
        "A server acknowledges each ClientHello and says nothing; the clients close after nine seconds.",
        104,
        16,
        |lab| keeps_silent(lab, 114),
        &[warning("tls_stall", "server_hello").at(114, 443)],
    ),
    scene(
        "quic_fall_back",
        "A filter drops UDP to one server: clients ask it by QUIC in vain, and by TCP three seconds later.",
        117,
        16,
        |lab| blocks_quic(lab, 117),
        &[warning("quic", "fall_back").at(117, 443)],
    ),
    scene(
        "tls_abort_reset",
        "A device resets connections on the ClientHello with one server name; another name goes through.",
        105,
        8,
        |lab| resets_name(lab, 115),
        &[warning("tls_abort", "reset_after_hello").at(115, 443)],
    )
    .allowing(&["rst_storm"]),
    scene(
        "dns_unanswered",
        "A resolver answers some names and drops the queries for others.",
        103,
        24,
        unanswered,
        &[warning("dns_unanswered", "partial")],
    ),
    scene(
        "dns_servfail_bogus",
        "A resolver cannot validate a zone and says so with extended error 6; other names are well.",
        55,
        8,
        |lab| bogus(lab, 12),
        &[warning("dns_servfail", "")],
    ),
    scene(
        "dns_servfail_forwarder",
        "A forwarder passes on the SERVFAIL of the resolver behind it.",
        56,
        8,
        forwarder,
        &[warning("dns_servfail", "")],
    ),
];

/// A finding on fatal alerts that names this one.
const fn alert(name: &'static str) -> Expect {
    Expect { mentions: name, ..warning("tls_alert", name) }
}

/// The server answers the ClientHello with a fatal alert.
pub(super) fn refuses(lab: &mut Lab, flows: u64, description: u8) {
    for number in 0..flows {
        let mut talk = lab.talk(140 + number as u8, (110, 443), 500 + number * 700, [30, 8_000]);
        talk.handshake(&mut lab.capture);
        tls::hello(&mut talk, &mut lab.capture, "pay.shop.example", description == 70);
        talk.send(&mut lab.capture, SERVER, ACK, &tls::alert(tls::FATAL, description));
        talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
        talk.turn(SERVER);
        talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
        talk.turn(CLIENT);
        talk.ack(&mut lab.capture, SERVER, &[]);
    }
}

/// The clients answer the server's certificate with a fatal alert.
fn rejects(lab: &mut Lab, description: u8, leaf: &[u8]) {
    for number in 0..5 {
        let mut talk = lab.talk(150 + number as u8, (111, 8443), 500 + number * 700, [30, 9_500]);
        talk.handshake(&mut lab.capture);
        tls::hello(&mut talk, &mut lab.capture, "api.shop.example", false);
        let flight = [tls::server_hello(false, 3), tls::server_certificate(&[leaf, tls::INTERMEDIATE], 3)];
        talk.stream(&mut lab.capture, SERVER, &flight.concat());
        talk.wait(1_100);
        talk.send(&mut lab.capture, CLIENT, ACK, &tls::alert(tls::FATAL, description));
        talk.wait(30);
        talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
        talk.turn(CLIENT);
        talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
        talk.turn(SERVER);
        talk.ack(&mut lab.capture, CLIENT, &[]);
    }
}

fn keeps_silent(lab: &mut Lab, server: u8) {
    for number in 0..4 {
        let mut talk = lab.talk(150 + number as u8, (server, 443), 500 + number * 700, [30, 9_000]);
        talk.handshake(&mut lab.capture);
        tls::hello(&mut talk, &mut lab.capture, "pay.shop.example", true);
        talk.wait(9_000_000);
        talk.close(&mut lab.capture);
    }
}

fn blocks_quic(lab: &mut Lab, server: u8) {
    for number in 0..4u8 {
        let (client, at) = (150 + number, 500 + u64::from(number) * 300);
        Quic::new(lab, client, (server, 443), at).asks_in_vain(lab, "media.shop.example");
        let mut talk = lab.talk(client, (server, 443), at + 3_100, [30, 9_000]);
        talk.handshake(&mut lab.capture);
        tls::handshake13(&mut talk, &mut lab.capture, "media.shop.example");
        tls::exchange(&mut talk, &mut lab.capture, 900);
        tls::close(&mut talk, &mut lab.capture, true);
        let mut well = Quic::new(lab, client, (server + 1, 443), at + 90);
        well.asks(lab, "www.shop.example");
        well.answers(lab, 9_000);
    }
}

/// The RST has another TTL than the server.
fn resets_name(lab: &mut Lab, server: u8) {
    for number in 0..8u64 {
        let mut talk = lab.talk(150 + number as u8, (server, 443), 500 + number * 700, [30, 9_000]);
        talk.handshake(&mut lab.capture);
        if number % 2 == 0 {
            tls::handshake13(&mut talk, &mut lab.capture, "www.shop.example");
            tls::exchange(&mut talk, &mut lab.capture, 900);
            tls::close(&mut talk, &mut lab.capture, true);
            continue;
        }
        talk.wait(350);
        talk.send(&mut lab.capture, CLIENT, ACK, &tls::client_hello("chat.shop.example", true, 4));
        talk.wait(900);
        let mut reset = talk.segment(SERVER, RST, b"");
        (reset.ttl, reset.seq) = (250, talk.ends[CLIENT].expects);
        talk.record(&mut lab.capture, &reset);
    }
}

fn rejects_encrypted(lab: &mut Lab) {
    for number in 0..4u64 {
        let mut talk = lab.talk(150 + number as u8, (112, 443), 500 + number * 700, [30, 9_000]);
        talk.handshake(&mut lab.capture);
        tls::hello(&mut talk, &mut lab.capture, "vault.shop.example", true);
        tls::server_flight13(&mut talk, &mut lab.capture);
        talk.wait(700);
        let refusal =
            [tls::record(tls::CHANGE_CIPHER_SPEC, &[1]), tls::encrypted(tls::DATA, 71, 19)].concat();
        talk.send(&mut lab.capture, CLIENT, ACK, &refusal);
        talk.close(&mut lab.capture);
    }
}

fn requires_certificate(lab: &mut Lab) {
    for number in 0..4u64 {
        let mut talk = lab.talk(150 + number as u8, (113, 443), 500 + number * 700, [30, 9_000]);
        talk.handshake(&mut lab.capture);
        tls::handshake13(&mut talk, &mut lab.capture, "mutual.shop.example");
        talk.wait(300);
        talk.send(&mut lab.capture, CLIENT, ACK, &tls::encrypted(tls::DATA, 73, 180));
        talk.turn(CLIENT).wait(400);
        talk.send(&mut lab.capture, SERVER, ACK, &tls::encrypted(tls::DATA, 79, 19));
        talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
        talk.turn(SERVER);
        talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
        talk.turn(CLIENT);
        talk.ack(&mut lab.capture, SERVER, &[]);
    }
}

pub(super) fn bogus(lab: &mut Lab, count: u64) {
    for number in 0..count {
        let name = "db.internal.example";
        lab.lookup(400_000 + number * 510_000, 38_000, name, dns::A, |id| {
            dns::response_errors(id, name, dns::A, dns::SERVFAIL, &[(6, "signature of db.internal.example")])
        });
        lab.resolves(650_000 + number * 510_000, "www.shop.example");
    }
}

fn forwarder(lab: &mut Lab) {
    let (forwarder, upstream) = (lab.resolver(), IpAddr::from(Ipv4Addr::new(192, 0, 2, 53)));
    let name = "ledger.partner.example";
    for number in 0..10u64 {
        let at = 400_000 + number * 600_000;
        let (port, out) = (lab.next_port(), lab.next_port());
        let (id, out_id) = (port.wrapping_mul(40_503), out.wrapping_mul(40_503));
        let client = lab.client(160 + number as u8);
        lab.udp(at, (client, port), (forwarder, 53), &dns::query(id, name, dns::A));
        lab.udp(at + 350, (forwarder, out), (upstream, 53), &dns::query(out_id, name, dns::A));
        let answer = dns::response(out_id, name, dns::A, dns::SERVFAIL, &[]);
        lab.udp(at + 41_000, (upstream, 53), (forwarder, out), &answer);
        let answer = dns::response(id, name, dns::A, dns::SERVFAIL, &[]);
        lab.udp(at + 41_400, (forwarder, 53), (client, port), &answer);
    }
}

/// Twelve lookups of one zone that nobody answers, each asked twice, among others that are answered.
fn unanswered(lab: &mut Lab) {
    for number in 0..12u64 {
        let at = 900_000 + number * 800_000;
        lab.resolves(at + 300_000, "www.shop.example");
        let name = format!("db{}.corp.example", number % 4);
        let (client, resolver) = ((lab.client(7), lab.next_port()), (lab.resolver(), 53));
        let query = dns::query(client.1, &name, dns::A);
        lab.udp(at, client, resolver, &query);
        lab.udp(at + 5_000_000, client, resolver, &query);
    }
}
