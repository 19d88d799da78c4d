//! Matches queries and responses of one flow.

use std::collections::VecDeque;

use crate::app::dns::pending::Pending;
use crate::app::dns::{DnsMessage, Transaction};
use crate::dissect::{Direction, PacketRef};
use crate::time::Timestamp;

/// Transactions of a flow that wait at a time; the earliest are kept.
const MAX_PENDING: usize = 1024;

/// The transactions of one flow, in the order of their queries.
#[derive(Clone, Debug, Default)]
pub struct Transactions {
    pending: VecDeque<Pending>,
    finished: Vec<Pending>,
    /// No pending one is finished by time before this. A repeated query waits longer, so it may be too early.
    earliest: Option<Timestamp>,
    /// Bytes of memory that both take, about.
    held: usize,
    overflow: u64,
}

impl Transactions {
    /// Bytes of memory that they take, about.
    pub fn held(&self) -> usize {
        size_of::<Self>() + self.held
    }

    /// Takes a message. What a message means depends on the packets before it and their times only.
    ///
    /// `clock` is the latest time of all packets of the capture so far.
    pub fn message(&mut self, direction: Direction, message: &DnsMessage, at: PacketRef, clock: Timestamp) {
        self.expire(clock);
        let deadline = clock + Transaction::WAIT;
        let question = message.question.as_ref();
        // RFC 5452 section 3, and the case of the letters is the client's to choose (draft 0x20).
        let same = |pending: &Pending| {
            let transaction = &pending.transaction;
            transaction.id == message.id
                && question.is_none_or(|question| {
                    question.qtype == transaction.qtype
                        && question.name.eq_ignore_ascii_case(&transaction.name)
                })
        };
        let latest = self.pending.iter_mut().rev().find(|pending| same(pending));
        if message.response && direction == Direction::ToClient {
            match latest.filter(|pending| pending.transaction.query.is_some()) {
                Some(pending) => {
                    let before = pending.held();
                    pending.answer(message, at);
                    self.held += pending.held() - before;
                }
                None => self.keep(Pending::unasked(message, at, deadline)),
            }
        } else if !message.response {
            let unanswered = |pending: &&mut Pending| {
                pending.transaction.query.is_some() && pending.transaction.response.is_none()
            };
            match latest.filter(unanswered) {
                Some(pending) => pending.repeat(at, deadline),
                None => self.keep(Pending::asked(message, at, deadline)),
            }
        }
    }

    fn keep(&mut self, pending: Pending) {
        if self.pending.len() < MAX_PENDING {
            if self.pending.capacity() == 0 {
                // Most flows carry one query.
                self.pending.reserve_exact(1);
            }
            self.held += pending.held();
            let deadline = pending.deadline();
            self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
            self.pending.push_back(pending);
        } else {
            self.overflow += 1;
        }
    }

    /// Finishes what nothing more is waited for at `now`.
    pub fn expire(&mut self, now: Timestamp) {
        if self.earliest.is_none_or(|earliest| earliest >= now) {
            return;
        }
        let (pending, finished) = (&mut self.pending, &mut self.finished);
        if pending.iter().any(|one| one.deadline() < now) {
            for one in std::mem::take(pending) {
                if one.deadline() < now { finished.push(one) } else { pending.push_back(one) }
            }
        }
        self.earliest = pending.iter().map(Pending::deadline).min();
    }

    /// When to ask for finished transactions again: no later than the next is finished by time.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        // What is finished already is handed out as soon as anybody asks.
        self.earliest.into_iter().chain(self.finished.iter().map(Pending::deadline)).min()
    }

    /// The transactions that are finished.
    pub fn drain_finished(&mut self) -> Vec<Transaction> {
        let finished = std::mem::take(&mut self.finished);
        self.held -= finished.iter().map(Pending::held).sum::<usize>();
        finished.into_iter().map(|pending| pending.transaction).collect()
    }

    /// The flow is over.
    pub fn finish_all(&mut self) {
        self.finished.extend(self.pending.drain(..));
        self.earliest = None;
    }

    /// Transactions that did not fit.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::dns::message::tests::message;
    use crate::app::dns::parse;
    use crate::time::Span;

    fn at(packet: u64, millis: i64) -> PacketRef {
        PacketRef { packet, time: Timestamp(0) + Span::millis(millis) }
    }

    fn run(steps: &[(u16, u16, i64)]) -> Vec<Transaction> {
        let mut transactions = Transactions::default();
        for (packet, (id, flags, millis)) in steps.iter().enumerate() {
            let parsed = parse(&message(*id, *flags, 1, [0, 0, 0], b"")).unwrap();
            let direction = if parsed.response { Direction::ToClient } else { Direction::ToServer };
            let at = at(packet as u64 + 1, *millis);
            transactions.message(direction, &parsed, at, at.time);
        }
        transactions.finish_all();
        transactions.drain_finished()
    }

    const QUERY: u16 = 0x0100;
    const SERVFAIL: u16 = 0x8182;
    const NOERROR: u16 = 0x8180;

    #[test]
    fn a_repeat_joins_its_query_and_the_response_is_timed_from_it() {
        let found = run(&[(7, QUERY, 0), (7, QUERY, 5_000), (7, SERVFAIL, 5_004)]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].repeat_count, found[0].rcode), (1, Some(2)));
        assert_eq!((found[0].rtt, found[0].waited()), (Some(Span::millis(4)), Some(Span::millis(5_004))));
    }

    #[test]
    fn a_reused_id_after_the_answer_is_another_transaction() {
        assert_eq!(run(&[(7, QUERY, 0), (7, NOERROR, 1), (7, QUERY, 2), (7, NOERROR, 3)]).len(), 2);
    }

    #[test]
    fn a_second_answer_is_kept_beside_the_first() {
        let found = run(&[(7, QUERY, 0), (7, NOERROR, 1), (7, SERVFAIL, 2)]);
        assert_eq!(found[0].extra.len(), 1);
        assert!(!found[0].extra[0].same_content);
    }

    #[test]
    fn an_answer_after_the_wait_answers_nothing() {
        let found = run(&[(7, QUERY, 0), (7, NOERROR, 30_001)]);
        assert_eq!(found.iter().filter(|transaction| transaction.query.is_none()).count(), 1);
        assert_eq!(found.iter().filter(|transaction| transaction.response.is_none()).count(), 1);
    }

    #[test]
    fn the_earliest_are_kept_when_the_table_is_full() {
        let mut transactions = Transactions::default();
        for id in 0..=MAX_PENDING as u16 {
            let parsed = parse(&message(id, QUERY, 1, [0, 0, 0], b"")).unwrap();
            transactions.message(Direction::ToServer, &parsed, at(u64::from(id), 0), Timestamp(0));
        }
        transactions.finish_all();
        assert_eq!(transactions.overflow(), 1);
        assert_eq!(transactions.drain_finished().len(), MAX_PENDING);
    }
}
