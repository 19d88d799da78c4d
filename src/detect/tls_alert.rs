//! # What it finds
//! TLS sessions that ended in a fatal alert, by server, server name, alert and sender.
//!
//! # Why it matters
//! An alert is the protocol's own statement of what went wrong, and who says it tells on which side to look.
//!
//! # How it decides
//! Plaintext alerts of level fatal. `encrypted`: an alert that cannot be read before the handshake is complete; in TLS 1.3 that is
//! a first protected record of the client that is too short for a Finished message, or a single record of the length of an
//! alert with which the server answers the client's Finished within a second. What it says is not known, so it is possible
//! only, and likely when sessions with the same server and name fail so from several clients and none succeeds.
//!
//! # What it leaves alone
//! close_notify, user_canceled, warnings after which the session goes on (unrecognized_name), and encrypted alerts after the
//! handshake, which close a session as a rule.
//!
//! # What it does not claim
//! Which trust store rejected a chain; what an encrypted alert says.
//!
//! # References
//! RFC 8446 section 6; RFC 5246 section 7.2; FIELD C11.

use crate::dissect::Direction;
use crate::app::tls::{ALERT_NAMES, Alert, Phase, version_name};
use crate::detect::finding::counts;
use crate::detect::gate::{Obstacle, Obstacles};
use crate::detect::group::{Distinct, EvidenceSample, Groups, Merge, Seen, exhibit, plural};
use crate::detect::*;
use crate::flow::Endpoint;
use std::net::IpAddr;

/// Server, server name, alert (256 for an encrypted one), sender.
type Key = (Endpoint, String, u16, Direction);

#[derive(Clone, Debug, Default)]
struct Failures {
    sessions: u64,
    clients: Distinct<IpAddr>,
    seen: Seen,
    exhibits: EvidenceSample,
    obstacles: Obstacles,
    after_handshake: u64,
}

impl Merge for Failures {
    fn merge(&mut self, other: Self) {
        self.sessions += other.sessions;
        self.after_handshake += other.after_handshake;
        self.clients.merge(other.clients);
        self.seen.merge(other.seen);
        self.exhibits.merge(other.exhibits);
        self.obstacles.merge(other.obstacles);
    }
}

/// Counts sessions by how they ended.
#[derive(Debug)]
pub(super) struct TlsAlert {
    critical_share: f64,
    sessions: u64,
    by_server: Groups<(Endpoint, String), u64>,
    failures: Groups<Key, Failures>,
}

impl Detector for TlsAlert {
    const RULE: Rule = Rule {
        name: "tls_alert",
        group: "tls",
        summary: "tls sessions that ended in a fatal alert",
        variants: &ALERT_NAMES,
        thresholds: &[Threshold {
            key: "critical_share",
            default: 0.5,
            unit: "share",
            meaning: "failed sessions of all sessions with the same server name, from which it is critical",
            source: "ours: most clients fail",
        }],
        source: include_str!("tls_alert.rs"),
    };

    fn new(settings: &Settings) -> Self {
        Self {
            critical_share: settings.value("critical_share"),
            sessions: 0,
            by_server: Groups::new(Groups::<(Endpoint, String), u64>::MOST),
            failures: Groups::new(Groups::<Key, Failures>::MOST),
        }
    }

    fn flow(&mut self, flow: &Flow) {
        let Some(tls) = &flow.tls else { return };
        self.sessions += 1;
        let name = tls.server_name().to_owned();
        if let Some(count) = self.by_server.observe((flow.server, name.clone())) {
            *count += 1;
        }
        let refused = tls.answered_with_alert().map(|at| Alert {
            at,
            direction: Direction::ToClient,
            level: None,
            description: None,
            phase: Phase::Handshake,
        });
        let Some(alert) = tls.alerts.iter().find(|alert| is_failure(alert)).copied().or(refused) else { return };
        let description = alert.description.map_or(256, u16::from);
        let Some(failures) = self.failures.observe((flow.server, name, description, alert.direction)) else { return };
        failures.sessions += 1;
        failures.after_handshake += u64::from(alert.phase == Phase::Established);
        failures.clients.add(flow.client.address);
        failures.seen.add(alert.at.time);
        failures.obstacles.add(flow);
        failures.exhibits.add(0, flow.id, || {
            let mut packets = Vec::new();
            if let Some(hello) = &tls.client_hello {
                let version = version_name(hello.highest_version());
                packets.push(exhibit(hello.at, "client_hello", format!("offers up to {version}, {}", hello.sni.as_deref().unwrap_or("no server name"))));
            }
            if let Some(hello) = &tls.server_hello {
                packets.push(exhibit(hello.at, "server_hello", version_name(hello.version)));
            }
            let level = alert.level.map_or("encrypted".to_owned(), |level| format!("level {level}"));
            packets.push(exhibit(alert.at, "alert", format!("{level}, {}", alert.name())));
            packets
        });
    }

    fn merge(&mut self, other: Self) {
        self.sessions += other.sessions;
        self.by_server.merge(other.by_server);
        self.failures.merge(other.failures);
    }

    fn finish(self, context: &Context<'_>) -> Verdict {
        let mut verdict = Verdict { assessed: self.sessions, unit: "handshakes", ..Verdict::default() };
        verdict.skip(&Self::RULE, "more servers, names and alerts than are kept apart", self.failures.lost(), "handshakes");
        for ((server, name, description, direction), failures) in self.failures.iter() {
            let of = self.by_server.get(&(*server, name.clone())).copied().unwrap_or(failures.sessions);
            verdict.findings.push(self.finding(context, *server, name, *description, *direction, failures, of));
        }
        verdict
    }
}

/// An alert that ends a session: fatal, or encrypted before the handshake was complete.
fn is_failure(alert: &Alert) -> bool {
    match (alert.level, alert.description) {
        (_, Some(Alert::CLOSE_NOTIFY | Alert::USER_CANCELED)) => false,
        (Some(level), Some(_)) => level == 2,
        _ => alert.phase != Phase::Established,
    }
}

impl TlsAlert {
    #[allow(clippy::too_many_arguments)]
    fn finding(
        &self,
        context: &Context<'_>,
        server: Endpoint,
        name: &str,
        description: u16,
        direction: Direction,
        failures: &Failures,
        of: u64,
    ) -> Finding {
        let encrypted = description > 255;
        let alert = u8::try_from(description).map_or("an encrypted alert".to_owned(), crate::app::tls::alert_name);
        let often = failures.sessions as f64 >= self.critical_share * of as f64;
        let severity = if encrypted || !often { Severity::Warning } else { Severity::Critical };
        let confidence = match encrypted {
            false => Confidence::Confirmed,
            true if failures.sessions == of && failures.clients.count() > 1 => Confidence::Likely,
            true => Confidence::Possible,
        };
        let variant = ALERT_NAMES.iter().find(|name| **name == alert || (encrypted && **name == "encrypted"));
        let sender = match direction {
            Direction::ToServer => "the client",
            Direction::ToClient => "the server",
        };
        let shown = if name.is_empty() { server.to_string() } else { format!("{name} ({server})") };
        Finding {
            title: format!("TLS to {shown} ends with {alert}, sent by {sender}"),
            summary: format!(
                "{} of {} with this server and name ended with {alert} by {sender}, from {}.",
                failures.sessions,
                plural(of, "session"),
                failures.clients.of("client")
            ),
            subject: Subject {
                client: failures.clients.only().map(ToString::to_string),
                server: Some(server.address.to_string()),
                port: Some(server.port),
                protocol: Some("tcp"),
                name: (!name.is_empty()).then(|| name.to_owned()),
                direction: Some(direction),
                interface: None,
            },
            first_seen: failures.seen.first(),
            last_seen: failures.seen.last(),
            counts: counts(&[("failed_sessions", failures.sessions), ("sessions", of), ("after_handshake", failures.after_handshake)]),
            impact: Impact {
                failed_transactions: failures.sessions,
                of_transactions: of,
                clients: failures.clients.count(),
                services: 1,
                ..Impact::default()
            },
            evidence: failures.exhibits.evidence(),
            alternatives: alternatives(description, direction),
            next_steps: vec!["ask the server for its chain: openssl s_client -connect HOST:PORT -servername NAME -showcerts"],
            not_claimed: vec!["what either side has in its trust store or configuration"],
            ..Finding::draft(&Self::RULE, variant.copied().unwrap_or(""), severity, confidence)
        }
        .gated(failures.obstacles.gates(context, &[Obstacle::Clipped, Obstacle::Missed]))
    }
}

/// What commonly stands behind an alert, by sender (FIELD C11).
fn alternatives(description: u16, direction: Direction) -> Vec<&'static str> {
    match (description, direction) {
        (256, Direction::ToServer) => vec![
            "the client does not accept the server's certificate",
            "the client gave the connection up, which it may say by an alert, too",
        ],
        (256, Direction::ToClient) => vec!["the server does not accept the client's certificate, or got none"],
        (42..=46 | 48, Direction::ToServer) => vec![
            "the client does not accept the server's certificate: expired, unknown issuer, or an intermediate is missing",
            "a device on the path presents a certificate of its own",
        ],
        (42..=46 | 48 | 116, Direction::ToClient) => vec!["the server does not accept the client's certificate, or got none"],
        (40, Direction::ToClient) => vec!["no common cipher suite, curve or signature algorithm", "the server name is not served here"],
        (70, _) => vec!["no common protocol version"],
        (112, Direction::ToClient) => vec!["the server name is not configured on this server"],
        (120, Direction::ToClient) => vec!["no common application protocol (ALPN)"],
        (80, _) => vec!["a fault inside the sender of the alert"],
        _ => Vec::new(),
    }
}
