//! How far a run has come: bytes, packets per second, time left. On stderr, and only on a terminal.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

use crate::extract::Watch;
use crate::local::Progress;

/// A progress bar, or nothing.
#[derive(Clone)]
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    /// A bar when stderr is a terminal and nobody asked for quiet.
    pub(super) fn new(quiet: bool) -> Self {
        if quiet || !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner();
        bar.set_style(style("{spinner} {bytes} {bytes_per_sec} {msg}"));
        Self(Some(bar))
    }

    /// Shows how far the run has come.
    pub(super) fn show(&self, progress: Progress) {
        let Some(bar) = &self.0 else { return };
        if let Some(total) = progress.total_bytes
            && bar.length() != Some(total)
        {
            bar.set_length(total);
            bar.set_style(style("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left {msg}"));
        }
        let seconds = bar.elapsed().as_secs_f64();
        if seconds > 0.0 {
            let rate = (progress.packets as f64 / seconds) as u64;
            bar.set_message(format!("{} packets/s", crate::humanize::grouped(rate)));
        }
        bar.set_position(progress.bytes);
    }

    /// Shows how far readings of packets have come that were read before: each from its beginning.
    pub(super) fn again(&self, what: &'static str) -> Watch {
        let Some(bar) = self.0.clone() else { return Watch::default() };
        bar.set_style(style("{wide_bar} {human_pos}/{human_len} packets {eta} left {msg}"));
        bar.set_message(what);
        Watch::new(move |ordinal, last| {
            bar.set_length(last);
            if ordinal < bar.position() {
                bar.reset_eta();
            }
            bar.set_position(ordinal.min(last));
        })
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// The templates are constants; one that does not parse shows the default.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
