//! The times between the files of a set in which nobody watched: what did not come then may have been there.

use crate::time::Timestamp;

/// From when to when nothing was watched, in the order of the files.
#[derive(Debug, Default)]
pub(in crate::flow) struct Pauses(Vec<(Timestamp, Timestamp)>);

impl Pauses {
    /// Adds a pause behind those that are known.
    pub(super) fn add(&mut self, pause: (Timestamp, Timestamp)) {
        if self.0.last().is_none_or(|known| known.0 < pause.0) {
            self.0.push(pause);
        }
    }

    /// Up to when somebody watched without a break who has seen a packet at `since` and waits until `until`.
    pub(super) fn watched(&self, since: Timestamp, until: Timestamp) -> Timestamp {
        let after = self.0.partition_point(|(from, _)| *from < since);
        self.0.get(after).map_or(until, |(from, _)| until.min(*from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pause_behind_the_packet_ends_the_watch() {
        let mut pauses = Pauses::default();
        for pause in [(10, 20), (10, 20), (50, 60)] {
            pauses.add((Timestamp(pause.0), Timestamp(pause.1)));
        }
        assert_eq!(pauses.0.len(), 2);
        let watched = |since, until| pauses.watched(Timestamp(since), Timestamp(until)).0;
        assert_eq!([watched(5, 8), watched(5, 30), watched(10, 30)], [8, 10, 10]);
        assert_eq!([watched(22, 40), watched(22, 70), watched(61, 90)], [40, 50, 90]);
    }
}
