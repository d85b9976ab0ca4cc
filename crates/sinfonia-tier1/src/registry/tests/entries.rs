//! What is known, of the file and of reports.

use super::*;

#[test]
fn a_cloudlet_of_the_file_goes_by_its_uuid_or_that_of_its_endpoint() {
    let registry = with_file([file(ONE), file_named(TWO, A)]);

    assert_eq!(
        known(&registry),
        [
            (ONE.into(), endpoint(ONE).uuid(), Origin::File),
            (TWO.into(), A, Origin::File)
        ]
    );
}

#[test]
fn a_report_makes_an_entry_of_its_own() {
    let registry = Registry::new();

    let reported = registry.report(report(A, ONE), &Bearer.authority(), at(0));

    assert_eq!(reported, Ok(Reported::First));
    assert_eq!(known(&registry), [(ONE.into(), A, Origin::Report)]);
    assert_eq!(registry.get(A), registry.at(&endpoint(ONE)));
}

#[test]
fn entries_are_keyed_by_the_normalised_endpoint() {
    let registry = with_file([file("HTTP://One.example:80/api/v2/deploy/")]);

    let reported = registry.report(report(A, ONE), &Bearer.authority(), at(0));

    assert_eq!(reported, Ok(Reported::Again));
    assert_eq!(known(&registry), [(ONE.into(), A, Origin::Joined)]);
}

#[test]
fn a_report_is_stamped_with_the_time_it_came() {
    let registry = Registry::new();
    let mut info = report(A, ONE);
    info.last_update = Some(at(-1000));

    registry.report(info, &Bearer.authority(), at(7)).unwrap();

    assert_eq!(cloudlet(&registry, ONE).last_update, Some(at(7)));
}

#[test]
fn a_report_replaces_the_one_before_as_a_whole() {
    let registry = Registry::new();
    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    registry
        .report(report(A, ONE), &Bearer.authority(), at(15))
        .unwrap();

    let mut expected = report(A, ONE);
    expected.last_update = Some(at(15));
    assert_eq!(
        cloudlet(&registry, ONE),
        Cloudlet::new(expected, &Surroundings::default())
    );
}

#[test]
fn what_is_only_measured_anew_is_seen_in_the_roster_that_there_is() {
    let registry = Registry::new();
    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();
    let roster = registry.roster();

    let mut again = full_report(A, ONE);
    again.resources = None;
    registry.report(again, &Bearer.authority(), at(15)).unwrap();

    let seen = roster.cloudlets.at(&endpoint(ONE)).map(Member::now);
    assert!(Arc::ptr_eq(&roster, &registry.roster()));
    assert_eq!(seen, registry.at(&endpoint(ONE)));
    assert_eq!(cloudlet(&registry, ONE).last_update, Some(at(15)));
}

#[test]
fn who_has_a_roster_does_not_see_cloudlets_move_or_go() {
    let registry = with_file([full_file(TWO)]);
    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();
    let (roster, before) = (registry.roster(), registry.at(&endpoint(ONE)));

    registry.replace_file(vec![]);
    registry
        .report(report(A, ONE), &Bearer.authority(), at(15))
        .unwrap();

    let seen = roster.cloudlets.at(&endpoint(ONE)).map(Member::now);
    assert_eq!(seen, before);
    assert_eq!(roster.cloudlets.len(), 2);
    assert_ne!(before, registry.at(&endpoint(ONE)));
}

#[rstest]
#[case::of_the_file(Origin::File, 1)]
#[case::reported(Origin::Report, 2)]
#[case::joined(Origin::Joined, 1)]
fn cloudlets_are_counted_by_origin(#[case] origin: Origin, #[case] expected: usize) {
    let three = "http://three.example/api/v1/deploy";
    let four = "http://four.example/api/v1/deploy";
    let registry = with_file([file(ONE), file(TWO)]);
    for (uuid, url) in [(A, TWO), (B, three), (Uuid::nil(), four)] {
        registry
            .report(report(uuid, url), &Bearer.authority(), at(0))
            .unwrap();
    }

    assert_eq!(registry.roster().count(origin), expected);
}
