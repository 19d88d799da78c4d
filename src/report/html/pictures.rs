//! Which plots explain an incident, and the plot of the whole capture.

use std::collections::BTreeSet;

use maud::Markup;

use crate::detect::Finding;
use crate::dissect::Endpoint;
use crate::humanize::{grouped, plural};
use crate::report::announced::Announced;
use crate::report::course::{Attempt, Course, Measure};
use crate::report::html::budget::Budget;
use crate::report::html::canvas::{
    Axes, BAD, GOOD, Key, MARKED, OTHER, PLAIN, Shape, figure, seconds, short,
};
use crate::report::html::sequence;
use crate::report::html::words::Moments;
use crate::report::model::{CitedIncident, Report};
use crate::report::trace::{Trace, endpoint};
use crate::time::{Span, Timestamp};

/// A plot that can explain something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plot {
    /// Sequence numbers over time, of the deciding flow.
    Sequence,
    /// Sizes of datagrams over time, of the deciding flow.
    Sizes,
    /// Round trips over time.
    RoundTrip,
    /// SYN, SYN-ACK and RST over time.
    Openings,
    /// How long connections took to open.
    Connect,
    /// How long answers took, over time.
    Answers,
    /// The distribution of answers, here and elsewhere.
    Distribution,
    /// How long lookups took, over time.
    Lookups,
    /// TTL by direction, of the deciding flow.
    Ttl,
}

/// The plots for findings of a rule; those of no entry get [`USUAL`].
const PLOTS: &[(&str, &[Plot])] = {
    use Plot::*;
    &[
        ("mtu_blackhole", &[Sequence, Sizes]),
        ("pmtud", &[Sizes, Sequence]),
        ("fragment_loss", &[Sizes]),
        ("asymmetric_flow", &[Ttl, Sequence]),
        ("routing_loop", &[Ttl]),
        ("rst_injection", &[Ttl, Sequence]),
        ("duplicate_ip", &[Ttl]),
        ("latency_shift", &[RoundTrip]),
        ("spurious_retransmission", &[Sequence, RoundTrip]),
        ("zero_window", &[Sequence]),
        ("missing_syn_ack", &[Openings, Connect]),
        ("connection_refused", &[Openings]),
        ("rst_storm", &[Openings, Sequence]),
        ("syn_flood", &[Openings]),
        ("port_scan", &[Openings]),
        ("port_reuse", &[Openings]),
        ("connection_churn", &[Openings]),
        ("icmp_unreachable", &[Openings]),
        ("slow_server", &[Answers, Distribution]),
        ("http_error", &[Answers, Distribution]),
        ("health_check", &[Answers, Openings]),
        ("tls_stall", &[Sequence, Answers]),
        ("dns_servfail", &[Lookups]),
        ("dns_unanswered", &[Lookups]),
        ("dns_error", &[Lookups]),
        ("dns_slow", &[Lookups]),
        ("dns_truncation", &[Lookups]),
        ("dns_conflict", &[Lookups]),
        ("dns_unexpected_resolver", &[Lookups]),
        ("dns_search_list", &[Lookups]),
    ]
};

const USUAL: &[Plot] = &[Plot::Sequence];

/// Changes that somebody made, marked in a plot.
const MARKS: usize = 40;
const CHANGED: plotters::style::RGBColor = GOOD;

/// What pictures are drawn of.
pub(super) struct Pictures<'p> {
    pub(super) report: &'p Report,
    pub(super) course: &'p Course,
    pub(super) budget: &'p Budget,
    pub(super) moments: &'p Moments<'p>,
}

/// Times between which something is drawn, on an axis of seconds that begins at a round moment.
struct TimeAxis {
    begin: Timestamp,
    whole: Span,
    end: f64,
}

impl TimeAxis {
    fn new(first: Timestamp, last: Timestamp) -> Self {
        let whole = (last - first).max(Span::millis(1));
        let step = match whole.0 / 1_000_000_000 {
            ..2 => 50_000_000,
            2..8 => 500_000_000,
            8..60 => 1_000_000_000,
            60..600 => 10_000_000_000,
            _ => 60_000_000_000_i64,
        };
        let begin = Timestamp(first.0.saturating_sub(first.0.rem_euclid(step)));
        let end = (last - begin).as_secs_f64().max(1e-3);
        Self { begin, whole, end }
    }

    fn of(&self, time: Timestamp) -> f64 {
        (time - self.begin).as_secs_f64()
    }

    fn label(&self, moments: &Moments<'_>, value: f64) -> String {
        moments.label(self.begin + Span::from_secs_f64(value), self.whole)
    }
}

/// The next round number that is not below.
pub(super) fn ceiling(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let unit = 10f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.iter().map(|step| step * unit).find(|round| *round >= value * 1.02).unwrap_or(12.0 * unit)
}

/// Seconds as a power of ten, within what a plot shows.
fn decade(seconds: f64) -> f64 {
    seconds.clamp(1e-6, 1e5).log10()
}

impl Pictures<'_> {
    /// Attempts over the time of the capture, with the incidents as bands below.
    pub(super) fn capture(&self) -> Option<Markup> {
        let capture = &self.report.capture;
        let axis = TimeAxis::new(capture.first_seen?, capture.last_seen?);
        const LANES: usize = 12;
        let lanes: Vec<&CitedIncident> = self.report.incidents.iter().take(LANES).collect();
        let attempts = self.course.attempts();
        let width = attempts.width().as_secs_f64();
        let most = attempts.iter().map(|(_, counts)| counts.iter().sum::<u32>()).max().unwrap_or(0);
        if most == 0 && lanes.is_empty() {
            return None;
        }
        let top = ceiling(f64::from(most.max(1)));
        let lane = top / 7.0;
        let [well, failed, unknown] = attempts.iter().fold([0u64; 3], |mut all, (_, counts)| {
            all.iter_mut().zip(counts).for_each(|(all, one)| *all += u64::from(one));
            all
        });
        let begun = well + failed + unknown;
        let mut says = match begun {
            1 => "1 connection or lookup began".to_owned(),
            _ => format!("{} connections and lookups began", grouped(begun)),
        };
        if failed > 0 {
            says += &format!(", {} of them failed", grouped(failed));
        }
        if !lanes.is_empty() {
            says += ". Bands below show when incidents were active";
        }
        let marked = self.report.announced.iter().filter(|one| Some(one.time) >= capture.first_seen);
        let marked: Vec<&Announced> = marked.take(MARKS).collect();
        if !marked.is_empty() {
            says += ". Lines show when somebody changed something";
        }
        let bottom = -lane * (lanes.len() as f64 + 0.4);
        let key: [Key; 5] = [
            (Shape::Bar, PLAIN, "went well"),
            (Shape::Bar, BAD, "failed"),
            (Shape::Bar, OTHER, "cannot be judged"),
            (Shape::Bar, MARKED, "an incident was active"),
            (Shape::Line, CHANGED, "somebody changed something"),
        ];
        let kept = [well > 0, failed > 0, unknown > 0, !lanes.is_empty(), !marked.is_empty()];
        let key: Vec<Key> = key.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(key, _)| key).collect();
        let axes = Axes {
            height: 190 + 24 * lanes.len() as u32,
            // Room for the names of the bands.
            x: (if lanes.is_empty() { 0.0 } else { axis.end * -0.06 }, axis.end),
            y: (bottom, top),
            x_labels: 8,
            y_labels: 5 + lanes.len() * 2 / 3,
            x_name: "time",
            y_name: "begun",
            x_label: &|value| axis.label(self.moments, value),
            y_label: &|value| if value < -1e-9 { String::new() } else { short(value) },
        };
        figure(self.budget, "What happened when.", &(says + "."), &key, &axes, |canvas| {
            for (from, [well, failed, unknown]) in attempts.iter() {
                let (left, right) = (axis.of(from), axis.of(from) + width * 0.92);
                let mut base = 0.0;
                for (count, color) in [(well, PLAIN), (failed, BAD), (unknown, OTHER)] {
                    if count > 0 && right > 0.0 {
                        canvas.bar((left, base), (right, base + f64::from(count)), color, 1.0);
                        base += f64::from(count);
                    }
                }
            }
            for (number, one) in (1..).zip(&marked) {
                let at = axis.of(one.time);
                canvas.line(&[(at, bottom), (at, top)], CHANGED, 1);
                canvas.word((at, top), format!("C{number}"));
            }
            for (row, cited) in lanes.iter().enumerate() {
                let (high, low) = (-lane * (row as f64 + 0.35), -lane * (row as f64 + 1.0));
                for (from, until) in self.active(cited) {
                    let least = axis.end / 160.0;
                    let (left, right) = (axis.of(from), axis.of(until).max(axis.of(from) + least));
                    canvas.bar((left, low), (right, high), MARKED, 0.75);
                }
                canvas.word((axis.end * -0.055, high), cited.incident.id.clone());
            }
        })
    }

    /// When something of an incident was seen.
    fn active(&self, cited: &CitedIncident) -> Vec<(Timestamp, Timestamp)> {
        let places = std::iter::once(&cited.incident.root_place).chain(&cited.incident.places);
        let findings = places.filter_map(|place| self.report.findings.get(*place));
        let mut times: BTreeSet<(Timestamp, Timestamp)> = BTreeSet::new();
        for ranked in findings.take(64) {
            let finding = &ranked.finding;
            times.extend(finding.scope.intervals.iter().map(|interval| (interval.from, interval.until)));
            if finding.scope.intervals.is_empty() {
                times.extend(finding.first_seen.zip(finding.last_seen));
            }
        }
        let mut joined: Vec<(Timestamp, Timestamp)> = Vec::new();
        for (from, until) in times {
            match joined.last_mut().filter(|(_, last)| *last >= from) {
                Some((_, last)) => *last = until.max(*last),
                None => joined.push((from, until)),
            }
        }
        joined
    }

    /// The plots that explain an incident.
    pub(super) fn incident(&self, cited: &CitedIncident, trace: Option<&Trace>) -> Vec<Markup> {
        let Some(root) = self.report.findings.get(cited.incident.root_place) else { return Vec::new() };
        let root = &root.finding;
        let known = PLOTS.iter().find(|(rule, _)| *rule == root.detector);
        let plots = known.map_or(USUAL, |(_, plots)| plots);
        let servers: BTreeSet<Endpoint> =
            root.scope.servers.sample.iter().filter_map(|server| endpoint(server)).collect();
        plots.iter().filter_map(|plot| self.plot(*plot, cited, root, &servers, trace)).collect()
    }

    fn plot(
        &self,
        plot: Plot,
        cited: &CitedIncident,
        root: &Finding,
        servers: &BTreeSet<Endpoint>,
        trace: Option<&Trace>,
    ) -> Option<Markup> {
        let evidence: BTreeSet<u64> = root.evidence.iter().map(|frame| frame.packet).collect();
        match plot {
            Plot::Sequence => sequence::sequence(self.budget, trace?, &evidence),
            Plot::Sizes => sequence::sizes(self.budget, trace?, &evidence),
            Plot::Ttl => sequence::ttl(self.budget, trace?, &evidence),
            Plot::RoundTrip => self.over_time(
                cited,
                servers,
                "Round trips over time.",
                Measure::RoundTrip,
                "round trips",
                "without an end",
            ),
            Plot::Connect => self.over_time(
                cited,
                servers,
                "How long connections took to open.",
                Measure::Connect,
                "opened",
                "never opened",
            ),
            Plot::Answers => {
                let requests = self.course.sample(Measure::Response, |server| servers.contains(server));
                let measure = match requests.iter().all(Vec::is_empty) {
                    true => Measure::FirstByte,
                    false => Measure::Response,
                };
                let title = "How long the first byte of the answer took.";
                self.over_time(cited, servers, title, measure, "answered", "failed or never answered")
            }
            Plot::Lookups => self.over_time(
                cited,
                servers,
                "How long lookups took.",
                Measure::Lookup,
                "well",
                "SERVFAIL, REFUSED, or no response",
            ),
            Plot::Openings => self.openings(servers),
            Plot::Distribution => self.distribution(servers),
        }
    }

    /// Times of the services of an incident, one mark for each attempt, on a scale of powers of ten.
    fn over_time(
        &self,
        cited: &CitedIncident,
        servers: &BTreeSet<Endpoint>,
        title: &str,
        measure: Measure,
        good: &'static str,
        bad: &'static str,
    ) -> Option<Markup> {
        let [well, failed] = self.course.sample(measure, |server| servers.contains(server));
        let all = || well.iter().chain(&failed);
        if all().count() < 3 {
            return None;
        }
        let (first, last) = (all().map(|one| one.time).min()?, all().map(|one| one.time).max()?);
        let axis = TimeAxis::new(first, last);
        let took = |attempt: &Attempt| attempt.took.map(|took| decade(took.as_secs_f64()));
        let low = all().filter_map(took).fold(f64::INFINITY, f64::min);
        let high = all().filter_map(took).fold(f64::NEG_INFINITY, f64::max);
        if !low.is_finite() {
            return None;
        }
        let (low, high) = (low.floor().min(high.ceil() - 2.0), high.ceil());
        let open = failed.iter().any(|attempt| attempt.took.is_none());
        // Those without an end stand above all others.
        let (never, top) = (high + 0.35, if open { high + 0.6 } else { high });
        let mut parts = Vec::new();
        if let Some(median) = Self::median(&well) {
            parts.push(format!("{} {good}, median {median}", grouped(well.len() as u64)));
        }
        if !failed.is_empty() {
            parts.push(format!("{} {bad}", grouped(failed.len() as u64)));
        }
        if measure == Measure::FirstByte {
            parts.push("of each connection the four longest waits".to_owned());
        }
        let says = parts.join("; ");
        let whole = Self::sampled(&well, &failed);
        let mut key: Vec<Key> = Vec::new();
        key.extend((!well.is_empty()).then_some((Shape::Dot, PLAIN, good)));
        key.extend((!failed.is_empty()).then_some((Shape::Cross, BAD, bad)));
        key.push((Shape::Bar, MARKED, "the incident was active"));
        let axes = Axes {
            height: 260,
            x: (0.0, axis.end),
            y: (low, top),
            x_labels: 8,
            y_labels: (high - low) as usize + 1,
            x_name: "time",
            y_name: "took",
            x_label: &|value| axis.label(self.moments, value),
            y_label: &|value| match value {
                value if value > high + 0.01 => String::new(),
                value => seconds(10f64.powf(value)),
            },
        };
        figure(self.budget, title, &format!("{says}{whole}."), &key, &axes, |canvas| {
            for (from, until) in self.active(cited) {
                canvas.bar((axis.of(from), low), (axis.of(until), top), MARKED, 0.12);
            }
            for attempt in &well {
                if let Some(took) = took(attempt) {
                    canvas.mark(Shape::Dot, (axis.of(attempt.time), took), PLAIN);
                }
            }
            for attempt in &failed {
                let at = took(attempt).unwrap_or(never);
                canvas.mark(Shape::Cross, (axis.of(attempt.time), at), BAD);
            }
        })
    }

    fn median(attempts: &[Attempt]) -> Option<Span> {
        let mut took: Vec<Span> = attempts.iter().filter_map(|attempt| attempt.took).collect();
        took.sort_unstable();
        took.get(took.len() / 2).copied()
    }

    /// Says so when not all attempts are drawn.
    fn sampled(well: &[Attempt], failed: &[Attempt]) -> &'static str {
        match well.len().max(failed.len()) {
            ..160 => "",
            _ => "; a sample of fixed size is drawn",
        }
    }

    /// SYN, SYN-ACK and RST of the service with the most of them.
    fn openings(&self, servers: &BTreeSet<Endpoint>) -> Option<Markup> {
        let count = |server: &Endpoint| {
            let openings = self.course.openings(*server)?;
            Some(openings.iter().map(|(_, [syns, ..])| u64::from(syns)).sum::<u64>())
        };
        let mut ranked: Vec<(u64, &Endpoint)> =
            servers.iter().filter_map(|server| Some((count(server)?, server))).collect();
        ranked.sort_by_key(|(syns, server)| (std::cmp::Reverse(*syns), **server));
        let (_, server) = *ranked.first().filter(|(syns, _)| *syns > 0)?;
        let openings = self.course.openings(*server)?;
        let (first, last) = (openings.iter().next()?.0, openings.iter().last()?.0);
        let axis = TimeAxis::new(first, last + openings.width());
        let width = openings.width().as_secs_f64();
        let most = openings.iter().flat_map(|(_, counts)| counts).max().unwrap_or(0);
        let top = ceiling(f64::from(most));
        let [syns, answers, resets] = openings.iter().fold([0u64; 3], |mut all, (_, counts)| {
            all.iter_mut().zip(counts).for_each(|(all, one)| *all += u64::from(one));
            all
        });
        let says = format!(
            "{server}: {} SYN, {} SYN-ACK, {} RST. At most 16 of each are counted for a connection.",
            grouped(syns),
            grouped(answers),
            grouped(resets)
        );
        let key = [(Shape::Bar, PLAIN, "SYN"), (Shape::Bar, GOOD, "SYN-ACK"), (Shape::Bar, BAD, "RST")];
        let every = seconds(width);
        let y_name = format!("per {every}");
        let axes = Axes {
            height: 240,
            x: (0.0, axis.end),
            y: (0.0, top),
            x_labels: 8,
            y_labels: 5,
            x_name: "time",
            y_name: &y_name,
            x_label: &|value| axis.label(self.moments, value),
            y_label: &short,
        };
        figure(self.budget, "SYN against SYN-ACK over time.", &says, &key, &axes, |canvas| {
            for (from, counts) in openings.iter() {
                let left = axis.of(from);
                for (place, (count, color)) in counts.into_iter().zip([PLAIN, GOOD, BAD]).enumerate() {
                    if count > 0 {
                        let begin = left + width * (0.06 + 0.29 * place as f64);
                        canvas.bar((begin, 0.0), (begin + width * 0.26, f64::from(count)), color, 1.0);
                    }
                }
            }
        })
    }

    /// What share of the answers came within which time: at the services of the incident, and elsewhere.
    fn distribution(&self, servers: &BTreeSet<Endpoint>) -> Option<Markup> {
        let times = |measure, here: bool| {
            let [well, failed] = self.course.sample(measure, |server| servers.contains(server) == here);
            let mut took: Vec<f64> = well
                .iter()
                .chain(&failed)
                .filter_map(|attempt| Some(decade(attempt.took?.as_secs_f64())))
                .collect();
            took.sort_by(f64::total_cmp);
            took
        };
        let measures = [Measure::Response, Measure::FirstByte, Measure::RoundTrip];
        let compared = measures.map(|measure| (times(measure, true), times(measure, false)));
        let (here, there) = compared.into_iter().find(|(here, there)| here.len() >= 3 && there.len() >= 3)?;
        let low = here.first()?.min(*there.first()?).floor();
        let high = here.last()?.max(*there.last()?).ceil().max(low + 1.0);
        let middle = |took: &[f64]| took.get(took.len() / 2).map(|value| seconds(10f64.powf(*value)));
        let says = format!(
            "Half of {} here took at most {}, half of {} at other services at most {}.",
            plural(here.len() as u64, "answer"),
            middle(&here)?,
            plural(there.len() as u64, "answer"),
            middle(&there)?
        );
        let key =
            [(Shape::Line, BAD, "the services of this incident"), (Shape::Line, GOOD, "all other services")];
        let axes = Axes {
            height: 240,
            x: (low, high),
            y: (0.0, 1.0),
            x_labels: (high - low) as usize + 1,
            y_labels: 5,
            x_name: "took at most",
            y_name: "share",
            x_label: &|value| seconds(10f64.powf(value)),
            y_label: &|value| format!("{:.0} %", value * 100.0),
        };
        figure(self.budget, "How long answers took, here and elsewhere.", &says, &key, &axes, |canvas| {
            for (took, color) in [(&there, GOOD), (&here, BAD)] {
                let mut steps = vec![(low, 0.0)];
                for (place, at) in took.iter().enumerate() {
                    steps.push((*at, place as f64 / took.len() as f64));
                    steps.push((*at, (place + 1) as f64 / took.len() as f64));
                }
                steps.push((high, 1.0));
                canvas.line(&steps, color, 2);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::RULES;

    #[test]
    fn plots_are_named_for_rules_that_exist() {
        for (rule, plots) in PLOTS {
            assert!(RULES.iter().any(|known| known.name == *rule), "{rule}");
            assert!(!plots.is_empty(), "{rule}");
        }
    }

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([0.0, 1.0, 7.0, 950.0, 10.0].map(ceiling), [1.0, 1.5, 8.0, 1_000.0, 15.0]);
    }
}
