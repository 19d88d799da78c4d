//! Round-trip estimates seen from the capture point.

use crate::time::Span;

/// Samples of one direction: from data of one side to the ACK of the other, at the capture point.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrip {
    min: Option<Span>,
    smoothed: Option<Span>,
    variation: Span,
    sum: Span,
    count: u64,
}

impl RoundTrip {
    /// Adds a sample from a segment that was sent once (Karn's rule), smoothed as RFC 6298 section 2 does.
    pub(super) fn sample(&mut self, span: Span) {
        if span < Span::ZERO {
            return;
        }
        self.min = Some(self.min.map_or(span, |min| min.min(span)));
        match self.smoothed {
            None => {
                self.smoothed = Some(span);
                self.variation = Span(span.0 / 2);
            }
            Some(smoothed) => {
                let off = (smoothed.0 - span.0).abs();
                self.variation = Span(self.variation.0 - self.variation.0 / 4 + off / 4);
                self.smoothed = Some(Span(smoothed.0 - smoothed.0 / 8 + span.0 / 8));
            }
        }
        self.sum += span;
        self.count += 1;
    }

    pub(super) fn min(&self) -> Option<Span> {
        self.min
    }

    pub(super) fn smoothed(&self) -> Option<Span> {
        self.smoothed
    }

    /// `4 * RTTVAR` of RFC 6298.
    pub(super) fn spread(&self) -> Span {
        Span(self.variation.0.saturating_mul(4))
    }

    pub(super) fn samples(&self) -> (Span, u64) {
        (self.sum, self.count)
    }
}
