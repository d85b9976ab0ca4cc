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
