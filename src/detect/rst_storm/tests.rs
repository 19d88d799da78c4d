use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::detect::testing::{fires, in_traffic, one, silent};
use crate::dissect::{DefragStats, PacketRef, Seq};
use crate::flow::{Reset, TcpFlow};
use crate::support::filler;
use crate::support::scenes::Lab;
use crate::support::tcp::{ACK, CLIENT, PSH, RST, SERVER, SYN};
use crate::time::Span;

const NAME: &str = RstStorm::RULE.name;

#[test]
fn it_fires() {
    fires(
        NAME,
        &[
            ("rst_storm_refused", "refused", Severity::Critical),
            ("rst_storm_no_socket", "no_socket", Severity::Critical),
            ("rst_storm_abort", "abort", Severity::Critical),
        ],
    );
}

#[test]
fn it_stays_silent() {
    silent(NAME, &["healthy_resets", "healthy_close_notify", "blind_rst_inject", "missing_syn_ack_silent"]);
}

/// Sixty segments of connections that never were, each answered with a RST that takes its number.
fn unknown_to_the_server(acknowledged: u32) -> Vec<Finding> {
    in_traffic(NAME, |lab| {
        for client in 0..60u8 {
            let mut talk = lab.talk(client, (9, 8080), 5_000 + u64::from(client) * 20, [30, 1_500]);
            let mut data = talk.segment(CLIENT, PSH | ACK, b"GET / HTTP/1.1\r\n\r\n");
            data.ack = acknowledged;
            talk.record(&mut lab.capture, &data);
            talk.turn(CLIENT);
            let mut reset = talk.segment(SERVER, RST, b"");
            reset.seq = acknowledged;
            talk.record(&mut lab.capture, &reset);
        }
    })
}

#[test]
fn segments_that_acknowledge_nothing_are_no_connections() {
    assert_eq!(unknown_to_the_server(7_000).len(), 1);
    assert_eq!(unknown_to_the_server(0), []);
}

/// Every fifteen seconds a connection of one client is reset; two thirds of all. `others` end well.
fn troubled_client(others: bool) -> Vec<Finding> {
    let detector = RstStorm::new(None);
    let mut book: Book<RstStorm> = Book::default();
    for number in 0..54u8 {
        let server = [10, 0, 0, number % 5];
        let flow = ended(server, u64::from(number) + 1, i64::from(number) * 15, number % 3 != 0);
        detector.flow(&flow, &mut book);
        if others {
            let mut flow = ended(server, u64::from(number) + 100, i64::from(number) * 15, false);
            flow.client.address = IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9));
            detector.flow(&flow, &mut book);
        }
    }
    let totals =
        Totals { first: Some(Timestamp(0)), last: Some(Timestamp(900_000_000_000)), ..Totals::default() };
    let heard = Heard::default();
    let fragments = DefragStats::default();
    let context = Context { totals: &totals, files: &[], fragments, heard: &heard, hosts: &Hosts::default() };
    book.finish(&detector, &context).findings
}

#[test]
fn a_client_that_loses_its_connections_is_said() {
    let findings = troubled_client(true);
    let [finding] = &findings[..] else { panic!("{findings:#?}") };
    let impact = (finding.impact.failed_transactions, finding.impact.of_transactions);
    assert_eq!((finding.severity, impact), (Severity::Warning, (36, 54)));
    assert!(finding.summary.contains("Of 54 connections by others 0 were reset"), "{}", finding.summary);
}

/// Nobody else uses these services: it may be their habit.
#[test]
fn a_client_without_others_to_compare_with_is_information() {
    let findings = troubled_client(false);
    assert_eq!(findings.iter().map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::Info]);
}

/// A host is restarted: a few connections to each of its ports, many in all.
#[test]
fn a_storm_over_the_ports_of_a_host_is_one() {
    let detector = RstStorm::new(None);
    let mut book: Book<RstStorm> = Book::default();
    for number in 0..30u64 {
        let mut flow = ended([10, 0, 0, 1], number + 1, 100 + number as i64 / 5, true);
        flow.server.port = 5000 + number as u16 % 6;
        flow.client.address = IpAddr::V4(Ipv4Addr::new(10, 9, 9, number as u8 % 7));
        detector.flow(&flow, &mut book);
    }
    let totals =
        Totals { first: Some(Timestamp(0)), last: Some(Timestamp(300_000_000_000)), ..Totals::default() };
    let heard = Heard::default();
    let fragments = DefragStats::default();
    let context = Context { totals: &totals, files: &[], fragments, heard: &heard, hosts: &Hosts::default() };
    let findings = book.finish(&detector, &context).findings;
    let [finding] = &findings[..] else { panic!("{findings:#?}") };
    assert_eq!((finding.impact.failed_transactions, finding.impact.services), (30, 6));
}

/// A connection of a service that ends at a second, by a RST or by a FIN.
fn ended(server: [u8; 4], packet: u64, second: i64, reset: bool) -> Flow {
    let at = PacketRef { packet, time: Timestamp(second * 1_000_000_000) };
    let mut tcp = TcpFlow::default();
    if reset {
        tcp.resets.push(Reset {
            at,
            direction: Direction::ToClient,
            class: ResetClass::NoSocket,
            with_ack: false,
            seq: Seq(7),
            ttl: 63,
            ip_id: 0,
            window: 0,
            ahead: false,
            went_on: None,
            trigger: None,
            idle: Span::ZERO,
            count: 1,
        });
    } else {
        tcp.sides[0].fin = Some(at);
    }
    Flow {
        id: packet,
        server: Endpoint { address: IpAddr::V4(Ipv4Addr::from(server)), port: 443 },
        first: at,
        last: at,
        tcp: Some(Box::new(tcp)),
        ..crate::report::tests::flow(packet)
    }
}

/// Every fifteen seconds a connection to each of two servers ends; those of the second are reset, or all are.
fn siblings(all: bool) -> Vec<Finding> {
    let detector = RstStorm::new(None);
    let mut book: Book<RstStorm> = Book::default();
    for number in 0..16u8 {
        let server = [10, 0, 0, number % 2];
        let reset = all || number % 2 == 1;
        detector.flow(&ended(server, u64::from(number) + 1, i64::from(number) * 15, reset), &mut book);
    }
    let totals =
        Totals { first: Some(Timestamp(0)), last: Some(Timestamp(240_000_000_000)), ..Totals::default() };
    let (heard, fragments) = (Heard::default(), DefragStats::default());
    let context = Context { totals: &totals, files: &[], fragments, heard: &heard, hosts: &Hosts::default() };
    book.finish(&detector, &context).findings
}

#[test]
fn a_server_that_resets_what_its_siblings_do_not_is_said() {
    let findings = siblings(false);
    let [finding] = &findings[..] else { panic!("{findings:#?}") };
    let impact = (finding.impact.failed_transactions, finding.impact.of_transactions);
    assert_eq!((finding.severity, impact), (Severity::Warning, (8, 8)));
    assert!(finding.summary.contains("Of 8 connections to other servers"), "{}", finding.summary);
    // It may be how this service closes.
    assert!(siblings(true).is_empty());
}

/// A service with the lowest address ends three connections every second of a day. Another one has a
/// storm at noon.
#[test]
fn a_day_of_a_busy_service_hides_no_storm() {
    const DAY: i64 = 86_400;
    let detector = RstStorm::new(None);
    let mut book: Book<RstStorm> = Book::default();
    for (packet, second) in (1u64..).zip((0..DAY).flat_map(|second| [second; 3])) {
        detector.flow(&ended([10, 0, 0, 1], packet, second, packet % 997 == 0), &mut book);
    }
    for packet in 0..40 {
        let second = DAY / 2 + packet as i64 / 10;
        detector.flow(&ended([203, 0, 113, 77], 1_000_000 + packet, second, true), &mut book);
    }
    let totals =
        Totals { first: Some(Timestamp(0)), last: Some(Timestamp(DAY * 1_000_000_000)), ..Totals::default() };
    let verdict = book.finish(
        &detector,
        &Context {
            totals: &totals,
            files: &[],
            fragments: DefragStats::default(),
            heard: &Heard::default(),
            hosts: &Hosts::default(),
        },
    );
    let servers: Vec<_> = verdict.findings.iter().map(|finding| finding.subject.server.as_deref()).collect();
    assert_eq!(servers, [Some("203.0.113.77")]);
    assert_eq!(verdict.findings[0].impact.failed_transactions, 40);
    assert!(verdict.not_assessed.is_empty(), "{:?}", verdict.not_assessed);
}

/// More services than the table of minutes holds: a storm without its denominator is not judged, and that
/// is said.
#[test]
fn a_storm_without_its_denominator_is_not_judged() {
    let detector = RstStorm::new(None);
    let mut book: Book<RstStorm> = Book::default();
    let address = |number: u32| [10, (number >> 16) as u8, (number >> 8) as u8, number as u8];
    let hash = |flow: &Flow| hash_of(&flow.server);
    let flows = (0..40_000).map(|number| ended(address(number), u64::from(number) + 1, 5, false));
    let last = flows.inspect(|flow| detector.flow(flow, &mut book)).max_by_key(hash).expect("flows");
    for packet in 0..40 {
        let storm = ended([0; 4], 1_000_000 + packet, 5, true);
        detector.flow(&Flow { server: last.server, ..storm }, &mut book);
    }
    let verdict = book.finish(
        &detector,
        &Context {
            totals: &Totals::default(),
            files: &[],
            fragments: DefragStats::default(),
            heard: &Heard::default(),
            hosts: &Hosts::default(),
        },
    );
    assert!(verdict.findings.is_empty());
    let missing = &verdict.not_assessed[0];
    assert_eq!(
        (missing.reason.as_ref(), missing.count),
        ("more services and minutes than are kept apart", 40)
    );
}

/// A scanner finds one port of a hundred open, and asks it in thirty ways.
#[test]
fn what_a_scanner_provokes_is_information() {
    use crate::detect::testing::in_traffic;
    use crate::support::tcp::{ACK, CLIENT, RST, SERVER, SYN};
    let findings = |ports: u16| {
        in_traffic(NAME, |lab| {
            for port in 0..ports {
                let mut talk = lab.talk(7, (9, 2_000 + port), 10 + u64::from(port), [30, 200]);
                talk.send(&mut lab.capture, CLIENT, SYN, b"");
                talk.turn(CLIENT);
                let mut reset = talk.segment(SERVER, RST | ACK, b"");
                reset.seq = 0;
                talk.record(&mut lab.capture, &reset);
            }
            for number in 0..25 {
                let mut talk = lab.talk(7, (9, 513), 900 + number * 40, [30, 200]);
                talk.handshake(&mut lab.capture);
                talk.send(&mut lab.capture, CLIENT, ACK, b"HELP\r\n");
                talk.turn(CLIENT);
                talk.send(&mut lab.capture, SERVER, RST | ACK, b"");
            }
            lab.resolves(90_000_000, "www.shop.example");
        })
    };
    let of_513 = |ports: u16| {
        let findings = findings(ports);
        findings.into_iter().find(|finding| finding.title.contains(":513")).expect("a storm").severity
    };
    assert_eq!((of_513(400), of_513(20)), (Severity::Info, Severity::Critical));
}

/// Connections to a database, one every ten seconds: `answered` requests, and one that the server answers by
/// a RST after so many ms.
fn reset_on_request(lab: &mut Lab, server: (u8, u16), connections: u64, answered: u64, after: u64) {
    for number in 0..connections {
        let mut talk = lab.talk(7, server, 10 + number * 10_000, [30, 500]);
        talk.handshake(&mut lab.capture);
        (0..answered).for_each(|_| talk.exchange(&mut lab.capture, &filler(1, 200), 400));
        talk.send(&mut lab.capture, CLIENT, ACK, &filler(2, 200));
        talk.turn(CLIENT);
        talk.ack(&mut lab.capture, SERVER, &[]);
        talk.wait(after * 1_000);
        talk.send(&mut lab.capture, SERVER, RST | ACK, b"");
    }
}

#[test]
fn a_few_connections_that_are_reset_in_place_of_an_answer_are_said() {
    for (answered, after) in [(0, 20), (3, 2_000)] {
        let findings = in_traffic(NAME, |lab| reset_on_request(lab, (9, 5432), 6, answered, after));
        let finding = one(&findings, "abort", Severity::Warning);
        assert!(finding.summary.contains("was not answered"), "{}", finding.summary);
        assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (6, 6));
    }
    let peer = in_traffic(NAME, |lab| reset_on_request(lab, (9, 51_413), 6, 0, 20));
    one(&peer, "abort", Severity::Info);
}

#[test]
fn habits_and_accidents_are_no_resets_in_place_of_an_answer() {
    // A goodbye that is answered by a RST, as of LDAP.
    let goodbye = in_traffic(NAME, |lab| reset_on_request(lab, (9, 389), 6, 3, 1));
    let few = in_traffic(NAME, |lab| reset_on_request(lab, (9, 5432), 4, 0, 20));
    let some = in_traffic(NAME, |lab| {
        reset_on_request(lab, (9, 5432), 6, 0, 20);
        for number in 0..4 {
            let mut talk = lab.talk(8, (9, 5432), 500 + number * 10_000, [30, 500]);
            talk.handshake(&mut lab.capture);
            talk.exchange(&mut lab.capture, &filler(1, 200), 400);
            talk.close(&mut lab.capture);
        }
    });
    for findings in [goodbye, few, some] {
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

/// A server gives up what its clients never went on with, a minute after a flood; or loses what they had.
/// Clients with 24 connections each reset all of them within a second.
fn given_up_by(clients: u8) -> Vec<Finding> {
    in_traffic(NAME, |lab| {
        for number in 0..clients * 24 {
            let mut talk = lab.talk(10 + number / 24, (9, 853), u64::from(number) * 20, [30, 6_000]);
            talk.handshake(&mut lab.capture);
            talk.send(&mut lab.capture, CLIENT, ACK, &filler(1, 700));
            talk.turn(CLIENT);
            talk.ack(&mut lab.capture, SERVER, &[]);
            talk.wait(20_000_000 - u64::from(number) * 19_000);
            let reset = talk.segment(CLIENT, RST | ACK, b"");
            talk.record(&mut lab.capture, &reset);
        }
    })
}

#[test]
fn a_client_that_gives_up_its_own_connections_is_no_storm() {
    let findings = given_up_by(1);
    let [finding] = &findings[..] else { panic!("{findings:#?}") };
    assert_eq!(finding.severity, Severity::Info);
    assert_eq!(finding.title, "10.77.1.10 reset 24 connections of its own");
    let findings = given_up_by(3);
    let [finding] = &findings[..] else { panic!("{findings:#?}") };
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.summary.contains("None of the resets came from the server's"), "{}", finding.summary);
}

#[test]
fn nobody_had_what_is_half_open() {
    for opened in [false, true] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..60 {
                let mut talk = lab.talk(10 + number % 5, (9, 80), 100 + u64::from(number), [30, 500]);
                talk.send(&mut lab.capture, CLIENT, SYN, b"");
                talk.turn(CLIENT);
                talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
                talk.turn(SERVER);
                if opened {
                    talk.ack(&mut lab.capture, CLIENT, &[]);
                }
                talk.wait(60_000_000);
                talk.send(&mut lab.capture, SERVER, RST | ACK, b"");
            }
        });
        let [finding] = &findings[..] else { panic!("{findings:#?}") };
        assert_eq!(finding.severity, if opened { Severity::Critical } else { Severity::Info });
        assert_eq!(finding.title.ends_with("were given up half open"), !opened, "{}", finding.title);
    }
}
