//! Resolvers that refuse, deny, lag or contradict.

use super::super::dns::{self, A};
use super::super::tcp::{CLIENT, SYN};
use super::{Lab, Scene, info, scene, warning};

pub(super) const SCENES: &[Scene] = &[
    scene(
        "dns_error_refused",
        "A second resolver refuses every lookup of two clients.",
        210,
        20,
        refused,
        &[warning("dns_error", "refused").at(54, 53)],
    ),
    scene(
        "dns_error_removed",
        "A name disappears from its zone while its clients go on asking for it.",
        211,
        30,
        removed,
        &[warning("dns_error", "nxdomain")],
    ),
    scene(
        "dns_slow",
        "A resolver takes a second and more for most names.",
        212,
        30,
        slow,
        &[warning("dns_slow", "").at(54, 53)],
    ),
    scene(
        "dns_truncation_blocked",
        "Responses are truncated, and no SYN to TCP port 53 of the resolver is answered.",
        213,
        20,
        tcp_blocked,
        &[warning("dns_truncation", "blocked").at(54, 53)],
    )
    .allowing(&["missing_syn_ack"]),
    scene(
        "dns_conflict_answers",
        "Every query for a name gets two responses, the first with an address of somebody else.",
        214,
        12,
        two_answers,
        &[warning("dns_conflict", "answers")],
    ),
    scene(
        "dns_conflict_other_address",
        "A resolver answers from another of its addresses, and its clients drop the answers.",
        215,
        20,
        other_address,
        &[warning("dns_conflict", "other_address").at(54, 53)],
    )
    .allowing(&["dns_unanswered"]),
    scene(
        "dns_unexpected_resolver",
        "Five clients of a network ask one resolver, a sixth asks another and gets another address.",
        216,
        12,
        unexpected,
        &[info("dns_unexpected_resolver", "").at(54, 53), info("dns_conflict", "resolvers").at(54, 53)],
    ),
];

fn refused(lab: &mut Lab) {
    let resolver = lab.server(54);
    for number in 0..8 {
        for client in [7, 8] {
            let at = 1_000_000 + number * 2_000_000 + u64::from(client) * 1_300;
            lab.asks(at, client, resolver, ("ledger.shop.example", A), 5, &[]);
        }
    }
}

fn removed(lab: &mut Lab) {
    let (resolver, address) = (lab.resolver(), [10, lab.net, 2, 90]);
    for number in 0..4 {
        let at = 1_000_000 + number * 1_000_000;
        lab.asks(at, 7, resolver, ("stock.corp.example", A), dns::NOERROR, &[address]);
    }
    for number in 0..16 {
        let client = 7 + number % 3;
        let at = 6_000_000 + u64::from(number) * 1_400_000;
        lab.asks(at, client, resolver, ("stock.corp.example", A), dns::NXDOMAIN, &[]);
    }
}

/// Twelve names that are answered after a second or so, every fourth of them at once.
fn slow(lab: &mut Lab) {
    for number in 0..16 {
        let delay = if number % 4 == 3 { 2_400 } else { 900_000 + number * 31_000 };
        let (at, name) = (800_000 + number * 1_600_000, format!("node{number}.shop.example"));
        let (client, resolver) = ((lab.client(7), lab.next_port()), (lab.server(54), 53));
        let address = [10, lab.net, 2, 80];
        lab.udp(at, client, resolver, &dns::query(client.1, &name, A));
        let answer = dns::response(client.1, &name, A, dns::NOERROR, &[address]);
        lab.udp(at + delay, resolver, client, &answer);
    }
}

/// Truncated responses, and SYNs to TCP port 53 that nobody answers.
fn tcp_blocked(lab: &mut Lab) {
    for client in 0..4u8 {
        let at = 1_000 + u64::from(client) * 700;
        let (from, resolver) = ((lab.client(20 + client), lab.next_port()), (lab.server(54), 53));
        lab.udp(at * 1_000, from, resolver, &dns::query(from.1, "long.shop.example", A));
        let mut answer = dns::response(from.1, "long.shop.example", A, dns::NOERROR, &[]);
        answer[2] |= 0x02;
        lab.udp(at * 1_000 + 2_000, resolver, from, &answer);
        let mut talk = lab.talk(20 + client, (54, 53), at + 3, [30, 1_500]);
        let syn = talk.send(&mut lab.capture, CLIENT, SYN, b"");
        for micros in [1_000_000, 2_000_000] {
            talk.wait(micros);
            talk.record(&mut lab.capture, &syn);
        }
    }
}

fn two_answers(lab: &mut Lab) {
    for number in 0..5 {
        let at = 1_000_000 + number * 1_900_000;
        let (client, resolver) = ((lab.client(7), lab.next_port()), (lab.resolver(), 53));
        lab.udp(at, client, resolver, &dns::query(client.1, "bank.shop.example", A));
        for (micros, address) in [(400, [203, 0, 113, 66]), (1_900, [10, lab.net, 2, 80])] {
            let answer = dns::response(client.1, "bank.shop.example", A, dns::NOERROR, &[address]);
            lab.udp(at + micros, resolver, client, &answer);
        }
    }
}

fn other_address(lab: &mut Lab) {
    for number in 0..8u64 {
        let at = 1_000_000 + number * 1_100_000;
        let client = (lab.client(7 + (number % 4) as u8), lab.next_port());
        let (asked, answers) = ((lab.server(54), 53), (lab.server(55), 53));
        let name = format!("db{number}.shop.example");
        lab.udp(at, client, asked, &dns::query(client.1, &name, A));
        let answer = dns::response(client.1, &name, A, dns::NOERROR, &[[10, lab.net, 2, 80]]);
        lab.udp(at + 1_500, answers, client, &answer);
    }
}

fn unexpected(lab: &mut Lab) {
    let (usual, other) = (lab.resolver(), lab.server(54));
    for client in 7..13u8 {
        for number in 0..3 {
            let at = 1_000_000 + u64::from(client) * 400_000 + number * 70_000;
            let (resolver, host) = if client == 12 { (other, 66) } else { (usual, 80) };
            lab.asks(at, client, resolver, ("app.corp.example", A), dns::NOERROR, &[[10, lab.net, 2, host]]);
        }
    }
}
