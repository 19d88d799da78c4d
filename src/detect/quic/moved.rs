//! Connections that go on between another address or port of the client and the same server (RFC 9000 section
//! 9). The server is called by the same ID there: so nobody needs the packets of one in front of the others.

use serde::{Deserialize, Serialize};

use crate::app::quic::Quic as Facts;
use crate::app::tls::TlsSession;
use crate::detect::quic::Tries;
use crate::detect::{Bounded, Case, Evidence, Merge, Role, hash_of, merged, plural};
use crate::dissect::{Endpoint, PacketRef};
use crate::flow::{Called, Flow};
use crate::time::Span;

/// A connection whose handshake is there.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Session {
    client: Option<Endpoint>,
    /// Its first packet behind the handshake, and its last.
    opened: PacketRef,
    last: PacketRef,
}

/// The earliest has the ID.
impl Merge for Session {
    fn absorb(&mut self, other: Self) {
        let of = |session: &Self| (session.client.is_none(), session.opened.packet);
        if of(&other) < of(self) {
            *self = other;
        }
    }
}

/// Datagrams of a connection whose handshake is elsewhere.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Stray {
    /// From where, and how the server is called.
    seen: Option<(Endpoint, Called)>,
    case: Case<Tries>,
}

impl Merge for Stray {
    fn absorb(&mut self, other: Self) {
        // Keys have the flow in them: nothing is ever counted twice under one.
        *self = other;
    }
}

merged! {
    /// Both, by server.
    pub(in crate::detect) struct Moved {
        /// By what the server is called.
        sessions: Bounded<(Endpoint, Vec<u8>), Session, { 1 << 14 }>,
        strays: Bounded<(Endpoint, u64), Stray, { 1 << 12 }>,
    }
}

impl Moved {
    /// A connection that may move: from the end of its handshake on.
    pub(super) fn session(&mut self, flow: &Flow, tls: &TlsSession, quic: &Facts) {
        let [Some(opened), Some(_)] = tls.application_data else { return };
        for id in &quic.server_ids {
            let session = self.sessions.observe(hash_of(&flow.server), (flow.server, id.clone()));
            let known = Session { client: Some(flow.client), opened, last: flow.last };
            session.into_iter().for_each(|session| session.absorb(known));
        }
    }

    /// A flow that begins with a short header.
    pub(super) fn stray(&mut self, flow: &Flow, called: Called) {
        let (client, server) = (flow.sender(called.to), flow.sender(called.to.reverse()));
        let Some(stray) = self.strays.observe(hash_of(&server), (server, flow.id)) else { return };
        stray.seen = Some((client, called));
        stray.case.flow(flow, [called.at, flow.last]);
        stray.case.counts.unheard = u64::from(flow.half(called.to.reverse()).packets == 0);
    }

    /// Everything was counted: the servers of the connections that moved, and what is said of each.
    pub(super) fn conclude(&mut self) -> Vec<(Endpoint, Case<Tries>)> {
        let Self { sessions, strays } = self;
        sessions.sort();
        let strays = strays.take_if(|_, _| true).into_iter();
        strays
            .filter_map(|((server, flow), stray)| {
                let Stray { seen, mut case } = stray;
                let (client, called) = seen?;
                // The longest that is known: shorter ones may be the beginnings of others.
                let known = (Facts::TELLING..=Called::MOST).rev().find_map(|length| {
                    let id = called.octets.get(..length)?.to_vec();
                    Some(sessions.get(&(server, id))?.1)
                })?;
                let before = known.client?;
                if before == client || called.at.time < known.opened.time {
                    return None;
                }
                let pause = (called.at.time - known.last.time).max(Span::ZERO);
                case.counts.moved = 1;
                case.counts.addresses = u64::from(before.address != client.address);
                case.show(0, flow, || {
                    let first =
                        Evidence::new(known.opened, Role::Data, format!("the connection, from {before}"));
                    let fields =
                        format!("the same connection ID from {client}, {pause} after the last packet");
                    [first, Evidence::new(called.at, Role::Data, fields)]
                });
                Some((server, case))
            })
            .collect()
    }
}

/// Who went on from where, and whether that worked.
pub(super) fn summary(counts: &Tries, clients: &str) -> String {
    let Tries { moved, addresses, unheard, .. } = counts;
    let elsewhere = match addresses {
        0 => "from another port".to_owned(),
        _ if addresses == moved => "from another address".to_owned(),
        _ => format!("from another port, {addresses} of them from another address"),
    };
    let answers = match unheard {
        0 => "The server's packets follow them there.".to_owned(),
        _ => format!("No packet of the server follows {unheard} of them."),
    };
    let connections = plural(*moved, "connection");
    format!("{clients} went on with {connections} {elsewhere}, by the same connection ID. {answers}")
}
