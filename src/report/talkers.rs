//! Who moved how much: flows added up by host, service, port, conversation or protocol.

use std::fmt;
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::dissect::{Direction, Endpoint};
use crate::flow::Flow;
use crate::report::growth::{Course, Growth, Intervals};
use crate::report::table::protocol;
use crate::time::Timestamp;

/// What flows are added up by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// Every address, as client and as server
    #[default]
    Host,
    /// The address that opened the flow
    Client,
    /// The address that was asked
    Server,
    /// Address, port and protocol that were asked
    Service,
    /// Port and protocol that were asked
    Port,
    /// Client and server together
    Conversation,
    /// The protocol recognised from content, else that of IP
    Protocol,
}

/// What was added up together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Talker {
    /// An address.
    Host(IpAddr),
    /// What listens at an address and port.
    Service(Endpoint, u8),
    /// A port of any address.
    Port(u16, u8),
    /// Client and server.
    Conversation(IpAddr, IpAddr),
    /// A protocol, by name.
    Protocol(&'static str),
    /// An IP protocol of which no content was recognised.
    Ip(u8),
    /// All those that were too light to be kept apart.
    Others,
}

impl fmt::Display for Talker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(address) => write!(out, "{address}"),
            Self::Service(at, number) if at.port == 0 => {
                write!(out, "{} {}", at.address, protocol(*number))
            }
            Self::Service(at, number) => write!(out, "{at} {}", protocol(*number)),
            Self::Port(port, number) => write!(out, "{port} {}", protocol(*number)),
            Self::Conversation(client, server) => write!(out, "{client} {server}"),
            Self::Protocol(name) => out.write_str(name),
            Self::Ip(number) => out.write_str(&protocol(*number)),
            Self::Others => out.write_str("(others)"),
        }
    }
}

/// What flows of one talker moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Flows.
    pub flows: u64,
    /// Packets of both directions.
    pub packets: u64,
    /// IP bytes that it sent; of what is asked, those towards the client.
    pub sent: u64,
    /// IP bytes that it got.
    pub received: u64,
    /// First and last packet.
    pub seen: Option<(Timestamp, Timestamp)>,
}

impl Moved {
    /// IP bytes of both directions.
    pub fn bytes(&self) -> u64 {
        self.sent + self.received
    }

    fn add(&mut self, other: &Self) {
        self.flows += other.flows;
        self.packets += other.packets;
        self.sent += other.sent;
        self.received += other.received;
        let (first, last) = match (self.seen, other.seen) {
            (Some(one), Some(two)) => (one.0.min(two.0), one.1.max(two.1)),
            (one, two) => match one.or(two) {
                Some(seen) => seen,
                None => return,
            },
        };
        self.seen = Some((first, last));
    }
}

/// All talkers so far. A capture may have more than memory holds: then the lightest are counted together.
#[derive(Debug)]
pub struct Talkers {
    by: By,
    most: usize,
    known: HashMap<Talker, Moved>,
    /// How much each moved when, when that is wanted.
    courses: HashMap<Talker, Course>,
    intervals: Option<Intervals>,
    others: Moved,
    total: u64,
}

impl Talkers {
    /// Talkers kept apart. A million take about 150 MiB.
    pub const MOST: usize = 1 << 20;

    /// Adds flows up by `by`.
    pub fn new(by: By) -> Self {
        Self {
            by,
            most: Self::MOST,
            known: HashMap::new(),
            courses: HashMap::new(),
            intervals: None,
            others: Moved::default(),
            total: 0,
        }
    }

    /// Also keeps who moved how much before and after the middle of the capture. A million talkers take about
    /// 200 MiB more.
    pub fn growing(mut self) -> Self {
        self.intervals = Some(Intervals::new());
        self
    }

    /// Adds a flow.
    pub fn add(&mut self, flow: &Flow) {
        let halves = Direction::BOTH.map(|direction| flow.half(direction));
        let [sent, received] = halves.map(|half| half.bytes);
        let packets = halves.iter().map(|half| half.packets).sum();
        let seen = Some((flow.first.time, flow.last.time));
        // A flow that goes on was counted where it began.
        let client = Moved { flows: u64::from(!flow.continues), packets, sent, received, seen };
        let server = Moved { sent: received, received: sent, ..client };
        self.total += client.bytes();
        if let Some(intervals) = &mut self.intervals {
            let courses = &mut self.courses;
            intervals.reach(flow.first.time, flow.last.time, || Box::new(courses.values_mut()));
        }
        let (from, to) = (flow.client.address, flow.server.address);
        match self.by {
            By::Host => {
                self.count(Talker::Host(from), &client);
                if to != from {
                    self.count(Talker::Host(to), &server);
                }
            }
            By::Client => self.count(Talker::Host(from), &client),
            By::Server => self.count(Talker::Host(to), &server),
            By::Service => self.count(Talker::Service(flow.server, flow.protocol), &server),
            By::Port => self.count(Talker::Port(flow.server.port, flow.protocol), &server),
            By::Conversation => self.count(Talker::Conversation(from, to), &client),
            By::Protocol => {
                let known = flow.service.map(|service| Talker::Protocol(service.name()));
                self.count(known.unwrap_or(Talker::Ip(flow.protocol)), &client);
            }
        }
    }

    fn count(&mut self, talker: Talker, moved: &Moved) {
        if let (Some(intervals), Some((first, last))) = (&self.intervals, moved.seen) {
            let course = self.courses.entry(talker.clone()).or_default();
            intervals.add(course, first, last, moved.bytes());
        }
        self.known.entry(talker).or_default().add(moved);
        if self.known.len() > self.most {
            self.forget();
        }
    }

    /// Counts the lighter half together.
    fn forget(&mut self) {
        let mut all: Vec<(u64, &Talker)> =
            self.known.iter().map(|(talker, moved)| (moved.bytes(), talker)).collect();
        let middle = all.len() / 2;
        let (bytes, talker) = *all.select_nth_unstable(middle).1;
        let bound = (bytes, talker.clone());
        let others = &mut self.others;
        self.known.retain(|talker, moved| {
            let stays = (moved.bytes(), talker) >= (bound.0, &bound.1);
            if !stays {
                others.add(moved);
            }
            stays
        });
        let known = &self.known;
        self.courses.retain(|talker, _| known.contains_key(talker));
    }

    /// How much faster a talker moved bytes after the middle of the capture than before; `None` when that is
    /// not kept.
    pub fn growth(&self, talker: &Talker) -> Option<Growth> {
        self.intervals?.growth(self.courses.get(talker)?)
    }

    /// Takes out who moved most, first, and the share of all bytes that each moved.
    pub fn take_ranking(&mut self) -> Vec<(Talker, Moved, f64)> {
        let others = Some((Talker::Others, self.others)).filter(|(_, moved)| moved.flows > 0);
        let known = std::mem::take(&mut self.known);
        let mut ranking: Vec<(Talker, Moved)> = known.into_iter().chain(others).collect();
        ranking.sort_unstable_by(|(one, moved), (other, more)| {
            more.bytes().cmp(&moved.bytes()).then_with(|| one.cmp(other))
        });
        let share = |moved: &Moved| match self.total {
            0 => 0.0,
            total => moved.bytes() as f64 / total as f64,
        };
        ranking.into_iter().map(|(talker, moved)| (talker, moved, share(&moved))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::flow;

    fn ranking(by: By) -> Vec<(String, u64, u64, u64)> {
        let mut talkers = Talkers::new(by);
        talkers.add(&flow(1));
        let mut other = flow(2);
        (other.client.port, other.service) = (40001, None);
        talkers.add(&other);
        let line = |(talker, moved, _): (Talker, Moved, f64)| {
            (talker.to_string(), moved.flows, moved.sent, moved.received)
        };
        talkers.take_ranking().into_iter().map(line).collect()
    }

    /// Each flow has 500 bytes of 10.0.0.2 and 700 of 10.0.0.1:443.
    #[test]
    fn flows_add_up() {
        let both = |name: &str, sent, received| (name.to_owned(), 2, sent, received);
        assert_eq!(ranking(By::Host), [both("10.0.0.1", 1400, 1000), both("10.0.0.2", 1000, 1400)]);
        assert_eq!(ranking(By::Client), [both("10.0.0.2", 1000, 1400)]);
        assert_eq!(ranking(By::Server), [both("10.0.0.1", 1400, 1000)]);
        assert_eq!(ranking(By::Service), [both("10.0.0.1:443 tcp", 1400, 1000)]);
        assert_eq!(ranking(By::Port), [both("443 tcp", 1400, 1000)]);
        assert_eq!(ranking(By::Conversation), [both("10.0.0.2 10.0.0.1", 1000, 1400)]);
        let one = |name: &str| (name.to_owned(), 1, 500, 700);
        assert_eq!(ranking(By::Protocol), [one("tls"), one("tcp")]);
    }

    #[test]
    fn who_moves_more_in_the_second_half_grows() {
        let mut talkers = Talkers::new(By::Client).growing();
        for (number, bytes) in [(1, 1_000), (2, 1_000), (7, 9_000), (8, 9_000)] {
            let mut one = flow(number);
            (one.first.time, one.last.time) =
                (Timestamp(number as i64 * 1_000_000_000), Timestamp(number as i64 * 1_000_000_000));
            one.halves[0].bytes = bytes;
            talkers.add(&one);
        }
        let (talker, ..) = talkers.take_ranking().remove(0);
        let growth = talkers.growth(&talker).expect("kept");
        assert!(growth.after > 5.0 * growth.before && growth.before > 0.0, "{growth:?}");
    }

    #[test]
    fn too_many_are_counted_together_and_the_heavy_stay() {
        let mut talkers = Talkers { most: 8, ..Talkers::new(By::Client) };
        for number in 0..100u8 {
            let mut one = flow(u64::from(number) + 1);
            one.client.address = [10, 0, 1, number % 50].into();
            one.halves[0].bytes = if number % 50 == 7 { 1_000_000 } else { 100 };
            talkers.add(&one);
        }
        let ranking = talkers.take_ranking();
        assert!(ranking.len() <= 9, "{}", ranking.len());
        assert_eq!((ranking[0].0.to_string(), ranking[0].1.flows), ("10.0.1.7".to_owned(), 2));
        assert_eq!(ranking.iter().map(|(_, moved, _)| moved.flows).sum::<u64>(), 100);
        assert!((ranking.iter().map(|(.., share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
    }
}
