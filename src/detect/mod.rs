//! records, messages, flows -> [`Finding`]
//!
//! A [`Detector`] counts in its [`Book`]. The book has a [`Case`] for everything that may become one finding,
//! and what was judged beside it. Partitions count apart; books are merged, then judged. A [`Draft`] has the
//! words. The [`Rule`] has what all findings of a variant share. Case, draft and rule make the finding.

mod answers;
mod bounded;
mod book;
mod case;
mod context;
mod counts;
mod described;
mod detector;
mod draft;
mod evidence;
mod explains;
mod finding;
mod heard;
mod hosts;
mod lookups;
mod merge;
mod own_names;
mod ports;
mod quality;
mod races;
mod rates;
mod resolvers;
mod rule;
pub mod scale;
mod scope;
#[cfg(test)]
mod testing;
mod translations;

pub use book::{Book, Field, Group as CaseGroup, Key, SubjectOf};
pub use bounded::{Bounded, Distinct, hash_of};
pub use case::Case;
pub use context::{ClockFault, Context, Totals};
pub use counts::{Count, Counts, Earliest, Latest, Least, Listed, Most};
pub use detector::{Concluded, Detector, State};
pub use draft::Draft;
pub use evidence::{Evidence, EvidenceSample, Role};
pub use explains::{Explains, Meet};
pub use finding::*;
pub use health_check::is_probed;
pub use heard::Heard;
pub use hosts::Hosts;
pub use http_error::request_failed;
pub use merge::Merge;
pub use quality::{Gate, Quality, QualityIssue};
pub use rule::{Group, Rule, Setting, Threshold, Thresholds, Variant, VariantSheet};
pub use scope::{Affected, Interval, Members, Scope};

use crate::humanize::{part_of, percent, plural, share, times};
use counts::counts;
use merge::merged;
use rule::{thresholds, variants};

use std::collections::BTreeMap;

use crate::app::dns::Transaction;
use crate::app::http::Exchange;
use crate::dissect::{Arp, PacketRecord};
use crate::flow::{Flow, FlowHead};

/// Thresholds by detector and name, as the configuration has them.
pub type Configured = BTreeMap<String, BTreeMap<String, f64>>;

/// Declares the detectors: one line each makes the module, its place in [`Detectors`] and in [`RULES`].
macro_rules! detectors {
    ($($module:ident :: $detector:ident,)*) => {
        $(mod $module;)*

        /// Every rule sheet, in the order findings of equal weight are listed.
        pub const RULES: &[Rule] = &[$($module::$detector::RULE,)*];

        /// What each rule explains, in the same order.
        pub const EXPLAINS: &[(&str, &[Explains])] =
            &[$((stringify!($module), <$module::$detector as Detector>::EXPLAINS),)*];

        /// All detectors: the thresholds in force, and how much they may remember.
        #[derive(Clone, Debug)]
        pub struct Detectors {
            halvings: u32,
            $($module: $module::$detector,)*
        }

        /// What all detectors counted in a partition, or in several.
        #[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
        pub struct Books {
            heard: Heard,
            $($module: Book<$module::$detector>,)*
        }

        impl Detectors {
            /// Detectors with these thresholds.
            pub fn new(configured: &Configured) -> Self {
                Self {
                    halvings: 0,
                    $($module: Thresholds::new(configured.get(stringify!($module))),)*
                }
            }

            /// The same with tables of fewer keys, halved so many times.
            pub fn narrowed(self, halvings: u32) -> Self {
                Self { halvings, ..self }
            }

            /// Books in which nothing was counted.
            pub fn books(&self) -> Books {
                let mut books = Books::default();
                books.narrow(self.halvings);
                books
            }

            /// A DNS transaction was finished.
            pub fn transaction(&self, transaction: &Transaction, flow: &FlowHead, books: &mut Books) {
                books.heard.transaction(transaction, flow);
                $(self.$module.transaction(transaction, flow, &mut books.$module);)*
            }

            /// Somebody asked for a link address, or said one.
            pub fn neighbour(&self, packet: &PacketRecord, arp: &Arp, books: &mut Books) {
                $(self.$module.neighbour(packet, arp, &mut books.$module);)*
            }

            /// An HTTP exchange was finished.
            pub fn exchange(&self, exchange: &Exchange, flow: &FlowHead, books: &mut Books) {
                $(self.$module.exchange(exchange, flow, &mut books.$module);)*
            }

            /// A flow was closed. One that a limit cut is shown to nobody: what it lacks was on the wire.
            pub fn flow(&self, flow: &Flow, books: &mut Books) {
                if flow.is_cut() {
                    return {$(books.$module.cut();)*};
                }
                books.heard.flow(flow);
                $(self.$module.flow(flow, &mut books.$module);)*
            }

            /// Every detector's verdict on what was counted in all partitions, in the order of [`RULES`].
            pub fn finish(&self, books: Books, context: &Context<'_>) -> Vec<(&'static Rule, Verdict)> {
                let hosts = &books.heard.hosts();
                let context = &Context { heard: &books.heard, hosts, ..*context };
                let mut verdicts = [$(books.$module.finish(&self.$module, context),)*];
                books.heard.translations.fold(verdicts.iter_mut());
                RULES.iter().zip(verdicts).collect()
            }
        }

        impl Merge for Books {
            fn absorb(&mut self, other: Self) {
                self.heard.absorb(other.heard);
                $(self.$module.absorb(other.$module);)*
            }

            fn narrow(&mut self, halvings: u32) {
                self.heard.narrow(halvings);
                $(self.$module.narrow(halvings);)*
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
    path_outage::PathOutage,
    icmp_unreachable::IcmpUnreachable,
    routing_loop::RoutingLoop,
    pmtud::Pmtud,
    echo_loss::EchoLoss,
    arp_unanswered::ArpUnanswered,
    duplicate_ip::DuplicateIp,
    fragment_loss::FragmentLoss,
    latency_shift::LatencyShift,
    retransmission::Retransmission,
    spurious_retransmission::SpuriousRetransmission,
    reordering::Reordering,
    missing_syn_ack::MissingSynAck,
    connection_refused::ConnectionRefused,
    rst_storm::RstStorm,
    zero_window::ZeroWindow,
    idle_timeout::IdleTimeout,
    keepalive_race::KeepaliveRace,
    half_close_leak::HalfCloseLeak,
    port_reuse::PortReuse,
    syn_flood::SynFlood,
    port_scan::PortScan,
    rst_injection::RstInjection,
    tls_alert::TlsAlert,
    tls_certificate::TlsCertificate,
    tls_stall::TlsStall,
    tls_abort::TlsAbort,
    quic::Quic,
    dns_servfail::DnsServfail,
    dns_unanswered::DnsUnanswered,
    dns_error::DnsError,
    dns_slow::DnsSlow,
    dns_truncation::DnsTruncation,
    dns_conflict::DnsConflict,
    dns_unexpected_resolver::DnsUnexpectedResolver,
    dns_search_list::DnsSearchList,
    slow_server::SlowServer,
    http_error::HttpError,
    health_check::HealthCheck,
    connection_churn::ConnectionChurn,
}
