//! The ways that packets take, by link address and VLAN, and who can have sent a RST.

use crate::detect::{Evidence, Role};
use crate::dissect::Direction;
use crate::flow::{Flow, Half, LinkUse, Reset, TcpFlow};

/// The far end of a way: link address and VLAN.
pub(super) type Way = ([u8; 6], u16);

/// The far ends of the ways there and back. `None` when the capture does not show both, or shows packets at
/// several points. `None`, too, when a virtual router's address is among them.
pub(super) fn ways(flow: &Flow) -> Option<(Vec<Way>, Vec<Way>)> {
    let [there, back] = &flow.halves;
    let unclear = |half: &Half| half.copies > 0 || half.links.len() == LinkUse::MAX || half.links.is_empty();
    if unclear(there) || unclear(back) {
        return None;
    }
    let there: Vec<Way> = there.links.iter().map(|link| (link.destination, link.vlan)).collect();
    let back: Vec<Way> = back.links.iter().map(|link| (link.source, link.vlan)).collect();
    let known = |(address, _): &Way| *address != [0; 6] && !is_virtual(*address);
    (there.iter().all(known) && back.iter().all(known)).then_some((there, back))
}

/// Addresses of virtual routers: VRRP (RFC 9568 section 7.3), HSRP versions 1 and 2, GLBP.
fn is_virtual(address: [u8; 6]) -> bool {
    matches!(
        address,
        [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, _]
            | [0x00, 0x00, 0x0c, 0x07, 0xac, _]
            | [0x00, 0x00, 0x0c, 0x9f, 0xf0..=0xff, _]
            | [0x00, 0x05, 0x73, 0xa0..=0xaf, _, _]
            | [0x00, 0x07, 0xb4, _, _, _]
    )
}

/// Its TTL is more than a hop away from its sender's, or it is the first packet by another link address.
pub(super) fn is_from_elsewhere(flow: &Flow, tcp: &TcpFlow, reset: &Reset) -> bool {
    let known = tcp.side(reset.direction).ttl;
    let near =
        |(least, most): (u8, u8)| (least.saturating_sub(1)..=most.saturating_add(1)).contains(&reset.ttl);
    known.is_some_and(|known| !near(known)) || link_of(flow, reset).is_some()
}

/// The link path that it is the first to take.
fn link_of<'f>(flow: &'f Flow, reset: &Reset) -> Option<&'f LinkUse> {
    let (_, later) = flow.half(reset.direction).links.split_first()?;
    later.iter().find(|link| link.first.packet == reset.at.packet)
}

/// It comes from where the other side's packets went from some moment on, and its sender's did not.
pub(super) fn is_from_another_way(flow: &Flow, reset: &Reset) -> bool {
    let answered = flow.half(reset.direction.reverse()).links.split_first();
    let moved = answered.map_or(&[][..], |(_, later)| later);
    link_of(flow, reset).is_some_and(|link| moved.iter().any(|way| way.destination == link.source))
}

pub(super) fn link_evidence(direction: Direction, link: &LinkUse) -> Evidence {
    let address = |bytes: [u8; 6]| bytes.map(|byte| format!("{byte:02x}")).join(":");
    let role = if direction == Direction::ToServer { Role::There } else { Role::Back };
    let (source, destination) = (address(link.source), address(link.destination));
    Evidence::new(link.first, role, format!("from {source} to {destination}, VLAN {}", link.vlan))
}
