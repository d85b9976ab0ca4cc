use sinfonia_core::ranking::{Class, Conditions};

use super::*;

#[test]
fn what_reports_a_measurement_above_its_threshold_is_overloaded_until_it_is_silent_for_45_seconds()
{
    let registry = Registry::new();
    registry
        .report(busy(ONE, 0.95), &Bearer.authority(), at(0))
        .unwrap();

    let classes = [0, 45, 46].map(|second| conditions(&registry, ONE, second).class);

    assert_eq!(
        classes,
        [Class::Overloaded, Class::Overloaded, Class::Normal]
    );
}

#[test]
fn it_stays_overloaded_until_it_is_well_below_the_threshold() {
    let registry = Registry::new();
    let class = |(report, cpu): (i64, f64)| {
        registry
            .report(busy(ONE, cpu), &Bearer.authority(), at(report * 15))
            .unwrap();
        conditions(&registry, ONE, report * 15).class
    };

    let classes = [(0, 0.95), (1, 0.85), (2, 0.8)].map(class);

    assert_eq!(
        classes,
        [Class::Overloaded, Class::Overloaded, Class::Normal]
    );
}

#[test]
fn placements_count_until_the_next_report() {
    let registry = Registry::new();
    registry
        .report(busy(ONE, 0.2), &Bearer.authority(), at(0))
        .unwrap();
    let tally = registry.at(&endpoint(ONE)).unwrap().tally().clone();

    let placed = [tally.count(false).keep(), tally.count(false).keep()];
    let before = conditions(&registry, ONE, 10);
    registry
        .report(busy(ONE, 0.3), &Bearer.authority(), at(15))
        .unwrap();
    let after = conditions(&registry, ONE, 15);

    let expected = |deployments, age| Conditions {
        deployments: Some(deployments),
        age_s: Some(age),
        ..Conditions::default()
    };
    assert_eq!([before, after], [expected(2.0, 10.0), expected(0.0, 0.0)]);
    assert_eq!(tally.placed().alive, 2);
    drop(placed);
}

#[test]
fn as_many_placements_as_fill_it_make_a_cloudlet_overloaded() {
    let registry = Registry::new();
    registry
        .report(busy(ONE, 0.8), &Bearer.authority(), at(0))
        .unwrap();
    let tally = registry.at(&endpoint(ONE)).unwrap().tally().clone();

    let mut placed = Vec::new();
    while conditions(&registry, ONE, 14).class == Class::Normal {
        placed.push(tally.count(false));
    }

    assert_eq!(placed.len(), 3);
}

#[test]
fn what_the_file_states_of_a_cloudlet_that_does_not_report_counts_and_placements_do_not() {
    let stated = |cpu| {
        let registry = with_file([FileCloudlet {
            info: busy(ONE, cpu),
            ..file(ONE)
        }]);
        let tally = registry.at(&endpoint(ONE)).unwrap().tally().clone();
        let _placed: Vec<_> = (0..100).map(|_| tally.count(false)).collect();
        conditions(&registry, ONE, 1_000_000)
    };

    let overloaded = Conditions {
        class: Class::Overloaded,
        ..Conditions::default()
    };
    assert_eq!(
        [stated(0.95), stated(0.1)],
        [overloaded, Conditions::default()]
    );
}

#[test]
fn a_new_file_changes_nothing_of_the_load_that_was_reported() {
    let registry = with_file([file(ONE)]);
    registry
        .report(busy(ONE, 0.95), &Bearer.authority(), at(0))
        .unwrap();
    let placed = registry.at(&endpoint(ONE)).unwrap().tally().count(false);

    registry.replace_file(vec![file(TWO), file(ONE)]);

    let expected = Conditions {
        class: Class::Overloaded,
        deployments: Some(1.0),
        age_s: Some(1.0),
        ..Conditions::default()
    };
    assert_eq!(conditions(&registry, ONE, 1), expected);
    drop(placed);
}

#[test]
fn other_thresholds_are_the_operators_to_set() {
    let thresholds = Thresholds::new(vec!["cpu_ratio=0.5".parse().unwrap()]).unwrap();
    let registry = Registry::with(thresholds, None);

    registry
        .report(busy(ONE, 0.6), &Bearer.authority(), at(0))
        .unwrap();

    assert_eq!(conditions(&registry, ONE, 0).class, Class::Overloaded);
}

fn busy(url: &str, cpu: f64) -> CloudletInfo {
    CloudletInfo {
        resources: Some(Resources::from([(
            "cpu_ratio".to_owned(),
            Measurement::try_from(cpu).unwrap(),
        )])),
        ..report(A, url)
    }
}

fn conditions(registry: &Registry, url: &str, second: i64) -> Conditions {
    registry.at(&endpoint(url)).unwrap().conditions(at(second))
}
