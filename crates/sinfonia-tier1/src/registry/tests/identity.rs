//! Which uuid goes with which endpoint.

use super::*;

#[rstest]
#[case::of_nothing([].into(), Origin::Report)]
#[case::of_the_file([file(ONE)].into(), Origin::Joined)]
fn a_newer_uuid_replaces_an_older_one(#[case] entries: Vec<FileCloudlet>, #[case] origin: Origin) {
    let registry = with_file(entries);
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    registry
        .report(report(B, ONE), &Bearer.authority(), at(1))
        .unwrap();

    assert_eq!(known(&registry), [(ONE.into(), B, origin)]);
    assert_eq!(registry.get(A), None);
}

#[test]
fn a_known_uuid_from_another_endpoint_takes_that_and_the_old_entry_goes() {
    let registry = Registry::new();
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    registry
        .report(report(A, TWO), &Bearer.authority(), at(1))
        .unwrap();

    assert_eq!(known(&registry), [(TWO.into(), A, Origin::Report)]);
    assert_eq!(registry.get(A), registry.at(&endpoint(TWO)));
}

#[test]
fn an_entry_of_the_file_that_loses_its_uuid_goes_by_the_files_again() {
    let registry = with_file([full_file(ONE)]);
    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    registry
        .report(report(A, TWO), &Bearer.authority(), at(1))
        .unwrap();

    let alone = Cloudlet::new(full_file(ONE).info, &Surroundings::default());
    assert_eq!(cloudlet(&registry, ONE), alone);
    assert_eq!(
        known(&registry),
        [
            (ONE.into(), alone.uuid, Origin::File),
            (TWO.into(), A, Origin::Report)
        ]
    );
}

#[test]
fn an_entry_of_the_file_may_take_over_what_another_endpoint_reported() {
    let registry = with_file([file(TWO)]);
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    registry
        .report(report(A, TWO), &Bearer.authority(), at(1))
        .unwrap();

    assert_eq!(known(&registry), [(TWO.into(), A, Origin::Joined)]);
}

#[test]
fn a_new_file_lets_entries_come_and_go_and_keeps_what_was_reported() {
    let registry = with_file([file(ONE)]);
    registry
        .report(report(A, TWO), &Bearer.authority(), at(0))
        .unwrap();

    registry.replace_file(vec![file("http://three.example/api/v1/deploy")]);

    let three = "http://three.example/api/v1/deploy";
    assert_eq!(
        known(&registry),
        [
            (three.into(), endpoint(three).uuid(), Origin::File),
            (TWO.into(), A, Origin::Report)
        ]
    );
}

#[rstest]
#[case::reported_before([].into(), [file(ONE)].into(), Origin::Joined)]
#[case::joined_before([file(ONE)].into(), [full_file(ONE)].into(), Origin::Joined)]
#[case::no_longer_of_the_file([file(ONE)].into(), [].into(), Origin::Report)]
fn a_report_stays_whatever_becomes_of_the_entry_of_the_file(
    #[case] before: Vec<FileCloudlet>,
    #[case] after: Vec<FileCloudlet>,
    #[case] origin: Origin,
) {
    let registry = with_file(before);
    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    registry.replace_file(after);

    assert_eq!(known(&registry), [(ONE.into(), A, origin)]);
    assert_eq!(
        cloudlet(&registry, ONE).info().resources,
        full_report(A, ONE).resources
    );
}

#[test]
fn a_silent_entry_goes_when_the_file_lets_it_go() {
    let registry = with_file([file(ONE)]);
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();
    registry.expire(at(300));

    registry.replace_file(vec![]);

    assert_eq!(known(&registry), []);
}

#[test]
fn a_uuid_that_the_file_gives_is_taken_from_whoever_reported_it() {
    let registry = with_file([file(ONE)]);
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();
    registry
        .report(report(B, TWO), &Bearer.authority(), at(0))
        .unwrap();
    let three = "http://three.example/api/v1/deploy";
    let four = "http://four.example/api/v1/deploy";

    registry.replace_file(vec![file(ONE), file_named(three, A), file_named(four, B)]);

    assert_eq!(
        known(&registry),
        [
            (four.into(), B, Origin::File),
            (ONE.into(), endpoint(ONE).uuid(), Origin::File),
            (three.into(), A, Origin::File),
        ]
    );
}

#[test]
fn when_the_file_lets_an_entry_go_its_anonymous_report_takes_no_uuid_from_a_token() {
    let registry = with_file([file(ONE)]);
    registry
        .report(report(B, ONE), &Anonymous.authority(), at(0))
        .unwrap();
    registry
        .report(report(B, TWO), &Bearer.authority(), at(0))
        .unwrap();

    registry.replace_file(vec![]);

    assert_eq!(known(&registry), [(TWO.into(), B, Origin::Report)]);
}
