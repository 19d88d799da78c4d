//! Exchanges of a connection that are finished, until somebody takes them.

use crate::app::http::Exchange;
use crate::time::Timestamp;

/// Finished exchanges in the order in which they ended, and what all exchanges of the connection hold.
#[derive(Debug, Default)]
pub(in crate::app) struct Finished {
    exchanges: Vec<Exchange>,
    /// Bytes of memory that these and the unfinished ones take, about.
    held: usize,
}

impl Finished {
    /// Bytes of memory that the exchanges of the connection take, about.
    pub(in crate::app) fn held(&self) -> usize {
        self.held
    }

    /// An exchange takes so many bytes more.
    pub(in crate::app) fn hold(&mut self, bytes: usize) {
        self.held += bytes;
    }

    /// An exchange goes without being finished here.
    pub(in crate::app) fn release(&mut self, exchange: &Exchange) {
        self.held = self.held.saturating_sub(exchange.held());
    }

    /// An exchange ended at `clock`.
    pub(in crate::app) fn push(&mut self, exchange: Exchange, clock: Timestamp) {
        // Most connections have one, and room for four would be asked for.
        if self.exchanges.capacity() == 0 {
            self.exchanges.reserve_exact(1);
        }
        self.exchanges.push(Exchange { done: clock, ..exchange });
    }

    /// Those that nobody has taken.
    pub(in crate::app) fn waiting(&self) -> &[Exchange] {
        &self.exchanges
    }

    /// When the first of them ended.
    pub(in crate::app) fn next_deadline(&self) -> Option<Timestamp> {
        self.exchanges.first().map(|exchange| exchange.done)
    }

    /// Takes those that ended before `now`.
    pub(in crate::app) fn before(&mut self, now: Timestamp) -> Vec<Exchange> {
        let done = self.exchanges.iter().take_while(|exchange| exchange.done < now).count();
        self.take(done)
    }

    /// Takes all of them.
    pub(in crate::app) fn all(&mut self) -> Vec<Exchange> {
        self.take(self.exchanges.len())
    }

    fn take(&mut self, count: usize) -> Vec<Exchange> {
        if count == 0 {
            return Vec::new();
        }
        // Room is kept for what is left only.
        let left = self.exchanges.split_off(count);
        let taken = std::mem::replace(&mut self.exchanges, left);
        taken.iter().for_each(|exchange| self.release(exchange));
        taken
    }
}
