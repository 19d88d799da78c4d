//! Attempts of one client or to one host that are one finding.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::detect::answers::NamesOf;
use crate::detect::hosts::Hosts;
use crate::detect::missing_syn_ack::need::{
    SPARE, asks_from_link_local, has_dynamic_ports, is_one_of_many, is_poll, is_spare, is_unheard,
};
use crate::detect::missing_syn_ack::proof::silent_port;
use crate::detect::missing_syn_ack::{Attempts, HOSTS, LOOKS, MissingSynAck, Outcome, PERSISTENT, UNHEARD};
use crate::detect::ports::{is_known, is_random};
use crate::detect::resolvers::alone;
use crate::detect::scope::{is_neighbourhood, is_scattered, network, translated};
use crate::detect::*;
use crate::dissect::Endpoint;
use crate::time::Span;

/// Connections to each service, from which a client that asks many of them needs them: it comes back with a
/// new one for each that failed. A scan tries its targets once, and some again. A judgement.
const COMES_BACK: u64 = 3;

/// Hosts of one network that one client gets no answer from, from which the way there is what they share; or
/// hosts that are warned of.
const TOGETHER: usize = 3;

/// Several hosts, and all of one network: what answers none of them is the way there.
pub(super) fn are_kin(hosts: &BTreeMap<IpAddr, u64>) -> bool {
    let networks: BTreeSet<IpAddr> = hosts.keys().map(|host| network(*host)).collect();
    hosts.len() >= TOGETHER && networks.len() == 1
}

/// Silent hosts that would be warned of each for itself, as one finding for each client's host, which weighs
/// as much as the worst of them.
pub(super) fn warned_hosts(
    detector: &MissingSynAck,
    book: &mut Book<MissingSynAck>,
    context: &Context<'_>,
) -> Vec<Concluded<MissingSynAck>> {
    let owner = |case: &Case<Attempts>| case.affected.clients.only().map(|client| context.hosts.of(*client));
    let could = book.cases().filter_map(|(key, case)| {
        let warns = key.1 == Outcome::Silent && case.severity(case.counts.repeated) > Severity::Info;
        warns.then(|| Some((owner(case)?, key, case)))?
    });
    let could: Vec<_> = could.collect();
    let mut hosts: BTreeMap<IpAddr, BTreeSet<IpAddr>> = BTreeMap::new();
    for (client, (server, _), _) in &could {
        hosts.entry(*client).or_default().insert(server.address);
    }
    let several = |client: &IpAddr| hosts.get(client).is_some_and(|hosts| hosts.len() >= TOGETHER);
    let mut warned: BTreeMap<IpAddr, (BTreeSet<IpAddr>, Severity)> = BTreeMap::new();
    for (client, key, case) in could.into_iter().filter(|(client, ..)| several(client)) {
        let (severity, _) = alone(detector, book, (key, case), context);
        if let Some(severity) = severity.filter(|severity| *severity > Severity::Info) {
            let (hosts, worst) = warned.entry(client).or_insert((BTreeSet::new(), severity));
            hosts.insert(key.0.address);
            *worst = severity.max(*worst);
        }
    }
    warned.retain(|_, (hosts, _)| hosts.len() >= TOGETHER);
    if warned.is_empty() {
        return Vec::new();
    }
    let groups = book.group(1, |(server, outcome), case| {
        let client = owner(case).filter(|_| *outcome == Outcome::Silent)?;
        warned.get(&client)?.0.contains(&server.address).then_some(client)
    });
    let finding = |CaseGroup { by: client, cases, mut case }| {
        let worst = warned.get(&client).map_or(Severity::Warning, |(_, worst)| *worst);
        (of_client(client, cases, &mut case, "").severity(worst).could_be(WAY_OUT), case)
    };
    groups.into_iter().map(finding).collect()
}

/// Services that stand in for each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alike {
    /// They are in one network.
    Network(IpAddr),
    /// They are addresses of one name.
    Name(String),
}

/// A client, and what it gets no answer from: services that are alike, and their port.
type Neighbour = (IpAddr, Alike, u16);

/// Hosts of one network that offer the same service stand in for each other, and so do the addresses that a
/// host has of its own and of a translator.
pub(super) fn neighbour(
    (server, outcome): &(Endpoint, Outcome),
    case: &Case<Attempts>,
    hosts: &Hosts,
) -> Option<Neighbour> {
    let client = case.affected.clients.only().filter(|_| *outcome == Outcome::Silent && !is_random(*server));
    let network = network(translated(server.address));
    client.map(|client| (hosts.of(*client), Alike::Network(network), server.port))
}

/// Silent services whose name has another silent one, by service.
pub(super) fn namesakes(
    book: &Book<MissingSynAck>,
    names: &NamesOf<'_>,
    hosts: &Hosts,
) -> BTreeMap<Endpoint, Neighbour> {
    let silent = || book.cases().filter(|((_, outcome), _)| *outcome == Outcome::Silent);
    let mut of_name: BTreeMap<(IpAddr, &str, u16), Vec<Endpoint>> = BTreeMap::new();
    for ((server, _), case) in silent() {
        let Some(client) = case.affected.clients.only() else { continue };
        let client = hosts.of(*client);
        for name in names.get(&server.address).into_iter().flatten() {
            of_name.entry((client, *name, server.port)).or_default().push(*server);
        }
    }
    let mut alike = BTreeMap::new();
    for ((client, name, port), servers) in of_name.into_iter().filter(|(_, servers)| servers.len() > 1) {
        // Of several names the first one counts.
        if servers.iter().all(|server| !alike.contains_key(server)) {
            let neighbour = (client, Alike::Name(name.to_owned()), port);
            alike.extend(servers.into_iter().map(|server| (server, neighbour.clone())));
        }
    }
    alike
}

/// One client asks many services: many ports of few hosts, or host after host, are nobody's daily work.
pub(super) fn client_sweep(
    group: CaseGroup<IpAddr, Attempts>,
    book: &Book<MissingSynAck>,
) -> Concluded<MissingSynAck> {
    let CaseGroup { by: client, cases, mut case } = group;
    let mut hosts: Distinct<IpAddr> = Distinct::default();
    case.affected.servers.iter().for_each(|server| hosts.add(server.address));
    let services = case.affected.servers.iter();
    let (known, strange): (Vec<&Endpoint>, Vec<_>) = services.partition(|service| !is_random(**service));
    // Peers of one application may agree on a port.
    let place =
        |service: &&Endpoint| (service.port, is_one_of_many(**service, book).then_some(service.address));
    let ports = strange.iter().map(place).collect::<BTreeSet<_>>().len();
    // A way out that is broken is broken for the ports that people use.
    let peers = ports > known.len() && 2 * ports > strange.len();
    let near = cases >= 5 * hosts.count() || is_neighbourhood(&hosts);
    let comes_back = case.flows() >= COMES_BACK * cases;
    let once = !comes_back && (near || !insists(&case));
    let scan = once || peers || is_scattered(&hosts, case.flows());
    let most = match insists(&case) && !near && hosts.count() >= HOSTS {
        true => Severity::Critical,
        false => Severity::Warning,
    };
    let how = match scan {
        true if peers => ", as for peers that are gone",
        true => SCAN,
        false => "",
    };
    let draft = of_client(client, cases, &mut case, how);
    let severity = draft.weight().min(most);
    let draft = draft.severity(severity).could_be(match scan {
        true if peers => ["an application with peers that are gone", "a port scan or an inventory"],
        true => ["a port scan or an inventory", "a peer-to-peer application with stale peers"],
        false => WAY_OUT,
    });
    (draft, case)
}

/// What keeps one client from many.
const WAY_OUT: [&str; 2] = ["the client's way out is broken", "a filter drops what the client sends"];

/// So many services that do not answer the client.
fn of_client(client: IpAddr, cases: u64, case: &mut Case<Attempts>, how: &str) -> Draft<Outcome> {
    let mut hosts: Distinct<IpAddr> = Distinct::default();
    case.affected.servers.iter().for_each(|server| hosts.add(server.address));
    let title = format!("{} on {} do not answer {client}", plural(cases, "service"), hosts.of("host"));
    sweep(case, how, title)
        .services(cases)
        .count("services", cases)
        .count("hosts", hosts.count())
        .subject(Subject { client: Some(client.to_string()), server: None, port: None, ..Subject::of(case) })
        .next(&["ask who runs the client", "capture one hop further, to see how far the SYNs come"])
}

/// Hosts that stand in for each other, and none of which answers the client.
pub(super) fn neighbours(
    group: CaseGroup<Neighbour, Attempts>,
    book: &Book<MissingSynAck>,
    heard: &Heard,
) -> Concluded<MissingSynAck> {
    let CaseGroup { by: (client, alike, _), cases, mut case } = group;
    let servers: BTreeSet<Endpoint> = case.affected.servers.iter().copied().collect();
    let title = match (&Vec::from_iter(&servers)[..], alike) {
        ([one, other], _) => format!("No answer to SYN from {one} and {other}"),
        (_, Alike::Network(_)) => {
            format!("{} of one network do not answer {client}", plural(cases, "service"))
        }
        (_, Alike::Name(name)) => {
            format!("{} of {name} do not answer {client}", plural(cases, "address"))
        }
    };
    let opened = servers.iter().filter_map(|server| book.total(server).1).map(|total| total.opened).sum();
    let draft = sweep(&mut case, "", title)
        .services(cases)
        .count("services", cases)
        .subject(Subject { server: None, port: None, ..Subject::of(&case) })
        .could_be(
            match servers.iter().any(|server| heard.sent(server.address)) {
                true => silent_port(servers.iter().copied(), &case, opened, heard),
                false => &["the hosts are down or cut off", "a filter drops the SYN or its answer"],
            }
            .iter()
            .copied(),
        )
        .and(&match opened {
            0 => String::new(),
            opened => format!(" {} to them opened.", plural(opened, "connection")),
        })
        .next(&["ask for the state of the hosts", "capture at one of them at the same time"]);
    let unheard = servers.iter().any(|server| is_unheard(server.address, book));
    let doubtful = |server: &Endpoint| asks_from_link_local(*server, &case) || is_poll(*server, &case, heard);
    let most = match unheard || servers.iter().any(doubtful) {
        true => Severity::Warning,
        false => Severity::Critical,
    };
    // As much as one of them costs: they stand in for each other.
    let of = case.total.max(case.failed) / cases;
    let tries = case.counts.repeated / cases;
    let severity = Severity::of_failures(tries, of, 1, Span(case.lost.0 / cases as i64)).min(most);
    let draft = draft.severity(severity);
    (if unheard { draft.gate(QualityIssue::OneWay.gate(UNHEARD)) } else { draft }, case)
}

/// Services that a client asked again and again in vain, `told` of or not, or got a refusal from at last, and
/// late ones that have a name in common with one.
pub(super) fn lost<const MOST: usize>(
    book: &Book<MissingSynAck>,
    names: &NamesOf<'_>,
    told: &[Concluded<MissingSynAck>],
) -> Distinct<Endpoint, MOST> {
    let (mut lost, mut lost_names) = (Distinct::default(), BTreeSet::new());
    let names = |server: &Endpoint| {
        let port = server.port;
        names.get(&server.address).into_iter().flatten().map(move |name| (port, *name))
    };
    let silent = book.cases().filter(|((_, outcome), case)| {
        *outcome == Outcome::Silent && case.severity(case.counts.repeated) > Severity::Info
    });
    let told = told.iter().flat_map(|(_, case)| case.affected.servers.iter());
    for server in silent.map(|((server, _), _)| server).chain(book.notes.given_up.iter()).chain(told) {
        lost.add(*server);
        lost_names.extend(names(server));
    }
    for ((server, _), _) in book.cases().filter(|((_, outcome), _)| *outcome == Outcome::Late) {
        if names(server).any(|name| lost_names.contains(&name)) {
            lost.add(*server);
        }
    }
    lost
}

/// Clients that get nothing over IPv6 from beyond their link, and that ask hosts of several networks there.
pub(super) fn cut_off_clients(book: &Book<MissingSynAck>, heard: &Heard) -> BTreeSet<IpAddr> {
    let mut asked: BTreeMap<IpAddr, BTreeSet<IpAddr>> = BTreeMap::new();
    for ((server, outcome), case) in book.cases() {
        if let Some(client) = case.affected.clients.only().filter(|_| *outcome == Outcome::Silent) {
            asked.entry(*client).or_default().insert(network(server.address));
        }
    }
    asked.retain(|client, networks| networks.len() > 1 && heard.is_cut_off(*client));
    asked.into_keys().collect()
}

/// All that one client asks beyond its link is silent: its way there has one trouble, whatever it asks for.
pub(super) fn cut_off(group: CaseGroup<IpAddr, Attempts>) -> Concluded<MissingSynAck> {
    let CaseGroup { by: client, cases, mut case } = group;
    let mut hosts: Distinct<IpAddr> = Distinct::default();
    case.affected.servers.iter().for_each(|server| hosts.add(server.address));
    let scan = is_neighbourhood(&hosts) || is_scattered(&hosts, case.flows());
    let how = if scan { SCAN } else { "" };
    let summary = format!(
        "{} to {} on {} sent {}{}{how}. The capture holds packets to the link address of {client}, and no \
         IPv6 packet to it from another network.",
        plural(case.flows(), "connection attempt"),
        plural(cases, "service"),
        hosts.of("host"),
        plural(case.counts.syns, "SYN"),
        waited(case.lost),
    );
    if scan {
        (case.lost, case.failed) = (Span::ZERO, 0);
    }
    // Whoever has IPv4 goes on with it (RFC 8305).
    let severity = case.severity(case.counts.repeated).min(Severity::Warning);
    let title = format!("{client} gets no answer over IPv6 from beyond its link");
    let draft = Draft::new(Outcome::CutOff, title, summary)
        .severity(if scan { Severity::Info } else { severity })
        .services(cases)
        .count("services", cases)
        .count("hosts", hosts.count())
        .subject(Subject { server: None, port: None, ..Subject::of(&case) });
    (draft, case)
}

/// The clients repeated their SYNs, as a client does that wants an answer.
pub(super) fn insists(case: &Case<Attempts>) -> bool {
    case.counts.syns >= PERSISTENT * case.flows()
}

/// ` and waited 9.00 s in all`; nothing for clients of which no wait was seen.
pub(super) fn waited(lost: Span) -> String {
    if lost > Span::ZERO { format!(" and waited {lost} in all") } else { String::new() }
}

/// What nobody needs is done as a scan does it.
const SCAN: &str = ", as a scan does";

/// `how` says why nobody needs the answers; it is empty where somebody does.
fn sweep(case: &mut Case<Attempts>, how: &str, title: String) -> Draft<Outcome> {
    let summary = format!(
        "{} sent {}{}{how}. No answer of any kind was seen at this capture point.",
        plural(case.flows(), "connection attempt"),
        plural(case.counts.syns, "SYN"),
        waited(case.lost),
    );
    if !how.is_empty() {
        // Nobody waits for the answers to a scan.
        (case.lost, case.failed) = (Span::ZERO, 0);
    }
    let severity = if how.is_empty() { case.severity(case.counts.repeated) } else { Severity::Info };
    Draft::new(Outcome::Silent, title, summary).severity(severity).confidence(Confidence::Likely)
}

impl MissingSynAck {
    /// Several silent services of one host.
    pub(super) fn host_sweep(
        &self,
        group: CaseGroup<IpAddr, Attempts>,
        book: &Book<Self>,
        heard: &Heard,
    ) -> Concluded<Self> {
        let CaseGroup { by: server, cases, mut case } = group;
        // Who needs a service asks it again, or on a port that it is known by.
        let once = case.affected.clients.count() == 1 && case.flows() <= cases;
        let knocks = || {
            let strange = case.affected.servers.iter().filter(|server| !is_known(server.port)).count();
            let most = 2 * strange > case.affected.servers.iter().count();
            once && most && heard.sent(server) && !has_dynamic_ports(server, book)
        };
        let insisted = insists(&case);
        // A router that looks for printers gets nothing from the host, whoever else does.
        let looks = || {
            let visit = case.affected.clients.only().map(|client| heard.visits.of(*client, [server].iter()));
            let opened = visit.is_none_or(|visit| visit.connections > visit.failed);
            cases >= LOOKS && !insisted && !opened && heard.sent(server)
        };
        // Each of them tried once and somewhere else, as scanners of the Internet do.
        let strangers = !insisted && case.affected.clients.count() >= case.flows().max(LOOKS);
        let spare = case.affected.servers.iter().all(|service| is_spare(*service, book, heard));
        let scan =
            case.counts.repeated == 0 || cases >= self.sweep && !insisted || strangers || knocks() || looks();
        let title = format!("{} on {server} do not answer {}", plural(cases, "service"), case.clients());
        let how = if scan { SCAN } else { "" };
        let draft = sweep(&mut case, how, title).services(cases).count("services", cases);
        let draft = match is_unheard(server, book) {
            true => {
                let severity = if scan { Severity::Info } else { case.severity(case.counts.repeated) };
                let gate = QualityIssue::OneWay.gate(UNHEARD);
                draft.severity(severity.min(Severity::Warning)).gate(gate)
            }
            false => draft,
        };
        let draft = match scan {
            true => draft.could_be([
                "a port scan, an inventory or port knocking",
                "the host drops what it does not serve",
            ]),
            false if spare => draft.severity(Severity::Info).could_be([SPARE]),
            false if heard.sent(server) => draft.could_be(silent_port([], &case, 0, heard).iter().copied()),
            false => draft.could_be(["the host is down or cut off", "a filter drops what is sent to it"]),
        };
        (draft.next(&["ask for the state of the host", "capture at the host at the same time"]), case)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_traffic, one};
    use crate::support::dns;
    use crate::support::tcp::{CLIENT, SERVER, SYN, Talk};

    const NAME: &str = MissingSynAck::RULE.name;

    /// Eight controllers that a client polls every five seconds, `rounds` times, with two SYNs each.
    fn polls(rounds: u64) -> Vec<Finding> {
        in_traffic(NAME, |lab| {
            for (round, host) in (0..rounds).flat_map(|round| (20..28).map(move |host| (round, host))) {
                let mut talk = lab.talk(7, (host, 102), 20_000 + round * 5_000 + u64::from(host), [30, 500]);
                let syn = talk.segment(CLIENT, SYN, b"");
                talk.record(&mut lab.capture, &syn);
                talk.wait(3_000_000);
                talk.record(&mut lab.capture, &syn);
            }
            let mut last = lab.talk(8, (9, 80), 120_000, [30, 500]);
            lab.http(&mut last, 300);
        })
    }

    #[test]
    fn who_comes_back_needs_what_it_asks_for() {
        let findings = polls(5);
        let finding = one(&findings, "silent", Severity::Warning);
        assert!(!finding.summary.contains("scan"), "{}", finding.summary);
        one(&polls(1), "silent", Severity::Info);
    }

    /// A generator sends one SYN again and again; a client waits longer each time.
    #[test]
    fn what_repeats_faster_than_a_client_is_none() {
        for (apart, found) in [(70, 0), (1_000, 1)] {
            let findings = in_traffic(NAME, |lab| {
                let mut talk = lab.talk(7, (20, 80), 20_000, [30, 500]);
                let syn = talk.segment(CLIENT, SYN, b"");
                for _ in 0..40 {
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(apart * 1_000);
                }
                let mut last = lab.talk(8, (9, 80), 120_000, [30, 500]);
                lab.http(&mut last, 300);
            });
            assert_eq!(findings.len(), found, "{apart} ms: {findings:#?}");
        }
    }

    /// In networks of their own, twice each; two are still two.
    #[test]
    fn silent_hosts_that_would_be_warned_of_each_are_one_finding() {
        for hosts in [2, 3u8] {
            let findings = in_traffic(NAME, |lab| {
                for host in 0..hosts {
                    for at in [20, 400] {
                        let mut talk = lab.talk(7, (9, 443), at, [30, 500]);
                        talk.ends[SERVER].address = format!("192.0.{host}.2").parse().expect("an address");
                        let syn = talk.segment(CLIENT, SYN, b"");
                        for _ in 0..4 {
                            talk.record(&mut lab.capture, &syn);
                            talk.wait(1_500_000);
                        }
                    }
                }
                let mut last = lab.talk(8, (10, 80), 9_000, [30, 500]);
                lab.http(&mut last, 300);
                last.close(&mut lab.capture);
            });
            let warned = findings.iter().filter(|finding| finding.severity == Severity::Warning);
            assert_eq!(warned.count(), if hosts == 2 { 2 } else { 1 }, "{findings:#?}");
        }
    }

    /// Addresses of one network of a content provider, and of two networks.
    #[test]
    fn hosts_of_one_network_are_one_finding() {
        for (hosts, apart, found) in [(3, 0, 1), (2, 1, 2)] {
            let findings = in_traffic(NAME, |lab| {
                for host in 0..hosts {
                    let mut talk = lab.talk(7, (20 + host, 443), 20_000 + u64::from(host), [30, 500]);
                    talk.ends[SERVER].address = [198, 51, 100 + host * apart, 7 + host].into();
                    let syn = talk.segment(CLIENT, SYN, b"");
                    for pause in [1, 2, 4, 8, 16] {
                        talk.record(&mut lab.capture, &syn);
                        talk.wait(pause * 1_000_000);
                    }
                }
                let mut last = lab.talk(7, (9, 80), 120_000, [30, 500]);
                lab.http(&mut last, 300);
            });
            assert_eq!(findings.len(), found, "{findings:#?}");
            assert!(findings.iter().all(|finding| finding.severity == Severity::Warning), "{findings:#?}");
        }
    }

    /// Scanners of the Internet, each of which tries another port of the host, and one of them twice.
    #[test]
    fn strangers_that_try_one_port_each_need_none() {
        for (comes_back, severity) in [(false, Severity::Info), (true, Severity::Warning)] {
            let findings = in_traffic(NAME, |lab| {
                for client in 0..4u16 {
                    let ends =
                        ((lab.client(20 + client as u8), 41_000), (lab.server(20), 8_000 + client * 81));
                    let mut talk = Talk::new(ends.0, ends.1, 20_000, [30, 500]);
                    let syn = talk.segment(CLIENT, SYN, b"");
                    for _ in 0..if client == 0 || comes_back { 4 } else { 1 } {
                        talk.record(&mut lab.capture, &syn);
                        talk.wait(500_000);
                    }
                }
                let mut last = lab.talk(7, (9, 80), 20_000, [30, 500]);
                lab.http(&mut last, 300);
            });
            assert!(findings.iter().any(|finding| finding.severity >= severity), "{findings:#?}");
            assert!(findings.iter().all(|finding| finding.severity == severity || comes_back));
        }
    }

    /// Two hosts of the `apart`th network each, and what is asked of them.
    fn two(apart: u8, ports: [u16; 2], syns: u64) -> Vec<Finding> {
        in_traffic(NAME, |lab| {
            for (host, port) in (0..2u8).zip(ports) {
                let mut talk = lab.talk(7, (20 + host, port), 20_000 + u64::from(host), [30, 500]);
                talk.ends[SERVER].address = [198, 51, 100 + host * apart, 7 + host].into();
                let syn = talk.segment(CLIENT, SYN, b"");
                for number in 0..syns {
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(1_000_000 << number);
                }
            }
            let mut last = lab.talk(7, (9, 80), 120_000, [30, 500]);
            lab.http(&mut last, 300);
        })
    }

    #[test]
    fn hosts_of_one_network_that_offer_the_same_are_one_finding() {
        let both = "No answer to SYN from 198.51.100.7:443 and 198.51.100.8:443";
        assert_eq!(one(&two(0, [443, 443], 3), "silent", Severity::Warning).title, both);
        // 15 s each: both together wait no longer for anybody.
        assert_eq!(one(&two(0, [443, 443], 5), "silent", Severity::Warning).title, both);
        assert_eq!(one(&two(0, [443, 443], 7), "silent", Severity::Critical).title, both);
        assert_eq!(two(1, [443, 443], 3).len(), 2);
        assert_eq!(two(0, [443, 22], 3).len(), 2);
    }

    /// A client waits before it asks again.
    #[test]
    fn a_syn_that_comes_again_at_once_is_no_client_that_insists() {
        for (after, severity) in [(40_000, Severity::Info), (1_000_000, Severity::Warning)] {
            let findings = in_traffic(NAME, |lab| {
                let mut talk = lab.talk(7, (20, 443), 20, [30, 500]);
                let syn = talk.segment(CLIENT, SYN, b"");
                talk.record(&mut lab.capture, &syn);
                talk.wait(after);
                talk.record(&mut lab.capture, &syn);
                let mut last = lab.talk(7, (9, 80), 20_000, [30, 500]);
                lab.http(&mut last, 300);
            });
            one(&findings, "silent", severity);
        }
    }

    /// A name with an address in each of two networks, and what is asked of them: whether the second one
    /// opens late.
    fn of_one_name(name: [&str; 2], late: bool) -> Vec<Finding> {
        in_traffic(NAME, |lab| {
            for (number, name) in (0..2u8).zip(name) {
                let address = [198, 51, 100 + number, 7];
                let at = 1_000_000 + u64::from(number) * 90_000;
                lab.asks(at, 7, lab.resolver(), (name, dns::A), dns::NOERROR, &[address]);
                let mut talk = lab.talk(7, (20, 443), 20_000 + 9 * u64::from(number), [30, 500]);
                talk.ends[SERVER].address = address.into();
                let syn = talk.segment(CLIENT, SYN, b"");
                for _ in 0..3 {
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(1_000_000);
                }
                if late && number == 1 {
                    lab.http(&mut talk, 300);
                }
            }
            let mut last = lab.talk(7, (9, 80), 120_000, [30, 500]);
            lab.http(&mut last, 300);
        })
    }

    #[test]
    fn addresses_of_one_name_are_one_trouble() {
        let same = ["www.shop.example"; 2];
        let findings = of_one_name(same, false);
        let both = "No answer to SYN from 198.51.100.7:443 and 198.51.101.7:443";
        assert_eq!(one(&findings, "silent", Severity::Warning).title, both);
        assert_eq!(of_one_name(["www.shop.example", "www.news.example"], false).len(), 2);
        let warns = |findings: Vec<Finding>| {
            findings.iter().filter(|finding| finding.severity > Severity::Info).count()
        };
        assert_eq!(warns(of_one_name(same, true)), 1);
        assert_eq!(warns(of_one_name(["www.shop.example", "www.news.example"], true)), 2);
    }
}
