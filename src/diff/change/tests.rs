use super::*;
use crate::diff::profile::{Capture, Observer};
use crate::dissect::Endpoint;
use crate::flow::Times;

fn key(address: &str, port: u16) -> ServiceKey {
    let server = Endpoint { address: address.parse().expect("an address"), port };
    ServiceKey { server, protocol: ServiceKey::TCP }
}

fn service(failed: u64, of: u64, name: &str) -> Measured {
    let names = BTreeSet::from([name.to_owned()]);
    Measured { names, attempts: Tally { of, failed }, ..Measured::default() }
}

fn profile(services: impl IntoIterator<Item = (ServiceKey, Measured)>) -> Profile {
    let (files, first_seen, last_seen) = (Vec::new(), None, None);
    let capture = Capture { files, packets: 1, first_seen, last_seen, services_unlisted: 0 };
    let services = services.into_iter().collect();
    Profile { capture, incidents: Vec::new(), services, seen: Some(Observer::default().seen) }
}

fn times(millis: std::ops::Range<i64>) -> Vec<(Phase, Lengths)> {
    let mut times = Times::default();
    millis.for_each(|millis| times.add(Span::millis(millis)));
    vec![(Phase::Connect, Lengths::All(times))]
}

#[test]
fn a_service_that_fails_now_is_worse_and_one_that_failed_is_better() {
    let services = |failed: [u64; 2]| {
        let [shop, api] = failed;
        profile([
            (key("10.0.0.1", 443), service(shop, 40, "shop")),
            (key("10.0.0.2", 443), service(api, 40, "api")),
        ])
    };
    let found = Comparison::new(&services([0, 30]), &services([30, 0]));
    let said: Vec<_> =
        found.changes.iter().map(|one| (one.subject.as_str(), one.direction, one.certain)).collect();
    assert_eq!(
        said,
        [("10.0.0.1:443 (shop)", Direction::Worse, true), ("10.0.0.2:443 (api)", Direction::Better, true),]
    );
    assert!(found.is_worse());
    assert!(!Comparison::new(&services([3, 3]), &services([3, 3])).is_worse());
}

#[test]
fn what_few_attempts_show_is_not_certain() {
    let of = |failed, of| profile([(key("10.0.0.1", 443), service(failed, of, "shop"))]);
    let found = Comparison::new(&of(0, 2), &of(2, 2));
    let [change] = found.changes.as_slice() else { panic!("{:?}", found.changes) };
    assert_eq!((change.direction, change.certain), (Direction::Worse, false));
    assert_eq!(doubt(change), "may be chance");
    assert!(!found.is_worse());
}

/// One of a hundred equal services is worse by chance at one in a hundred: that is no finding.
#[test]
fn chance_is_shared_out_over_all_comparisons() {
    let of = |failed: u64| {
        let quiet = (2..=100).map(|last| (key(&format!("10.0.0.{last}"), 443), service(1, 8, "a")));
        profile(quiet.chain([(key("10.0.0.1", 443), service(failed, 8, "b"))]))
    };
    let found = Comparison::new(&of(0), &of(6));
    let p = found.changes.first().and_then(|change| change.p).expect("tested");
    assert!(p < Comparison::CHANCE && !found.is_worse(), "{p}");
}

#[test]
fn longer_times_are_worse_and_small_differences_are_none() {
    let of =
        |millis| profile([(key("10.0.0.1", 443), Measured { times: times(millis), ..service(0, 20, "a") })]);
    assert!(Comparison::new(&of(10..30), &of(40..80)).is_worse());
    assert_eq!(Comparison::new(&of(10..30), &of(14..34)).changes, []);
    let few = Comparison::new(&of(10..13), &of(40..80));
    assert_eq!(few.changes.iter().map(doubt).collect::<Vec<_>>(), ["too few"]);
}

#[test]
fn a_service_that_moved_is_known_by_its_name() {
    let was =
        profile([(key("10.0.0.1", 443), service(0, 40, "shop")), (key("10.0.0.9", 22), service(0, 4, "x"))]);
    let is =
        profile([(key("10.9.0.1", 443), service(30, 40, "shop")), (key("10.9.0.9", 23), service(0, 4, "x"))]);
    let found = Comparison::new(&was, &is);
    let [moved] = found.moved.as_slice() else { panic!("{:?}", found.moved) };
    assert_eq!((moved.before.as_str(), moved.after.as_str()), ("10.0.0.1:443", "10.9.0.1:443"));
    assert_eq!(
        (found.services_new, found.services_gone),
        (vec!["10.9.0.9:23 (x)".to_owned()], vec!["10.0.0.9:22 (x)".to_owned()])
    );
    assert_eq!(found.changes.len(), 1);
    // Two of one name: nobody can say which of them moved.
    let two = profile([
        (key("10.9.0.1", 443), service(0, 40, "shop")),
        (key("10.9.0.2", 443), service(0, 40, "shop")),
    ]);
    assert!(Comparison::new(&was, &two).moved.is_empty());
}

#[test]
fn ways_differ_when_they_have_no_value_in_common() {
    let of = |ttl: &[u8], flows| {
        let mut profile = profile([]);
        let address = "10.0.0.1".parse().expect("an address");
        let hosts = &mut profile.seen.as_mut().expect("seen").hosts;
        let host = hosts.count(address).expect("room");
        (host.flows, host.ttl) = (flows, ttl.iter().copied().collect());
        profile
    };
    let found = |was: &[u8], is: &[u8], flows| Comparison::new(&of(was, flows), &of(is, flows)).changes;
    let [change] = &found(&[64], &[61], 3)[..] else { panic!("no change") };
    assert_eq!((change.measure, change.certain), (Measure::Ttl, true));
    assert_eq!(change.after, Value::Values(vec!["61".to_owned()]));
    assert_eq!(found(&[64, 61], &[61], 3), []);
    assert_eq!(found(&[64], &[61], 2), [], "one flow proves nothing");
}
