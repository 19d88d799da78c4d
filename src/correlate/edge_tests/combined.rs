//! A cause and its symptom on the same connections, or under the same name.

use std::net::IpAddr;

use crate::support::dns::{A, NOERROR, query, response};
use crate::support::filler;
use crate::support::frame::{Ip, ethernet};
use crate::support::scenes::Lab;
use crate::support::tcp::{ACK, CLIENT, RST, SERVER, SYN, Segment, Talk};
use crate::support::tls;

/// Each is a capture of its own.
pub(super) const SCENES: [fn(&mut Lab); 13] = [
    |lab| many(lab, 8_080, forged),
    |lab| many(lab, 8_081, reset_before_the_answer),
    |lab| many(lab, 443, alert_and_reset),
    |lab| many(lab, 8_443, reset_after_hello),
    |lab| many(lab, 9_443, silent_after_hello),
    |lab| many(lab, 8_082, too_large_for_the_path),
    |lab| many(lab, 8_083, no_state),
    |lab| many(lab, 8_085, nobody_there_any_more),
    |lab| many(lab, 5_443, lost_hello),
    |lab| many(lab, 8_087, nobody_reads),
    |lab| many(lab, 8_088, answer_lost),
    names,
    cut_off,
];

const GET: &[u8] = b"GET /items HTTP/1.1\r\nHost: www.shop.example\r\nAccept: */*\r\n\r\n";

/// Two dozen connections of nine clients to one service, five a second.
fn many(lab: &mut Lab, port: u16, how: impl Fn(&mut Talk, &mut Lab)) {
    for number in 0..24u64 {
        let mut talk = lab.talk(20 + (number % 9) as u8, (70, port), 500 + number * 200, [30, 6_000]);
        how(&mut talk, lab);
    }
}

fn reset(talk: &mut Talk, lab: &mut Lab, side: usize, ttl: Option<u8>) {
    let mut reset = talk.segment(side, RST | ACK, b"");
    reset.ttl = ttl.unwrap_or(reset.ttl);
    talk.record(&mut lab.capture, &reset);
}

/// The first of `segment` was lost, and so is every further try.
fn tries(talk: &mut Talk, lab: &mut Lab, segment: &Segment, count: u32) {
    for number in 0..count {
        talk.wait(215_000 << number);
        talk.resend(&mut lab.capture, segment);
    }
}

/// Somebody ends the connection in the server's name, in the middle of an answer.
fn forged(talk: &mut Talk, lab: &mut Lab) {
    talk.handshake(&mut lab.capture);
    talk.send(&mut lab.capture, CLIENT, ACK, GET);
    talk.turn(CLIENT);
    talk.ack(&mut lab.capture, SERVER, &[]);
    talk.wait(2_000);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n";
    talk.send(&mut lab.capture, SERVER, ACK, &[head, &filler(3, 900)[..]].concat());
    talk.turn(SERVER);
    talk.ack(&mut lab.capture, CLIENT, &[]);
    talk.wait(300);
    reset(talk, lab, SERVER, Some(243));
    talk.wait(300);
    talk.send_lost(&mut lab.capture, SERVER, &filler(4, 900));
}

/// The server gives up on an answer of which the second half is lost again and again.
fn answer_lost(talk: &mut Talk, lab: &mut Lab) {
    talk.handshake(&mut lab.capture);
    talk.send(&mut lab.capture, CLIENT, ACK, GET);
    talk.turn(CLIENT);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n";
    talk.send(&mut lab.capture, SERVER, ACK, &[head, &filler(3, 900)[..]].concat());
    talk.turn(SERVER);
    talk.ack(&mut lab.capture, CLIENT, &[]);
    let lost = talk.send_lost(&mut lab.capture, SERVER, &filler(4, 900));
    tries(talk, lab, &lost, 4);
    reset(talk, lab, SERVER, None);
}

fn reset_before_the_answer(talk: &mut Talk, lab: &mut Lab) {
    talk.handshake(&mut lab.capture);
    talk.send(&mut lab.capture, CLIENT, ACK, GET);
    talk.turn(CLIENT);
    talk.ack(&mut lab.capture, SERVER, &[]);
    talk.wait(12_000);
    reset(talk, lab, SERVER, None);
}

fn alert_and_reset(talk: &mut Talk, lab: &mut Lab) {
    talk.handshake(&mut lab.capture);
    tls::hello(talk, &mut lab.capture, "api.shop.example", false);
    let flight = [tls::server_hello(false, 3), tls::server_certificate(&[tls::LEAF, tls::INTERMEDIATE], 3)];
    talk.stream(&mut lab.capture, SERVER, &flight.concat());
    talk.wait(1_100);
    talk.send(&mut lab.capture, CLIENT, ACK, &tls::alert(tls::FATAL, 48));
    reset(talk, lab, CLIENT, None);
}

fn reset_after_hello(talk: &mut Talk, lab: &mut Lab) {
    talk.handshake(&mut lab.capture);
    tls::hello(talk, &mut lab.capture, "chat.shop.example", true);
    reset(talk, lab, SERVER, None);
}

fn silent_after_hello(talk: &mut Talk, lab: &mut Lab) {
    talk.handshake(&mut lab.capture);
    tls::hello(talk, &mut lab.capture, "pay.shop.example", true);
    talk.wait(9_000_000);
    reset(talk, lab, SERVER, None);
}

/// The server gives up on uploads of which the large segments never arrive.
fn too_large_for_the_path(talk: &mut Talk, lab: &mut Lab) {
    talk.handshake(&mut lab.capture);
    talk.exchange(&mut lab.capture, &filler(1, 300), 180);
    let large = talk.send_lost(&mut lab.capture, CLIENT, &filler(77, 1448));
    let above = talk.ends[CLIENT].next;
    talk.send_lost(&mut lab.capture, CLIENT, &filler(78, 300));
    let sack = (above, talk.ends[CLIENT].next);
    talk.turn(CLIENT);
    talk.ack(&mut lab.capture, SERVER, &[sack]);
    tries(talk, lab, &large, 5);
    talk.wait(1_000_000);
    reset(talk, lab, SERVER, None);
}

/// The device on the way knows nothing of the connection: the server never gets what follows the SYN, and
/// resets it at last.
fn no_state(talk: &mut Talk, lab: &mut Lab) {
    talk.send(&mut lab.capture, CLIENT, SYN, b"");
    talk.turn(CLIENT);
    let answer = talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
    talk.turn(SERVER);
    talk.ack(&mut lab.capture, CLIENT, &[]);
    talk.wait(300);
    let start = talk.now;
    let lost = talk.send_lost(&mut lab.capture, CLIENT, GET);
    let end = talk.ends[CLIENT].next;
    for wait in [215_000, 645_000, 1_505_000, 3_225_000] {
        talk.now = start + wait;
        talk.resend(&mut lab.capture, &lost);
    }
    for seconds in [1, 3, 7] {
        talk.now = start + seconds * 1_000_000 + 4_000;
        let again = Segment { seq: answer.seq, ack: answer.ack, ..talk.segment(SERVER, SYN | ACK, b"") };
        talk.record(&mut lab.capture, &again);
        talk.turn(SERVER);
        let reply = Segment { seq: end, ..talk.segment(CLIENT, ACK, b"") };
        talk.record(&mut lab.capture, &reply);
    }
    talk.wait(500_000);
    reset(talk, lab, SERVER, None);
}

/// The host leaves the network under connections in use, and its router says so.
fn nobody_there_any_more(talk: &mut Talk, lab: &mut Lab) {
    lab.http(talk, 900);
    talk.now = talk.now.max(8_000_000);
    let router = lab.router();
    let request = talk.send_lost(&mut lab.capture, CLIENT, GET);
    for number in 0..5 {
        talk.wait(215_000 << number);
        let again = talk.resend(&mut lab.capture, &request);
        talk.wait(3_000);
        talk.icmp_error(&mut lab.capture, router, (3, 1, 0), &again);
    }
}

/// The ClientHello is lost, again and again, and nothing answers it when it arrives.
fn lost_hello(talk: &mut Talk, lab: &mut Lab) {
    talk.handshake(&mut lab.capture);
    talk.wait(300);
    let hello = tls::client_hello("b.shop.example", true, 6);
    let lost = talk.send_lost(&mut lab.capture, CLIENT, &hello);
    tries(talk, lab, &lost, 3);
    talk.wait(900_000);
    let last = talk.resend(&mut lab.capture, &lost);
    talk.received(&last);
    talk.turn(CLIENT);
    talk.ack(&mut lab.capture, SERVER, &[]);
    talk.wait(4_000_000);
    talk.close(&mut lab.capture);
}

/// A client that does not read what it asked for, until the server gives up.
fn nobody_reads(talk: &mut Talk, lab: &mut Lab) {
    talk.handshake(&mut lab.capture);
    talk.send(&mut lab.capture, CLIENT, ACK, GET);
    talk.turn(CLIENT);
    talk.wait(2_000);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n";
    talk.stream(&mut lab.capture, SERVER, &[head, &filler(31, 20_000)[..]].concat());
    talk.ends[CLIENT].window = 0;
    talk.ack(&mut lab.capture, CLIENT, &[]);
    for number in 0..6 {
        talk.wait(215_000 << number);
        let mut probe = talk.segment(SERVER, ACK, b"");
        probe.seq = probe.seq.wrapping_sub(1);
        talk.record(&mut lab.capture, &probe);
        talk.turn(SERVER);
        talk.ack(&mut lab.capture, CLIENT, &[]);
    }
    reset(talk, lab, SERVER, None);
}

/// A client is sent to the wrong host, whose certificate is of other names, or which resets it at once.
fn wrong_host(lab: &mut Lab, client: IpAddr, host: IpAddr, name: &str, (at, resets): (u64, bool)) {
    let mut talk = Talk::new((client, lab.next_port()), (host, 443), at, [30, 9_000]);
    talk.handshake(&mut lab.capture);
    tls::hello(&mut talk, &mut lab.capture, name, false);
    if resets {
        return reset(&mut talk, lab, SERVER, None);
    }
    let flight = [tls::server_hello(false, 3), tls::server_certificate(&[tls::LEAF, tls::INTERMEDIATE], 3)];
    talk.stream(&mut lab.capture, SERVER, &flight.concat());
    talk.wait(1_100);
    talk.send(&mut lab.capture, CLIENT, ACK, &tls::alert(tls::FATAL, 42));
    talk.close(&mut lab.capture);
}

/// Two answers to one query, and another resolver than the neighbours ask: both lead to the wrong host.
fn names(lab: &mut Lab) {
    for number in 0..12u64 {
        let (at, resets) = (1_000_000 + number * 900_000, number % 2 == 0);
        let (client, port) = (lab.client(20 + number as u8), lab.next_port());
        let name = if resets { "bank.internal.example" } else { "dispatch.internal.example" };
        let resolver = (lab.resolver(), 53);
        lab.udp(at, (client, port), resolver, &query(port, name, A));
        for (micros, address) in [(400, [10, 99, 88, 77]), (9_000, [10, lab.net, 2, 60])] {
            lab.udp(at + micros, resolver, (client, port), &response(port, name, A, NOERROR, &[address]));
        }
        wrong_host(lab, client, IpAddr::from([10, 99, 88, 77]), name, (at + 20_000, resets));
    }
    let (usual, other) = (lab.resolver(), lab.server(54));
    for client in 7..13u8 {
        for number in 0..3 {
            let at = 13_000_000 + u64::from(client) * 400_000 + number * 70_000;
            let (resolver, host) = if client == 12 { (other, 66) } else { (usual, 80) };
            lab.asks(at, client, resolver, ("app.corp.example", A), NOERROR, &[[10, lab.net, 2, host]]);
            if client == 12 {
                let (client, host) = (lab.client(12), lab.server(66));
                wrong_host(lab, client, host, "app.corp.example", (at + 5_000, false));
            }
        }
    }
}

/// Nothing beyond its link answers a client over IPv6: connections, lookups, pings. IPv4 works.
fn cut_off(lab: &mut Lab) {
    let (client, resolver) = (lab.v6(1, 7), lab.v6(40, 53));
    let mut links = [[0; 6]; 2];
    for number in 0..6u16 {
        let at = 1_000_000 + u64::from(number) * 700_000;
        let server = lab.v6(30 + number, 0x80);
        let mut talk = Talk::new((client, 42_000 + number), (server, 443), at, [30, 500]);
        links = [talk.ends[CLIENT].mac, talk.ends[SERVER].mac];
        let syn = talk.segment(CLIENT, SYN, b"");
        for _ in 0..5 {
            talk.record(&mut lab.capture, &syn);
            talk.wait(1_500_000);
        }
        let asked = query(number, &format!("api{number}.shop.example"), A);
        for later in [0, 5_000_000] {
            lab.udp(at + later, (client, 50_000 + number), (resolver, 53), &asked);
        }
        for count in 0..5 {
            let ip = Ip { source: client, destination: lab.v6(30, 0x80), ttl: 64, id: 0 };
            let mut ping = Vec::new();
            let builder = etherparse::PacketBuilder::ip(ip.headers(etherparse::IpNumber::IPV6_ICMP));
            let builder = builder.icmpv6_echo_request(77, number * 5 + count);
            builder.write(&mut ping, &[0x61; 56]).expect("the message fits");
            let frame = ethernet(links[0], links[1], None, &ping);
            lab.capture.record(at + u64::from(count) * 100_000, frame);
        }
    }
    let mut talk = lab.talk(7, (10, 80), 2_000, [30, 500]);
    talk.ends[CLIENT].mac = links[0];
    lab.http(&mut talk, 300);
}
