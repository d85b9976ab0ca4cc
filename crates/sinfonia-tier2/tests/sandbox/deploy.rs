//! `POST` and `GET` of a deployment.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::Ordering;

use http::{Method, StatusCode};
use rstest::rstest;
use serde_json::json;

use crate::harness::{DEVICE, HELLOWORLD, OTHER, Tier2, deployment, pass};

#[tokio::test(start_paused = true)]
async fn a_new_key_gets_a_deployment_as_the_contract_says() {
    let tier2 = Tier2::new().await;

    let answer = tier2.post(1).answer().await;

    assert_eq!(answer.headers["content-type"], "application/json");
    let name = answer.body[0]["DeploymentName"].as_str().unwrap();
    let tunnel = &answer.body[0]["TunnelConfig"];
    let expected = json!([{
        "DeploymentName": name,
        "UUID": HELLOWORLD,
        "ApplicationKey": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        "Status": "Deployed",
        "Created": "2026-11-22T15:09:00+00:00",
        "TunnelConfig": {
            "publicKey": tunnel["publicKey"],
            "allowedIPs": ["0.0.0.0/0"],
            "endpoint": "203.0.113.7:51820",
            "address": tunnel["address"],
            "dns": ["10.5.0.1", format!("{name}.svc.cluster.local"), "svc.cluster.local", "cluster.local"],
        },
        "Ready": true,
        "Expires": "2026-11-22T15:14:00+00:00",
        "Message": "ready",
        "Sandbox": true,
    }]);
    assert_eq!((answer.status, answer.body), (StatusCode::OK, expected));
    assert!(tier2.cluster.is_complete().await);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_is_read_as_an_object() {
    let tier2 = Tier2::new().await;
    let deployed = tier2.post(1).granted().await;

    let answer = tier2.get(1).answer().await;

    assert_eq!((answer.status, answer.body), (StatusCode::OK, deployed));
}

#[rstest]
#[case::another_key(HELLOWORLD, 2)]
#[case::another_recipe(OTHER, 1)]
#[tokio::test(start_paused = true)]
async fn what_was_not_deployed_cannot_be_read(#[case] recipe: &str, #[case] key: u8) {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;

    let answer = tier2
        .ask(Method::GET, &deployment(recipe, key))
        .answer()
        .await;

    assert_eq!(answer.problem(), (404, None, "there is no such deployment"));
}

#[tokio::test(start_paused = true)]
async fn repeats_are_idempotent_and_extend_the_lease() {
    let tier2 = Tier2::new().await;
    let first = tier2.post(1).granted().await;

    pass(200).await;
    let second = tier2.post(1).granted().await;

    assert_eq!(second["DeploymentName"], first["DeploymentName"]);
    assert_eq!(second["TunnelConfig"], first["TunnelConfig"]);
    assert_eq!(first["Expires"], "2026-11-22T15:14:00+00:00");
    assert_eq!(second["Expires"], "2026-11-22T15:17:20+00:00");
    assert_eq!(tier2.cluster.installs.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_at_once_for_one_key_make_one_deployment() {
    let tier2 = Tier2::new().await;

    let (first, second, third) = tokio::join!(
        tier2.post(1).granted(),
        tier2.post(1).granted(),
        tier2.post(1).granted()
    );

    assert_eq!(first["DeploymentName"], second["DeploymentName"]);
    assert_eq!(first["DeploymentName"], third["DeploymentName"]);
    assert_eq!(tier2.cluster.content().await.len(), 1);
    assert_eq!(tier2.cluster.installs.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn every_device_has_a_name_and_an_address_of_its_own() {
    let tier2 = Tier2::with(&["--max-deployments-per-client", "50", "--client-rate", "0"]).await;

    let mut given = Vec::new();
    for key in 1..=50 {
        let deployment = tier2.post(key).granted().await;
        given.push((
            deployment["DeploymentName"].to_string(),
            deployment["TunnelConfig"]["address"].to_string(),
        ));
    }

    let names: BTreeSet<_> = given.iter().map(|(name, _)| name).collect();
    let addresses: BTreeSet<_> = given.iter().map(|(_, own)| own).collect();
    assert_eq!((names.len(), addresses.len()), (50, 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn devices_that_come_at_once_get_addresses_of_their_own() {
    let options = ["--max-deployments-per-client", "13", "--client-rate", "0"];
    let tier2 = Tier2::with(&[&options[..], &["--client-network", "10.5.0.0/28"]].concat()).await;

    for _ in 0..100 {
        let posts = (1..=13).map(|key| tokio::spawn(tier2.post(key).granted()));
        let given = futures_util::future::join_all(posts).await;

        let addresses: BTreeSet<_> = given
            .into_iter()
            .map(|deployment| deployment.unwrap()["TunnelConfig"]["address"][0].to_string())
            .collect();
        assert_eq!(addresses.len(), 13);
        let deletes = (1..=13).map(|key| tier2.delete(key).granted());
        futures_util::future::join_all(deletes).await;
    }
}

#[rstest]
#[case::key_with_slashes("/api/v1/deploy/{uuid}///v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=")]
#[case::trailing_slash("/api/v1/deploy/{uuid}///v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=/")]
#[case::slashes_in_front("//api/v1/deploy/{uuid}///v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=")]
#[case::url_safe("/api/v1/deploy/{uuid}/__v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8")]
#[tokio::test(start_paused = true)]
async fn a_path_is_taken_in_every_spelling(#[case] path: &str) {
    let tier2 = Tier2::new().await;

    let status = tier2
        .ask(Method::POST, &path.replace("{uuid}", HELLOWORLD))
        .status()
        .await;

    assert_eq!(status, StatusCode::OK);
}

#[rstest]
#[case::uuid("/api/v1/deploy/nonsense/AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE")]
#[case::key("/api/v1/deploy/00000000-0000-0000-0000-000000000000/nonsense")]
#[tokio::test(start_paused = true)]
async fn a_malformed_path_is_refused(#[case] path: &str) {
    let tier2 = Tier2::new().await;

    let answer = tier2.ask(Method::POST, path).answer().await;

    assert_eq!(answer.problem().0, 400);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_recipe_is_not_found() {
    let tier2 = Tier2::new().await;
    let unknown = "00000000-0000-0000-0000-000000000009";

    let answer = tier2
        .ask(Method::POST, &deployment(unknown, 1))
        .answer()
        .await;

    let detail = format!("there is no recipe {unknown}");
    assert_eq!(answer.problem(), (404, None, &*detail));
}

#[tokio::test(start_paused = true)]
async fn a_restricted_recipe_can_be_deployed() {
    let tier2 = Tier2::new().await;
    let recipe = format!("recipes/{HELLOWORLD}.yaml");
    let text = "chart: c\nversion: 0.1.0\nrestricted: true\n";
    fs::write(tier2.folder.path().join(recipe), text).unwrap();

    assert_eq!(tier2.post(1).status().await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn without_its_repository_nothing_new_is_deployed_and_what_runs_is_renewed() {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;
    fs::remove_dir_all(tier2.folder.path().join("recipes")).unwrap();

    let new = tier2
        .ask(Method::POST, &deployment(OTHER, 2))
        .answer()
        .await;
    pass(200).await;
    let renewed = tier2.post(1).granted().await;

    assert_eq!((new.status.as_u16(), new.retry_after()), (503, Some(3)));
    assert_eq!(renewed["Expires"], "2026-11-22T15:17:20+00:00");
}

#[tokio::test(start_paused = true)]
async fn what_runs_is_renewed_although_its_recipe_is_gone() {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;
    let recipe = format!("recipes/{HELLOWORLD}.yaml");
    fs::remove_file(tier2.folder.path().join(recipe)).unwrap();
    pass(200).await;

    let new = tier2.post(2).status().await;
    let renewed = tier2.post(1).status().await;

    assert_eq!((new, renewed), (StatusCode::NOT_FOUND, StatusCode::OK));
}

#[tokio::test(start_paused = true)]
async fn a_key_holds_one_application() {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;

    let answer = tier2
        .ask(Method::POST, &deployment(OTHER, 1))
        .answer()
        .await;

    let detail = format!("the key holds a deployment of another application here, {HELLOWORLD}");
    assert_eq!(answer.problem(), (409, None, &*detail));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_recipe_is_not_found_whatever_the_key_holds() {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;
    let unknown = "00000000-0000-0000-0000-000000000009";

    let status = tier2
        .ask(Method::POST, &deployment(unknown, 1))
        .status()
        .await;

    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_client_has_so_many_deployments_and_no_more() {
    let tier2 = Tier2::new().await;
    for key in 1..=4 {
        tier2.post(key).granted().await;
    }

    let fifth = tier2.post(5).answer().await;
    let repeat = tier2.post(4).status().await;
    let of_another_client = tier2.post(5).from("192.0.2.8").status().await;

    assert_eq!(
        (fifth.status.as_u16(), fifth.retry_after()),
        (429, Some(60))
    );
    assert_eq!(
        (repeat, of_another_client),
        (StatusCode::OK, StatusCode::OK)
    );
}

#[tokio::test(start_paused = true)]
async fn an_ipv6_site_counts_as_one_client() {
    let tier2 = Tier2::with(&["--max-deployments-per-client", "1"]).await;
    tier2.post(1).from("2001:db8:0:1::1").granted().await;

    let same_site = tier2.post(2).from("2001:db8:0:1::2").status().await;
    let another_site = tier2.post(2).from("2001:db8:0:2::1").status().await;

    assert_eq!(same_site, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(another_site, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_full_cloudlet_says_so() {
    let tier2 = Tier2::with(&["--max-deployments", "2"]).await;
    tier2.post(1).granted().await;
    tier2.post(2).granted().await;

    let third = tier2.post(3).answer().await;

    assert_eq!(third.problem(), (503, None, "the cloudlet is full"));
    assert_eq!(third.retry_after(), Some(60));
    assert_eq!(tier2.get(3).status().await, StatusCode::NOT_FOUND);
    assert_eq!(tier2.cluster.content().await.len(), 2);
    let renewed = tier2.post(2).status().await;
    tier2.delete(1).granted().await;
    pass(1).await;
    let after_a_deletion = tier2.post(3).status().await;
    assert_eq!([renewed, after_a_deletion], [StatusCode::OK; 2]);
}

#[tokio::test(start_paused = true)]
async fn without_a_free_address_nothing_is_deployed() {
    let tier2 = Tier2::with(&["--client-network", "10.5.0.0/30"]).await;
    tier2.post(1).granted().await;

    let second = tier2.post(2).answer().await;
    let read = tier2.get(2).status().await;
    let made = tier2.cluster.content().await.len();
    tier2.delete(1).granted().await;
    pass(1).await;
    let after_a_deletion = tier2.post(2).status().await;

    let detail = "no tunnel address is left in 10.5.0.0/30";
    assert_eq!(second.problem(), (503, None, detail));
    assert_eq!(second.retry_after(), Some(60));
    assert_eq!((read, made), (StatusCode::NOT_FOUND, 1));
    assert_eq!(after_a_deletion, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn requests_at_once_share_what_room_there_is() {
    let tier2 = Tier2::with(&["--client-network", "10.5.0.0/29"]).await;

    let asks = (1..=8).map(|key| tier2.post(key).from(&format!("192.0.2.{key}")).status());
    let statuses = futures_util::future::join_all(asks).await;

    let granted = statuses.iter().filter(|status| status.is_success());
    assert_eq!(granted.count(), 5);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deployed_while_the_tunnel_is_not_known() {
    let tier2 = Tier2::new().await;
    tier2.cluster.lacks("no node has kilo.squat.ai/endpoint");
    pass(1).await;

    let answer = tier2.post(1).answer().await;
    let ready = tier2.admin("/readyz").answer().await;

    let detail = "the tunnel is not ready: no node has kilo.squat.ai/endpoint";
    assert_eq!(answer.problem(), (503, None, detail));
    let missing = json!({"cluster": "no node has kilo.squat.ai/endpoint"});
    assert_eq!(ready.body["missing"], missing);
    assert!(tier2.cluster.is_empty().await);
}

#[tokio::test(start_paused = true)]
async fn an_ipv6_client_network_is_served_too() {
    let tier2 = Tier2::with(&["--client-network", "fd00:5::/64"]).await;

    let deployment = tier2.post(1).granted().await;

    let tunnel = &deployment["TunnelConfig"];
    assert_eq!(
        (&tunnel["allowedIPs"], &tunnel["dns"][0]),
        (&json!(["::/0"]), &json!("fd00:5::1"))
    );
    assert!(
        tunnel["address"][0]
            .as_str()
            .unwrap()
            .starts_with("fd00:5::")
    );
}

#[tokio::test(start_paused = true)]
async fn the_request_id_of_the_caller_is_taken_over() {
    let tier2 = Tier2::new().await;

    let answer = tier2
        .get(1)
        .header("x-request-id", "tier1-42")
        .answer()
        .await;

    assert_eq!(answer.headers["x-request-id"], "tier1-42");
    assert_eq!(answer.body["request_id"], "tier1-42");
}

#[rstest]
#[case::root(Method::GET, "/", 200)]
#[case::unknown_path(Method::GET, "/api/v1/nothing", 404)]
#[case::method(
    Method::PUT,
    "/api/v1/deploy/00000000-0000-0000-0000-000000000000/key",
    405
)]
#[tokio::test(start_paused = true)]
async fn the_router_answers_json_and_problems(
    #[case] method: Method,
    #[case] path: &str,
    #[case] status: u16,
) {
    let tier2 = Tier2::new().await;

    let answer = tier2.ask(method, path).from(DEVICE).answer().await;

    let media_type = if status == 200 {
        "application/json"
    } else {
        "application/problem+json"
    };
    assert_eq!(answer.status.as_u16(), status);
    assert_eq!(answer.headers["content-type"], media_type);
}
