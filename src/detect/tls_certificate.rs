//! # What it finds
//! Servers whose chain of certificates has a fault that shows without a trust store, by server and name:
//! - `expired`, `not_yet_valid`: the server's own certificate is past its validity, or before it.
//! - `expired_intermediate`: a certificate above it is past its validity, and the chain has no other in its
//!   place.
//! - `name_mismatch`: it does not name the host that the client asked for.
//! - `self_signed`: it is its own issuer.
//! - `incomplete_chain`: the certificate of its issuer was not sent.
//! - `chain_order`: the certificates stand in another order than each certifying the one before it.
//! - `weak`: RSA below 2048 bits, or a signature with MD5 or SHA-1, after public authorities had to stop.
//!
//! # Why it matters
//! Clients differ in what they check, fetch and have cached. So one chain fails for some of them and works
//! for others, and a test from the next host proves little.
//!
//! # How it decides
//! Times are compared with the clock of the capture, never with today. What it cost decides how much it
//! matters: sessions that the client ended after the certificate, by an alert about certificates or without
//! any. An alert is only counted for a fault that it fits: unknown_ca not for an expired certificate. Each
//! such session counts for one fault. Silent endings count only when several clients end so, and are a
//! warning at most: one may be a monitor.
//! Where all clients went on, it is information. An incomplete chain is then no finding at all: a root of
//! one's own may sign leaves itself.
//!
//! # What it leaves alone
//! - Roots at the end of a chain, sent or not, whoever's they are.
//! - Old signatures and keys that were allowed when the capture was made.
//! - Sessions of TLS 1.3, which encrypts certificates, without their keys, and resumed ones, which send none.
//! - Validity when the clock of the capture cannot be right, or none of several servers is valid by it.
//!
//! # What it does not claim
//! Which certificates a client trusts, that signatures are right, or that nothing was revoked.
//!
//! # References
//! RFC 5280 section 4.1.2.5 (validity) and 6.1 (paths); RFC 5246 section 7.4.2 (order); RFC 9525 section 6
//! (names); CA/Browser Forum Baseline Requirements (keys and signatures).

use std::net::IpAddr;

use crate::app::tls::{Alert, ChainFault, Phase, Sealed, TlsSession, alert_name, chain_faults};
use crate::detect::described::{Described, Known, day};
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, NegotiationEnd, Stage};

thresholds! {
    /// Counts sessions by the faults of the server's chain.
    struct TlsCertificate {
        silent_clients: u64 = 2.0 "clients",
            "clients that end sessions after the certificate without an alert, from which that counts",
            "ours: one may be a monitor that only reads the certificate";
        plausible_year: u64 = 1996.0 "year",
            "year before which the clock of the capture is not believed",
            "X.509 version 3 is of 1996: no earlier certificate has extensions";
    }
}

const NEXT: &[&str] = &[
    "ask every member behind the address for its chain: \
     openssl s_client -connect HOST:PORT -servername NAME -showcerts",
    "compare a client that fails with one that goes on: trust store, date, and what it checks",
];
const NOT_CLAIMED: &[&str] =
    &["which certificates the clients trust", "that a client ended the session because of this fault"];
const DOUBTED_BY: &[QualityIssue] = &[QualityIssue::Clipped, QualityIssue::Missed];

variants! {
    /// What is wrong with the chain.
    enum Fault {
        Expired "expired" Warning {
            could_be: &["the certificate was not renewed", "it was renewed and not installed on this member",
                "the clock of the capture is wrong"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED_BY,
        }
        NotYetValid "not_yet_valid" Warning {
            could_be: &["the certificate was installed too early", "the clock of the capture is wrong"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED_BY,
        }
        ExpiredIntermediate "expired_intermediate" Warning {
            could_be: &["the leaf was renewed and the file of the chain was not",
                "clients that have a newer intermediate of the same name go on"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED_BY,
        }
        NameMismatch "name_mismatch" Warning {
            could_be: &["the server has no certificate for this name and presents its default",
                "the name leads to another server than it should: compare with the DNS answer",
                "a device on the path presents a certificate of its own"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED_BY,
        }
        SelfSigned "self_signed" Warning {
            could_be: &["the certificate that came with the software was never replaced",
                "the clients were not given the certificate of this server"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED_BY,
        }
        IncompleteChain "incomplete_chain" Warning {
            could_be: &["the server was not given the intermediate: clients that have it anyway go on",
                "a root signed the leaf itself, and these clients do not have that root"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED_BY,
        }
        ChainOrder "chain_order" Warning {
            could_be: &["the file of the chain was put together in the wrong order"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED_BY,
        }
        Weak "weak" Warning {
            could_be: &["the certificate is of a private authority with old settings"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED_BY,
        }
    }
}

impl Fault {
    fn of(fault: ChainFault) -> Self {
        match fault {
            ChainFault::Expired => Self::Expired,
            ChainFault::NotYetValid => Self::NotYetValid,
            ChainFault::ExpiredIntermediate => Self::ExpiredIntermediate,
            ChainFault::NameMismatch => Self::NameMismatch,
            ChainFault::SelfSigned => Self::SelfSigned,
            ChainFault::IncompleteChain => Self::IncompleteChain,
            ChainFault::ChainOrder => Self::ChainOrder,
            ChainFault::Weak => Self::Weak,
        }
    }

    fn is_of_time(self) -> bool {
        matches!(self, Self::Expired | Self::NotYetValid | Self::ExpiredIntermediate | Self::Weak)
    }

    /// A client that rejects a chain for this may say so by this alert; `None`: it says nothing.
    fn fits(self, alert: Option<u8>) -> bool {
        match (alert, self) {
            (_, Self::Weak | Self::ChainOrder) => matches!(alert, Some(42 | 43 | 46 | 48)),
            // certificate_expired: "a certificate has expired or is not currently valid".
            (Some(45), _) => self.is_of_time(),
            // unknown_ca: the chain could not be built or its end is not known.
            (Some(48), _) => {
                matches!(self, Self::ExpiredIntermediate | Self::SelfSigned | Self::IncompleteChain)
            }
            _ => true,
        }
    }
}

counts! {
    /// What a case counts beside its flows.
    struct Presented {
        /// Sessions in which the chain with the fault was presented.
        presented: u64,
        /// Sessions that went on all the same.
        went_on: u64,
        /// Sessions that the client ended by an alert about certificates.
        rejected: u64,
        /// Sessions that the client ended after the certificate without an alert.
        left: u64,
        left_by: Distinct<IpAddr>,
        /// Sessions by alert.
        alerts: BTreeMap<u8, u64>,
    }
}

counts! {
    /// What is counted of all chains of a server and name.
    struct Chains {
        /// Sessions whose chain is valid by the clock of the capture.
        in_time: u64,
    }
}

/// What a client made of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    WentOn,
    /// It ended the session, by this alert or without any.
    Ended(Option<u8>),
    Other,
}

impl Detector for TlsCertificate {
    const RULE: Rule = Rule {
        name: "tls_certificate",
        group: Group::Tls,
        summary: "certificates that are expired, for another name, or without the chain that proves them",
        judges: "handshakes",
        variants: Fault::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("tls_certificate.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Service, &["tls_alert", "tls_abort"])];
    type Variant = Fault;
    /// Server and server name, fault, fingerprint of the certificate at fault.
    type Key = ((Endpoint, String), Fault, [u8; 32]);
    type Counts = Presented;
    type Total = Chains;
    type Notes = Known;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tls) = flow.tls.as_deref() else { return };
        let [_, chain] = &tls.certificates;
        let Some((at, _)) = tls.certificates_at[1].zip(chain.first()) else {
            return book.not_judged(unseen(tls));
        };
        if tls.certificates_unreadable > 0 {
            return book.not_judged("a certificate could not be read");
        }
        let name = tls.server_name().to_ascii_lowercase();
        let faults = chain_faults(chain, at.time, &name);
        let server = (flow.server, name);
        if let Some(chains) = book.judged(&server) {
            chains.in_time += u64::from(!faults.iter().any(|(fault, _)| fault.is_of_time()));
        }
        let reaction = reaction(flow, tls);
        let blamed = blamed(reaction, &faults);
        for (fault, position) in faults {
            let (fault, Some(certificate)) = (Fault::of(fault), chain.get(position)) else { continue };
            let blamed = blamed == Some(fault);
            // Nothing says that it is one: see above.
            if fault == Fault::IncompleteChain && !blamed && reaction != Reaction::WentOn {
                continue;
            }
            self.count(flow, (server.clone(), fault, certificate.fingerprint), reaction, blamed, book);
            let hash = hash_of(&certificate.fingerprint);
            if let Some(known) = book.notes.observe(hash, certificate.fingerprint) {
                known.absorb(Described::of(certificate));
            }
        }
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let known = std::mem::take(&mut book.notes);
        let clock = self.clock_fault(book, context);
        let mut concluded = Vec::new();
        for ((server, fault, fingerprint), mut case) in book.take(|_, _| true) {
            case.total = book.total(&server).0;
            if let Some(why) = clock.filter(|_| fault.is_of_time()) {
                book.not_judged_of("certificates", why, 1);
                continue;
            }
            let described = known.get(&fingerprint).map(|(_, described)| described);
            let described = described.cloned().unwrap_or_default();
            concluded.extend(self.conclusion(&server, fault, &described, case));
        }
        concluded
    }
}

impl TlsCertificate {
    fn count(
        &self,
        flow: &Flow,
        key: <Self as Detector>::Key,
        reaction: Reaction,
        blamed: bool,
        book: &mut Book<Self>,
    ) {
        let Some(tls) = flow.tls.as_deref() else { return };
        let (name, fault) = (key.0.1.clone(), key.1);
        let Some(case) = book.case(key) else { return };
        let (hello, at) = (tls.client_hello.as_ref(), tls.certificates_at[1]);
        case.flow(flow, at);
        if !name.is_empty() {
            case.affected.names.add(name);
        }
        let counts = &mut case.counts;
        counts.presented += 1;
        match reaction {
            Reaction::WentOn => counts.went_on += 1,
            Reaction::Ended(Some(alert)) if blamed => {
                counts.rejected += 1;
                *counts.alerts.entry(alert).or_default() += 1;
            }
            Reaction::Ended(None) if blamed => {
                counts.left += 1;
                counts.left_by.add(flow.client.address);
            }
            _ => {}
        }
        case.show(if blamed { 0 } else { 1 }, flow.id, || {
            let hello = hello.map(|hello| {
                Evidence::new(hello.at, Role::ClientHello, hello.sni.as_deref().unwrap_or("no server name"))
            });
            let chain = at.map(|at| Evidence::new(at, Role::Certificate, fault.sheet().name));
            let end = match flow.negotiation() {
                Some(of) => of.ended.map(|at| (at, of.end)),
                None => ended_by(tls).map(|alert| (alert.at, NegotiationEnd::Alert)),
            };
            let end = end.filter(|_| blamed);
            let end = end.map(|(at, end)| match end {
                NegotiationEnd::Alert => {
                    let alert = tls.alerts.iter().find(|alert| alert.at == at).map(Alert::name);
                    Evidence::new(at, Role::Alert, alert.unwrap_or_default())
                }
                NegotiationEnd::Reset => Evidence::new(at, Role::Reset, "by the client, without an alert"),
                _ => Evidence::new(at, Role::Fin, "FIN of the client, without an alert"),
            });
            [hello, chain, end].into_iter().flatten()
        });
    }

    /// Why validity cannot be judged by the clock of the capture.
    fn clock_fault(&self, book: &Book<Self>, context: &Context<'_>) -> Option<&'static str> {
        if let Some(why) = dateless(context, self.plausible_year) {
            return Some(why);
        }
        let mut servers: Distinct<Endpoint> = Distinct::default();
        book.totals().for_each(|((server, _), ..)| servers.add(*server));
        let valid = book.totals().any(|(.., chains)| chains.in_time > 0);
        let rejected = book.cases().any(|(_, case)| case.counts.rejected > 0);
        (servers.count() > 1 && !valid && !rejected)
            .then_some("no certificate is valid by the clock of the capture, and all clients went on")
    }

    fn conclusion(
        &self,
        (server, name): &(Endpoint, String),
        fault: Fault,
        described: &Described,
        mut case: Case<Presented>,
    ) -> Option<Concluded<Self>> {
        let counts = &case.counts;
        let silent = if counts.left_by.count() >= self.silent_clients { counts.left } else { 0 };
        case.failed = counts.rejected + silent;
        if fault == Fault::IncompleteChain && case.failed == 0 {
            return None;
        }
        let shown = if name.is_empty() { server.to_string() } else { format!("{name} ({server})") };
        let title = format!("{shown} presents {}", headline(fault, described, name));
        let summary = summary(fault, described, &case);
        let severity = match counts.rejected {
            // Health checks end so, too, and those have no name to ask for.
            0 if case.failed == 0 || name.is_empty() => Severity::Info,
            0 => case.severity(case.failed).min(Severity::Warning),
            _ => case.severity(case.failed),
        };
        let proven = !matches!(fault, Fault::IncompleteChain) && (case.failed == 0 || counts.rejected > 0);
        let subject = Subject { name: (!name.is_empty()).then(|| name.clone()), ..Subject::of(&case) };
        let draft = Draft::new(fault, title, summary)
            .severity(severity)
            .confidence(if proven { Confidence::Confirmed } else { Confidence::Likely })
            .direction(Direction::ToClient)
            .subject(subject)
            .count("sessions", case.total);
        Some((draft, case))
    }
}

/// Why a session shows no certificate of its server.
fn unseen(tls: &TlsSession) -> &'static str {
    match tls {
        TlsSession { opened: None, .. } if tls.is_tls13() => "TLS 1.3 encrypts the certificates",
        TlsSession { opened: Some(opened), .. } if tls.is_tls13() && opened.why[1].is_some() => {
            opened.why[1].map_or("", Sealed::reason)
        }
        _ if tls.certificates_at[1].is_some() => "a certificate could not be read",
        _ if tls.server_hello.is_none() => "the session ended before the server's certificate",
        _ if tls.lost.contains(&true) => "bytes of the handshake are missing from the capture",
        _ => "the server sent no certificate: the session was resumed, or ended before",
    }
}

/// Why no time of the capture can be a date that certificates are compared with.
fn dateless(context: &Context<'_>, plausible_year: u64) -> Option<&'static str> {
    if context.totals.clock_fault().is_some() {
        return Some("the clock of the capture cannot be right: validity is not known");
    }
    let first = context.totals.first.map_or(0, |first| first.0);
    let year = (plausible_year as i64 - 1970) * 31_556_952 * 1_000_000_000;
    (first < year).then_some("the times of the capture are no dates: validity is not known")
}

/// The fault that the client ended the session for.
fn blamed(reaction: Reaction, faults: &[(ChainFault, usize)]) -> Option<Fault> {
    let Reaction::Ended(alert) = reaction else { return None };
    faults.iter().map(|(fault, _)| Fault::of(*fault)).find(|fault| fault.fits(alert))
}

/// The client ended the session by an alert for a fault of the chain that it got; whether that is one of
/// time. A finding of this rule tells it, if `has_dates`.
pub(super) fn told_by_alert(flow: &Flow) -> Option<bool> {
    let tls = flow.tls.as_deref().filter(|tls| tls.certificates_unreadable == 0)?;
    let [_, chain] = &tls.certificates;
    let (at, _) = tls.certificates_at[1].zip(chain.first())?;
    let reaction = reaction(flow, tls);
    if !matches!(reaction, Reaction::Ended(Some(_))) {
        return None;
    }
    let faults = chain_faults(chain, at.time, &tls.server_name().to_ascii_lowercase());
    blamed(reaction, &faults).map(Fault::is_of_time)
}

/// The times of the capture can be dates.
pub(super) fn has_dates(context: &Context<'_>) -> bool {
    /// The default of `plausible_year`.
    const YEAR: u64 = 1996;
    dateless(context, YEAR).is_none()
}

fn reaction(flow: &Flow, tls: &TlsSession) -> Reaction {
    let certificate = tls.certificates_at[1].map_or(0, |at| at.packet);
    let Some(negotiation) = flow.negotiation() else {
        let alert = ended_by(tls).filter(|alert| alert.at.packet > certificate);
        return objection(alert.filter(|alert| alert.direction == Direction::ToServer));
    };
    if negotiation.end == NegotiationEnd::Complete {
        // Some clients look at the name when the handshake is done, and monitors want no more than that.
        let unused = tls.application_data.iter().all(Option::is_none);
        let closed = flow.tcp.as_ref().is_some_and(|tcp| tcp.is_closed());
        return if unused && closed { Reaction::Other } else { Reaction::WentOn };
    }
    let ended = negotiation.ended.filter(|at| at.packet > certificate);
    let Some(ended) = ended.filter(|_| negotiation.by == Some(Direction::ToServer)) else {
        return Reaction::Other;
    };
    match negotiation.end {
        NegotiationEnd::Alert => objection(tls.alerts.iter().find(|alert| alert.at == ended)),
        NegotiationEnd::Fin | NegotiationEnd::Reset if negotiation.stage == Stage::ClientFlight => {
            Reaction::Ended(None)
        }
        _ => Reaction::Other,
    }
}

/// In QUIC an alert alone ends a handshake (RFC 9001 section 4.8).
fn ended_by(tls: &TlsSession) -> Option<&Alert> {
    tls.alerts.iter().find(|alert| alert.phase != Phase::Established)
}

/// The client ended the session by this alert.
fn objection(alert: Option<&Alert>) -> Reaction {
    match alert.and_then(|alert| alert.description) {
        Some(number @ (42..=46 | 48)) => Reaction::Ended(Some(number)),
        _ => Reaction::Other,
    }
}

fn headline(fault: Fault, described: &Described, name: &str) -> String {
    let (from, until) = described.valid.unwrap_or_default();
    match fault {
        Fault::Expired => format!("a certificate that expired on {}", day(until)),
        Fault::NotYetValid => format!("a certificate that is not valid before {}", day(from)),
        Fault::ExpiredIntermediate => {
            format!("an intermediate certificate that expired on {}", day(until))
        }
        Fault::NameMismatch => format!("a certificate that does not name {name}"),
        Fault::SelfSigned => "a certificate that signs itself".to_owned(),
        Fault::IncompleteChain => "its certificate without that of the issuer".to_owned(),
        Fault::ChainOrder => "its certificates in the wrong order".to_owned(),
        Fault::Weak => "a certificate with a weak key or signature".to_owned(),
    }
}

/// Who gave up, then what the certificate says, then who did not.
fn summary(fault: Fault, described: &Described, case: &Case<Presented>) -> String {
    let counts = &case.counts;
    let presented = plural(counts.presented, "session");
    let mut text = match (counts.rejected, counts.left) {
        (0, 0) => format!("{} got it in {presented}.", case.clients()),
        (0, left) => format!("In {left} of {presented} the client closed after it, without an alert."),
        (rejected, _) => {
            let alerts: Vec<String> = counts.alerts.keys().map(|alert| alert_name(*alert)).collect();
            format!("In {rejected} of {presented} the client ended with {} after it.", alerts.join(", "))
        }
    };
    let (from, until) = described.valid.unwrap_or_default();
    let seen = case.first_seen().map_or(String::new(), day);
    let subject = &described.subject;
    text += &match fault {
        Fault::Expired | Fault::ExpiredIntermediate => {
            format!(" {subject} was valid until {}. The capture is of {seen}.", day(until))
        }
        Fault::NotYetValid => format!(" {subject} is valid from {}. The capture is of {seen}.", day(from)),
        Fault::NameMismatch => format!(" It is for {}.", described.names),
        Fault::SelfSigned => format!(" Subject and issuer are {subject}."),
        Fault::IncompleteChain => format!(" No certificate of {} was sent.", described.issuer),
        Fault::ChainOrder => format!(" {subject} does not stand behind the one it certifies."),
        Fault::Weak => format!(" {subject} has {}.", described.key),
    };
    if counts.went_on > 0 {
        text += &format!(" {} went on.", plural(counts.went_on, "session"));
    }
    let others = case.total.saturating_sub(counts.presented);
    if others > 0 {
        text += &format!(" In {} the same server presented another chain.", plural(others, "session"));
    }
    text
}

#[cfg(test)]
mod tests;
