//! # What it finds
//! A resolver that a single client asks, while its whole network asks another one.
//!
//! # Why it matters
//! A host with another resolver sees other names and other addresses. "It works on one server and not on the
//! other" often ends here, and so does what a false DHCP answer or malware has set.
//!
//! # How it decides
//! By network of clients (/24 of IPv4, /64 of IPv6) with at least `clients` of them that look names up. The
//! usual resolver is the one that at least `usual_share` of them ask. Another resolver is unexpected when one
//! client asks it and does not ask the usual one.
//!
//! It is information: settings differ for good reasons. It is a warning when the resolver gives the client
//! other addresses for a name than the usual one, one of them private, and most connections of the client to
//! them fail.
//!
//! # What it leaves alone
//! Clients that ask the usual resolver, too: programs with a resolver of their own. Clients that answer
//! lookups themselves: forwarders. Networks without a usual resolver. Queries without a response.
//!
//! # What it does not claim
//! That the setting is wrong, or who made it: other DHCP leases, public resolvers and tunnels look the same.
//!
//! # References
//! RFC 2132 section 3.8, RFC 8106 (resolvers by DHCP and router advertisement); RFC 5452 section 9.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::dns::{Transaction, qtype_name, rcode_name};
use crate::detect::answers::{ByName, Visit, Visits};
use crate::detect::lookups::asks_for_name;
use crate::detect::scope::network;
use crate::detect::*;
use crate::dissect::{Endpoint, PacketRef};
use crate::flow::FlowHead;

thresholds! {
    /// Counts who asks which resolver.
    struct DnsUnexpectedResolver {
        clients: u64 = 4.0 "clients",
            "of a network that look names up, from which one of them can stand out",
            "ours: of three, one is a third";
        usual_share: f64 = 0.6 "share",
            "of the clients of a network, from which their resolver is the usual one",
            "ours: more than the half, with room for a second resolver";
    }
}

variants! {
    /// There is one kind.
    enum Only {
        Unexpected "" Info {
            could_be: &[
                "the client was set up by hand, or has an older lease",
                "the client uses a tunnel or a public resolver",
                "somebody else answers DHCP, or changed the setting",
            ],
            next: &[
                "compare the client's resolvers with its neighbours': resolvectl status, ipconfig /all",
                "ask both resolvers for the names the client needs",
            ],
            not_claimed: &["that the setting is wrong, or who made it"],
            doubted_by: &[QualityIssue::OneWay],
        }
    }
}

counts! {
    /// What a case counts.
    struct Odd {
        lookups: u64,
        usual_clients: u64,
        /// Names that both resolvers answered, with other addresses.
        names_differ: u64,
        connections: u64,
        failed_connections: u64,
    }
}

/// Lookups of a network's clients at a resolver.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Use {
    lookups: u64,
    clients: Distinct<IpAddr, 256>,
    /// Query and response of the first lookup, its flow, what it asked for and got.
    first: Option<(PacketRef, PacketRef)>,
    shown: Option<(FlowHead, String, u16, Option<u16>)>,
    names: Distinct<String, 64>,
    last: Option<PacketRef>,
}

impl Merge for Use {
    fn absorb(&mut self, other: Self) {
        self.lookups += other.lookups;
        self.clients.absorb(other.clients);
        if other.first.is_some_and(|later| self.first.is_none_or(|first| later < first)) {
            (self.first, self.shown) = (other.first, other.shown);
        }
        self.names.absorb(other.names);
        self.last = self.last.max(other.last);
    }
}

/// Who asks whom, by network.
pub(super) type Uses = Bounded<(IpAddr, Option<Endpoint>), Use, { 1 << 12 }>;

/// The resolvers of a network, and how its clients use them.
type Resolvers<'a> = BTreeMap<Endpoint, &'a Use>;

impl Detector for DnsUnexpectedResolver {
    const RULE: Rule = Rule {
        name: "dns_unexpected_resolver",
        group: Group::Dns,
        summary: "a resolver that one client asks and its neighbours do not",
        judges: "lookups",
        variants: Only::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("dns_unexpected_resolver.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Names, &["tls_certificate", "tls_alert"])];
    type Variant = Only;
    type Key = Endpoint;
    type Counts = Odd;
    type Total = ();
    type Notes = Uses;

    fn transaction(&self, transaction: &Transaction, flow: &FlowHead, book: &mut Book<Self>) {
        if !asks_for_name(transaction, flow) || !transaction.recursion_desired {
            return book
                .not_judged("no lookup for a client: no recursion wanted, NetBIOS, NOTIFY and the like");
        }
        let Some((query, response)) = transaction.query.zip(transaction.response) else {
            return book.not_judged("the query or the response is not in the capture");
        };
        book.judged(&flow.server);
        let key = (network(flow.client.address), Some(flow.server));
        let Some(used) = book.notes.observe_by(key, |_| hash_of(&key.0)) else { return };
        let mut new = Use { lookups: 1, last: Some(response), ..Use::default() };
        new.clients.add(flow.client.address);
        new.names.add(transaction.name.to_ascii_lowercase());
        new.first = Some((query, response));
        new.shown = Some((*flow, transaction.name.clone(), transaction.qtype, transaction.rcode));
        used.absorb(new);
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let notes = std::mem::take(&mut book.notes);
        let mut networks: BTreeMap<IpAddr, Resolvers<'_>> = BTreeMap::new();
        for ((network, resolver), _, used) in notes.iter() {
            let resolvers = networks.entry(*network).or_default();
            resolvers.extend(resolver.map(|resolver| (resolver, used)));
        }
        let answering = |client: &IpAddr| book.totals().any(|(resolver, ..)| resolver.address == *client);
        let answers = context.heard.answers.by_name();
        let mut findings = Vec::new();
        for resolvers in networks.values() {
            let mut clients: Distinct<IpAddr, 256> = Distinct::default();
            resolvers.values().for_each(|used| clients.absorb(used.clients.clone()));
            let usual = resolvers.iter().max_by_key(|(resolver, used)| (used.clients.count(), **resolver));
            let Some((usual, used)) = usual else { continue };
            let all = clients.count();
            if all < self.clients || share(used.clients.count(), all) < self.usual_share || clients.is_full()
            {
                continue;
            }
            for (resolver, odd) in resolvers {
                let Some(client) = odd.clients.only().filter(|client| !answering(client)) else { continue };
                if !used.clients.iter().any(|one| one == client) {
                    findings.extend(finding(
                        (*resolver, odd),
                        (*usual, used),
                        *client,
                        (&answers, &context.heard.visits),
                    ));
                }
            }
        }
        book.not_judged_many("more networks than are kept apart", notes.lost());
        findings
    }
}

fn finding(
    (resolver, odd): (Endpoint, &Use),
    (usual, used): (Endpoint, &Use),
    client: IpAddr,
    (answers, visits): (&ByName<'_>, &Visits),
) -> Option<Concluded<DnsUnexpectedResolver>> {
    let (query, response) = odd.first?;
    let (flow, name, qtype, rcode) = odd.shown.as_ref()?;
    let mut case: Case<Odd> = Case::default();
    case.affected.add(flow);
    odd.names.iter().for_each(|name| case.affected.names.add(name.clone()));
    case.affected.active.add(query.time);
    odd.last.iter().for_each(|at| case.affected.active.add(at.time));
    case.total = odd.lookups;
    case.counts.lookups = odd.lookups;
    case.counts.usual_clients = used.clients.count();
    case.show(1, query.packet, || {
        let asked = format!("{name} {}, to {resolver}", qtype_name(*qtype));
        let code = rcode_name(rcode.unwrap_or(0));
        [Evidence::new(query, Role::Query, asked), Evidence::new(response, Role::Response, code)]
    });
    let mut differing = String::new();
    let mut visited = Visit::default();
    for ((name, _), answers) in answers {
        let of = |wanted| answers.iter().find(|(one, _)| *one == wanted).map(|(_, answer)| *answer);
        let Some((own, others)) = of(resolver).zip(of(usual)) else { continue };
        if !own.contradicts(others) || !(own.has_private() || others.has_private()) {
            continue;
        }
        case.counts.names_differ += 1;
        visited.absorb(visits.of(client, own.addresses.iter()));
        if differing.is_empty() {
            differing = format!(" For {name} it got {}, the others {}.", own.text(), others.text());
        }
        for (answer, from) in [(own, resolver), (others, usual)] {
            let Some((query, response)) = answer.first else { continue };
            case.show(0, query.packet, || {
                let asked = Evidence::new(query, Role::Query, format!("{name}, to {from}"));
                [asked, Evidence::new(response, Role::Response, answer.text())]
            });
        }
    }
    (case.counts.connections, case.counts.failed_connections) = (visited.connections, visited.failed);
    let title = format!("{client} asks the resolver {resolver}, and its neighbours ask {usual}");
    let mut summary = format!(
        "It sent {} there and none to {usual}, which {} of the same network {}.{differing}",
        plural(odd.lookups, "lookup"),
        plural(used.clients.count(), "client"),
        if used.clients.count() == 1 { "asks" } else { "ask" },
    );
    if visited.connections > 0 {
        let connections = plural(visited.connections, "connection");
        summary += &format!(" It opened {connections} to the addresses it got, {} in vain.", visited.failed);
    }
    let harmed = share(visited.failed, visited.connections) >= Severity::MOST;
    if harmed {
        case.failed = visited.failed;
        case.total = visited.connections;
    }
    let draft = Draft::new(Only::Unexpected, title, summary)
        .severity(if harmed { Severity::Warning } else { Severity::Info })
        .confidence(if differing.is_empty() { Confidence::Possible } else { Confidence::Likely });
    Some((draft, case))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing};
    use crate::support::dns::{A, NOERROR};
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, RST, SERVER, SYN};

    const NAME: &str = DnsUnexpectedResolver::RULE.name;
    const APP: (&str, u16) = ("app.corp.example", A);

    /// Clients from 7 on ask the resolver three times each.
    fn neighbours(lab: &mut Lab, clients: u8) {
        let resolver = lab.resolver();
        for (client, number) in (7..7 + clients).flat_map(|client| (0..3).map(move |number| (client, number)))
        {
            let at = 1_000_000 + u64::from(client) * 90_000 + number * 1_000_000;
            lab.asks(at, client, resolver, APP, NOERROR, &[[10, 77, 2, 80]]);
        }
    }

    /// Client 30 asks another resolver and is told 10.77.2.66.
    fn stranger(lab: &mut Lab) {
        let other = lab.server(54);
        lab.asks(2_000_000, 30, other, APP, NOERROR, &[[10, 77, 2, 66]]);
    }

    #[test]
    fn it_fires() {
        fires(NAME, &[("dns_unexpected_resolver", "", Severity::Info)]);
    }

    #[test]
    fn it_stays_silent() {
        says_nothing(NAME, &["healthy_search_list", "healthy_large", "dns_servfail_forwarder", "dns_slow"]);
    }

    #[test]
    fn a_client_that_was_told_another_address_stands_out() {
        let findings = in_traffic(NAME, |lab| {
            neighbours(lab, 5);
            stranger(lab);
        });
        let finding = one(&findings, "", Severity::Info);
        assert!(finding.summary.contains("it got 10.77.2.66, the others 10.77.2.80"), "{}", finding.summary);
        assert_eq!(finding.confidence, Confidence::Likely);
    }

    #[test]
    fn a_client_that_fails_there_is_a_warning() {
        let findings = in_traffic(NAME, |lab| {
            neighbours(lab, 5);
            stranger(lab);
            let mut talk = lab.talk(30, (66, 443), 2_100, [30, 1_500]);
            talk.send(&mut lab.capture, CLIENT, SYN, b"");
            talk.turn(CLIENT);
            let mut reset = talk.segment(SERVER, RST | ACK, b"");
            reset.seq = 0;
            talk.record(&mut lab.capture, &reset);
        });
        one(&findings, "", Severity::Warning);
    }

    #[test]
    fn three_clients_are_too_few() {
        let findings = in_traffic(NAME, |lab| {
            neighbours(lab, 2);
            stranger(lab);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// A browser with a resolver of its own, beside the host's.
    #[test]
    fn a_second_resolver_of_a_client_is_its_own_matter() {
        let findings = in_traffic(NAME, |lab| {
            neighbours(lab, 5);
            let other = lab.server(54);
            lab.asks(2_000_000, 8, other, APP, NOERROR, &[[10, 77, 2, 80]]);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// The forwarder of the network asks upstream.
    #[test]
    fn a_forwarder_asks_another_by_its_nature() {
        let findings = in_traffic(NAME, |lab| {
            let (forwarder, upstream) = (lab.client(53), lab.server(54));
            for client in 7..12 {
                let at = 1_000_000 + u64::from(client) * 90_000;
                lab.asks(at, client, forwarder, APP, NOERROR, &[[10, 77, 2, 80]]);
                lab.asks(at + 300, 53, upstream, APP, NOERROR, &[[10, 77, 2, 80]]);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
