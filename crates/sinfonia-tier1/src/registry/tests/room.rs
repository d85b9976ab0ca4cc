//! How many cloudlets there may be that the file does not name.

use super::*;

const THREE: &str = "http://three.example/api/v1/deploy";
const C: Uuid = Uuid::from_u128(0xc);
const NO_ROOM: Result<Reported, ReportRefusal> = Err(ReportRefusal::NoRoom { most: 1 });

#[rstest]
#[case::of_everybody(Anonymous)]
#[case::of_a_bearer(Bearer)]
fn a_further_cloudlet_is_refused_and_changes_nothing(#[case] who: Who) {
    let registry = room_for_one();
    registry
        .report(report(A, ONE), &who.authority(), at(0))
        .unwrap();
    let before = known(&registry);

    let refused = registry.report(report(B, TWO), &who.authority(), at(1));

    assert_eq!(refused, NO_ROOM);
    assert_eq!(known(&registry), before);
}

#[test]
fn one_that_is_known_goes_on_and_may_move() {
    let registry = room_for_one();
    let bearer = Bearer.authority();
    registry.report(report(A, ONE), &bearer, at(0)).unwrap();

    let again = registry.report(report(A, ONE), &bearer, at(15));
    let restarted = registry.report(report(B, ONE), &bearer, at(30));
    let moved = registry.report(report(B, TWO), &bearer, at(45));

    assert_eq!(
        [again, restarted],
        [Ok(Reported::Again), Ok(Reported::Again)]
    );
    assert_eq!(moved, Ok(Reported::First));
    assert_eq!(known(&registry), [(TWO.to_owned(), B, Origin::Report)]);
}

#[test]
fn one_that_falls_silent_makes_room() {
    let registry = room_for_one();
    let bearer = Bearer.authority();
    registry.report(report(A, ONE), &bearer, at(0)).unwrap();
    registry.expire(at(300));

    let taken = registry.report(report(B, TWO), &bearer, at(300));

    assert_eq!(taken, Ok(Reported::First));
}

#[test]
fn those_of_the_file_need_no_room_until_their_report_leaves_them() {
    let registry = room_for_one();
    registry.replace_file(vec![file(ONE), file(TWO)]);
    let bearer = Bearer.authority();
    registry.report(report(C, THREE), &bearer, at(0)).unwrap();

    let joined = registry.report(report(A, ONE), &bearer, at(0));
    let left = registry.report(
        report(A, "http://four.example/api/v1/deploy"),
        &bearer,
        at(15),
    );

    assert_eq!(joined, Ok(Reported::Again));
    assert_eq!(left, NO_ROOM);
}

fn room_for_one() -> Registry {
    Registry::with(Thresholds::default(), Some(1))
}
