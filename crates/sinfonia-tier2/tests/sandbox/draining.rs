//! A cloudlet whose operator wants no new deployments, and what else it turns away.

use http::{Method, StatusCode};
use rstest::rstest;
use sinfonia_core::lifecycle::FailureClass;
use sinfonia_tier2::cluster::draining::{Draining, Reason};

use crate::harness::{OTHER, Tier2, deployment, pass};
use crate::troubled_cluster::Install;

/// The end of a lease, and the round of the job runner that sees it.
const LEASE: u64 = 300 + 61;

#[rstest]
#[case::for_a_reason(
    Some("new disks"),
    "the cloudlet takes no new deployments at present: new disks"
)]
#[case::without_a_word(None, "the cloudlet takes no new deployments at present")]
#[tokio::test(start_paused = true)]
async fn nothing_new_is_deployed(#[case] reason: Option<&str>, #[case] expected: &str) {
    let tier2 = Tier2::new().await;
    tier2
        .cluster
        .draining(Draining::Yes(reason.and_then(Reason::fit)));

    let refused = tier2.post(1).answer().await;
    let unknown_recipe = tier2
        .ask(
            Method::POST,
            &deployment("00000000-0000-0000-0000-00000000ffff", 1),
        )
        .status()
        .await;
    let ready = tier2.admin("/readyz").status().await;

    assert_eq!(refused.problem(), (503, None, expected));
    assert_eq!(refused.retry_after(), Some(60));
    assert_eq!(unknown_recipe, StatusCode::NOT_FOUND);
    assert_eq!(ready, StatusCode::OK);
    assert!(tier2.cluster.is_empty().await);
    assert_eq!(tier2.get(1).status().await, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn whether_it_drains_has_to_be_known() {
    let tier2 = Tier2::new().await;
    tier2
        .cluster
        .draining(Draining::Unknown("it was not asked".to_owned()));

    let refused = tier2.post(1).answer().await;

    let expected = "it is not known yet whether the cloudlet takes new deployments";
    assert_eq!(refused.problem(), (503, None, expected));
    assert_eq!(refused.retry_after(), Some(5));
}

#[tokio::test(start_paused = true)]
async fn what_is_there_is_renewed_read_and_deleted() {
    let tier2 = Tier2::new().await;
    let first = tier2.post(1).granted().await;
    tier2.cluster.draining(Draining::Yes(None));
    pass(250).await;

    let renewed = tier2.post(1).granted().await;
    pass(200).await;
    let read = tier2.get(1).granted().await;
    let deleted = tier2.delete(1).status().await;
    let asked_again = tier2.post(1).status().await;

    assert_eq!(renewed["DeploymentName"], first["DeploymentName"]);
    assert!(renewed["Expires"].as_str() > first["Expires"].as_str());
    assert_eq!(
        (&read["Status"], &read["Ready"]),
        (&"Deployed".into(), &true.into())
    );
    assert_eq!(deleted, StatusCode::NO_CONTENT);
    assert_eq!(asked_again, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_its_grace_is_brought_back() {
    let tier2 = Tier2::new().await;
    let first = tier2.post(1).granted().await;
    tier2.cluster.draining(Draining::Yes(None));
    pass(LEASE).await;

    let back = tier2.post(1).granted().await;

    assert_eq!(back["DeploymentName"], first["DeploymentName"]);
    assert_eq!(back["TunnelConfig"], first["TunnelConfig"]);
    assert_eq!(back["Ready"], true);
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_does_not_begin_anew() {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;
    pass(LEASE + LEASE).await;
    tier2
        .cluster
        .installing(Install::Fails(FailureClass::Refused));
    tier2.post(2).status().await;
    tier2.cluster.installing(Install::Works);
    tier2.cluster.draining(Draining::Yes(None));

    for key in [1, 2] {
        let again = tier2.post(key).answer().await;
        assert_eq!(again.status, StatusCode::SERVICE_UNAVAILABLE, "{again:?}");
        assert_eq!(tier2.get(key).status().await, StatusCode::NOT_FOUND);
    }
    assert!(tier2.cluster.is_empty().await);
}

#[tokio::test(start_paused = true)]
async fn what_is_being_removed_is_not_waited_for() {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;
    tier2.cluster.uninstalling(false);
    tier2.delete(1).granted().await;
    tier2.cluster.draining(Draining::Yes(None));

    let refused = tier2.post(1).header("prefer", "wait=60").answer().await;

    let expected = "the cloudlet takes no new deployments at present";
    assert_eq!(refused.problem(), (503, None, expected));
}

#[tokio::test(start_paused = true)]
async fn another_application_of_a_live_key_is_a_conflict_as_ever() {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;
    tier2.cluster.draining(Draining::Yes(None));

    let conflict = tier2.ask(Method::POST, &deployment(OTHER, 1));

    assert_eq!(conflict.status().await, StatusCode::CONFLICT);
}

#[tokio::test(start_paused = true)]
async fn afterwards_everything_is_as_before() {
    let tier2 = Tier2::new().await;
    tier2.cluster.draining(Draining::Yes(None));
    tier2.post(1).status().await;
    tier2.cluster.draining(Draining::No);

    tier2.post(1).granted().await;

    assert!(tier2.cluster.is_complete().await);
}

#[tokio::test(start_paused = true)]
async fn the_metrics_tell_it() {
    let tier2 = Tier2::new().await;
    let before = tier2.admin("/metrics").granted().await;
    tier2.cluster.draining(Draining::Yes(None));
    tier2.post(1).status().await;

    let after = tier2.admin("/metrics").granted().await;

    let (before, after) = (before.as_str().unwrap(), after.as_str().unwrap());
    assert!(before.contains("\nsinfonia_tier2_draining 0\n"), "{before}");
    assert!(after.contains("\nsinfonia_tier2_draining 1\n"), "{after}");
    let refused = "sinfonia_tier2_deploys_total{outcome=\"draining\"} 1\n";
    assert!(after.contains(refused), "{after}");
}
