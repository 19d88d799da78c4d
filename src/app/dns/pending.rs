//! A transaction that may still be repeated or answered.

use crate::app::dns::{DnsMessage, ExtraResponse, Transaction};
use crate::dissect::PacketRef;
use crate::time::Timestamp;

/// A transaction, and what its further responses are compared with.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) transaction: Transaction,
    /// [`DnsMessage::answer_key`] of the first response.
    key: String,
}

impl Pending {
    pub(super) fn asked(message: &DnsMessage, at: PacketRef, deadline: Timestamp) -> Self {
        let question = message.question.as_ref();
        let transaction = Transaction {
            id: message.id,
            opcode: message.opcode,
            name: question.map_or_else(String::new, |question| question.name.clone()),
            qtype: question.map_or(0, |question| question.qtype),
            qclass: question.map_or(0, |question| question.qclass),
            query: Some(at),
            deadline,
            recursion_desired: message.recursion_desired,
            udp_size: message.edns.map(|edns| edns.udp_size),
            ..Transaction::default()
        };
        Self { transaction, key: String::new() }
    }

    pub(super) fn unasked(message: &DnsMessage, at: PacketRef, deadline: Timestamp) -> Self {
        let mut pending = Self::asked(message, at, deadline);
        (pending.transaction.query, pending.transaction.udp_size) = (None, None);
        pending.answer(message, at);
        pending
    }

    /// Bytes of memory that it takes, about; sending the query again adds nothing.
    pub(super) fn held(&self) -> usize {
        let answer = |answer: &String| size_of::<String>() + answer.len();
        let extra = self.transaction.extra.iter().flat_map(|extra| &extra.answers);
        let answers: usize = self.transaction.answers.iter().chain(extra).map(answer).sum();
        size_of::<Self>() + self.transaction.name.len() + self.key.len() + answers
    }

    pub(super) fn repeat(&mut self, at: PacketRef, deadline: Timestamp) {
        let transaction = &mut self.transaction;
        transaction.deadline = deadline;
        transaction.repeat_count += 1;
        if transaction.repeats.len() < Transaction::MAX_REPEATS {
            transaction.repeats.push(at);
        }
    }

    pub(super) fn answer(&mut self, message: &DnsMessage, at: PacketRef) {
        let key = message.answer_key();
        let transaction = &mut self.transaction;
        if transaction.response.is_some() {
            if transaction.extra.len() < Transaction::MAX_REPEATS {
                let same_content = transaction.rcode == Some(message.rcode) && self.key == key;
                let answers = if same_content { Vec::new() } else { texts(message) };
                transaction.extra.push(ExtraResponse { at, rcode: message.rcode, same_content, answers });
            }
            return;
        }
        let asked = transaction.repeats.last().or(transaction.query.as_ref());
        transaction.rtt = asked.map(|asked| at.time - asked.time);
        transaction.response = Some(at);
        transaction.rcode = Some(message.rcode);
        transaction.authoritative = message.authoritative;
        transaction.truncated = message.truncated;
        transaction.recursion_available = message.recursion_available;
        transaction.answers = texts(message);
        transaction.ttl = message.answers.iter().map(|record| record.ttl).min();
        transaction.errors = message.errors.clone();
        self.key = key;
    }

    /// When nothing more is waited for.
    pub(super) fn deadline(&self) -> Timestamp {
        self.transaction.closed_at()
    }
}

/// The answers, in their order.
fn texts(message: &DnsMessage) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}
