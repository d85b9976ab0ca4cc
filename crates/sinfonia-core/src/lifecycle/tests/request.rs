use rstest::rstest;
use uuid::Uuid;

use crate::lifecycle::fixtures::{at, called, new_record, record, request, with};
use crate::lifecycle::{
    DeleteDecision, DeployDecision, Phase, Policy, Record, RecordSpec, Request, delete, deploy,
};

const OTHER_RECIPE: Uuid = Uuid::from_u128(1);

#[test]
fn an_unknown_key_gets_a_record() {
    let decision = deploy(None, &request("first"), at(0), &Policy::default());

    assert_eq!(decision, DeployDecision::Create(new_record().spec));
}

#[test]
fn a_running_deployment_that_is_only_prolonged_needs_no_look() {
    let before = record(Phase::Deployed);
    let renewed = called(before.clone(), 150);
    let active = with(before.clone(), |status| status.lease_end = at(450));
    let expiring = with(before.clone(), |status| status.phase = Phase::Expiring);
    let deleted = Record {
        deleting: true,
        ..before.clone()
    };

    assert!(renewed.was_only_prolonged_since(&before));
    assert!(active.was_only_prolonged_since(&before));
    assert!(!expiring.was_only_prolonged_since(&before));
    assert!(!deleted.was_only_prolonged_since(&before));
    let called_back = called(expiring.clone(), 400);
    assert!(!called_back.was_only_prolonged_since(&expiring));
}

#[rstest]
#[case::by_the_creator_at_once("first", 0, true)]
#[case::by_the_creator_within_a_third("first", 99, true)]
#[case::by_the_creator_after_a_third("first", 100, false)]
#[case::by_the_creator_after_the_lease("first", 400, false)]
#[case::by_another_at_once("second", 0, false)]
fn a_renewal_is_skipped_while_more_than_two_thirds_are_left(
    #[case] id: &str,
    #[case] now: i64,
    #[case] skipped: bool,
) {
    let decision = deploy(
        Some(&record(Phase::Deployed)),
        &request(id),
        at(now),
        &Policy::default(),
    );

    let extended = RecordSpec {
        renewed: at(now),
        renewed_by: id.to_owned(),
        renewals: 2,
        ..new_record().spec
    };
    assert_eq!(
        decision,
        if skipped {
            DeployDecision::Keep
        } else {
            DeployDecision::Renew(extended)
        }
    );
}

#[test]
fn once_shared_a_record_is_not_written_more_often_than_needed() {
    let shared = called(record(Phase::Deployed), 10);

    assert_eq!(
        deploy(Some(&shared), &request("third"), at(11), &Policy::default()),
        DeployDecision::Keep
    );
    assert_eq!(
        deploy(Some(&shared), &request("first"), at(11), &Policy::default()),
        DeployDecision::Keep
    );
}

#[rstest]
#[case::not_taken_up(new_record())]
#[case::initializing(record(Phase::Initializing))]
#[case::brought_back(called(record(Phase::Expiring), 10))]
#[case::started_anew(called(record(Phase::Failed), 10))]
fn what_is_on_its_way_is_only_renewed(#[case] record: Record) {
    assert_eq!(
        deploy(Some(&record), &request("first"), at(11), &Policy::default()),
        DeployDecision::Keep
    );
    assert!(matches!(
        deploy(
            Some(&record),
            &request("first"),
            at(200),
            &Policy::default()
        ),
        DeployDecision::Renew(_)
    ));
}

#[test]
fn a_request_brings_an_expiring_deployment_back() {
    let decision = deploy(
        Some(&record(Phase::Expiring)),
        &request("second"),
        at(310),
        &Policy::default(),
    );

    assert_eq!(
        decision,
        DeployDecision::Revive(called(record(Phase::Expiring), 310).spec)
    );
}

#[rstest]
#[case(Phase::Failed)]
#[case(Phase::Expired)]
fn what_has_ended_is_replaced_even_by_another_application(#[case] phase: Phase) {
    let request = Request {
        uuid: OTHER_RECIPE,
        ..request("second")
    };

    let decision = deploy(Some(&record(phase)), &request, at(700), &Policy::default());

    let expected = RecordSpec {
        uuid: OTHER_RECIPE,
        created: at(700),
        created_by: "second".to_owned(),
        renewed: at(700),
        renewed_by: "second".to_owned(),
        renewals: 2,
        ..new_record().spec
    };
    assert_eq!(decision, DeployDecision::Restart(expected));
}

#[rstest]
#[case(new_record())]
#[case(record(Phase::Initializing))]
#[case(record(Phase::Deployed))]
#[case(record(Phase::Expiring))]
#[case(called(record(Phase::Failed), 10))]
fn a_key_carries_one_application(#[case] record: Record) {
    let request = Request {
        uuid: OTHER_RECIPE,
        ..request("second")
    };

    assert_eq!(
        deploy(Some(&record), &request, at(0), &Policy::default()),
        DeployDecision::Conflict(Uuid::nil())
    );
}

#[rstest]
fn a_record_being_deleted_is_waited_for(
    #[values(
        Phase::Initializing,
        Phase::Deployed,
        Phase::Expiring,
        Phase::Expired,
        Phase::Failed
    )]
    phase: Phase,
) {
    let leaving = Record {
        deleting: true,
        ..record(phase)
    };

    let decision = deploy(
        Some(&leaving),
        &request("second"),
        at(0),
        &Policy::default(),
    );

    assert_eq!(decision, DeployDecision::AwaitRemoval);
}

#[test]
fn a_clock_that_lags_takes_no_renewal_back() {
    let renewed = called(record(Phase::Expiring), 300);

    let decision = deploy(
        Some(&renewed),
        &request("first"),
        at(-1000),
        &Policy::default(),
    );

    assert_eq!(decision, DeployDecision::Keep);
}

#[rstest]
#[case::nothing_there(None, None, DeleteDecision::Absent)]
#[case::anybody_may_end_it(Some(record(Phase::Deployed)), None, DeleteDecision::Delete)]
#[case::what_it_created(
    Some(record(Phase::Initializing)),
    Some("first"),
    DeleteDecision::Delete
)]
#[case::what_another_created(Some(record(Phase::Deployed)), Some("second"), DeleteDecision::Absent)]
#[case::renewed_by_another(
    Some(called(record(Phase::Deployed), 10)),
    Some("first"),
    DeleteDecision::Spare
)]
#[case::revived_by_another(
    Some(called(record(Phase::Expiring), 10)),
    Some("first"),
    DeleteDecision::Spare
)]
#[case::renewed_by_another_who_is_no_creator(
    Some(called(record(Phase::Deployed), 10)),
    Some("second"),
    DeleteDecision::Absent
)]
fn a_request_takes_back_only_what_nobody_else_relies_on(
    #[case] record: Option<Record>,
    #[case] created_by: Option<&str>,
    #[case] expected: DeleteDecision,
) {
    assert_eq!(delete(record.as_ref(), Uuid::nil(), created_by), expected);
}

#[test]
fn another_recipe_of_the_key_is_not_deleted() {
    assert_eq!(
        delete(Some(&record(Phase::Deployed)), OTHER_RECIPE, None),
        DeleteDecision::Absent
    );
}

#[test]
fn the_creator_renewing_again_does_not_hide_that_others_did() {
    let mut shared = called(record(Phase::Deployed), 10);
    let DeployDecision::Renew(spec) = deploy(
        Some(&shared),
        &request("first"),
        at(290),
        &Policy::default(),
    ) else {
        panic!("the lease is nearly over");
    };

    shared.spec = spec;
    assert_eq!(
        delete(Some(&shared), Uuid::nil(), Some("first")),
        DeleteDecision::Spare
    );
}
