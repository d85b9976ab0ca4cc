use proptest::prelude::*;
use sinfonia_core::policy::Policy;
use sinfonia_core::ranking::Matcher;

use super::*;
use crate::replay::fleet;
use crate::replay::trace::{self, Format};

/// One that holds one deployment at longitude 0, one that holds two at longitude 10.
const TWO: &str = "\
endpoint: http://west/api/v1/deploy
location: [0, 0]
resources: {capacity: 1}
---
endpoint: http://east/api/v1/deploy
location: [0, 10]
resources: {capacity: 2}
local_networks: [198.18.0.0/16]
";
const WEST: usize = 0;
const EAST: usize = 1;

#[test]
fn a_full_cloudlet_refuses_and_the_next_one_is_asked() {
    let record = play("0,192.0.2.1,1,60\n1,192.0.2.2,1,60\n2,192.0.2.3,1,60\n3,192.0.2.4,1,60\n");

    assert_eq!(places(&record), [Some(WEST), Some(EAST), Some(EAST), None]);
    assert_eq!(tries(&record), [1, 2, 1, 2]);
}

#[test]
fn one_that_was_full_is_asked_after_others_for_a_minute() {
    let record = play(
        "\
0,192.0.2.1,1,5
1,192.0.2.2,1,5
10,192.0.2.3,1,5
60.9,192.0.2.4,1,5
61,192.0.2.5,1,5
",
    );

    assert_eq!(
        places(&record),
        [Some(WEST), Some(EAST), Some(EAST), Some(EAST), Some(WEST)]
    );
    assert_eq!(tries(&record), [1, 2, 1, 1, 1]);
}

#[test]
fn one_that_was_full_is_asked_all_the_same_where_others_are_full_too() {
    let record = play(
        "\
0,192.0.2.1,1,5
1,192.0.2.2,1,99
2,192.0.2.3,1,99
10,192.0.2.4,1,5
",
    );

    assert_eq!(
        places(&record),
        [Some(WEST), Some(EAST), Some(EAST), Some(WEST)]
    );
    assert_eq!(tries(&record), [1, 2, 1, 2]);
}

#[test]
fn the_place_of_a_deployment_is_free_at_the_moment_of_its_end() {
    let before = play("0,192.0.2.1,1,60\n59.9,192.0.2.2,1,60\n");
    let at_its_end = play("0,192.0.2.1,1,60\n60,192.0.2.2,1,60\n");

    assert_eq!(places(&before), [Some(WEST), Some(EAST)]);
    assert_eq!(places(&at_its_end), [Some(WEST), Some(WEST)]);
}

#[test]
fn a_device_that_comes_back_within_a_lease_is_sent_where_it_was() {
    let record = play(
        "\
0,192.0.2.1,1,60
1,192.0.2.2,1,9
300.9,192.0.2.2,1,9
601,192.0.2.2,1,9
",
    );

    assert_eq!(
        places(&record),
        [Some(WEST), Some(EAST), Some(EAST), Some(WEST)]
    );
}

#[test]
fn a_device_is_remembered_as_long_as_it_is_served() {
    let record = play("0,192.0.2.1,1,60\n1,192.0.2.2,1,700\n650,192.0.2.2,1,60\n");

    assert_eq!(places(&record), [Some(WEST), Some(EAST), Some(EAST)]);
}

#[test]
fn a_cloudlet_that_refused_a_device_is_no_longer_where_it_was() {
    let record = play(
        "\
0,192.0.2.1,1,10
20,192.0.2.2,1,40
30,192.0.2.1,1,10
100,192.0.2.1,1,10
",
    );

    assert_eq!(
        places(&record),
        [Some(WEST), Some(WEST), Some(EAST), Some(EAST)]
    );
    assert_eq!(tries(&record), [1, 1, 2, 1]);
}

#[test]
fn a_device_that_is_there_renews_and_needs_no_more_room() {
    let record =
        play("0,192.0.2.1,1,60\n30,192.0.2.1,1,60\n89,192.0.2.2,1,60\n149,192.0.2.3,1,60\n");

    assert_eq!(
        places(&record),
        [Some(WEST), Some(WEST), Some(EAST), Some(WEST)]
    );
    assert_eq!(tries(&record), [1, 1, 2, 1]);
}

#[test]
fn a_shorter_wish_does_not_end_a_deployment_earlier() {
    let record = play("0,192.0.2.1,1,60\n10,192.0.2.1,1,5\n50,192.0.2.2,1,60\n");

    assert_eq!(places(&record), [Some(WEST), Some(WEST), Some(EAST)]);
}

#[test]
fn matchers_order_as_in_tier_1() {
    let trace = requests("0,198.18.7.7,1,60\n");
    let fleet = fleet::parse(TWO).unwrap().sites;
    let (policy, thresholds) = (Policy::default(), unlimited());
    let place = |matchers: &[Matcher]| {
        places(&simulate(
            &trace,
            &fleet,
            rules(matchers, &policy, &thresholds),
        ))
    };

    assert_eq!(place(&[Matcher::Network, Matcher::Location]), [Some(EAST)]);
    assert_eq!(place(&[Matcher::Location, Matcher::Network]), [Some(WEST)]);
}

#[test]
fn a_policy_chooses_and_leaves_out() {
    let lines = "0,192.0.2.1,1,60\n1,192.0.2.2,1,60\n2,192.0.2.3,1,60\n";

    let preferring = play_by("prefer: resources.capacity", lines);
    let requiring = play_by("requires: distance_km < 500.0", lines);

    assert_eq!(places(&preferring), [Some(EAST), Some(EAST), Some(WEST)]);
    assert_eq!(places(&requiring), [Some(WEST), None, None]);
    assert_eq!(tries(&requiring), [1, 1, 1]);
}

#[test]
fn policies_know_the_last_report_and_what_was_placed_since_then() {
    let lines = "0,192.0.2.1,9,60\n1,192.0.2.2,9,60\n16,192.0.2.3,9,60\n";

    let reported = play_by("requires: resources.deployments < 1.0", lines);
    let placed = play_by("requires: deployments < 1.0", lines);
    let aged = play_by("requires: age_s < 1.0", lines);

    assert_eq!(places(&reported), [Some(EAST), Some(EAST), Some(WEST)]);
    assert_eq!(places(&placed), [Some(EAST), Some(WEST), Some(EAST)]);
    assert_eq!(places(&aged), [Some(WEST), None, None]);
}

#[test]
fn a_burst_is_spread_before_reports_tell_of_it() {
    let fleet = random_fleet(&[100, 100]);
    let burst: Vec<_> = (1..=90).map(|client| (7, client, 0.0, 60)).collect();

    let at_the_first = |thresholds: &Thresholds| {
        let record = play_on(&fleet, &random_trace(&burst), thresholds);
        places(&record)
            .iter()
            .filter(|place| **place == Some(0))
            .count()
    };

    assert_eq!(at_the_first(&unlimited()), 90);
    assert!((10..80).contains(&at_the_first(&Thresholds::default())));
}

#[test]
fn the_busy_come_last_once_they_have_reported() {
    let fleet = random_fleet(&[10, 10]);
    let mut devices: Vec<_> = (1..=10).map(|client| (0, client, 0.0, 600)).collect();
    devices.push((61, 11, 0.0, 60));

    let last = play_on(&fleet, &random_trace(&devices), &Thresholds::default()).outcomes[10];

    assert_eq!(
        (last.placement.map(|placement| placement.site), last.tries),
        (Some(1), 1)
    );
}

#[test]
fn what_gets_more_although_it_is_overloaded_is_told() {
    let fleet = random_fleet(&[10]);
    let mut devices: Vec<_> = (1..=9)
        .map(|client| (client.into(), client, 0.0, 600))
        .collect();
    devices.push((20, 9, 0.0, 600));

    let record = play_on(&fleet, &random_trace(&devices), &Thresholds::default());

    // The sixth is the first that comes to more than a half, and the last one was there.
    let is_overload = record.placements().map(|placement| placement.is_overload);
    assert_eq!(
        is_overload.collect::<Vec<_>>(),
        [
            false, false, false, false, false, false, true, true, true, false
        ]
    );
}

#[test]
fn utilisation_is_averaged_from_the_start_to_the_last_request() {
    let record = play("10,192.0.2.1,1,20\n40,192.0.2.2,1,60\n");

    assert_eq!(record.utilisation, [0.5, 0.0]);
}

#[test]
fn the_utilisation_of_one_moment_is_that_moments() {
    let record = play("0,192.0.2.1,1,20\n0,192.0.2.2,1,60\n");

    assert_eq!(record.utilisation, [1.0, 0.5]);
}

#[test]
fn the_course_tells_mean_and_highest() {
    let record = play("0,192.0.2.1,1,120\n240,192.0.2.2,9,60\n");

    let at = |time_s| {
        let found = record.course.iter().find(|sample| sample.time_s == time_s);
        found.map(|sample| (sample.mean, sample.highest))
    };
    assert_eq!(
        [at(0.0), at(119.0), at(120.0), at(240.0)],
        [
            Some((0.5, 1.0)),
            Some((0.5, 1.0)),
            Some((0.0, 0.0)),
            Some((0.25, 0.5))
        ]
    );
}

proptest! {
    #[test]
    fn nobody_is_rejected_while_there_is_room_and_nothing_holds_more_than_it_can(
        trace in prop::collection::vec((0..400_u32, 1..30_u8, -20.0..20.0, 1..200_u32), 1..60),
        capacities in prop::collection::vec(1..5_u32, 1..6),
    ) {
        let (trace, fleet) = (random_trace(&trace), random_fleet(&capacities));

        let record = play_on(&fleet, &trace, &Thresholds::default());

        prop_assert_eq!(record.outcomes.len(), trace.len());
        for outcome in &record.outcomes {
            prop_assert!(outcome.placement.is_some() || outcome.tries == fleet.len());
        }
        for sample in &record.course {
            prop_assert!(sample.mean <= sample.highest && sample.highest <= 1.0);
        }
        for utilisation in &record.utilisation {
            prop_assert!((0.0..=1.0 + 1e-9).contains(utilisation));
        }
        prop_assert_eq!(play_on(&fleet, &trace, &Thresholds::default()), record);
    }

    #[test]
    fn where_there_is_room_for_all_everyone_gets_the_first_that_is_asked(
        trace in prop::collection::vec((0..400_u32, 1..30_u8, -20.0..20.0, 1..200_u32), 1..60),
        cloudlets in 1..6_usize,
    ) {
        let (trace, fleet) = (random_trace(&trace), random_fleet(&vec![1000; cloudlets]));

        let record = play_on(&fleet, &trace, &Thresholds::default());

        prop_assert!(record.outcomes.iter().all(|outcome| outcome.placement.is_some() && outcome.tries == 1));
    }
}

fn rules<'a>(matchers: &'a [Matcher], policy: &'a Policy, thresholds: &'a Thresholds) -> Rules<'a> {
    Rules {
        ranking: RankingRules {
            matchers,
            policy,
            shortlist: 64,
        },
        thresholds,
        utilisation_limit: 0.5,
    }
}

/// Plays lines on the two, without a policy and without regard to load.
fn play(lines: &str) -> Record {
    play_by("", lines)
}

/// Plays lines on the two, by a policy.
fn play_by(policy: &str, lines: &str) -> Record {
    let policy = Policy::parse(&format!("description: of a test\n{policy}")).unwrap();
    let fleet = fleet::parse(TWO).unwrap().sites;
    let thresholds = unlimited();
    simulate(
        &requests(lines),
        &fleet,
        rules(&Matcher::ALL, &policy, &thresholds),
    )
}

fn play_on(fleet: &[Site], trace: &[Request], thresholds: &Thresholds) -> Record {
    simulate(
        trace,
        fleet,
        rules(&Matcher::ALL, &Policy::default(), thresholds),
    )
}

/// No thresholds, so that no cloudlet counts as overloaded.
fn unlimited() -> Thresholds {
    Thresholds::new(Vec::new()).unwrap()
}

/// Lines of time, client, longitude and duration.
fn requests(lines: &str) -> Vec<Request> {
    let lines = lines.lines().map(|line| format!("0,{line}\n"));
    let text = format!(
        "latitude,time,client,longitude,duration\n{}",
        lines.collect::<String>()
    );
    trace::parse(&text, Format::Csv).unwrap()
}

fn random_trace(requests_by_part: &[(u32, u8, f64, u32)]) -> Vec<Request> {
    let line = |(time, client, longitude, duration): &(u32, u8, f64, u32)| {
        format!("{time},192.0.2.{client},{longitude},{duration}\n")
    };
    requests(&requests_by_part.iter().map(line).collect::<String>())
}

fn random_fleet(capacities: &[u32]) -> Vec<Site> {
    let document = |(index, capacity): (usize, &u32)| {
        format!(
            "endpoint: http://c{index}/api/v1/deploy\nlocation: [0, {}]\nresources: {{capacity: {capacity}}}\n",
            index * 5
        )
    };
    let documents: Vec<String> = capacities.iter().enumerate().map(document).collect();
    fleet::parse(&documents.join("---\n")).unwrap().sites
}

fn places(record: &Record) -> Vec<Option<usize>> {
    let outcomes = record.outcomes.iter();
    outcomes
        .map(|outcome| outcome.placement.map(|placement| placement.site))
        .collect()
}

fn tries(record: &Record) -> Vec<usize> {
    record
        .outcomes
        .iter()
        .map(|outcome| outcome.tries)
        .collect()
}
