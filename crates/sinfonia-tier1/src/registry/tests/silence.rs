//! What becomes of cloudlets that report no more.

use super::*;

const THREE: &str = "http://three.example/api/v1/deploy";
const FOUR: &str = "http://four.example/api/v1/deploy";
const C: Uuid = Uuid::from_u128(0xc);
const D: Uuid = Uuid::from_u128(0xd);

#[rstest]
#[case::just_before(299, [].into())]
#[case::five_minutes(300, [endpoint(ONE)].into())]
fn a_cloudlet_that_reported_and_is_silent_for_five_minutes_is_dropped(
    #[case] seconds: i64,
    #[case] dropped: Vec<Endpoint>,
) {
    let registry = Registry::new();
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    let expired = registry.expire(at(seconds));

    let left = usize::from(dropped.is_empty());
    assert_eq!(expired.dropped, dropped);
    assert_eq!(registry.snapshot().len(), left);
    assert_eq!(registry.get(A).is_some(), left == 1);
}

#[test]
fn of_very_many_a_thousand_go_at_once() {
    let registry = Registry::new();
    for number in 0..2500 {
        let url = format!("http://cloudlet-{number}.example/api/v1/deploy");
        let report = report(Uuid::from_u128(number), &url);
        registry.report(report, &Bearer.authority(), at(0)).unwrap();
    }

    let rounds = [(); 4].map(|()| (registry.expire(at(300)).len(), registry.snapshot().len()));

    assert_eq!(rounds, [(1000, 1500), (1000, 500), (500, 0), (0, 0)]);
}

#[test]
fn a_cloudlet_of_the_file_is_never_dropped() {
    let registry = with_file([full_file(ONE)]);
    let before = registry.snapshot();

    let expired = registry.expire(at(1_000_000));

    assert_eq!(expired, Expired::default());
    assert_eq!(registry.snapshot(), before);
}

#[test]
fn a_joined_one_that_falls_silent_keeps_its_uuid_and_loses_its_resources() {
    let registry = with_file([full_file(ONE)]);
    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();
    let before = cloudlet(&registry, ONE);

    let first = registry.expire(at(300));
    let second = registry.expire(at(302));

    let mut expected = before;
    expected.resources = Measurements::default();
    assert_eq!(cloudlet(&registry, ONE), expected);
    assert_eq!(expected.uuid, A);
    assert_eq!(
        (first.silent, second.silent),
        ([endpoint(ONE)].into(), [].into())
    );
}

#[test]
fn a_silent_one_that_reports_again_is_as_before() {
    let registry = with_file([full_file(ONE)]);
    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();
    registry.expire(at(300));

    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(400))
        .unwrap();

    assert_eq!(
        cloudlet(&registry, ONE).info().resources,
        full_report(A, ONE).resources
    );
    assert_eq!(registry.expire(at(500)), Expired::default());
}

#[test]
fn the_news_tell_how_long_nothing_was_heard_and_who_is_missed() {
    let registry = with_file([full_file(ONE), full_file(TWO)]);
    let leaving = CloudletInfo {
        draining: Some(true),
        ..report(C, THREE)
    };
    for (info, seconds) in [
        (report(A, ONE), 0),
        (leaving, 10),
        (report(D, FOUR), 20),
        (report(B, TWO), 290),
    ] {
        registry
            .report(info, &Bearer.authority(), at(seconds))
            .unwrap();
    }

    let before = registry.news(at(299));
    registry.expire(at(330));
    let after = registry.news(at(330));

    let expected = |oldest, stale, silent, lost| News {
        oldest: SignedDuration::from_secs(oldest),
        stale,
        silent,
        lost,
    };
    assert_eq!(before, expected(299, 3, 0, 0));
    assert_eq!(after, expected(40, 0, 1, 1));
}

#[test]
fn a_silent_one_that_reports_again_is_missed_no_more() {
    let registry = with_file([full_file(ONE)]);
    let report_at = |seconds| {
        let authority = Bearer.authority();
        registry.report(report(A, ONE), &authority, at(seconds))
    };
    report_at(0).unwrap();
    registry.expire(at(300));
    let silent = registry.news(at(300)).silent;

    report_at(310).unwrap();

    assert_eq!((silent, registry.news(at(310))), (1, News::default()));
}
