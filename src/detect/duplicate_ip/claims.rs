//! Claims to addresses that nobody had asked about.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::detect::duplicate_ip::{Answers, Conflict, DuplicateIp};
use crate::detect::*;
use crate::dissect::{Arp, PacketRef};
use crate::time::Span;

/// The first and the last time that a link address had an IP address by ARP, and whether a reply says so.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Use(Option<[(PacketRef, bool); 2]>);

impl Merge for Use {
    fn absorb(&mut self, other: Self) {
        let all = [self.0, other.0].into_iter().flatten();
        self.0 = all.reduce(|[first, last], [other, later]| [first.min(other), last.max(later)]);
    }
}

/// Hosts send ARP once a minute and more while they have something to say (RFC 1122 section 2.3.2.1).
const SINCE: Span = Span::secs(60);

/// An address, who has it, and the replies that claim it for another.
struct Claimed {
    address: IpAddr,
    owner: [u8; 6],
    case: Case<Answers>,
}

/// VLAN, who claims, and what.
type Claim = (u16, [u8; 6], IpAddr);

merged! {
    /// Who has which address, and the replies for it that nobody had asked for.
    pub(super) struct Claims {
        used: Bounded<(IpAddr, [u8; 6]), Use, { 1 << 13 }>,
        unasked: Bounded<Claim, Case<Answers>, { 1 << 12 }>,
    }
}

impl Claims {
    /// A request or a reply says that the address is the link address's.
    pub(super) fn used(&mut self, arp: &Arp, at: PacketRef) {
        if let Some(used) = self.used.count((arp.sender, arp.sender_link)) {
            used.absorb(Use(Some([(at, arp.reply); 2])));
        }
    }

    /// A reply that its receiver had not asked for. Not to everybody: that announces an address.
    pub(super) fn unasked(&mut self, claim: Claim, arp: &Arp, at: PacketRef) {
        if arp.target.is_unspecified() || arp.target == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return;
        }
        let Some(case) = self.unasked.count(claim) else { return };
        let (_, link, address) = claim;
        case.affected.clients.add(arp.target);
        case.affected.active.add(at.time);
        case.counts.unasked += 1;
        case.counts.link_addresses.add(link);
        case.show(0, at.packet, || {
            [Evidence::new(at, Role::ArpReply, format!("{address} from {}, not asked for", text(&link)))]
        });
    }

    /// Who claims addresses of others, with `least` replies or more for each; and those addresses, with their
    /// VLAN.
    pub(super) fn conclude(
        mut self,
        least: u64,
        heard: &Heard,
    ) -> (Vec<Concluded<DuplicateIp>>, BTreeSet<(IpAddr, u16)>) {
        let mut claimers: BTreeMap<(u16, [u8; 6]), Vec<Claimed>> = BTreeMap::new();
        let all: BTreeSet<([u8; 6], IpAddr)> =
            self.unasked.iter().map(|((_, link, address), ..)| (*link, *address)).collect();
        for ((vlan, link, address), case) in self.unasked.take_if(|_, case| case.counts.unasked >= least) {
            if let Some(owner) = self.owner(address, link, &case, heard) {
                claimers.entry((vlan, link)).or_default().push(Claimed { address, owner, case });
            }
        }
        let (mut found, mut claimed) = (Vec::new(), BTreeSet::new());
        for ((vlan, link), of) in claimers {
            let Some(own) = self.own(link, &all) else { continue };
            claimed.extend(of.iter().map(|one| (one.address, vlan)));
            found.push(self.finding((vlan, link), own, of, heard));
        }
        (found, claimed)
    }

    /// Another link address that has the address: it said so since, and had it before the claims ended, or
    /// its packets come from there, and only its own.
    fn owner(
        &self,
        address: IpAddr,
        claimer: [u8; 6],
        claims: &Case<Answers>,
        heard: &Heard,
    ) -> Option<[u8; 6]> {
        let (from, until) = claims.first_seen().zip(claims.last_seen())?;
        let said = self.used.iter().filter(|((of, link), ..)| *of == address && *link != claimer);
        // Leases run out, and somebody else gets the address.
        let meanwhile =
            |[first, last]: [(PacketRef, bool); 2]| last.0.time > from && first.0.time - until <= SINCE;
        let since = said.filter(|(_, _, used)| used.0.is_some_and(meanwhile));
        let sends = || {
            let mut links = heard.links(address).filter(|link| **link != claimer && **link != [0; 6]);
            links.find(|link| heard.senders(**link).eq([address])).copied()
        };
        since.map(|((_, link), ..)| *link).min().or_else(sends)
    }

    /// An address of the link address that nobody else has, and that it did not claim unasked.
    fn own(&self, link: [u8; 6], unasked: &BTreeSet<([u8; 6], IpAddr)>) -> Option<IpAddr> {
        let alone = |address: &IpAddr| {
            let mut uses = self.used.iter().filter(|((of, _), ..)| of == address);
            uses.all(|((_, by), ..)| *by == link)
        };
        let mine = self.used.iter().filter(|((_, by), ..)| *by == link).map(|((address, _), ..)| *address);
        mine.filter(|address| !unasked.contains(&(link, *address))).filter(alone).min()
    }

    /// What there is to say of a claimer, with an address of its own.
    fn finding(
        &self,
        (vlan, link): (u16, [u8; 6]),
        own: IpAddr,
        mut of: Vec<Claimed>,
        heard: &Heard,
    ) -> Concluded<DuplicateIp> {
        of.sort_by_key(|one| one.address);
        let addresses: Vec<String> = of.iter().map(|one| one.address.to_string()).collect();
        let shown = of.iter().take(4).map(|one| format!("{} ({})", one.address, text(&one.owner)));
        let shown = shown.collect::<Vec<_>>().join(", ");
        let both = of.iter().filter(|one| {
            let links: Vec<&[u8; 6]> = heard.links(one.address).collect();
            links.contains(&&link) && links.contains(&&one.owner)
        });
        let both: Vec<String> = both.take(4).map(|one| one.address.to_string()).collect();
        let passes = match both.is_empty() {
            true => String::new(),
            false => format!(" IP packets from {} come from both: {own} sends them, too.", both.join(", ")),
        };
        let (what, place, have) = match addresses.as_slice() {
            [one] => {
                (format!("the address {one} of another host"), one.clone(), "Another link address has it")
            }
            all => (
                format!("{} of other hosts", plural(all.len() as u64, "address")),
                own.to_string(),
                "Other link addresses have them",
            ),
        };
        let says = |Claimed { address, owner, .. }: &Claimed| {
            let [_, (at, reply)] = self.used.get(&(*address, *owner))?.1.0?;
            let role = if reply { Role::ArpReply } else { Role::ArpRequest };
            Some(Evidence::new(at, role, format!("{address} from {}", text(owner))))
        };
        let says: Vec<Evidence> = of.iter().take(4).filter_map(says).collect();
        let mut case: Case<Answers> = Case::default();
        of.into_iter().for_each(|one| case.absorb(one.case));
        let title = format!("{own} at {} claims {what}", text(&link));
        let tag = if vlan > 0 { format!(" in VLAN {vlan}") } else { String::new() };
        let summary = format!(
            "It sent {}{tag} that nobody had asked for, to {}. {have}: {shown}.{passes}",
            plural(case.counts.unasked, "ARP reply"),
            case.affected.clients.of("host"),
        );
        let subject = Subject { server: Some(place), ..Subject::default() };
        (Draft::new(Conflict::Claimed, title, summary).subject(subject).show(says), case)
    }
}

/// `02:00:0a:00:00:07`
pub(in crate::detect) fn text(link: &[u8; 6]) -> String {
    let [a, b, c, d, e, f] = link;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}
