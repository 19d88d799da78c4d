//! Hand-built flows, findings and outcomes.

use std::net::{IpAddr, Ipv4Addr};

use crate::capture::{Damage, DamageKind, FileReport, Ignored, InterfaceReport, LinkType, Unreadable};
use crate::detect::{
    Confidence, Count, Evidence, Finding, Group, Impact, NotAssessed, QualityIssue, Role, Rule, Scope,
    Severity, Subject, Threshold, Totals, VariantSheet, Verdict,
};
use crate::dissect::{DefragStats, Endpoint, PacketRef, Path};
use crate::flow::{ConnState, End, Flow, Half, Roles, Service, TcpFlow};
use crate::pipeline::{Capped, Outcome};
use crate::time::{Span, Timestamp};

fn moment(packet: u64, time: i64) -> PacketRef {
    PacketRef { packet, time: Timestamp(time) }
}

/// A TCP flow whose first packet is `id`.
pub(crate) fn flow(id: u64) -> Flow {
    let end = |last, port| Endpoint { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), port };
    let (first, last) = (moment(id, 1_000_000_001), moment(id + 9, 2_500_000_001));
    Flow {
        id,
        protocol: 6,
        client: end(2, 40000),
        server: end(1, 443),
        roles: Roles::Handshake,
        path: Path::default(),
        first,
        last,
        halves: [
            Half { packets: 5, bytes: 500, first: Some(first), ttl: Some((63, 64)), ..Half::default() },
            Half { packets: 5, bytes: 700, last: Some(last), ..Half::default() },
        ],
        tcp: Some(Box::new(TcpFlow {
            conn_state: ConnState::Sf,
            history: "ShADad".to_owned(),
            ..TcpFlow::default()
        })),
        tls: None,
        upgrade: None,
        greetings: Default::default(),
        service: Some(Service::Tls),
        icmp_errors: Vec::new(),
        laps: None,
        echoes: None,
        icmp_errors_dropped: 0,
        end: End::CaptureEnd,
        continues: false,
        watched_until: Timestamp(2_500_000_001),
        stream: Some(0),
    }
}

/// A critical finding about 10.0.0.1:443 with four frames.
pub(crate) fn finding(detector: &'static str) -> Finding {
    let cite = |packet, role| Evidence {
        packet,
        time: Timestamp(packet as i64 * 1_000_000_000),
        role,
        fields: "seq 1448, len 1448, DF".to_owned(),
    };
    Finding {
        detector,
        variant: "silent",
        severity: Severity::Critical,
        confidence: Confidence::Likely,
        gates: vec![QualityIssue::Drops.gate("12 packets")],
        title: "large packets to 10.0.0.1:443 are never acknowledged".to_owned(),
        summary: "18 of 18 flows stop at 1401 bytes; smaller packets arrive.".to_owned(),
        subject: Subject {
            server: Some("10.0.0.1".to_owned()),
            port: Some(443),
            protocol: Some("tcp"),
            name: Some("shop\x1b[2J.example".to_owned()),
            ..Subject::default()
        },
        scope: Scope::default(),
        first_seen: Some(Timestamp(12_000_000_000)),
        last_seen: Some(Timestamp(16_000_000_000)),
        counts: vec![Count { name: "flows", value: 18 }],
        impact: Impact {
            seconds_lost: Span::millis(412_300),
            failed_transactions: 18,
            of_transactions: 18,
            clients: 6,
            services: 1,
        },
        evidence: vec![
            cite(12, Role::Original),
            cite(14, Role::Retransmission),
            cite(15, Role::Retransmission),
            cite(16, Role::Ack),
        ],
        alternatives: vec!["a smaller MTU behind the capture point, with ICMP filtered"],
        next_steps: vec!["ping -M do -s 1372 10.0.0.1 from a client"],
        not_claimed: vec!["which device drops the packets"],
    }
}

/// A rule that finds, and one that does not.
pub(crate) static RULES: [Rule; 3] = [rule("noisy_rule"), rule("quiet_rule"), rule("idle_rule")];

const VARIANTS: &[VariantSheet] =
    &[VariantSheet::new("silent", Severity::Critical), VariantSheet::new("icmp_ignored", Severity::Critical)];

const fn rule(name: &'static str) -> Rule {
    Rule {
        name,
        group: Group::Path,
        summary: "packets above a size never arrive",
        judges: "flows",
        variants: VARIANTS,
        thresholds: &[Threshold {
            key: "min_tries",
            default: 3.0,
            unit: "tries",
            meaning: "how often a packet is sent before its size is suspected",
            source: "RFC 8899 section 5.1.2",
        }],
        source: "//! Packets above a size never arrive.\n//!\n//! ## What it does\n//! It looks.\n\
            fn code() {}\n",
    }
}

/// Two files, two findings, one damage, one cap.
pub(crate) fn outcome() -> Outcome {
    let file = |path: &str, base| FileReport {
        path: path.to_owned(),
        format: "pcapng",
        byte_order: "little-endian",
        packets: 10,
        base,
        first_seen: Some(Timestamp(1_000_000_000)),
        last_seen: Some(Timestamp(20_000_000_000)),
        snap_length: 262_144,
        interfaces: vec![InterfaceReport {
            name: Some("eth0".to_owned()),
            received: Some(32),
            interface_dropped: Some(12),
            ..InterfaceReport::default()
        }],
        ..FileReport::default()
    };
    let mut files = vec![file("a.pcap", 0), file("b.pcap", 10)];
    let reason = "record length 4294967295".to_owned();
    files[1].damages.push(Damage { offset: 4096, length: 16, kind: DamageKind::ImpossibleLength, reason });
    let verdict = |findings, assessed| Verdict {
        findings,
        assessed,
        unit: "flows",
        not_assessed: vec![NotAssessed {
            detector: "noisy_rule",
            reason: "one-way".into(),
            count: 3,
            unit: "flows".into(),
        }],
    };
    let milder =
        Finding { severity: Severity::Warning, variant: "", evidence: Vec::new(), ..finding("noisy_rule") };
    Outcome {
        totals: Totals {
            packets: 20,
            captured_bytes: 2000,
            wire_bytes: 2400,
            first: Some(Timestamp(1_000_000_000)),
            last: Some(Timestamp(20_000_000_000)),
            link_types: [(LinkType(1), 20)].into(),
            stops: [("ethertype 0x88cc".to_owned(), 1)].into(),
            tcp_packets: 19,
            ..Totals::default()
        },
        files,
        chunks: Vec::new(),
        fragments: DefragStats::default(),
        unreadable: Vec::new(),
        ignored: Ignored {
            listed: vec![Unreadable {
                path: "notes".to_owned(),
                reason: "notes: no \x1b[2Jcapture".to_owned(),
            }],
            unlisted: 2,
        },
        verdicts: vec![
            (&RULES[0], verdict(vec![milder, finding("noisy_rule")], 40)),
            (&RULES[1], Verdict { assessed: 1234, unit: "flows", ..Verdict::default() }),
            (&RULES[2], Verdict { assessed: 0, unit: "lookups", ..Verdict::default() }),
        ],
        board: Default::default(),
        capped: vec![Capped {
            what: "classified tcp segments of one flow",
            setting: "limits.events_per_flow",
            count: 2,
        }],
        flows: [(6, 40), (17, 2)].into(),
    }
}
