//! What happens to several hosts within a moment: what they share is the way to them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::time::{Span, Timestamp};

/// When something happened, and to which host, in order.
pub(super) type Moments = BTreeSet<(Timestamp, IpAddr)>;

/// The first time from which on most hosts are within `window`: that, and the last within it. `None` where
/// these are fewer than `least`.
pub(super) fn together(moments: &Moments, window: Span, least: usize) -> Option<[Timestamp; 2]> {
    let (mut ahead, mut until) = (moments.iter().peekable(), Timestamp::MIN);
    let mut hosts: BTreeMap<IpAddr, u32> = BTreeMap::new();
    let mut most: Option<(usize, Reverse<Timestamp>, Timestamp)> = None;
    for (from, host) in moments {
        while let Some((at, host)) = ahead.next_if(|(at, _)| *at - *from < window) {
            *hosts.entry(*host).or_default() += 1;
            until = *at;
        }
        most = most.max(Some((hosts.len(), Reverse(*from), until)));
        if let Some(left) = hosts.get_mut(host) {
            *left -= 1;
            if *left == 0 {
                hosts.remove(host);
            }
        }
    }
    let (_, from, until) = most.filter(|(hosts, ..)| *hosts >= least)?;
    Some([from.0, until])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_of_most_hosts_is_found() {
        let at = |seconds: i64| Timestamp(seconds * 1_000_000_000);
        let of = |moments: &[(i64, u8)]| -> Moments {
            moments.iter().map(|(seconds, host)| (at(*seconds), [10, 0, 0, *host].into())).collect()
        };
        let found = |moments: &[(i64, u8)], least| together(&of(moments), Span::secs(3), least);
        let moments = [(0, 1), (1, 2), (10, 1), (11, 1), (12, 2), (12, 3), (13, 4), (40, 5)];
        assert_eq!(found(&moments, 3), Some([at(11), at(13)]));
        assert_eq!(found(&moments, 5), None);
        assert_eq!(found(&[(0, 1), (1, 1), (2, 1)], 2), None);
        // Of moments that are alike the first; the window ends before its length.
        assert_eq!(found(&[(0, 1), (2, 2), (10, 1), (12, 2)], 2), Some([at(0), at(2)]));
        assert_eq!(found(&[(0, 1), (3, 2)], 2), None);
        assert_eq!(found(&[], 0), None);
    }

    /// All within one window: each is looked at once.
    #[test]
    fn many_moments_cost_no_more_each_than_few() {
        let moments: Moments = (0..60_000u32)
            .map(|host| (Timestamp(i64::from(host)), IpAddr::from(host.to_be_bytes())))
            .collect();
        assert_eq!(together(&moments, Span::secs(3), 3), Some([Timestamp(0), Timestamp(59_999)]));
    }
}
