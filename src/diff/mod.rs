//! two captures, or reports on them -> what is new, gone, worse or other than before
//!
//! Each side becomes a [`Profile`]: services with their failures and times, hosts with the ways that their
//! packets come, certificates, answers to lookups, incidents. Services are held against each other by
//! address, else by name. Failures and times are compared by significance tests, the rest by sets of values:
//! those that share no value differ. So a rolling certificate or one of two ways is no difference.

mod change;
mod profile;
mod significance;
mod stored;
mod text;

use serde::Serialize;

pub use change::{Change, Comparison, Direction, Measure, Moved, Value};
pub use profile::{Capture, Known, Observer, Profile};
pub use stored::{Baseline, StoredError, report_at};
pub use text::write;

/// All that sets two captures apart.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// The version of this form.
    pub schema_version: &'static str,
    /// The first capture.
    pub before: Capture,
    /// The second.
    pub after: Capture,
    /// Incidents of the second only, the weightiest first.
    pub incidents_new: Vec<Known>,
    /// Incidents of both.
    pub incidents_still: Vec<Known>,
    /// Incidents of the first only.
    pub incidents_gone: Vec<Known>,
    /// What was measured.
    #[serde(flatten)]
    pub comparison: Comparison,
}

impl Diff {
    /// From `before` to `after`.
    pub fn new(before: Profile, after: Profile) -> Self {
        let comparison = Comparison::new(&before, &after);
        let knows = |known: &[Known], one: &Known| known.iter().any(|other| other.key == one.key);
        let (still, new): (Vec<Known>, Vec<Known>) =
            after.incidents.into_iter().partition(|one| knows(&before.incidents, one));
        let gone = before.incidents.into_iter().filter(|one| !knows(&still, one)).collect();
        Self {
            schema_version: "1.0",
            before: before.capture,
            after: after.capture,
            incidents_new: new,
            incidents_still: still,
            incidents_gone: gone,
            comparison,
        }
    }

    /// There is a new incident at warning or above, or something is worse for certain.
    pub fn is_worse(&self) -> bool {
        let weighs = |known: &Known| known.severity > crate::detect::Severity::Info;
        self.incidents_new.iter().any(weighs) || self.comparison.is_worse()
    }
}
