use std::iter;

use proptest::prelude::*;

use super::*;
use crate::tally::Tally;

const LEASE: i64 = 300;
const RECIPE: Uuid = Uuid::from_u128(1);

#[test]
fn a_placement_is_remembered_for_one_lease() {
    let placements = placements(10);

    remember(&placements, RECIPE, &key(1), &[endpoint("a")], at(0));

    assert_eq!(remembered(&placements, 1, LEASE - 1), ["a"]);
    assert_eq!(remembered(&placements, 1, LEASE), [""; 0]);
}

#[test]
fn each_success_renews_the_lease() {
    let placements = placements(10);

    remember(&placements, RECIPE, &key(1), &[endpoint("a")], at(0));
    remember(&placements, RECIPE, &key(1), &[endpoint("a")], at(200));

    assert_eq!(remembered(&placements, 1, LEASE + 199), ["a"]);
}

#[test]
fn a_success_renews_only_those_that_served() {
    let placements = placements(10);
    remember(
        &placements,
        RECIPE,
        &key(1),
        &[endpoint("a"), endpoint("b")],
        at(0),
    );

    remember(&placements, RECIPE, &key(1), &[endpoint("b")], at(200));

    assert_eq!(remembered(&placements, 1, LEASE - 1), ["b", "a"]);
    assert_eq!(remembered(&placements, 1, LEASE), ["b"]);
}

#[test]
fn at_most_three_are_remembered_the_newest_first() {
    let placements = placements(10);
    remember(
        &placements,
        RECIPE,
        &key(1),
        &[endpoint("a"), endpoint("b")],
        at(0),
    );

    remember(
        &placements,
        RECIPE,
        &key(1),
        &[endpoint("c"), endpoint("d")],
        at(1),
    );

    assert_eq!(remembered(&placements, 1, 2), ["c", "d", "a"]);
}

#[test]
fn each_recipe_and_key_has_its_own() {
    let placements = placements(10);
    let other = Uuid::from_u128(2);

    remember(&placements, RECIPE, &key(1), &[endpoint("a")], at(0));
    remember(&placements, RECIPE, &key(2), &[endpoint("b")], at(0));
    remember(&placements, other, &key(1), &[endpoint("c")], at(0));

    assert_eq!(remembered(&placements, 1, 1), ["a"]);
    assert_eq!(remembered(&placements, 2, 1), ["b"]);
    assert_eq!(
        placements.remembered(other, &key(1), at(1)),
        [endpoint("c")]
    );
}

#[test]
fn one_cloudlet_is_forgotten_and_the_others_stay() {
    let placements = placements(10);
    remember(
        &placements,
        RECIPE,
        &key(1),
        &[endpoint("a"), endpoint("b")],
        at(0),
    );

    placements.forget(RECIPE, &key(1), &endpoint("a"));
    placements.forget(RECIPE, &key(1), &endpoint("c"));
    placements.forget(RECIPE, &key(2), &endpoint("b"));

    assert_eq!(remembered(&placements, 1, 1), ["b"]);
}

#[test]
fn beyond_the_capacity_the_one_renewed_longest_ago_goes() {
    let placements = placements(2);
    remember(&placements, RECIPE, &key(1), &[endpoint("a")], at(0));
    remember(&placements, RECIPE, &key(2), &[endpoint("b")], at(1));
    remember(&placements, RECIPE, &key(1), &[endpoint("a")], at(2));

    remember(&placements, RECIPE, &key(3), &[endpoint("c")], at(3));

    let left: Vec<_> = (1..=3)
        .map(|device| remembered(&placements, device, 4))
        .collect();
    assert_eq!(left, [vec!["a"], vec![], vec!["c"]]);
}

#[test]
fn what_succeeded_nowhere_is_not_remembered() {
    let placements = placements(1);
    remember(&placements, RECIPE, &key(1), &[endpoint("a")], at(0));

    remember(&placements, RECIPE, &key(2), &[], at(1));

    assert_eq!(remembered(&placements, 1, 2), ["a"]);
}

#[test]
fn placements_count_until_they_are_forgotten_or_their_lease_has_passed() {
    let (placements, tally) = (placements(10), Tally::default());
    let alive = || tally.placed().alive;
    let place = |device, second, was_there| {
        let served = [(endpoint("a"), tally.count(was_there).keep())];
        placements.remember(RECIPE, &key(device), served, at(second));
    };

    (1..4).for_each(|device| place(device, i64::from(device), false));
    place(3, 100, true);
    let placed = alive();
    placements.forget(RECIPE, &key(1), &endpoint("a"));
    let forgotten = alive();
    placements.expire(at(LEASE + 2));
    let expired = alive();
    placements.expire(at(LEASE + 100));

    assert_eq!([placed, forgotten, expired, alive()], [3, 2, 1, 0]);
}

#[test]
fn a_clock_that_is_set_back_makes_no_placement_outlive_its_lease() {
    let (placements, tally) = (placements(10), Tally::default());
    let place = |device, second| {
        let served = [(endpoint("a"), tally.count(false).keep())];
        placements.remember(RECIPE, &key(device), served, at(second));
    };
    place(1, 3600);
    place(2, 0);

    let before = [
        remembered(&placements, 1, LEASE - 1),
        remembered(&placements, 2, LEASE - 1),
    ];
    placements.expire(at(LEASE));

    assert_eq!(before, [["a"], ["a"]]);
    assert_eq!(remembered(&placements, 1, LEASE), [""; 0]);
    assert_eq!(tally.placed().alive, 0);
}

proptest! {
    #[test]
    fn memory_is_bounded_and_holds_nothing_twice(
        capacity in 0..4usize,
        events in prop::collection::vec((0..6u8, prop::collection::vec(0..5u8, 0..4), any::<bool>()), 0..60),
    ) {
        let placements = placements(capacity);
        for (second, (device, cloudlets, forgets)) in iter::zip(0.., events) {
            let endpoints: Vec<Endpoint> = cloudlets.iter().map(|number| endpoint(&number.to_string())).collect();
            match (forgets, endpoints.first()) {
                (true, Some(endpoint)) => placements.forget(RECIPE, &key(device), endpoint),
                _ => remember(&placements, RECIPE, &key(device), &endpoints, at(second)),
            }
            let records = placements.records();
            prop_assert!(records.by_holder.len() <= capacity);
            prop_assert_eq!(records.by_holder.len(), records.by_renewal.len());
            for record in records.by_holder.values() {
                let mut names: Vec<&str> = record.placements.iter().map(|placement| placement.endpoint.as_str()).collect();
                names.sort_unstable();
                names.dedup();
                prop_assert_eq!(names.len(), record.placements.len());
                prop_assert!((1..=MOST_CLOUDLETS).contains(&names.len()));
            }
        }
    }
}

fn placements(capacity: usize) -> Placements {
    Placements::new(SignedDuration::from_secs(LEASE), capacity)
}

/// Names of the cloudlets that serve a device at this second.
fn remember(
    placements: &Placements,
    recipe: Uuid,
    key: &PublicKey,
    endpoints: &[Endpoint],
    now: Timestamp,
) {
    let served = endpoints
        .iter()
        .map(|endpoint| (endpoint.clone(), Tally::default().count(false).keep()));
    placements.remember(recipe, key, served, now);
}

fn remembered(placements: &Placements, device: u8, second: i64) -> Vec<String> {
    let endpoints = placements.remembered(RECIPE, &key(device), at(second));
    endpoints
        .iter()
        .map(|endpoint| endpoint.host_str().to_owned())
        .collect()
}

fn key(device: u8) -> PublicKey {
    PublicKey::from_bytes([device; 32])
}

fn endpoint(name: &str) -> Endpoint {
    format!("https://{name}/api/v1/deploy").parse().unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}
