//! The shape of a detector.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::app::dns::Transaction;
use crate::app::http::Exchange;
use crate::detect::{Book, Case, Context, Counts, Draft, Explains, Key, Merge, Rule, Thresholds, Variant};
use crate::dissect::{Arp, PacketRecord};
use crate::flow::{Flow, FlowHead};

/// Something that is counted, added up and travels between the stages.
pub trait State: Default + Merge + Clone + Debug + Serialize + DeserializeOwned + Send {}

impl<T: Default + Merge + Clone + Debug + Serialize + DeserializeOwned + Send> State for T {}

/// What a detector says of a case that it put together itself.
pub type Concluded<D> = (Draft<<D as Detector>::Variant>, Case<<D as Detector>::Counts>);

/// A detector counts while flows and messages go by, and judges when everything was counted. Its fields are
/// its thresholds. What it counts is in its [`Book`].
///
/// Every thread has a book of its own, and so has every partition that is tracked in another process. Which
/// rows a book is shown is left to chance, and books are merged in any order before anything is judged. So
/// hooks only count: sums, least and most, never "the last" or "the first ten to arrive".
pub trait Detector: Thresholds + Clone + Debug + Send + Sync {
    /// The rule sheet.
    const RULE: Rule;

    /// What its findings explain: findings of other rules that are symptoms of them.
    const EXPLAINS: &'static [Explains] = &[];

    /// Cases kept: far more than a report lists, and a few megabytes.
    const CASES: usize = 4096;

    /// The kinds of its findings.
    type Variant: Variant;
    /// What is counted together. `(Endpoint, Direction)` are the cases of a service by direction.
    type Key: Key;
    /// What it counts in a case.
    type Counts: State + Counts;
    /// What it counts of everything it judges, healthy or not, by subject.
    type Total: State;
    /// What it keeps beside its cases.
    type Notes: State;

    /// A flow was closed.
    fn flow(&self, _flow: &Flow, _book: &mut Book<Self>) {}

    /// A DNS transaction of `flow` was finished.
    fn transaction(&self, _transaction: &Transaction, _flow: &FlowHead, _book: &mut Book<Self>) {}

    /// An ARP message, or a neighbour solicitation or advertisement. No flow has them. Messages between the
    /// same two addresses come in capture order, and to one book.
    fn neighbour(&self, _packet: &PacketRecord, _arp: &Arp, _book: &mut Book<Self>) {}

    /// An HTTP exchange of `flow` was finished.
    fn exchange(&self, _exchange: &Exchange, _flow: &FlowHead, _book: &mut Book<Self>) {}

    /// Says what is about several cases, or about none. For that it takes cases out of the book, adds them
    /// up, or makes its own.
    fn conclude(&self, _book: &mut Book<Self>, _context: &Context<'_>) -> Vec<Concluded<Self>> {
        Vec::new()
    }

    /// Says what a case shows; `None` when that is no finding.
    fn judge(
        &self,
        _key: &Self::Key,
        _case: &Case<Self::Counts>,
        _book: &Book<Self>,
        _context: &Context<'_>,
    ) -> Option<Draft<Self::Variant>> {
        None
    }

    /// How many things it judged. `counted` went through [`Book::judged`]; a detector that judges packets or
    /// files asks the context.
    fn assessed(&self, counted: u64, _context: &Context<'_>) -> u64 {
        counted
    }
}
