//! records, messages, flows -> [`Finding`]

mod context;
mod finding;
mod gate;
mod group;
mod rule;

pub use context::{Context, Totals};
pub use finding::*;
pub use rule::{Detector, Rule, Settings, Threshold};

use std::collections::BTreeMap;

use crate::app::dns::Transaction;
use crate::dissect::PacketRecord;
use crate::flow::{Flow, FlowHead};

/// Declares the detectors: one line each makes the module, its place in [`Detectors`] and in [`RULES`].
macro_rules! detectors {
    ($($module:ident :: $detector:ident,)*) => {
        $(mod $module;)*

        /// Every rule sheet, in the order findings of equal weight are listed.
        pub const RULES: &[Rule] = &[$($module::$detector::RULE,)*];

        /// One of each detector.
        pub struct Detectors {
            $($module: $module::$detector,)*
        }

        impl Detectors {
            /// Empty detectors with the thresholds of `configured` (detector name to threshold to value).
            pub fn new(configured: &BTreeMap<String, BTreeMap<String, f64>>) -> Self {
                Self {$(
                    $module: {
                        let rule = &$module::$detector::RULE;
                        Detector::new(&Settings::new(rule, configured.get(rule.name)))
                    },
                )*}
            }

            /// A packet went by.
            pub fn packet(&mut self, packet: &PacketRecord) {
                $(self.$module.packet(packet);)*
            }

            /// A DNS transaction was finished.
            pub fn transaction(&mut self, transaction: &Transaction, flow: &FlowHead) {
                $(self.$module.transaction(transaction, flow);)*
            }

            /// A flow was closed.
            pub fn flow(&mut self, flow: &Flow) {
                $(self.$module.flow(flow);)*
            }

            /// Adds what another partition counted.
            pub fn merge(&mut self, other: Self) {
                $(self.$module.merge(other.$module);)*
            }

            /// Every detector's verdict, in the order of [`RULES`].
            pub fn finish(self, context: &Context<'_>) -> Vec<(&'static Rule, Verdict)> {
                let mut rules = RULES.iter();
                let mut verdicts = Vec::with_capacity(RULES.len());
                $(
                    let verdict = self.$module.finish(context);
                    verdicts.extend(rules.next().map(|rule| (rule, verdict)));
                )*
                verdicts
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
    mtu_blackhole::MtuBlackhole,
    asymmetric_flow::AsymmetricFlow,
    retransmission::Retransmission,
    missing_syn_ack::MissingSynAck,
    rst_storm::RstStorm,
    tls_alert::TlsAlert,
    dns_servfail::DnsServfail,
}
