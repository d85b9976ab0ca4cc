//! Leases and what comes after them.

use std::fs;

use http::{Method, StatusCode};
use rstest::rstest;
use serde_json::json;
use sinfonia_core::lifecycle::{Activity, Namespace, Observed};

use crate::harness::{HELLOWORLD, OTHER, Tier2, deployment, pass};

/// Between the end of a lease and the round of the job runner that sees it.
const ROUND: u64 = 61;

#[tokio::test(start_paused = true)]
async fn when_the_lease_has_passed_peer_and_release_go_and_the_namespace_stays() {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;

    pass(300 + ROUND).await;

    let observed: Vec<Observed> = tier2.cluster.content().await.into_values().collect();
    let namespace_alone = Observed {
        namespace: Namespace::Present,
        ..Observed::default()
    };
    assert_eq!(observed, [namespace_alone]);
    let deployment = tier2.get(1).granted().await;
    assert_eq!(
        (&deployment["Status"], &deployment["Ready"]),
        (&json!("Expiring"), &json!(false))
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_brings_it_back_under_the_same_name_and_address() {
    let tier2 = Tier2::new().await;
    let first = tier2.post(1).granted().await;
    pass(300 + ROUND).await;

    let second = tier2.post(1).granted().await;

    assert_eq!(
        (&second["Status"], &second["Ready"]),
        (&json!("Deployed"), &json!(true))
    );
    assert_eq!(second["DeploymentName"], first["DeploymentName"]);
    assert_eq!(second["TunnelConfig"], first["TunnelConfig"]);
    assert!(tier2.cluster.is_complete().await);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_recipe_any_more_is_not_brought_back() {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;
    pass(300 + ROUND).await;
    let recipe = format!("recipes/{HELLOWORLD}.yaml");
    fs::remove_file(tier2.folder.path().join(recipe)).unwrap();

    let status = tier2.post(1).status().await;

    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(tier2.get(1).granted().await["Status"], "Expiring");
}

#[tokio::test(start_paused = true)]
async fn a_recipe_that_cannot_be_read_speaks_against_itself_and_not_against_the_cloudlet() {
    let tier2 = Tier2::new().await;
    let recipe = format!("recipes/{OTHER}.yaml");
    fs::write(tier2.folder.path().join(recipe), "chart: [").unwrap();

    let answer = tier2
        .ask(Method::POST, &deployment(OTHER, 1))
        .answer()
        .await;

    let (status, class, _) = answer.problem();
    assert_eq!((status, class), (503, Some("no-recipe")));
    tier2.post(1).granted().await;
}

#[tokio::test(start_paused = true)]
async fn while_it_is_brought_back_it_is_initializing() {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;
    pass(300 + ROUND).await;
    tier2
        .cluster
        .installing(crate::troubled_cluster::Install::Hangs);

    let deployment = tier2.post(1).granted().await;

    assert_eq!(deployment["Status"], "Initializing");
}

#[tokio::test(start_paused = true)]
async fn after_the_grace_everything_is_reclaimed() {
    let tier2 = Tier2::new().await;
    let first = tier2.post(1).granted().await;

    pass(300 + ROUND + 300 + ROUND).await;

    let answer = tier2.get(1).answer().await;
    assert_eq!(
        answer.problem(),
        (404, Some("expired"), "the deployment has expired")
    );
    assert!(tier2.cluster.is_empty().await);
    let second = tier2.post(1).granted().await;
    assert_ne!(second["DeploymentName"], first["DeploymentName"]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_deployment_never_stands_in_the_way_of_another_application() {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;
    pass(300 + ROUND + 300 + ROUND).await;

    let status = tier2
        .ask(Method::POST, &deployment(OTHER, 1))
        .status()
        .await;

    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn an_expired_deployment_holds_its_address_for_ten_minutes_and_is_forgotten() {
    let tier2 = Tier2::with(&["--client-network", "10.5.0.0/30"]).await;
    tier2.post(1).granted().await;
    pass(300 + ROUND + 300 + ROUND).await;

    let while_held = tier2.post(2).status().await;
    pass(600 + ROUND).await;
    let forgotten = tier2.get(1).answer().await;
    let once_free = tier2.post(2).status().await;

    assert_eq!(
        (while_held, once_free),
        (StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK)
    );
    assert_eq!(
        forgotten.problem(),
        (404, None, "there is no such deployment")
    );
}

#[tokio::test(start_paused = true)]
async fn an_expired_deployment_leaves_room_for_another_of_its_client() {
    let tier2 = Tier2::with(&["--max-deployments-per-client", "1"]).await;
    tier2.post(1).granted().await;
    pass(300 + ROUND + 300 + ROUND).await;

    assert_eq!(tier2.post(2).status().await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn requests_keep_a_deployment_for_as_long_as_they_come() {
    let tier2 = Tier2::new().await;
    let first = tier2.post(1).granted().await;

    for _ in 0..20 {
        pass(250).await;
        tier2.post(1).granted().await;
    }

    let last = tier2.get(1).granted().await;
    assert_eq!(
        (&last["DeploymentName"], &last["Status"]),
        (&first["DeploymentName"], &json!("Deployed"))
    );
}

#[tokio::test(start_paused = true)]
async fn no_lease_ends_before_the_deployment_was_ready_once() {
    let tier2 = Tier2::new().await;
    tier2.cluster.ready(false);
    tier2.post(1).granted().await;

    pass(500).await;

    assert_eq!(tier2.get(1).granted().await["Status"], "Deployed");
}

#[rstest]
#[case::in_use(Activity::Active, "Deployed")]
#[case::not_in_use(Activity::Idle, "Expiring")]
#[case::nobody_knows(Activity::Unknown, "Deployed")]
#[case::nobody_asks(Activity::NotAsked, "Expiring")]
#[tokio::test(start_paused = true)]
async fn what_the_tunnel_does_decides_at_the_end_of_the_lease(
    #[case] activity: Activity,
    #[case] status: &str,
) {
    let tier2 = Tier2::new().await;
    tier2.cluster.tunnels_are(activity);
    tier2.post(1).granted().await;

    pass(300 + ROUND).await;

    assert_eq!(tier2.get(1).granted().await["Status"], status);
}

#[tokio::test(start_paused = true)]
async fn the_longest_life_ends_whatever_the_tunnel_does() {
    let tier2 = Tier2::with(&["--max-lifetime", "15m"]).await;
    tier2.cluster.tunnels_are(Activity::Active);
    tier2.post(1).granted().await;

    pass(15 * 60 + ROUND).await;

    assert_eq!(tier2.get(1).granted().await["Status"], "Expiring");
}

#[tokio::test(start_paused = true)]
async fn the_metrics_count_deployments_by_phase() {
    let tier2 = Tier2::with(&["--client-network", "10.5.0.0/29"]).await;
    tier2.post(1).granted().await;
    pass(300 + ROUND).await;
    tier2.post(2).granted().await;

    let metrics = tier2.admin("/metrics").granted().await;

    let metrics = metrics.as_str().unwrap();
    for expected in [
        "sinfonia_tier2_deployments{phase=\"Deployed\"} 1",
        "sinfonia_tier2_deployments{phase=\"Expiring\"} 1",
        "sinfonia_tier2_deployments{phase=\"Failed\"} 0",
        "sinfonia_tier2_tunnel_addresses_used 2",
        "sinfonia_tier2_tunnel_addresses_free 3",
        "sinfonia_tier2_deploys_total{outcome=\"ready\"} 2",
    ] {
        assert!(
            metrics.lines().any(|line| line == expected),
            "{expected} is missing in {metrics}"
        );
    }
}

#[rstest]
#[case(Activity::Active, "active")]
#[case(Activity::Idle, "idle")]
#[case(Activity::Unknown, "unknown")]
#[tokio::test(start_paused = true)]
async fn the_metrics_count_leases_by_what_is_known_of_their_tunnels(
    #[case] activity: Activity,
    #[case] word: &str,
) {
    let tier2 = Tier2::new().await;
    tier2.cluster.tunnels_are(activity);
    tier2.post(1).granted().await;
    pass(ROUND).await;

    let metrics = tier2.admin("/metrics").granted().await;

    let lines = metrics.as_str().unwrap().lines();
    let prefix = "sinfonia_tier2_leases{";
    let mut leases: Vec<&str> = lines.filter_map(|line| line.strip_prefix(prefix)).collect();
    leases.retain(|lease| !lease.ends_with(" 0"));
    assert_eq!(leases, [format!("activity=\"{word}\"}} 1")]);
}
