use rstest::rstest;

use crate::deployment::DeploymentName;
use crate::lifecycle::fixtures::{at, called, key, new_record, peer, record, request, with};
use crate::lifecycle::{
    Activity, AddressPool, DeployDecision, Failure, FailureClass, Namespace, Next, Observed,
    PeerState, Phase, Placement, PlacementError, Policy, Readiness, Record, RecordStatus, Release,
    Step, Verdict, deploy, fail, lease, place, reconcile, start,
};

#[test]
fn a_deployment_that_is_as_it_should_be_rests() {
    assert_eq!(
        next(&record(Phase::Deployed), &Observed::running(peer(1)), true),
        Next::Rest
    );
}

#[test]
fn a_new_record_is_placed_before_anything_is_made() {
    assert_eq!(
        next(&new_record(), &Observed::default(), false),
        Next::Start
    );

    let placement = Placement {
        name: "brave-otter-x7k2p".parse().unwrap(),
        address: peer(1).address,
    };
    let status = start(&new_record(), placement, at(0), &Policy::default());
    assert_eq!(Some(status), record(Phase::Initializing).status);
}

#[test]
fn it_is_deployed_when_nothing_is_missing() {
    let record = record(Phase::Initializing);
    let halfway = Observed {
        release: Release::Absent,
        ..Observed::running(peer(1))
    };

    assert_eq!(
        next(&record, &halfway, true),
        Next::Apply(vec![Step::Install])
    );
    let deployed = written(&record, |status| {
        (status.phase, status.since) = (Phase::Deployed, at(10));
    });
    assert_eq!(next(&record, &Observed::running(peer(1)), true), deployed);
}

#[test]
fn the_first_time_it_is_ready_is_kept() {
    let record = with(record(Phase::Deployed), |status| status.first_ready = None);

    assert_eq!(
        next(&record, &Observed::running(peer(1)), false),
        Next::Rest
    );
    assert_eq!(
        next(&record, &Observed::running(peer(1)), true),
        written(&record, |status| status.first_ready = Some(at(10)))
    );
}

#[test]
fn what_took_long_to_be_ready_still_gets_its_lease() {
    let record = with(record(Phase::Deployed), |status| status.first_ready = None);

    let next = reconcile(
        &record,
        &Observed::running(peer(1)),
        &Readiness::Ready,
        at(590),
        &Policy::default(),
    );

    assert_eq!(
        next,
        written(&record, |status| (status.first_ready, status.lease_end) =
            (Some(at(590)), at(890)))
    );
}

#[test]
fn the_first_ready_takes_the_message_away() {
    let record = with(record(Phase::Deployed), |status| {
        (status.first_ready, status.message) = (None, Some("pulling image x".to_owned()));
    });

    assert_eq!(
        next(&record, &Observed::running(peer(1)), true),
        written(&record, |status| (status.first_ready, status.message) =
            (Some(at(10)), None))
    );
}

#[test]
fn what_never_can_be_ready_fails_before_its_deadline_unless_it_was_ready_once() {
    let new = with(record(Phase::Deployed), |status| status.first_ready = None);
    let next = |record: &Record| {
        let (observed, policy) = (Observed::running(peer(1)), Policy::default());
        reconcile(record, &observed, &never(), at(10), &policy)
    };

    let given_up = written(&new, |status| {
        (status.phase, status.since) = (Phase::Failed, at(10));
        (status.failure, status.message) = (
            Some(FailureClass::NotReady),
            Some("image x cannot be pulled".to_owned()),
        );
    });
    assert_eq!(next(&new), given_up);
    assert_eq!(next(&record(Phase::Deployed)), Next::Rest);
}

#[test]
fn a_missing_peer_is_replaced_without_a_change_of_phase() {
    let observed = Observed {
        peer: PeerState::Absent,
        ..Observed::running(peer(1))
    };

    assert_eq!(
        next(&record(Phase::Deployed), &observed, true),
        Next::Apply(vec![Step::ApplyPeer(peer(1))])
    );
}

#[rstest]
#[case::release(Observed { release: Release::Absent, ..Observed::running(peer(1)) })]
#[case::namespace(Observed { namespace: Namespace::Terminating, ..Observed::running(peer(1)) })]
fn what_somebody_removed_is_installed_again(#[case] observed: Observed) {
    let record = record(Phase::Deployed);

    let healing = written(&record, |status| {
        (status.phase, status.since) = (Phase::Initializing, at(10));
    });
    assert_eq!(next(&record, &observed, true), healing);
}

#[test]
fn an_expiring_deployment_comes_back_under_the_same_name_and_address() {
    let expiring = record(Phase::Expiring);
    assert_eq!(
        next(&expiring, &Observed::running(peer(1)), true),
        Next::Apply(vec![
            Step::DeletePeer,
            Step::Uninstall { best_effort: false }
        ])
    );

    let called = called(expiring, 5);
    let back = written(&record(Phase::Initializing), |status| {
        (
            status.since,
            status.started,
            status.lease_end,
            status.renewals_seen,
        ) = (at(10), at(10), at(305), 2);
    });
    assert_eq!(next(&called, &Observed::running(peer(1)), true), back);
}

#[test]
fn a_request_that_crosses_with_the_end_of_the_lease_is_not_lost() {
    let seen = record(Phase::Deployed);
    let Verdict::Write(expiring) = lease(&seen, Activity::Idle, at(300), &Policy::default()) else {
        panic!("the lease has passed");
    };
    let DeployDecision::Renew(spec) =
        deploy(Some(&seen), &request("second"), at(300), &Policy::default())
    else {
        panic!("the lease has passed");
    };

    let crossed = Record {
        spec,
        status: Some(*expiring),
        deleting: false,
    };

    let Next::Write(status) = next(&crossed, &Observed::running(peer(1)), true) else {
        panic!("it was called back")
    };
    assert_eq!(status.phase, Phase::Initializing);
}

#[rstest]
#[case(Phase::Failed)]
#[case(Phase::Expired)]
fn what_has_ended_is_reclaimed_before_it_starts_anew(#[case] phase: Phase) {
    let called = called(record(phase), 5);
    let leftovers = Observed {
        namespace: Namespace::Present,
        ..Observed::default()
    };
    let terminating = Observed {
        namespace: Namespace::Terminating,
        ..Observed::default()
    };

    assert_eq!(
        next(&called, &leftovers, false),
        Next::Apply(vec![Step::DeleteNamespace])
    );
    assert_eq!(next(&called, &terminating, false), Next::Start);
    assert_eq!(next(&record(phase), &terminating, false), Next::Rest);
}

#[test]
fn a_deleted_record_goes_whatever_its_phase() {
    let leaving = Record {
        deleting: true,
        ..called(record(Phase::Expiring), 5)
    };

    assert_eq!(
        next(&leaving, &Observed::default(), false),
        Next::Apply(vec![Step::RemoveRecord])
    );
}

#[rstest]
#[case::made(record(Phase::Initializing))]
#[case::deployed_but_hopeless(record(Phase::Deployed))]
fn a_failure_is_written_with_its_class(#[case] record: Record) {
    let expected = with(record.clone(), |status| {
        (status.phase, status.since) = (Phase::Failed, at(10));
        (status.failure, status.message) = (
            Some(FailureClass::BadValues),
            Some("replicas: not a number".to_owned()),
        );
    });

    assert_eq!(fail(&record, bad_values(), at(10)), expected.status);
}

#[rstest]
#[case::deleted_meanwhile(Record { deleting: true, ..record(Phase::Initializing) })]
#[case::ended_meanwhile(record(Phase::Expiring))]
#[case::failed_already(record(Phase::Failed))]
fn a_failure_that_comes_too_late_changes_nothing(#[case] record: Record) {
    assert_eq!(fail(&record, bad_values(), at(10)), None);
}

#[test]
fn names_are_always_new_and_addresses_stay() {
    let entropy = 42;
    let other = with(record(Phase::Deployed), |status| {
        status.deployment_name = DeploymentName::generate(entropy);
    });
    let own = record(Phase::Failed);

    let placement = place(&own, [&own, &other], &pool("10.5.0.0/16"), entropy).unwrap();

    assert_eq!(
        placement,
        Placement {
            name: DeploymentName::generate(entropy + 1),
            address: peer(1).address
        }
    );
}

#[test]
fn an_address_outside_the_network_is_not_kept() {
    let own = record(Phase::Failed);

    let placement = place(&own, [&own], &pool("10.6.0.0/30"), 0).unwrap();

    assert_eq!(placement.address.to_string(), "10.6.0.2");
}

#[rstest]
fn an_address_is_held_as_long_as_its_record_is_there(
    #[values(
        Phase::Initializing,
        Phase::Deployed,
        Phase::Expiring,
        Phase::Expired,
        Phase::Failed
    )]
    phase: Phase,
) {
    let mut holder = with(record(phase), |status| {
        status.tunnel_address = [10, 5, 0, 2].into();
    });
    holder.spec.public_key = key(2);
    let pool = pool("10.5.0.0/30");

    let placement = place(&new_record(), [&holder], &pool, 0);

    assert_eq!(placement, Err(PlacementError::Addresses(pool)));
}

fn next(record: &Record, observed: &Observed, ready: bool) -> Next {
    let readiness = if ready {
        Readiness::Ready
    } else {
        Readiness::default()
    };
    reconcile(record, observed, &readiness, at(10), &Policy::default())
}

fn written(record: &Record, change: impl FnOnce(&mut RecordStatus)) -> Next {
    Next::Write(Box::new(with(record.clone(), change).status.unwrap()))
}

fn never() -> Readiness {
    Readiness::Never(Failure {
        class: FailureClass::NotReady,
        message: "image x cannot be pulled".to_owned(),
        detail: None,
    })
}

fn bad_values() -> Failure {
    Failure {
        class: FailureClass::BadValues,
        message: "replicas: not a number".to_owned(),
        detail: None,
    }
}

fn pool(network: &str) -> AddressPool {
    AddressPool::new(network.parse().unwrap()).unwrap()
}
