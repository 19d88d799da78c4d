//! Wireshark's `tcp.stream` numbers, folded over the streams of all partitions.
//!
//! A partition says which packet each of its streams began with. In the order of those packets over all
//! partitions the streams are numbered; a row has the stream of its partition, and gets the number when it
//! leaves.

use serde::{Deserialize, Serialize};

use crate::flow::{Finished, Row};

/// The numbers given so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StreamNumbers {
    /// By partition and stream; [`u32::MAX`] beyond the limit.
    numbers: Vec<Vec<u32>>,
    most: u32,
    given: u32,
    refused: u64,
}

impl StreamNumbers {
    /// None yet, of at most `most`.
    pub fn new(partitions: usize, most: u32) -> Self {
        Self { numbers: vec![Vec::new(); partitions], most, ..Self::default() }
    }

    /// Numbers streams by their first packets, of each partition those that follow on the ones it named
    /// before. A stream that began before any of them must have been numbered already.
    pub fn number(&mut self, born: Vec<Vec<u64>>) {
        let by_partition = born.into_iter().enumerate();
        let mut born: Vec<(u64, usize)> = by_partition
            .flat_map(|(partition, packets)| packets.into_iter().map(move |packet| (packet, partition)))
            .collect();
        // A packet begins one stream at most.
        born.sort_unstable();
        for (_, partition) in born {
            let number = if self.given < self.most { self.given } else { u32::MAX };
            match number {
                u32::MAX => self.refused += 1,
                _ => self.given += 1,
            }
            self.numbers[partition].push(number);
        }
    }

    /// Gives a row of a partition the number of its stream.
    pub fn resolve(&self, partition: usize, row: &mut Row) {
        if let (Finished::Flow(flow), Some(stream)) = (&mut row.what, row.stream) {
            let number = self.numbers.get(partition).and_then(|numbers| numbers.get(stream.0 as usize));
            flow.stream = number.copied().filter(|number| *number != u32::MAX);
        }
    }

    /// Streams beyond the limit.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_first_packets_of_all_partitions_up_to_the_limit() {
        let mut numbers = StreamNumbers::new(3, 4);
        numbers.number(vec![vec![2, 9], vec![], vec![1]]);
        numbers.number(vec![vec![12], vec![11, 14], vec![]]);
        assert_eq!(numbers.numbers, [vec![1, 2, u32::MAX], vec![3, u32::MAX], vec![0]]);
        assert_eq!(numbers.refused(), 2);
    }
}
