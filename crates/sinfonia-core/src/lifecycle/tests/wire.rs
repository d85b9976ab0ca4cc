use jiff::SignedDuration;
use rstest::rstest;
use serde_json::json;

use crate::deployment::Status;
use crate::lifecycle::fixtures::{called, key, new_record, record, with};
use crate::lifecycle::{
    Failure, FailureClass, Line, Phase, Policy, Readiness, Record, RecordSpec, RecordStatus,
    TunnelFacts, wire,
};

#[test]
fn a_deployment_is_answered_as_the_contract_says() {
    let answer = wire(
        &record(Phase::Deployed),
        &facts(),
        &Readiness::Ready,
        &Policy::default(),
    )
    .unwrap();

    let expected = json!({
        "DeploymentName": "brave-otter-x7k2p",
        "UUID": "00000000-0000-0000-0000-000000000000",
        "ApplicationKey": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        "Status": "Deployed",
        "Created": "2026-11-22T15:00:00+00:00",
        "TunnelConfig": {
            "publicKey": "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=",
            "allowedIPs": ["0.0.0.0/0"],
            "endpoint": "203.0.113.7:51820",
            "address": ["10.5.17.1"],
            "dns": ["10.43.0.10", "brave-otter-x7k2p.svc.cluster.local", "svc.cluster.local", "cluster.local"],
        },
        "Ready": true,
        "Expires": "2026-11-22T15:05:00+00:00",
        "Message": "ready",
    });
    assert_eq!(serde_json::to_value(answer).unwrap(), expected);
}

#[rstest]
#[case::being_made(record(Phase::Initializing), Status::Initializing, false)]
#[case::deployed(record(Phase::Deployed), Status::Deployed, true)]
#[case::expiring(record(Phase::Expiring), Status::Expiring, false)]
#[case::being_brought_back(called(record(Phase::Expiring), 10), Status::Initializing, false)]
fn only_what_is_deployed_can_be_ready(
    #[case] record: Record,
    #[case] status: Status,
    #[case] ready: bool,
) {
    let answer = wire(&record, &facts(), &Readiness::Ready, &Policy::default()).unwrap();

    assert_eq!((answer.status, answer.ready), (status, Some(ready)));
}

#[rstest]
#[case::why_not_yet(
    Readiness::NotYet(Some(Line::new("pulling image x"))),
    None,
    "pulling image x"
)]
#[case::news_win(
    Readiness::NotYet(Some(Line::new("pulling image x"))),
    Some("unschedulable"),
    "pulling image x"
)]
#[case::what_was_known_last(Readiness::default(), Some("unschedulable"), "unschedulable")]
#[case::nothing_known(Readiness::default(), None, "installed, not ready")]
#[case::never(Readiness::Never(Failure { class: FailureClass::NotReady, message: "no image".to_owned(), detail: None }), None, "no image")]
#[case::ready_after_all(Readiness::Ready, Some("unschedulable"), "ready")]
fn the_message_says_why_it_is_not_ready(
    #[case] readiness: Readiness,
    #[case] told: Option<&str>,
    #[case] expected: &str,
) {
    let record = with(record(Phase::Deployed), |status| {
        status.message = told.map(str::to_owned);
    });

    let answer = wire(&record, &facts(), &readiness, &Policy::default()).unwrap();

    assert_eq!(answer.message.as_deref(), Some(expected));
}

#[rstest]
#[case::without_a_place(new_record())]
#[case::expired(record(Phase::Expired))]
#[case::failed(record(Phase::Failed))]
#[case::about_to_start_anew(called(record(Phase::Failed), 10))]
#[case::being_deleted(Record { deleting: true, ..record(Phase::Deployed) })]
fn what_is_not_there_has_no_answer(#[case] record: Record) {
    assert_eq!(
        wire(&record, &facts(), &Readiness::Ready, &Policy::default()),
        None
    );
}

#[test]
fn the_end_of_the_lease_counts_a_renewal_at_once() {
    let answer = wire(
        &called(record(Phase::Deployed), 200),
        &facts(),
        &Readiness::Ready,
        &Policy::default(),
    )
    .unwrap();

    assert_eq!(answer.expires.unwrap().to_string(), "2026-11-22T15:08:20Z");
}

#[rstest]
#[case::while_it_runs(record(Phase::Deployed), "2026-11-22T15:02:00Z")]
#[case::when_it_is_over(record(Phase::Expiring), "2026-11-22T15:02:00Z")]
#[case::once_brought_back(called(record(Phase::Expiring), 400), "2026-11-22T15:08:40Z")]
fn the_longest_life_may_end_before_the_lease(#[case] record: Record, #[case] expected: &str) {
    let policy = Policy {
        max_lifetime: Some(SignedDuration::from_secs(120)),
        ..Policy::default()
    };

    let answer = wire(&record, &facts(), &Readiness::Ready, &policy).unwrap();

    assert_eq!(answer.expires.unwrap().to_string(), expected);
}

#[test]
fn a_record_survives_being_stored() {
    let failed = with(record(Phase::Failed), |status| {
        status.failure = Some(FailureClass::ChartNotFound);
        status.message = Some("no chart".to_owned());
    });

    let status = serde_json::to_value(failed.status.as_ref().unwrap()).unwrap();
    let spec = serde_json::to_value(&failed.spec).unwrap();

    let expected = json!({
        "phase": "Failed",
        "since": "2026-11-22T15:00:00Z",
        "renewalsSeen": 1,
        "deploymentName": "brave-otter-x7k2p",
        "tunnelAddress": "10.5.17.1",
        "started": "2026-11-22T15:00:00Z",
        "leaseEnd": "2026-11-22T15:05:00Z",
        "failure": "chart-not-found",
        "message": "no chart",
    });
    assert_eq!(status, expected);
    assert_eq!(
        serde_json::from_value::<RecordStatus>(status).ok(),
        failed.status
    );
    assert_eq!(
        serde_json::from_value::<RecordSpec>(spec).unwrap(),
        failed.spec
    );
}

fn facts() -> TunnelFacts {
    TunnelFacts {
        public_key: key(9),
        endpoint: "203.0.113.7:51820".parse().unwrap(),
        allowed_ips: vec!["0.0.0.0/0".parse().unwrap()],
        name_server: "10.43.0.10".parse().unwrap(),
        cluster_domain: "cluster.local".parse().unwrap(),
    }
}
