use jiff::SignedDuration;
use rstest::rstest;

use crate::lifecycle::fixtures::{at, called, new_record, record, with};
use crate::lifecycle::{
    Activity, FailureClass, Phase, Policy, Record, RecordStatus, Verdict, activity_of, lease,
};

const DAY: i64 = 24 * 60 * 60;

#[rstest]
#[case::idle(Activity::Idle)]
#[case::nobody_asks(Activity::NotAsked)]
fn a_lease_ends_when_it_has_passed_and_the_tunnel_is_idle(#[case] activity: Activity) {
    let record = record(Phase::Deployed);

    assert_eq!(decide(&record, activity, 299), Verdict::Keep);
    assert_eq!(
        decide(&record, activity, 300),
        written(&record, |status| enter(status, Phase::Expiring, 300))
    );
}

#[test]
fn activity_extends_the_lease_once_a_third_of_it_is_used() {
    let record = record(Phase::Deployed);

    assert_eq!(decide(&record, Activity::Active, 99), Verdict::Keep);
    assert_eq!(
        decide(&record, Activity::Active, 100),
        written(&record, |status| status.lease_end = at(400))
    );
    assert_eq!(
        decide(&record, Activity::Active, DAY),
        written(&record, |status| status.lease_end = at(DAY + 300))
    );
}

#[test]
fn unknown_activity_ends_no_lease_before_its_time() {
    let deployed = record(Phase::Deployed);
    assert_eq!(decide(&deployed, Activity::Unknown, 299), Verdict::Keep);
    assert_eq!(
        decide(&deployed, Activity::Unknown, 300),
        written(&deployed, |status| status.unknown_since = Some(at(300)))
    );

    let unknown = with(deployed, |status| status.unknown_since = Some(at(300)));
    assert_eq!(
        decide(&unknown, Activity::Unknown, 300 + DAY - 1),
        Verdict::Keep
    );
    assert_eq!(
        decide(&unknown, Activity::Unknown, 300 + DAY),
        written(&unknown, |status| enter(status, Phase::Expiring, 300 + DAY))
    );
}

#[test]
fn after_a_long_absence_of_the_controller_unknown_begins_to_count_anew() {
    let record = record(Phase::Deployed);

    let verdict = decide(&record, Activity::Unknown, 10 * DAY);

    assert_eq!(
        verdict,
        written(&record, |status| status.unknown_since = Some(at(10 * DAY)))
    );
}

#[test]
fn a_request_that_no_round_saw_ends_the_unknown_before_it() {
    let unknown = with(record(Phase::Deployed), |status| {
        status.unknown_since = Some(at(300));
    });
    let renewed = called(unknown, 400);

    let decided = decide(&renewed, Activity::Unknown, 300 + DAY);

    assert_eq!(
        decided,
        written(&renewed, |status| (
            status.lease_end,
            status.unknown_since
        ) = (at(700), Some(at(300 + DAY))))
    );
}

#[test]
fn a_request_or_activity_ends_the_unknown() {
    let unknown = with(record(Phase::Deployed), |status| {
        status.unknown_since = Some(at(300));
    });

    let active = decide(&unknown, Activity::Active, 400);
    let renewed = decide(&called(unknown.clone(), 350), Activity::Unknown, 400);

    assert_eq!(
        active,
        written(&unknown, |status| (
            status.unknown_since,
            status.lease_end
        ) = (None, at(700)))
    );
    assert_eq!(
        renewed,
        written(&unknown, |status| (
            status.unknown_since,
            status.lease_end
        ) = (None, at(650)))
    );
}

#[test]
fn a_renewal_that_the_controller_has_not_seen_counts() {
    let renewed = called(record(Phase::Deployed), 299);

    assert_eq!(
        decide(&renewed, Activity::Idle, 300),
        written(&renewed, |status| status.lease_end = at(599))
    );
}

#[rstest]
#[case::while_it_is_installed(
    Phase::Initializing,
    FailureClass::TimedOut,
    "not installed within 600 s"
)]
#[case::while_it_starts(Phase::Deployed, FailureClass::NotReady, "not ready within 600 s")]
fn before_it_was_ready_nothing_but_its_deadline_ends_a_deployment(
    #[case] phase: Phase,
    #[case] class: FailureClass,
    #[case] message: &str,
    #[values(Activity::Idle, Activity::Unknown, Activity::NotAsked)] activity: Activity,
) {
    let record = with(record(phase), |status| status.first_ready = None);

    assert_eq!(decide(&record, activity, 599), Verdict::Keep);
    let failed = written(&record, |status| {
        enter(status, Phase::Failed, 600);
        status.failure = Some(class);
        status.message = Some(message.to_owned());
    });
    assert_eq!(decide(&record, activity, 600), failed);
}

#[test]
fn what_was_missing_last_is_told_when_the_deadline_has_passed() {
    let record = with(record(Phase::Deployed), |status| {
        (status.first_ready, status.message) = (None, Some("pulling image x".to_owned()));
    });

    let Verdict::Write(failed) = decide(&record, Activity::Idle, 600) else {
        panic!("the deadline has passed");
    };

    let expected = "not ready within 600 s: pulling image x";
    assert_eq!(failed.message.as_deref(), Some(expected));
}

#[test]
fn once_ready_only_a_new_installation_has_a_deadline() {
    let healing = with(record(Phase::Deployed), |status| {
        enter(status, Phase::Initializing, 1000);
    });

    assert_eq!(
        decide(&healing, Activity::Active, 1500),
        written(&healing, |status| status.lease_end = at(1800))
    );
    let Verdict::Write(status) = decide(&healing, Activity::Active, 1600) else {
        panic!("the deadline has passed")
    };
    assert_eq!(
        (status.phase, status.failure),
        (Phase::Failed, Some(FailureClass::TimedOut))
    );
}

#[rstest]
#[case::ready_and_active(Phase::Deployed, Activity::Active)]
#[case::nobody_knows(Phase::Deployed, Activity::Unknown)]
#[case::not_installed(Phase::Initializing, Activity::Active)]
fn the_longest_life_ends_a_deployment_regardless(#[case] phase: Phase, #[case] activity: Activity) {
    let policy = Policy {
        max_lifetime: Some(SignedDuration::from_secs(60)),
        ..Policy::default()
    };
    let record = record(phase);

    assert_eq!(lease(&record, activity, at(59), &policy), Verdict::Keep);
    assert_eq!(
        lease(&record, activity, at(60), &policy),
        written(&record, |status| enter(status, Phase::Expiring, 60))
    );
}

#[test]
fn grace_and_retention_end_what_nobody_came_back_for() {
    let expiring = record(Phase::Expiring);
    assert_eq!(decide(&expiring, Activity::Active, 299), Verdict::Keep);
    assert_eq!(
        decide(&expiring, Activity::Active, 300),
        written(&expiring, |status| enter(status, Phase::Expired, 300))
    );

    for phase in [Phase::Expired, Phase::Failed] {
        assert_eq!(
            decide(&record(phase), Activity::Unknown, 599),
            Verdict::Keep
        );
        assert_eq!(
            decide(&record(phase), Activity::Unknown, 600),
            Verdict::Remove
        );
    }
}

#[rstest]
#[case::expiring(Phase::Expiring)]
#[case::expired(Phase::Expired)]
#[case::failed(Phase::Failed)]
fn what_was_called_back_waits_for_its_start(#[case] phase: Phase) {
    assert_eq!(
        decide(&called(record(phase), 599), Activity::Idle, 600),
        Verdict::Keep
    );
}

#[test]
fn a_record_that_could_not_start_goes_when_nobody_asks_any_more() {
    assert_eq!(decide(&new_record(), Activity::Unknown, 299), Verdict::Keep);
    assert_eq!(
        decide(&new_record(), Activity::Unknown, 300),
        Verdict::Remove
    );
}

#[test]
fn a_record_being_deleted_is_left_alone() {
    let leaving = Record {
        deleting: true,
        ..record(Phase::Deployed)
    };

    assert_eq!(decide(&leaving, Activity::Idle, 10 * DAY), Verdict::Keep);
}

#[rstest]
#[case::fresh_handshake(Some(-120.0), Some(0.0), Activity::Active)]
#[case::handshake_as_old_as_the_lease(Some(-300.0), Some(0.0), Activity::Active)]
#[case::handshake_now(Some(0.0), Some(0.0), Activity::Active)]
#[case::bytes_without_handshake(Some(-9000.0), Some(1.0), Activity::Active)]
#[case::bytes_alone(None, Some(3.0), Activity::Active)]
#[case::handshake_alone(Some(-1.0), None, Activity::Active)]
#[case::handshake_with_garbage(Some(-1.0), Some(f64::NAN), Activity::Active)]
#[case::bytes_with_a_future_handshake(Some(60.0), Some(1.0), Activity::Active)]
#[case::old_handshake(Some(-301.0), Some(0.0), Activity::Idle)]
#[case::neither_series(None, None, Activity::Unknown)]
#[case::no_handshake_series(None, Some(0.0), Activity::Unknown)]
#[case::no_bytes_series(Some(-301.0), None, Activity::Unknown)]
#[case::handshake_in_the_future(Some(1.0), Some(0.0), Activity::Unknown)]
#[case::handshake_not_a_number(Some(f64::NAN), Some(0.0), Activity::Unknown)]
#[case::handshake_endless(Some(f64::INFINITY), Some(0.0), Activity::Unknown)]
#[case::handshake_before_all_time(Some(f64::NEG_INFINITY), Some(0.0), Activity::Unknown)]
#[case::bytes_not_a_number(Some(-301.0), Some(f64::NAN), Activity::Unknown)]
#[case::bytes_endless(Some(-301.0), Some(f64::INFINITY), Activity::Unknown)]
fn activity_is_told_from_two_measurements(
    #[case] handshake_from_now: Option<f64>,
    #[case] changes: Option<f64>,
    #[case] expected: Activity,
) {
    let handshake = handshake_from_now.map(|seconds| at(0).as_second() as f64 + seconds);

    assert_eq!(
        activity_of(handshake, changes, at(0), Policy::DEFAULT_LEASE),
        expected
    );
}

#[test]
fn a_handshake_at_zero_never_happened() {
    let century = SignedDuration::from_hours(24 * 36525);

    assert_eq!(
        activity_of(Some(0.0), Some(0.0), at(0), century),
        Activity::Idle
    );
}

fn decide(record: &Record, activity: Activity, seconds: i64) -> Verdict {
    lease(record, activity, at(seconds), &Policy::default())
}

fn written(record: &Record, change: impl FnOnce(&mut RecordStatus)) -> Verdict {
    Verdict::Write(Box::new(with(record.clone(), change).status.unwrap()))
}

fn enter(status: &mut RecordStatus, phase: Phase, seconds: i64) {
    (status.phase, status.since, status.unknown_since) = (phase, at(seconds), None);
}
