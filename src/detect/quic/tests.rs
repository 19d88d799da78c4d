use super::*;
use crate::detect::testing::{fires, in_traffic, one, says_nothing};
use crate::support::quic::{ACK, GREASE, Quic as Talk, V1, V2, close};
use crate::support::scenes::Lab;
use crate::support::tcp::{CLIENT, SERVER};
use crate::support::tls;

const NAME: &str = Quic::RULE.name;
const SHOP: &str = "www.shop.example";

/// A TLS connection that works; `at` in ms.
fn over_tcp(lab: &mut Lab, client: u8, server: (u8, u16), at: u64) {
    let mut talk = lab.talk(client, server, at, [30, 9_000]);
    talk.handshake(&mut lab.capture);
    talk.wait(200);
    tls::handshake13(&mut talk, &mut lab.capture, SHOP);
    tls::exchange(&mut talk, &mut lab.capture, 700);
    tls::close(&mut talk, &mut lab.capture, true);
}

/// The client asks over QUIC, in vain, and over TCP `later` ms after.
fn falls_back(lab: &mut Lab, client: u8, server: (u8, u16), at: u64, later: u64) {
    Talk::new(lab, client, server, at).asks_in_vain(lab, SHOP);
    over_tcp(lab, client, server, at + later);
}

/// QUIC that works.
fn works(lab: &mut Lab, client: u8, server: (u8, u16), at: u64) {
    let mut talk = Talk::new(lab, client, server, at);
    talk.asks(lab, SHOP);
    talk.answers(lab, 9_000);
}

/// The capture goes on for so many ms.
fn until(lab: &mut Lab, at: u64) {
    over_tcp(lab, 99, (98, 443), at);
}

#[test]
fn it_fires() {
    fires(NAME, &[("quic_fall_back", "fall_back", Severity::Warning)]);
}

#[test]
fn clients_fall_back_to_tcp() {
    let findings = in_traffic(NAME, |lab| {
        (0..4).for_each(|client| falls_back(lab, 20 + client, (30, 443), 200 * u64::from(client), 3_100));
        works(lab, 40, (31, 443), 100);
        until(lab, 15_000);
    });
    let finding = one(&findings, "fall_back", Severity::Warning);
    let wanted = "4 clients sent 16 flights of Initial packets in 4 of 4 QUIC handshakes and got no answer. \
                  4 were followed by TCP to the same server, 3.10 s after the first flight on average.";
    assert_eq!(finding.summary, wanted);
    assert_eq!(finding.title, "10.77.2.30:443 does not answer QUIC: clients fall back to TCP");
    assert_eq!(finding.impact.seconds_lost.0 / 1_000_000_000, 12);
    assert_eq!(finding.scope.names.sample, [SHOP]);
    assert!(finding.evidence.iter().any(|one| one.role == Role::Syn), "{finding:#?}");
}

/// A race against TCP costs little: that is what it is for.
#[test]
fn a_fall_back_that_nobody_feels_is_information() {
    let findings = in_traffic(NAME, |lab| {
        (0..4).for_each(|client| falls_back(lab, 20 + client, (30, 443), 200 * u64::from(client), 250));
        until(lab, 15_000);
    });
    one(&findings, "fall_back", Severity::Info);
    let once = in_traffic(NAME, |lab| {
        falls_back(lab, 20, (30, 443), 0, 3_100);
        until(lab, 15_000);
    });
    one(&once, "fall_back", Severity::Info);
}

#[test]
fn no_service_answers() {
    let findings = in_traffic(NAME, |lab| {
        for server in 0..5 {
            falls_back(lab, 20, (30 + server, 443), 300 * u64::from(server), 3_100);
        }
        until(lab, 15_000);
    });
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let finding = one(&findings, "fall_back", Severity::Warning);
    assert_eq!(finding.title, "No QUIC handshake is answered by any of 5 services: TCP is used");
    assert_eq!(finding.impact.services, 5);
}

#[test]
fn nothing_takes_the_place_of_quic() {
    let findings = in_traffic(NAME, |lab| {
        works(lab, 26, (30, 4433), 0);
        for client in 0..5 {
            Talk::new(lab, 20 + client, (30, 4433), 100 + u64::from(client)).asks_in_vain(lab, SHOP);
        }
        until(lab, 15_000);
    });
    let finding = one(&findings, "unanswered", Severity::Critical);
    assert!(finding.summary.ends_with("No TCP connection took its place."), "{}", finding.summary);
    assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (5, 6));
}

/// A capture of the clients' direction alone: who insists and acknowledges nothing was not answered.
#[test]
fn one_direction_is_enough_when_the_client_insists() {
    let findings = in_traffic(NAME, |lab| {
        (0..3).for_each(|client| Talk::new(lab, 20 + client, (30, 443), 0).asks_in_vain(lab, SHOP));
        over_tcp(lab, 50, (31, 443), 15_000);
    });
    one(&findings, "unanswered", Severity::Warning);
}

#[test]
fn captures_of_one_direction_blame_nobody() {
    for direction in [CLIENT, SERVER] {
        let findings = in_traffic(NAME, |lab| {
            for client in 0..5 {
                let mut other = Lab::new(Default::default(), lab.net);
                let mut talk = Talk::new(&mut other, 20 + client, (30, 443), u64::from(client));
                talk.ends[CLIENT].1 += u16::from(client);
                talk.asks(&mut other, SHOP);
                talk.wait(1_000_000).asks(&mut other, SHOP);
                talk.answers(&mut other, 9_000);
                let kept = other.capture.packets.into_iter().filter(|packet| {
                    // Source port of UDP over IPv4 over Ethernet.
                    (packet.frame[34..36] == 443_u16.to_be_bytes()) == (direction == SERVER)
                });
                lab.capture.packets.extend(kept);
            }
            until(lab, 15_000);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

#[test]
fn clients_that_stop_and_servers_that_answer_blame_nobody() {
    let findings = in_traffic(NAME, |lab| {
        for client in 0..6_u8 {
            let at = u64::from(client) * 50;
            // TCP was faster.
            let mut talk = Talk::new(lab, 20 + client, (30, 443), at);
            talk.asks(lab, SHOP);
            talk.wait(30_000);
            let closes = talk.initial(CLIENT, &close(0), 1200);
            talk.record(lab, CLIENT, &closes);
            over_tcp(lab, 20 + client, (30, 443), at + 10);
            // The first flight was lost, or the answer took long.
            let mut talk = Talk::new(lab, 20 + client, (31, 443), at);
            talk.asks(lab, SHOP);
            talk.wait(1_000_000).asks(lab, SHOP);
            talk.answers(lab, 700_000);
            works(lab, 20 + client, (32, 443), at);
        }
        until(lab, 15_000);
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn the_end_of_the_capture_is_no_silence() {
    let findings = in_traffic(NAME, |lab| {
        for client in 0..5 {
            let mut talk = Talk::new(lab, 20 + client, (30, 443), 0);
            talk.asks(lab, SHOP);
            talk.wait(1_000_000).asks(lab, SHOP);
        }
        over_tcp(lab, 20, (30, 443), 1_500);
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn a_race_of_two_families_blames_nobody() {
    let race = |lab: &mut Lab, answered: bool| {
        for client in 0..5_u8 {
            let (v6, at) = (lab.v6(1, 20 + u16::from(client)), 100 * u64::from(client));
            let (server, port) = (lab.v6(2, 30), 50_000 + u16::from(client));
            let mut talk = Talk::between((v6, port), (server, 443), at);
            talk.asks(lab, SHOP);
            talk.wait(400_000).asks(lab, SHOP);
            talk.wait(3_100_000).asks(lab, SHOP);
            if answered {
                works(lab, 20 + client, (30, 443), at + 250);
            }
        }
        // Another host of their network: the way to it is recorded.
        let mut other = Talk::between((lab.v6(1, 90), 50_090), (lab.v6(2, 31), 443), 10);
        other.asks(lab, SHOP);
        other.answers(lab, 30_000);
        until(lab, 15_000);
    };
    let findings = in_traffic(NAME, |lab| race(lab, true));
    assert!(findings.is_empty(), "{findings:#?}");
    let findings = in_traffic(NAME, |lab| race(lab, false));
    one(&findings, "unanswered", Severity::Warning);
}

/// A host that says so by ICMP is told of elsewhere.
#[test]
fn icmp_is_an_answer() {
    let findings = in_traffic(NAME, |lab| {
        for client in 0..5 {
            let mut talk = Talk::new(lab, 20 + client, (30, 443), 0);
            for _ in 0..3 {
                talk.asks(lab, SHOP);
                let asked = lab.capture.packets.last().expect("recorded").frame[14..].to_vec();
                let (router, client) = (lab.router(), talk.ends[CLIENT].0);
                let ip = crate::support::frame::Ip { source: router, destination: client, ttl: 63, id: 9 };
                let error = ip.icmp_error(3, 13, 0, &asked);
                let frame = crate::support::frame::ethernet([2, 1, 1, 1, 1, 1], [2; 6], None, &error);
                lab.capture.record(talk.now + 300, frame);
                talk.wait(1_600_000);
            }
        }
        until(lab, 15_000);
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// The client asks in a version that the server does not know, again and again.
fn negotiates(lab: &mut Lab, client: u8, at: u64, agrees: bool) {
    let mut talk = Talk { version: GREASE, ..Talk::new(lab, client, (30, 443), at) };
    for _ in 0..2 {
        let asks = talk.initial(CLIENT, &[1], 1200);
        talk.record(lab, CLIENT, &asks);
        talk.wait(9_000);
        let negotiation = talk.negotiation(&[V2, V1]);
        talk.record(lab, SERVER, &negotiation);
        talk.wait(200_000);
    }
    if agrees {
        works(lab, client, (30, 443), at + 300);
    }
}

#[test]
fn versions_that_nobody_agrees_on() {
    let findings = in_traffic(NAME, |lab| {
        (0..4).for_each(|client| negotiates(lab, 20 + client, 10, false));
        until(lab, 15_000);
    });
    let finding = one(&findings, "version", Severity::Warning);
    let wanted = "The client sent version 0x1a2a3a4a. The server names version 1, 2.";
    assert!(finding.summary.ends_with(wanted), "{}", finding.summary);
    // Asking in a version that does not exist is how servers are probed for those that do.
    let findings = in_traffic(NAME, |lab| {
        (0..4).for_each(|client| negotiates(lab, 20 + client, 10, true));
        until(lab, 15_000);
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

fn retries(lab: &mut Lab, client: u8, again: bool) {
    let mut talk = Talk::new(lab, client, (30, 443), 10);
    talk.asks(lab, SHOP);
    for id in [b"first", b"other"].into_iter().take(if again { 2 } else { 1 }) {
        talk.wait(9_000);
        let retry = talk.retry(id, b"a token");
        talk.record(lab, SERVER, &retry);
        talk.wait(100).asks(lab, SHOP);
    }
    if !again {
        talk.answers(lab, 9_000);
    }
}

#[test]
fn retry_without_end() {
    let findings = in_traffic(NAME, |lab| {
        (0..4).for_each(|client| retries(lab, 20 + client, true));
        until(lab, 15_000);
    });
    one(&findings, "retry", Severity::Warning);
    let findings = in_traffic(NAME, |lab| {
        (0..4).for_each(|client| retries(lab, 20 + client, false));
        until(lab, 15_000);
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

fn closes(lab: &mut Lab, client: u8, code: usize) {
    let mut talk = Talk::new(lab, client, (30, 443), 10);
    talk.asks(lab, SHOP);
    talk.wait(9_000);
    let closes = talk.initial(SERVER, &[ACK, &close(code)].concat(), 0);
    talk.record(lab, SERVER, &closes);
}

#[test]
fn a_server_that_refuses() {
    let findings = in_traffic(NAME, |lab| {
        (0..5).for_each(|client| closes(lab, 20 + client, 2));
        until(lab, 15_000);
    });
    let finding = one(&findings, "closed", Severity::Critical);
    assert!(finding.title.ends_with("with CONNECTION_REFUSED"), "{}", finding.title);
    // What TLS says is an alert.
    let make = |lab: &mut Lab| {
        (0..5).for_each(|client| closes(lab, 20 + client, 0x178));
        until(lab, 15_000);
    };
    assert!(in_traffic(NAME, make).is_empty());
    let alerts = in_traffic("tls_alert", make);
    assert!(alerts[0].title.contains("no_application_protocol, sent by the server"), "{alerts:#?}");
}

#[test]
fn connections_that_the_server_has_forgotten() {
    let forgets = |lab: &mut Lab, resets: usize| {
        for client in 0..4 {
            let mut talk = Talk::new(lab, 20 + client, (30, 443), 10);
            talk.asks(lab, SHOP);
            talk.answers(lab, 9_000);
            for _ in 0..resets {
                talk.wait(300);
                let reset = talk.stateless_reset(30);
                talk.record(lab, SERVER, &reset);
                // The same datagram, recorded twice.
                talk.record(lab, SERVER, &reset);
            }
        }
        until(lab, 15_000);
    };
    let findings = in_traffic(NAME, |lab| forgets(lab, 2));
    let finding = one(&findings, "reset", Severity::Warning);
    assert!(finding.summary.ends_with("4 datagrams had the token of an earlier one."), "{}", finding.summary);
    let findings = in_traffic(NAME, |lab| forgets(lab, 1));
    assert!(findings.is_empty(), "{findings:#?}");
}

/// A connection that works; ten seconds later its client goes on, from wherever `moves` puts it.
fn goes_on(lab: &mut Lab, client: u8, answered: bool, moves: impl Fn(&mut Talk)) {
    let mut talk = Talk::new(lab, client, (30, 443), 10);
    talk.asks(lab, SHOP);
    talk.answers(lab, 9_000);
    talk.wait(10_000_000);
    moves(&mut talk);
    for _ in 0..3 {
        let data = talk.short(CLIENT, 60);
        talk.record(lab, CLIENT, &data);
        talk.wait(18_000);
        if answered {
            let data = talk.short(SERVER, 1_100);
            talk.record(lab, SERVER, &data);
        }
    }
}

#[test]
fn connections_that_moved_are_known_by_their_ids() {
    let port = |talk: &mut Talk| talk.ends[CLIENT].1 += 1_000;
    let address = |talk: &mut Talk| talk.ends[CLIENT].0 = [10, 77, 1, 200].into();
    let findings = in_traffic(NAME, |lab| {
        (0..3).for_each(|client| goes_on(lab, 20 + client, true, port));
        until(lab, 15_000);
    });
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let finding = one(&findings, "moved", Severity::Info);
    let wanted = "3 clients went on with 3 connections from another port, by the same connection ID. The \
                  server's packets follow them there.";
    assert_eq!(finding.summary, wanted);
    assert_eq!(finding.title, "QUIC connections to 10.77.2.30:443 went on from another address or port");
    assert!(
        finding.evidence.iter().any(|one| one.fields.contains("10.0 s after the last packet")),
        "{finding:#?}"
    );
    let findings = in_traffic(NAME, |lab| {
        goes_on(lab, 20, false, address);
        goes_on(lab, 21, true, port);
        until(lab, 15_000);
    });
    let finding = one(&findings, "moved", Severity::Info);
    let wanted = "2 connections from another port, 1 of them from another address, by the same connection \
                  ID. No packet of the server follows 1 of them.";
    assert!(finding.summary.ends_with(wanted), "{}", finding.summary);
}

#[test]
fn other_connections_have_not_moved() {
    let findings = in_traffic(NAME, |lab| {
        let other = |talk: &mut Talk| {
            talk.ends[CLIENT].1 += 1_000;
            talk.ids[SERVER] = b"another!".to_vec();
        };
        goes_on(lab, 20, true, other);
        // As long as it begins alike.
        goes_on(lab, 21, true, |talk| {
            talk.ends[CLIENT].1 += 1_000;
            *talk.ids[SERVER].last_mut().expect("an ID") ^= 1;
        });
        goes_on(lab, 22, true, |_| {});
        goes_on(lab, 23, true, |talk| {
            talk.ends[CLIENT].1 += 1_000;
            talk.ends[SERVER].1 = 8443;
        });
        // Three octets are no name.
        let mut talk = Talk::new(lab, 24, (30, 443), 10);
        talk.asks(lab, SHOP);
        talk.ids[SERVER] = b"abc".to_vec();
        talk.answers_as(lab, 9_000);
        talk.wait(10_000_000).ends[CLIENT].1 += 1_000;
        let data = talk.short(CLIENT, 60);
        talk.record(lab, CLIENT, &data);
        until(lab, 15_000);
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn traffic_without_quic() {
    says_nothing(NAME, &["healthy", "healthy_happy_eyeballs", "dns_unanswered", "missing_syn_ack_silent"]);
}
