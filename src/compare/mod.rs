//! captures of the same traffic at several points -> what happened between the points
//!
//! A [`Point`] is a capture, or one interface of it. Packets are recognised by their content (a
//! `sighting`): sequence numbers, lengths, payload, never by addresses, TTL or options. So translated
//! addresses, tunnels and clamped segments do not matter. Points are compared with their neighbour, in the
//! order given: that of the way between them.
//!
//! Everything is read twice. The first reading takes a `sample` that any two points choose alike. It tells
//! which hosts are on which side ([`Way`]), and how the clocks stand ([`Clock`]). The second reads two points
//! side by side and holds every packet against those of a few seconds.
//!
//! What only one point recorded is not called lost unless the other would have recorded it: in its time, of a
//! conversation or at least of hosts that it sees, of a kind and direction that it records. [`Why`] says what
//! was left out.

mod changed;
mod clock;
mod conversations;
mod delays;
mod located;
mod pair;
mod pending;
mod point;
mod sample;
mod sides;
mod sighting;
mod table;
mod text;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::Serialize;

pub use changed::{Change, Field, Is};
pub use clock::{Basis, Clock};
pub use delays::{Delay, Interval};
pub use located::{Located, Losses, Placed};
pub use pair::{Direction, Event, Events, Fate, Pair, Place, Shown, Why};
pub use point::{Point, Seen};
pub use sides::Way;
pub use sighting::Kind;
pub use table::{Between, BetweenRow};
pub use text::write;

use crate::capture::{CaptureError, CaptureLimits, Hashes, Reader};
use crate::config::Config;
use crate::local::{self, Progress, Run};
use crate::report::model::Report;
use pair::Gauged;
use point::Stream;
use sample::Sample;

/// What happened between points.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The version of this form.
    pub schema_version: &'static str,
    /// The points, in the order given.
    pub points: Vec<Seen>,
    /// Every point and the next.
    pub pairs: Vec<Pair>,
    /// Incidents, and findings of none, of the points' own analyses that happened between two points; those
    /// of the first point first.
    pub incidents: Vec<Located>,
    /// Packets lost or made up in conversations beyond the 65536 of a pair that incidents are placed by.
    pub not_placed: u64,
}

/// How far a comparison has come.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Bytes read, of `total`.
    pub bytes: u64,
    /// Bytes to read in all; `None` when that is not known.
    pub total: Option<u64>,
}

impl Comparison {
    /// Compares every point with the next. `events` takes every packet that was lost or changed.
    ///
    /// # Errors
    /// When a point cannot be read, or not twice.
    pub fn new(
        points: Vec<Point>,
        limits: &CaptureLimits,
        events: &mut Events<'_>,
        progress: &(dyn Fn(Step) + Sync),
    ) -> Result<Self, CaptureError> {
        let mut gauged = Vec::with_capacity(points.len());
        for point in points {
            let mut stream = Stream::open(&point, limits)?;
            let mut sample = Sample::default();
            let mut taken = 0u64;
            while let Some(sighting) = stream.take() {
                sample.add(&sighting);
                taken += 1;
                if taken.is_multiple_of(1 << 16) {
                    let (bytes, total) = stream.progress();
                    progress(Step { bytes, total });
                }
            }
            gauged.push(Gauged { point, seen: stream.finish(), sample });
        }
        let mut pairs = Vec::new();
        for neighbours in gauged.windows(2) {
            let [a, b] = neighbours else { continue };
            let step = |one: &Stream, other: &Stream| {
                let ((read, all), (more, rest)) = (one.progress(), other.progress());
                progress(Step { bytes: read + more, total: all.zip(rest).map(|(all, rest)| all + rest) });
            };
            pairs.push(Pair::compare(a, b, limits, &mut |event| events(event), step)?);
        }
        let points = gauged.into_iter().map(|gauged| gauged.seen).collect();
        Ok(Self { schema_version: "1.2", points, pairs, incidents: Vec::new(), not_placed: 0 })
    }

    /// Analyses the `inputs` of the points, or the one whose interfaces they are, with the lines of a key
    /// log, and says between which points their incidents happened. Where nothing was lost or made up between
    /// the points, nothing is analysed.
    ///
    /// # Errors
    /// When an input cannot be read.
    pub fn locate(
        &mut self,
        losses: &Losses,
        inputs: &[PathBuf],
        keylog: &[u8],
        config: &Config,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<(), CaptureError> {
        let names: Vec<&str> = self.points.iter().map(|point| point.name.as_str()).collect();
        let of_each: Vec<&[&str]> = match inputs {
            [_] => vec![&names],
            _ => names.chunks(1).collect(),
        };
        let limits = CaptureLimits { hashes: Hashes::None, ..config.capture_limits() };
        let mut located = Vec::new();
        for (input, points) in inputs.iter().zip(of_each).filter(|_| !losses.is_empty()) {
            let reader = Reader::open(std::slice::from_ref(input), &limits)?;
            reader.keys().learn(keylog, 0);
            let mut known = losses.known(points);
            let outcome = local::analyze_set(reader, config, Run::default(), &mut known, progress)?;
            located.extend(losses.locate(points, &Report::new(&outcome, config), &known));
        }
        self.incidents = located::merged(located);
        self.not_placed = losses.passed_over();
        Ok(())
    }

    /// Something was lost, or made up, between two points.
    pub fn is_lossy(&self) -> bool {
        let bad = [Fate::Lost, Fate::Absent, Fate::Injected];
        let ways = self.pairs.iter().flat_map(|pair| [&pair.forth, &pair.back]);
        ways.into_iter().any(|way| bad.iter().any(|fate| way.of(*fate) > 0))
    }

    /// All of every point could be read.
    pub fn is_whole(&self) -> bool {
        !self.points.iter().any(|point| point.damaged)
    }
}
