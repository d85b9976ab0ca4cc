//! What was found out beside reports.

use super::*;

#[rstest]
#[case::nothing_said(report(A, ONE), true)]
#[case::only_a_place(CloudletInfo { locations: full_report(A, ONE).locations, ..report(A, ONE) }, true)]
#[case::both_said(full_report(A, ONE), false)]
fn who_does_not_say_place_and_networks_wants_them_found_out(
    #[case] info: CloudletInfo,
    #[case] wants: bool,
) {
    let registry = Registry::new();

    registry.report(info, &Bearer.authority(), at(0)).unwrap();

    assert_eq!(!registry.wanting_surroundings().is_empty(), wants);
}

#[test]
fn a_self_reported_cloudlet_gets_the_place_and_networks_that_were_found() {
    let registry = Registry::new();
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    registry.set_surroundings([(&endpoint(ONE), &pittsburgh())]);
    registry
        .report(report(A, ONE), &Bearer.authority(), at(15))
        .unwrap();

    let found = cloudlet(&registry, ONE);
    assert_eq!(*found.locations, pittsburgh().locations);
    assert_eq!(*found.local_networks, ["8.8.4.4/32".parse().unwrap()]);
}

#[test]
fn what_was_found_stays_when_the_file_is_read_again() {
    let registry = with_file([file(ONE)]);
    registry.set_surroundings([(&endpoint(ONE), &pittsburgh())]);

    registry.replace_file(vec![file(ONE), file(TWO)]);

    assert_eq!(*cloudlet(&registry, ONE).locations, pittsburgh().locations);
}

#[test]
fn what_was_found_of_others_or_before_changes_nothing() {
    let registry = with_file([file(ONE)]);
    registry.set_surroundings([(&endpoint(ONE), &pittsburgh())]);
    let before = registry.roster();

    registry.set_surroundings([
        (&endpoint(ONE), &pittsburgh()),
        (&endpoint(TWO), &pittsburgh()),
    ]);

    assert!(Arc::ptr_eq(&before, &registry.roster()));
}
