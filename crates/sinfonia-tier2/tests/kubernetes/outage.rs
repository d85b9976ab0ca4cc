//! The API server goes away for a while and comes back, whatever Tier 2 is doing.

use std::time::{Duration, Instant};

use serde_json::json;
use sinfonia_testbed::{ControlPlane, Programs, TestFolder, unique_name};

use crate::harness::{Cloudlet, HOOK, OTHER, PATIENCE, PLAIN, WEB, eventually};

/// One Tier 2 ends leases, the other one waits for a Prometheus that never answers.
#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_of_the_api_server_all_is_as_it_should_be() {
    let first = ControlPlane::shared();
    let folder = TestFolder::new().unwrap();
    let programs = Programs::find_or_hint().unwrap();
    let name = unique_name("outage");
    let mut plane = ControlPlane::second(&first, &programs, &name, folder.path()).unwrap();
    let cloudlet = Cloudlet::alone_on(&plane.cluster());
    let unknowing = [
        "--activity",
        "prometheus",
        "--prometheus",
        "http://127.0.0.1:1/",
        "--lease",
        "3s",
    ];
    let tier2 = cloudlet.tier2(&unknowing).await;
    let leasing = Cloudlet::alone_on(&plane.cluster());
    let short = leasing.tier2(&["--lease", "9s", "--grace", "600s"]).await;

    // Given one deployment for each thing that may be going on,
    let [deployed, unready, hooked, leaving, expiring] = [1, 2, 3, 4, 1];
    let ready = tier2.post(PLAIN, deployed).wait(60).granted().await;
    let standing = ready["DeploymentName"].as_str().unwrap();
    tier2.post(PLAIN, leaving).wait(60).granted().await;
    let gone = cloudlet.name_of(leaving);
    tier2.post(WEB, unready).wait(0).granted().await;
    cloudlet.wait_for_phase(unready, "Deployed");
    short.post(PLAIN, expiring).wait(60).granted().await;
    let expired = leasing.name_of(expiring);
    tier2.post(HOOK, hooked).wait(0).granted().await;
    let hook = cloudlet.name_of(hooked);
    let job = format!("/apis/batch/v1/namespaces/{hook}/jobs/prepare");
    let cluster = plane.cluster();
    cluster
        .wait_for(&job, PATIENCE, |job| job.is_some())
        .unwrap();
    tier2.delete(PLAIN, leaving).granted().await;

    // when the API server goes away,
    plane.stop_api_server();

    // then what is there is told from memory, what is new is refused with a reason, and readiness ends after its patience.
    let begun = Instant::now();
    let read = tier2.get(PLAIN, deployed).granted().await;
    assert_eq!(
        (&read["Status"], &read["Ready"]),
        (&json!("Deployed"), &json!(true))
    );
    assert_eq!(read["TunnelConfig"], ready["TunnelConfig"]);
    let asked = tier2.post(OTHER, 9).answer().await;
    assert_eq!(asked.status, 503, "{asked:?}");
    assert_eq!(asked.detail(), "the cluster does not answer");
    assert!(asked.headers.contains_key("retry-after"));
    assert_eq!(tier2.readiness().await.status, 200);
    let missing =
        json!({"ready": false, "missing": {"api_server": "the API server does not answer"}});
    eventually(async || {
        let answer = tier2.readiness().await;
        let named = answer.status == 503 && answer.body == missing;
        named.then_some(()).ok_or(format!("{answer:?}"))
    })
    .await;
    assert!(begun.elapsed() > Duration::from_secs(20));
    let read = tier2.get(PLAIN, deployed).granted().await;
    assert_eq!(read["Status"], "Deployed");

    // When it comes back, then what was begun is finished,
    plane.start_api_server().unwrap();
    tier2.until_ready().await;
    cloudlet.wait_until_reclaimed(&gone);
    leasing.wait_for_phase(expiring, "Expiring");
    let peer = crate::harness::peer_path(&expired);
    cluster.wait_until_gone(&peer, PATIENCE).unwrap();
    let runs = cloudlet.name_of(unready);
    cloudlet.run_pods(&runs, true);
    let web = tier2.post(WEB, unready).wait(60).granted().await;
    assert_eq!(
        (&web["DeploymentName"], &web["Ready"]),
        (&json!(runs), &json!(true))
    );
    eventually(async || {
        cloudlet.end_pods(&hook, "Succeeded");
        let answer = tier2.post(HOOK, hooked).wait(2).answer().await;
        let done = answer.status == 200 && answer.body[0]["Ready"] == true;
        done.then_some(()).ok_or(format!("{answer:?}"))
    })
    .await;
    assert_eq!(cloudlet.release(&hook).as_deref(), Some("deployed"));

    // and no lease has ended because nobody knew.
    let record = cloudlet.record(deployed).unwrap();
    assert_eq!(record["status"]["phase"], "Deployed", "{record}");
    assert!(cloudlet.find_peer(standing).is_some());
    assert_eq!(cloudlet.release(standing).as_deref(), Some("deployed"));
    tier2.post(OTHER, 9).wait(60).granted().await;
}
