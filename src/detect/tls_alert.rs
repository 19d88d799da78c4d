//! # What it finds
//! TLS sessions that ended in a fatal alert, by server, server name, alert and sender.
//!
//! # Why it matters
//! An alert is the protocol's own statement of what went wrong. Who sent it tells on which side to look.
//!
//! # How it decides
//! Alerts of level fatal in plain text. `encrypted` is an alert that cannot be read, before the handshake is
//! complete. In TLS 1.3 that is one of:
//! - a first protected record of the client that is too short for a Finished message, with none behind it
//!   that is long enough: a client without a certificate says so in a short record, and finishes;
//! - a single record of the length of an alert, with which the server answers the client's Finished within a
//!   second.
//!
//! Sessions of one client with three servers or names and more, or with two names of one server, that end
//! with the same alert from the same side are one finding: what they share is the client, or its way.
//!
//! Where the certificate has a fault that the client's alert fits, `tls_certificate` tells what it cost: the
//! alert is a warning at most here, and names that rule.
//!
//! What an encrypted alert says is not known, so it is possible only. It is likely when sessions with the
//! same server and name fail so from several clients and none succeeds.
//!
//! # What it leaves alone
//! close_notify, user_canceled, warnings after which the session goes on (unrecognized_name), and encrypted
//! alerts after the handshake, which close a session as a rule. A decode_error in an established session
//! behind the other side's FIN: OpenSSL says so to whoever closes without close_notify. Alerts that answer
//! another protocol than TLS (see `tls_abort`).
//!
//! # What it does not claim
//! Which trust store rejected a chain, or what an encrypted alert says.
//!
//! # References
//! RFC 8446 section 6; RFC 5246 section 7.2.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::tls::{ALERT_NAMES, Alert, Phase, TlsSession, alert_name, version_name};
use crate::detect::tls_abort::met_another_protocol;
use crate::detect::tls_certificate::{has_dates, told_by_alert};
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::Flow;

thresholds! {
    /// Counts sessions by how they ended.
    struct TlsAlert {
        critical_share: f64 = 0.5 "share",
            "failed sessions of all sessions with the same server name, from which it is critical",
            "ours: most clients fail";
    }
}

/// What an alert says; `None` when it is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Description(Option<u8>);

impl Variant for Description {
    const SHEETS: &'static [VariantSheet] = &{
        let mut sheets = [VariantSheet::new("", Severity::Critical); ALERT_NAMES.len()];
        let mut index = 0;
        while index < sheets.len() {
            sheets[index] = VariantSheet {
                next: &["ask the server for its chain: \
                         openssl s_client -connect HOST:PORT -servername NAME -showcerts"],
                not_claimed: &["what either side has in its trust store or configuration"],
                doubted_by: &[QualityIssue::Clipped, QualityIssue::Missed],
                ..VariantSheet::new(ALERT_NAMES[index], Severity::Critical)
            };
            index += 1;
        }
        sheets
    };

    fn sheet(self) -> &'static VariantSheet {
        let name = self.0.map_or("encrypted".to_owned(), alert_name);
        let known = Self::SHEETS.iter().find(|sheet| sheet.name == name);
        // A description that no RFC names has no variant.
        known.unwrap_or(const { &VariantSheet::new("", Severity::Critical) })
    }
}

counts! {
    /// What a case counts beside its flows.
    struct Failures {
        after_handshake: u64,
        /// The server had chosen version and cipher suite.
        after_server_hello: u64,
        /// The certificate that the client got has a fault that its alert fits; of those, one of time.
        by_certificate: u64,
        by_validity: u64,
    }
}

impl Detector for TlsAlert {
    const RULE: Rule = Rule {
        name: "tls_alert",
        group: Group::Tls,
        summary: "TLS sessions that ended in a fatal alert",
        judges: "handshakes",
        variants: Description::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("tls_alert.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Flows, &["rst_storm"])];
    type Variant = Description;
    /// Server and server name, alert, sender.
    type Key = ((Endpoint, String), Description, Direction);
    type Counts = Failures;
    type Total = ();
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tls) = &flow.tls else { return };
        let server = (flow.server, tls.server_name().to_owned());
        book.judged(&server);
        let told = |alert: &Alert| is_farewell(flow, alert) || met_another_protocol(flow, tls);
        let Some(alert) = failure(tls).filter(|alert| !told(alert)) else { return };
        if alert.description.is_none() && tls.server_hello.is_none() {
            return book.not_judged("an encrypted alert, and the ServerHello is not in the capture");
        }
        let Some(case) = book.case((server, Description(alert.description), alert.direction)) else { return };
        case.flow(flow, [alert.at]);
        case.failed += 1;
        case.counts.after_handshake += u64::from(alert.phase == Phase::Established);
        if alert.direction == Direction::ToServer
            && let Some(of_time) = told_by_alert(flow)
        {
            case.counts.by_certificate += 1;
            case.counts.by_validity += u64::from(of_time);
        }
        let chosen = tls.server_hello.as_ref().is_some_and(|hello| hello.at.packet < alert.at.packet);
        case.counts.after_server_hello += u64::from(chosen);
        let name = tls.server_name();
        if !name.is_empty() {
            case.affected.names.add(name.to_ascii_lowercase());
        }
        case.show(0, flow.id, || {
            let client = tls.client_hello.as_ref().map(|hello| {
                let name = hello.sni.as_deref().unwrap_or("no server name");
                let offer = format!("offers up to {}, {name}", version_name(hello.highest_version()));
                Evidence::new(hello.at, Role::ClientHello, offer)
            });
            let server = tls.server_hello.as_ref();
            let server =
                server.map(|hello| Evidence::new(hello.at, Role::ServerHello, version_name(hello.version)));
            let level = alert.level.map_or("encrypted".to_owned(), |level| format!("level {level}"));
            let alert = Evidence::new(alert.at, Role::Alert, format!("{level}, {}", alert.name()));
            [client, server, Some(alert)].into_iter().flatten()
        });
    }

    fn conclude(&self, book: &mut Book<Self>, _: &Context<'_>) -> Vec<Concluded<Self>> {
        let way = |key: &Self::Key, case: &Case<Failures>| {
            let (_, description, direction) = *key;
            let told = description.0.is_none() || case.counts.by_certificate > 0;
            let client = case.affected.clients.only().filter(|_| !told)?;
            Some((*client, description, direction))
        };
        let by_client = book.group(SERVERS, way);
        let by_server = book.group(NAMES, |key, case| Some((way(key, case)?, key.0.0)));
        let by_server = by_server.into_iter().map(|CaseGroup { by: (by, _), cases, case }| {
            let group = CaseGroup { by, cases, case };
            several(group)
        });
        by_client.into_iter().map(several).chain(by_server).collect()
    }

    fn judge(
        &self,
        key: &Self::Key,
        case: &Case<Failures>,
        _: &Book<Self>,
        context: &Context<'_>,
    ) -> Option<Draft<Description>> {
        let ((server, name), description, direction) = key;
        let of = case.total.max(case.failed);
        let often = case.failed as f64 >= self.critical_share * of as f64;
        let readable = description.0.is_some();
        let agreed = case.counts.after_server_hello == case.failed;
        let confidence = match readable {
            true => Confidence::Confirmed,
            false if case.failed == of && case.affected.clients.count() > 1 => Confidence::Likely,
            false => Confidence::Possible,
        };
        let alert = description.0.map_or("an encrypted alert".to_owned(), alert_name);
        let sender = match direction {
            Direction::ToServer => "the client",
            Direction::ToClient => "the server",
        };
        let shown = if name.is_empty() { server.to_string() } else { format!("{name} ({server})") };
        let title = format!("TLS to {shown} ends with {alert}, sent by {sender}");
        let told = match case.counts.by_validity {
            0 => case.counts.by_certificate == case.failed,
            _ => case.counts.by_certificate == case.failed && has_dates(context),
        };
        let summary = format!(
            "{} of {} with this server and name ended with {alert} by {sender}. {} failed so.{}",
            case.failed,
            plural(of, "session"),
            case.clients(),
            if told { " The server's certificate gives cause for it: see tls_certificate." } else { "" },
        );
        let subject = Subject { name: (!name.is_empty()).then(|| name.clone()), ..Subject::of(case) };
        Some(
            Draft::new(*description, title, summary)
                .severity(match case.severity(case.failed) {
                    Severity::Critical if told => Severity::Warning,
                    Severity::Critical if readable && often => Severity::Critical,
                    _ => Severity::Warning,
                })
                .confidence(confidence)
                .direction(*direction)
                .subject(subject)
                .could_be(causes(description.0, *direction, agreed).iter().copied())
                .count("failed_sessions", case.failed)
                .count("sessions", of),
        )
    }
}

/// Servers and names whose sessions with a client end with the same alert, from which they are one finding.
/// A judgement.
const SERVERS: u64 = 3;
/// Names of one server, from which they are.
const NAMES: u64 = 2;

/// Sessions of one client with several servers.
fn several(group: CaseGroup<(IpAddr, Description, Direction), Failures>) -> Concluded<TlsAlert> {
    let CaseGroup { by: (client, description, direction), cases, case } = group;
    let alert = description.0.map_or("an encrypted alert".to_owned(), alert_name);
    let (servers, of) = (case.affected.servers.of("server"), case.total.max(case.failed));
    let one = case.affected.servers.only().map(|server| format!("{server} for {}", plural(cases, "name")));
    let title = match (direction, one) {
        (Direction::ToClient, None) => format!("{servers} end the TLS of {client} with {alert}"),
        (Direction::ToClient, Some(one)) => {
            format!("TLS of {client} to {one} ends with {alert}, sent by the server")
        }
        (Direction::ToServer, one) => {
            format!("{client} ends its TLS to {} with {alert}", one.unwrap_or_else(|| servers.clone()))
        }
    };
    let summary = format!(
        "{} of {} with {servers}, for {}, ended with {alert}.",
        case.failed,
        plural(of, "session"),
        plural(cases, "name"),
    );
    let own = match direction {
        Direction::ToClient => "what the client offers, which it offers all of them",
        Direction::ToServer => "the client's trust store, or its clock",
    };
    let agreed = case.counts.after_server_hello == case.failed;
    let draft = Draft::new(description, title, summary)
        .severity(case.severity(case.failed).clamp(Severity::Warning, Severity::Critical))
        .confidence(Confidence::Confirmed)
        .direction(direction)
        .services(cases)
        .subject(Subject { server: None, port: None, name: None, ..Subject::of(&case) })
        .could_be(causes(description.0, direction, agreed).iter().copied())
        .could_first_be(own)
        .could_first_be("a device on the client's way opens TLS, or damages it")
        .count("failed_sessions", case.failed)
        .count("sessions", of);
    (draft, case)
}

/// The alert that ended a session: fatal, or encrypted before the handshake was complete.
fn failure(tls: &TlsSession) -> Option<Alert> {
    let refused = || {
        let at = tls.answered_with_alert()?;
        let direction = Direction::ToClient;
        Some(Alert { at, direction, level: None, description: None, phase: Phase::Handshake })
    };
    tls.fatal_alert().or_else(refused)
}

/// OpenSSL from 3.0 on takes a FIN without close_notify for an end in the middle of a record, and says so to
/// a peer that has closed. Other stacks answer a FIN with close_notify (RFC 8446 section 6.1), which nobody
/// can read who has no keys.
fn is_farewell(flow: &Flow, alert: &Alert) -> bool {
    const DECODE_ERROR: u8 = 50;
    let closed = flow.tcp.as_deref().and_then(|tcp| tcp.side(alert.direction.reverse()).fin);
    let late = closed.is_some_and(|fin| fin.packet < alert.at.packet);
    late && matches!(alert.description, None | Some(DECODE_ERROR))
}

/// What commonly stands behind an alert, by sender (RFC 8446 section 6.2).
fn causes(description: Option<u8>, direction: Direction, agreed: bool) -> &'static [&'static str] {
    match (description, direction) {
        // Version and cipher suite were chosen before: it is not for want of a common one.
        (Some(40), Direction::ToClient) if agreed => {
            &["the server does not accept the client's certificate, or got none"]
        }
        (None, Direction::ToServer) => &[
            "the client does not accept the server's certificate",
            "the client gave the connection up, which it may say by an alert, too",
        ],
        (None, Direction::ToClient) => &["the server does not accept the client's certificate, or got none"],
        (Some(42..=46 | 48), Direction::ToServer) => &[
            "the client does not accept the server's certificate: expired, unknown issuer, or an \
             intermediate is missing",
            "a device on the path presents a certificate of its own",
        ],
        (Some(42..=46 | 48 | 116), Direction::ToClient) => {
            &["the server does not accept the client's certificate, or got none"]
        }
        (Some(40), Direction::ToClient) => {
            &["no common cipher suite, curve or signature algorithm", "the server name is not served here"]
        }
        (Some(70), _) => &["no common protocol version"],
        (Some(112), Direction::ToClient) => &["the server name is not configured on this server"],
        (Some(120), Direction::ToClient) => &["no common application protocol (ALPN)"],
        (Some(80), _) => &["a fault inside the sender of the alert"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_scene, in_traffic, one, silent};
    use crate::support::tcp::{ACK, CLIENT, FIN, SERVER, SYN};
    use crate::support::tls;

    const NAME: &str = TlsAlert::RULE.name;

    #[test]
    fn it_fires() {
        fires(
            NAME,
            &[
                ("tls_alert_handshake_failure", "handshake_failure", Severity::Critical),
                ("tls_alert_unknown_ca", "unknown_ca", Severity::Critical),
                ("tls_alert_certificate_expired", "certificate_expired", Severity::Warning),
                ("tls_alert_protocol_version", "protocol_version", Severity::Critical),
                ("tls_alert_encrypted_client", "encrypted", Severity::Warning),
                ("tls_alert_encrypted_server", "encrypted", Severity::Warning),
            ],
        );
    }

    #[test]
    fn it_stays_silent() {
        silent(
            NAME,
            &["healthy_close_notify", "healthy_unrecognized_name", "healthy_resets", "mtu_blackhole_silent"],
        );
    }

    #[test]
    fn a_description_without_a_name_is_a_finding_without_a_variant() {
        assert_eq!(Description(Some(250)).sheet().name, "");
        assert_eq!(Description(None).sheet().name, "encrypted");
        assert_eq!(Description(Some(48)).sheet().name, "unknown_ca");
    }

    #[test]
    fn the_server_name_is_in_the_scope() {
        let finding = one(&in_scene(NAME, "tls_alert_unknown_ca"), "unknown_ca", Severity::Critical);
        assert_eq!(finding.scope.names.sample.len(), 1);
        assert_eq!(finding.subject.name.as_deref(), Some(finding.scope.names.sample[0].as_str()));
    }

    /// The client has closed, or not, when the server sends what is as long as an alert.
    #[test]
    fn who_is_answered_behind_a_fin_is_said_goodbye() {
        for goodbye in [true, false] {
            let findings = in_traffic(NAME, |lab| {
                let mut talk = lab.talk(7, (112, 443), 500, [30, 9_000]);
                talk.handshake(&mut lab.capture);
                tls::handshake13(&mut talk, &mut lab.capture, "vault.shop.example");
                talk.wait(300);
                talk.send(&mut lab.capture, CLIENT, ACK, &tls::encrypted(tls::DATA, 73, 180));
                if goodbye {
                    talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
                }
                talk.turn(CLIENT);
                talk.send(&mut lab.capture, SERVER, ACK, &tls::encrypted(tls::DATA, 79, 19));
                talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
                talk.turn(SERVER);
                talk.ack(&mut lab.capture, CLIENT, &[]);
            });
            assert_eq!(findings.is_empty(), goodbye, "{findings:#?}");
        }
    }

    /// A client closes a session that it does not need before the handshake is complete, and OpenSSL says
    /// that it misses the rest.
    #[test]
    fn a_handshake_that_the_client_gives_up_is_no_failure() {
        for goodbye in [true, false] {
            let findings = in_traffic(NAME, |lab| {
                let mut talk = lab.talk(7, (112, 443), 500, [30, 9_000]);
                talk.handshake(&mut lab.capture);
                tls::hello(&mut talk, &mut lab.capture, "shop.example", true);
                if goodbye {
                    talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
                    talk.turn(CLIENT);
                }
                talk.send(&mut lab.capture, SERVER, ACK, &tls::alert(2, 50));
                talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
            });
            assert_eq!(findings.is_empty(), goodbye, "{findings:#?}");
        }
    }

    /// A balancer gave the repeated SYN to another server, whose SYN-ACK comes when the client has taken the
    /// first one: the session is that of the first.
    #[test]
    fn a_late_syn_ack_of_another_server_changes_nothing() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (112, 443), 500, [30, 9_000]);
            talk.handshake(&mut lab.capture);
            let mut other = talk.segment(SERVER, SYN | ACK, b"");
            other.seq = other.seq.wrapping_add(413_404_015);
            talk.record(&mut lab.capture, &other);
            tls::hello(&mut talk, &mut lab.capture, "shop.example", true);
            talk.send(&mut lab.capture, SERVER, ACK, &tls::alert(2, 40));
            talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
        });
        let finding = one(&findings, "handshake_failure", Severity::Warning);
        assert!(finding.title.contains("sent by the server"), "{}", finding.title);
    }

    /// Two names of one server.
    #[test]
    fn names_of_one_server_are_one_finding() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..2 {
                let mut talk = lab.talk(7, (20, 443), 500 + 90 * number, [30, 9_000]);
                talk.handshake(&mut lab.capture);
                tls::hello(&mut talk, &mut lab.capture, &format!("shop{number}.example"), true);
                talk.send(&mut lab.capture, SERVER, ACK, &tls::alert(2, 50));
                talk.turn(SERVER);
                talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
            }
        });
        let finding = one(&findings, "decode_error", Severity::Warning);
        assert!(finding.title.contains("for 2 names ends with decode_error"), "{}", finding.title);
    }

    /// One client, and servers that all say the same of what it offers.
    #[test]
    fn servers_that_end_the_sessions_of_one_client_are_one_finding() {
        for (servers, clients, found) in [(4, 1, 1), (2, 1, 2), (4, 4, 4)] {
            let findings = in_traffic(NAME, |lab| {
                for number in 0..servers {
                    let client = 7 + number % clients;
                    let mut talk =
                        lab.talk(client, (20 + number, 443), 500 + 90 * u64::from(number), [30, 9_000]);
                    talk.handshake(&mut lab.capture);
                    tls::hello(&mut talk, &mut lab.capture, &format!("shop{number}.example"), true);
                    talk.send(&mut lab.capture, SERVER, ACK, &tls::alert(2, 70));
                    talk.turn(SERVER);
                    talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
                }
            });
            assert_eq!(findings.len(), found, "{findings:#?}");
            if found == 1 {
                let finding = one(&findings, "protocol_version", Severity::Warning);
                assert!(finding.title.starts_with("4 servers end the TLS of 10."), "{}", finding.title);
                assert_eq!(finding.impact.failed_transactions, 4);
            }
        }
    }
}
