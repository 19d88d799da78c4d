//! records, messages, flows -> [`Finding`]
//!
//! A [`Detector`] counts in its [`Book`]: a [`Case`] for everything that may become one finding, and what was judged
//! beside it. Partitions count apart; books are merged, then judged. A [`Draft`] has the words, the [`Rule`] what all
//! findings of a variant share, and the finding is made of the three.

mod bounded;
mod book;
mod case;
mod context;
mod counts;
mod detector;
mod draft;
mod evidence;
mod finding;
mod merge;
mod quality;
mod rule;
mod scope;
#[cfg(test)]
mod testing;

pub use book::{Book, Field, Group as CaseGroup, Key, SubjectOf};
pub use bounded::{Bounded, Distinct, hash_of};
pub use case::Case;
pub use context::{Context, Totals};
pub use counts::{Count, Counts, Least, Listed, Most};
pub use detector::{Concluded, Detector, State};
pub use draft::Draft;
pub use evidence::{Evidence, EvidenceSample, Role};
pub use finding::*;
pub use merge::Merge;
pub use quality::{Gate, Quality, QualityIssue};
pub use rule::{Group, Rule, Setting, Threshold, Thresholds, Variant, VariantSheet};
pub use scope::{Affected, Interval, Members, Scope};

use crate::humanize::{percent, plural, share};
use counts::counts;
use rule::{thresholds, variants};

use std::collections::BTreeMap;

use crate::app::dns::Transaction;
use crate::flow::{Flow, FlowHead};

/// Thresholds by detector and name, as the configuration has them.
pub type Configured = BTreeMap<String, BTreeMap<String, f64>>;

/// Declares the detectors: one line each makes the module, its place in [`Detectors`] and in [`RULES`].
macro_rules! detectors {
    ($($module:ident :: $detector:ident,)*) => {
        $(mod $module;)*

        /// Every rule sheet, in the order findings of equal weight are listed.
        pub const RULES: &[Rule] = &[$($module::$detector::RULE,)*];

        /// All detectors with what they counted.
        pub struct Detectors {
            $($module: ($module::$detector, Book<$module::$detector>),)*
        }

        impl Detectors {
            /// Detectors that have counted nothing yet.
            pub fn new(configured: &Configured) -> Self {
                Self {$(
                    $module: (Thresholds::new(configured.get(stringify!($module))), Book::default()),
                )*}
            }

            /// A DNS transaction was finished.
            pub fn transaction(&mut self, transaction: &Transaction, flow: &FlowHead) {
                $(self.$module.0.transaction(transaction, flow, &mut self.$module.1);)*
            }

            /// A flow was closed.
            pub fn flow(&mut self, flow: &Flow) {
                $(self.$module.0.flow(flow, &mut self.$module.1);)*
            }

            /// Adds what another partition counted.
            pub fn merge(&mut self, other: Self) {
                $(self.$module.1.absorb(other.$module.1);)*
            }

            /// Every detector's verdict, in the order of [`RULES`].
            pub fn finish(self, context: &Context<'_>) -> Vec<(&'static Rule, Verdict)> {
                let verdicts = [$(self.$module.1.finish(&self.$module.0, context),)*];
                RULES.iter().zip(verdicts).collect()
            }

            /// What was counted, in the byte form between stages.
            ///
            /// # Errors
            /// When memory for it cannot be had.
            pub fn save(&self) -> Result<Vec<u8>, postcard::Error> {
                let mut bytes = Vec::new();
                $(bytes = postcard::to_extend(&self.$module.1, bytes)?;)*
                Ok(bytes)
            }

            /// The detectors that [`save`](Self::save) wrote, with the same thresholds.
            ///
            /// # Errors
            /// When the bytes are not what was written.
            pub fn load(configured: &Configured, bytes: &[u8]) -> Result<Self, postcard::Error> {
                let mut detectors = Self::new(configured);
                let mut rest = bytes;
                $((detectors.$module.1, rest) = postcard::take_from_bytes(rest)?;)*
                match rest {
                    [] => Ok(detectors),
                    _ => Err(postcard::Error::DeserializeBadEncoding),
                }
            }
        }
    };
}

detectors! {
    capture_loss::CaptureLoss,
    capture_duplicates::CaptureDuplicates,
    capture_truncated::CaptureTruncated,
    capture_offload::CaptureOffload,
    capture_disorder::CaptureDisorder,
    capture_midstream::CaptureMidstream,
    capture_damaged::CaptureDamaged,
    capture_gap::CaptureGap,
    missing_syn_ack::MissingSynAck,
}
