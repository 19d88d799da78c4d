//! The rule sheet of a detector: what it looks for, the numbers it compares with, what its findings say.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::detect::{QualityIssue, Severity};
use crate::time::Span;

/// The rule sheet of a detector, as `explain` prints it.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// snake_case name: the same in file, module, TOML, CLI, JSON.
    pub name: &'static str,
    /// What it is about.
    pub group: Group,
    /// One line, lowercase, no full stop.
    pub summary: &'static str,
    /// What it judges: `flows`, `lookups`, `handshakes`, `requests`, `packets`, `files`.
    pub judges: &'static str,
    /// Its variants; one without a name when there is only one kind of finding.
    pub variants: &'static [VariantSheet],
    /// Its thresholds.
    pub thresholds: &'static [Threshold],
    /// Source text of its file, whose `//!` lines are the full documentation.
    pub source: &'static str,
}

/// What a detector is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// The recording itself. Its findings are no failure of the network, and cost nobody anything.
    Capture,
    /// The path between the hosts.
    Path,
    /// TCP connections.
    Tcp,
    /// TLS handshakes.
    Tls,
    /// Name resolution.
    Dns,
    /// What the applications do.
    Application,
}

impl Group {
    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        serde_variant::to_variant_name(&self).unwrap_or_default()
    }
}

/// What all findings of one variant have in common.
#[derive(Clone, Copy, Debug)]
pub struct VariantSheet {
    /// snake_case name, empty when the detector has one kind of finding only.
    pub name: &'static str,
    /// How much it matters as a rule; [`Draft::severity`](crate::detect::Draft::severity) changes it.
    pub severity: Severity,
    /// Explanations that fit the frames, the likeliest first.
    pub could_be: &'static [&'static str],
    /// What to do next to confirm or to refute.
    pub next: &'static [&'static str],
    /// What the frames do not show and the finding does not say.
    pub not_claimed: &'static [&'static str],
    /// Faults of the recording that make the finding less sure.
    pub doubted_by: &'static [QualityIssue],
}

impl VariantSheet {
    /// A sheet to fill: nothing but a name and a severity.
    pub const fn new(name: &'static str, severity: Severity) -> Self {
        Self { name, severity, could_be: &[], next: &[], not_claimed: &[], doubted_by: &[] }
    }
}

/// The variants of a detector.
pub trait Variant: Copy + Ord + Serialize + DeserializeOwned + Send + 'static {
    /// Their sheets.
    const SHEETS: &'static [VariantSheet];

    /// The sheet of this one.
    fn sheet(self) -> &'static VariantSheet;
}

/// Declares the variants of a detector with what their findings have in common.
macro_rules! variants {
    ($(#[$doc:meta])* enum $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident $text:literal $severity:ident {
            $($field:ident: $value:expr,)*
        })*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(super) enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $crate::detect::Variant for $name {
            const SHEETS: &'static [$crate::detect::VariantSheet] = &[$(
                $crate::detect::VariantSheet {
                    $($field: $value,)*
                    ..$crate::detect::VariantSheet::new($text, $crate::detect::Severity::$severity)
                },
            )*];

            fn sheet(self) -> &'static $crate::detect::VariantSheet {
                &Self::SHEETS[self as usize]
            }
        }
    };
}
pub(super) use variants;

/// One number a detector compares with, and whose number it is.
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    /// Key in `pcapsy.toml` under `[detect.<name>]`.
    pub key: &'static str,
    /// Default.
    pub default: f64,
    /// Unit: `s`, `connections`, `share`, `bytes`.
    pub unit: &'static str,
    /// What it decides.
    pub meaning: &'static str,
    /// RFC and section, or the tool whose rule it is, or why this number.
    pub source: &'static str,
}

impl Threshold {
    /// The value in force: the configured one, else the default.
    pub fn value(&self, configured: Option<&BTreeMap<String, f64>>) -> f64 {
        configured.and_then(|values| values.get(self.key)).copied().unwrap_or(self.default)
    }
}

/// The thresholds in force for one detector.
pub trait Thresholds: Sized {
    /// What they are.
    const THRESHOLDS: &'static [Threshold];

    /// The defaults with `configured` (threshold to value) over them.
    fn new(configured: Option<&BTreeMap<String, f64>>) -> Self;
}

/// A threshold as the detector compares with it.
pub trait Setting {
    /// From the number in the configuration.
    fn from_number(number: f64) -> Self;
}

impl Setting for f64 {
    fn from_number(number: f64) -> Self {
        number
    }
}

impl Setting for u64 {
    fn from_number(number: f64) -> Self {
        number as Self
    }
}

impl Setting for Span {
    fn from_number(number: f64) -> Self {
        Self::from_secs_f64(number)
    }
}

/// Declares a detector by its thresholds: key, type, default, unit, what it decides, whose number it is.
macro_rules! thresholds {
    ($(#[$doc:meta])* struct $name:ident {
        $($key:ident: $type:ty = $default:literal $unit:literal, $meaning:literal, $source:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(super) struct $name {
            $($key: $type,)*
        }

        impl $crate::detect::Thresholds for $name {
            const THRESHOLDS: &'static [$crate::detect::Threshold] = &[$($crate::detect::Threshold {
                key: stringify!($key),
                default: $default,
                unit: $unit,
                meaning: $meaning,
                source: $source,
            },)*];

            #[allow(unused_variables)]
            fn new(configured: Option<&std::collections::BTreeMap<String, f64>>) -> Self {
                Self {$(
                    $key: <$type as $crate::detect::Setting>::from_number(
                        configured
                            .and_then(|values| values.get(stringify!($key)))
                            .copied()
                            .unwrap_or($default),
                    ),
                )*}
            }
        }
    };
}
pub(super) use thresholds;

impl Rule {
    /// The documentation: the `//!` lines of the detector's file.
    pub fn documentation(&self) -> String {
        self.source
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n")
    }

    /// The names of its variants.
    pub fn variant_names(&self) -> impl Iterator<Item = &'static str> {
        self.variants.iter().map(|sheet| sheet.name).filter(|name| !name.is_empty())
    }
}
