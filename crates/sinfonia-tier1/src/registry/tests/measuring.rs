//! What is measured of cloudlets of the file beside their reports.

use sinfonia_core::ranking::Class;

use super::*;

#[test]
fn what_is_measured_takes_the_place_of_what_the_file_states() {
    let registry = with_file([full_file(ONE)]);

    registry.measured(&endpoint(ONE), used([("queue", 3.0)]), at(7));

    let expected = CloudletInfo {
        resources: Some(used([("queue", 3.0)])),
        last_update: Some(at(7)),
        ..full_file(ONE).info
    };
    assert_eq!(
        cloudlet(&registry, ONE),
        Cloudlet::new(expected, &Surroundings::default())
    );
}

#[test]
fn measurements_lie_over_a_report_and_leave_the_rest_of_it_alone() {
    let registry = with_file([full_file(ONE)]);
    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();
    let before = cloudlet(&registry, ONE);

    registry.measured(&endpoint(ONE), used([("queue", 3.0)]), at(7));
    let beside = cloudlet(&registry, ONE);
    registry.measured(&endpoint(ONE), used([("cpu_ratio", 0.5)]), at(9));
    let over = cloudlet(&registry, ONE);

    let expected = |resources: Resources, seconds| Cloudlet {
        resources: resources.into(),
        last_update: Some(at(seconds)),
        ..before.clone()
    };
    let cpu_of_report = ("cpu_ratio", 0.75);
    assert_eq!(beside, expected(used([("queue", 3.0), cpu_of_report]), 7));
    assert_eq!(over, expected(used([("cpu_ratio", 0.5)]), 9));
}

#[rstest]
#[case::both_are_fresh(0, 45, &[("cpu_ratio", 0.75), ("queue", 3.0)])]
#[case::the_report_is_stale(0, 46, &[("queue", 3.0)])]
#[case::the_measurement_is_stale(46, 0, &[("cpu_ratio", 0.75)])]
fn of_report_and_measurement_the_older_one_goes_when_it_is_stale(
    #[case] reported: i64,
    #[case] measured: i64,
    #[case] expected: &[(&str, f64)],
) {
    let registry = with_file([full_file(ONE)]);

    let report = || {
        registry
            .report(full_report(A, ONE), &Bearer.authority(), at(reported))
            .unwrap();
    };
    let measure = || registry.measured(&endpoint(ONE), used([("queue", 3.0)]), at(measured));
    if reported < measured {
        report();
        measure();
    } else {
        measure();
        report();
    }

    let cloudlet = cloudlet(&registry, ONE);
    assert_eq!(
        Resources::from(&cloudlet.resources),
        used(expected.iter().copied())
    );
    assert_eq!(cloudlet.last_update, Some(at(reported.max(measured))));
}

#[test]
fn what_was_measured_goes_when_nothing_is_for_five_minutes() {
    let registry = with_file([full_file(ONE)]);
    registry.measured(&endpoint(ONE), used([("queue", 3.0)]), at(0));

    let early = registry.expire(at(299));
    let first = registry.expire(at(300));
    let second = registry.expire(at(305));
    let silent = cloudlet(&registry, ONE);
    registry.measured(&endpoint(ONE), used([("queue", 4.0)]), at(310));

    assert_eq!(
        [early.silent, first.silent, second.silent],
        [vec![], vec![endpoint(ONE)], vec![]]
    );
    assert_eq!(silent.resources, Measurements::default());
    assert_eq!(silent.last_update, Some(at(0)));
    assert_eq!(resources(&registry, ONE), used([("queue", 4.0)]));
}

#[test]
fn a_report_outlives_the_end_of_measurements_and_they_outlive_it() {
    let registry = with_file([full_file(ONE), full_file(TWO)]);
    registry.measured(&endpoint(ONE), used([("queue", 3.0)]), at(0));
    registry.measured(&endpoint(TWO), used([("queue", 3.0)]), at(280));
    for (uuid, url, seconds) in [(A, ONE, 280), (B, TWO, 0)] {
        registry
            .report(full_report(uuid, url), &Bearer.authority(), at(seconds))
            .unwrap();
    }

    let expired = registry.expire(at(300));

    assert_eq!(expired.silent, [endpoint(ONE), endpoint(TWO)]);
    assert_eq!(resources(&registry, ONE), used([("cpu_ratio", 0.75)]));
    assert_eq!(resources(&registry, TWO), used([("queue", 3.0)]));
}

#[test]
fn what_was_measured_stays_when_the_file_is_read_again_and_goes_when_nobody_measures() {
    let registry = with_file([full_file(ONE)]);
    registry.measured(&endpoint(ONE), used([("queue", 3.0)]), at(0));

    registry.replace_file(vec![full_file(TWO), full_file(ONE)]);
    let read_again = resources(&registry, ONE);
    registry.unmeasured(&endpoint(ONE));

    assert_eq!(read_again, used([("queue", 3.0)]));
    assert_eq!(
        cloudlet(&registry, ONE),
        Cloudlet::new(full_file(ONE).info, &Surroundings::default())
    );
}

#[test]
fn what_the_file_does_not_name_is_not_measured() {
    let registry = Registry::new();
    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();
    let before = registry.at(&endpoint(ONE));

    registry.measured(&endpoint(ONE), used([("queue", 3.0)]), at(1));
    registry.measured(&endpoint(TWO), used([("queue", 3.0)]), at(1));

    assert_eq!(registry.at(&endpoint(ONE)), before);
    assert_eq!(registry.at(&endpoint(TWO)), None);
}

#[test]
fn measurements_leave_the_roster_as_it_is() {
    let registry = with_file([full_file(ONE)]);
    let before = registry.roster();

    registry.measured(&endpoint(ONE), used([("queue", 3.0)]), at(0));

    assert!(Arc::ptr_eq(&before, &registry.roster()));
}

#[rstest]
#[case::not_measured(None, false)]
#[case::idle(Some(0.1), false)]
#[case::busy(Some(0.95), true)]
fn what_is_measured_can_overload(#[case] cpu_ratio: Option<f64>, #[case] expected: bool) {
    let registry = with_file([file(ONE)]);

    if let Some(cpu_ratio) = cpu_ratio {
        registry.measured(&endpoint(ONE), used([("cpu_ratio", cpu_ratio)]), at(0));
    }

    assert_eq!(is_overloaded(&registry, 1), expected);
    assert!(!is_overloaded(&registry, 46));
}

#[test]
fn placements_count_until_as_many_measurements_as_there_would_be_reports() {
    let registry = with_file([file(ONE)]);
    let measure = |seconds| {
        registry.measured(&endpoint(ONE), used([("cpu_ratio", 0.5)]), at(seconds));
    };
    measure(0);
    let tally = registry.at(&endpoint(ONE)).unwrap().tally().clone();
    let _placed = tally.count(false).keep();

    measure(5);
    let early = placed(&registry);
    measure(12);
    let due = placed(&registry);

    assert_eq!([early, due], [Some(1.0), Some(0.0)]);
}

#[test]
fn placements_count_for_as_long_where_reports_come_between_measurements() {
    let registry = with_file([file(ONE)]);
    let measure = |seconds| {
        registry.measured(&endpoint(ONE), used([("cpu_ratio", 0.5)]), at(seconds));
    };
    let report = |seconds| {
        let authority = Bearer.authority();
        let taken = registry.report(full_report(A, ONE), &authority, at(seconds));
        taken.unwrap();
    };
    report(0);
    measure(1);
    let tally = registry.at(&endpoint(ONE)).unwrap().tally().clone();
    let _placed = tally.count(false).keep();

    report(8);
    let at_a_report = placed(&registry);
    measure(12);
    let at_a_measurement = placed(&registry);
    report(15);
    let due = placed(&registry);

    assert_eq!(
        [at_a_report, at_a_measurement, due],
        [Some(1.0), Some(1.0), Some(0.0)]
    );
}

/// How many placements count.
fn placed(registry: &Registry) -> Option<f64> {
    let known = registry.at(&endpoint(ONE)).unwrap();
    known.conditions(at(0)).deployments
}

fn used<'a>(values: impl IntoIterator<Item = (&'a str, f64)>) -> Resources {
    values
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.try_into().unwrap()))
        .collect()
}

fn resources(registry: &Registry, url: &str) -> Resources {
    Resources::from(&cloudlet(registry, url).resources)
}

fn is_overloaded(registry: &Registry, seconds: i64) -> bool {
    let known = registry.at(&endpoint(ONE)).unwrap();
    known.conditions(at(seconds)).class == Class::Overloaded
}
