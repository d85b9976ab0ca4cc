//! The end of leases, where only requests renew them.

use sinfonia_testbed::{ApiCall, Fault, FaultProxy, Rule};

use crate::harness::{
    Cloudlet, OTHER, PLAIN, WEB, items, name_of, namespace_path, peer_path, phase_of,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_leaves_its_namespace_and_comes_back_under_the_same_name_and_address() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&["--lease", "2s", "--grace", "1h"]).await;
    let before = tier2.post(PLAIN, 1).wait(60).granted().await;
    let name = name_of(&before);

    cloudlet.record_in(1, "Expiring");

    cloudlet.until_gone(&peer_path(name));
    cloudlet.until_release(name, None).await;
    let namespace = cloudlet.find_namespace(name).unwrap();
    assert_eq!(namespace["status"]["phase"], "Active");
    let expiring = tier2.get(PLAIN, 1).granted().await;
    assert_eq!(
        (&expiring["Status"], &expiring["Ready"]),
        (&"Expiring".into(), &false.into())
    );
    let after = tier2.post(PLAIN, 1).wait(60).granted().await;
    for field in ["DeploymentName", "TunnelConfig", "Created"] {
        assert_eq!(after[field], before[field]);
    }
    assert_eq!(after["Status"], "Deployed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_is_not_taken_for_ready_because_it_was() {
    let cloudlet = Cloudlet::new();
    let proxy = FaultProxy::start(cloudlet.cluster()).unwrap();
    let options = ["--lease", "2s", "--grace", "1h"];
    let tier2 = cloudlet.tier2_through(&proxy, &options).await;
    tier2.post(WEB, 1).wait(0).granted().await;
    let record = cloudlet.record_in(1, "Deployed");
    let name = record["status"]["deploymentName"].as_str().unwrap();
    cloudlet.run_pods(name, true);
    cloudlet.record_when(1, |record| !record["status"]["firstReady"].is_null());
    // From now on nobody is told that what runs goes.
    let workloads = |call: &ApiCall| {
        call.verb == "watch" && ["deployments", "pods"].contains(&call.resource.as_str())
    };
    proxy.inject(Rule::when(workloads, Fault::Hang));
    proxy.cut_connections();
    cloudlet.record_in(1, "Expiring");
    cloudlet.when(&format!("{}/pods", namespace_path(name)), |pods| {
        pods.is_some_and(|pods| items(pods).is_empty())
    });

    let early = tier2.post(WEB, 1).wait(3).granted().await;

    assert_eq!(early["Ready"], false, "{early}");
    let record = cloudlet.record_in(1, "Deployed");
    assert!(record["status"]["firstReady"].is_null(), "{record}");
    proxy.clear();
    proxy.cut_connections();
    cloudlet.run_pods(name, true);
    let ready = tier2.post(WEB, 1).wait(60).granted().await;
    assert_eq!((&ready["Ready"], name_of(&ready)), (&true.into(), name));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_leaves_a_record_that_holds_its_address() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet
        .tier2(&[
            "--lease",
            "2s",
            "--grace",
            "1s",
            "--client-network",
            "10.77.0.0/30",
        ])
        .await;
    let before = tier2.post(PLAIN, 1).wait(60).granted().await;
    let name = name_of(&before);
    assert_eq!(before["TunnelConfig"]["address"][0], "10.77.0.2");

    let record = cloudlet.record_in(1, "Expired");

    assert_eq!(record["status"]["tunnelAddress"], "10.77.0.2");
    cloudlet.until_gone(&namespace_path(name));
    assert_eq!(cloudlet.find_peer(name), None);
    let gone = tier2.get(PLAIN, 1).answer().await;
    assert_eq!(gone.problem(), (404, Some("expired")));
    let other_key = tier2.post(PLAIN, 2).answer().await;
    assert_eq!(other_key.status, 503);
    assert!(other_key.detail().contains("no tunnel address is left"));
    let after = tier2.post(OTHER, 1).wait(60).granted().await;
    assert_eq!(
        (&after["Status"], &after["UUID"]),
        (&"Deployed".into(), &OTHER.into())
    );
    assert_ne!(name_of(&after), name);
    assert_eq!(after["TunnelConfig"]["address"][0], "10.77.0.2");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lease_ends_before_the_deployment_was_ready_but_its_deadline_does() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet
        .tier2(&["--lease", "1s", "--grace", "0", "--ready-deadline", "8s"])
        .await;
    let first = tier2.post(WEB, 1).wait(0).granted().await;
    let mut seen = Vec::new();

    let record = cloudlet.record_when(1, |record| {
        let phase = phase_of(record).to_owned();
        seen.push(phase.clone());
        phase == "Failed"
    });

    seen.dedup();
    let expected = ["Initializing", "Deployed", "Failed"];
    assert!(
        expected.ends_with(&seen.iter().map(String::as_str).collect::<Vec<_>>()),
        "{seen:?}"
    );
    assert_eq!(record["status"]["failure"], "not-ready");
    cloudlet.until_gone(&namespace_path(name_of(&first)));
    assert_eq!(cloudlet.find_peer(name_of(&first)), None);
    let answer = tier2.get(WEB, 1).answer().await;
    assert_eq!(answer.problem(), (404, Some("not-ready")));
    let second = tier2.post(PLAIN, 1).wait(60).granted().await;
    assert_ne!(name_of(&second), name_of(&first));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_life_ends_a_deployment_however_often_it_is_renewed() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet
        .tier2(&["--max-lifetime", "3s", "--grace", "1h"])
        .await;
    let before = tier2.post(PLAIN, 1).wait(60).granted().await;

    let record = cloudlet.record_in(1, "Expiring");

    let status = &record["status"];
    assert!(status["leaseEnd"].as_str() > status["since"].as_str());
    cloudlet.until_gone(&peer_path(name_of(&before)));
    let after = tier2.post(PLAIN, 1).wait(60).granted().await;
    assert_eq!(name_of(&after), name_of(&before));
}
