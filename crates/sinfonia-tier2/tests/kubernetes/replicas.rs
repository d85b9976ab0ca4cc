//! Several Tier 2s for one cloudlet: any of them answers, one of them works.

use futures_util::future::join_all;
use serde_json::json;
use sinfonia_testbed::{Fault, FaultProxy, Rule};

use crate::harness::{
    Cloudlet, HOOK, PLAIN, Tier2, eventually, items, name_of, namespace_path, peer_path, phase_of,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_at_two_replicas_is_one_deployment() {
    let cloudlet = Cloudlet::new();
    let (leader, follower) = two(&cloudlet).await;

    let pairs = join_all((1..=4).map(|number| {
        let asks = [leader.post(PLAIN, number), follower.post(PLAIN, number)];
        join_all(asks.map(|ask| ask.wait(60).granted()))
    }))
    .await;

    for pair in &pairs {
        assert_eq!(name_of(&pair[0]), name_of(&pair[1]));
        assert_eq!(pair[0]["TunnelConfig"], pair[1]["TunnelConfig"]);
    }
    assert_eq!(cloudlet.records().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_does_not_lead_serves_everything() {
    let cloudlet = Cloudlet::new();
    let (leader, follower) = two(&cloudlet).await;

    let deployment = follower.post(PLAIN, 1).wait(60).granted().await;

    assert_eq!(deployment["Ready"], true);
    assert_eq!(leader.get(PLAIN, 1).granted().await, deployment);
    assert_eq!(follower.delete(PLAIN, 1).answer().await.status, 204);
    cloudlet.until_gone(&cloudlet.record_path(1));
    cloudlet.until_gone(&peer_path(name_of(&deployment)));
    cloudlet.until_gone(&namespace_path(name_of(&deployment)));
    assert!(!leads(&follower));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leader_that_dies_leaves_half_done_is_finished_by_the_next() {
    let cloudlet = Cloudlet::new();
    let (leader, follower) = two(&cloudlet).await;
    let first_holder = holder(&cloudlet).unwrap();
    let half_done = follower.post(HOOK, 1).wait(0).granted().await;
    let name = name_of(&half_done).to_owned();
    let job = format!("/apis/batch/v1/namespaces/{name}/jobs/prepare");
    cloudlet.when(&job, |job| job.is_some());

    let posts = (2..=5).map(|number| tokio::spawn(follower.post(PLAIN, number).wait(60).granted()));
    let posts: Vec<_> = posts.collect();
    cloudlet.record_when(2, |record| !phase_of(record).is_empty());
    leader.kill();

    for post in posts {
        assert_eq!(post.await.unwrap()["Status"], "Deployed");
    }
    run_hook(&cloudlet, &name).await;
    assert_eq!(cloudlet.release(&name).as_deref(), Some("deployed"));
    let finished = follower.get(HOOK, 1).granted().await;
    assert_eq!(finished["TunnelConfig"], half_done["TunnelConfig"]);
    assert_ne!(holder(&cloudlet).unwrap(), first_holder);
    assert!(leads(&follower));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_stopped_frees_the_lease() {
    let cloudlet = Cloudlet::new();
    let only = cloudlet.tier2(&["--leader-lease", "1h"]).await;
    let lease = lease_path(&cloudlet);
    cloudlet.when(&lease, |_| holder(&cloudlet).is_some());

    only.stop().await;

    assert_eq!(holder(&cloudlet), None);
    let next = cloudlet
        .tier2_with("next", cloudlet.kubeconfig(), &["--leader-lease", "1h"])
        .await;
    let deployment = next.post(PLAIN, 1).wait(60).granted().await;
    assert_eq!(deployment["Status"], "Deployed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_decides_from_an_old_record_is_decided_anew() {
    let cloudlet = Cloudlet::new();
    let leader = cloudlet.tier2(&[]).await;
    let proxy = FaultProxy::start(cloudlet.cluster()).unwrap();
    let behind = cloudlet.tier2_through(&proxy, &[]).await;
    for number in [1, 2] {
        leader.post_as(PLAIN, number, "first").await;
        eventually(async || match behind.get(PLAIN, number).answer().await {
            answer if answer.status == 200 => Ok(()),
            answer => Err(format!("{answer:?}")),
        })
        .await;
    }
    proxy.inject(Rule::on("watch", "cloudletdeployments", Fault::Hang));
    proxy.cut_connections();
    for number in [1, 2] {
        leader.post_as(PLAIN, number, "second").await;
    }

    behind.delete_created_by(PLAIN, 1, "first").await;
    behind.post_as(PLAIN, 2, "third").await;

    let records = [1, 2].map(|number| cloudlet.record(number).unwrap());
    assert!(records[0]["metadata"]["deletionTimestamp"].is_null());
    assert_eq!(records[1]["spec"]["renewals"], 2);
    assert_eq!(records[1]["spec"]["renewedBy"], "second");
}

/// A Tier 2 that leads and one that does not.
async fn two(cloudlet: &Cloudlet) -> (Tier2, Tier2) {
    let leader = cloudlet.tier2(&[]).await;
    eventually(async || match leads(&leader) {
        true => Ok(()),
        false => Err("nobody leads".to_owned()),
    })
    .await;
    let follower = cloudlet
        .tier2_with("follower", cloudlet.kubeconfig(), &[])
        .await;
    (leader, follower)
}

/// Whether a Tier 2 has taken the lead and not lost it.
fn leads(tier2: &Tier2) -> bool {
    let log = tier2.service().log_text();
    let last = log
        .lines()
        .rev()
        .find(|line| line.contains("leadership changed"));
    last.is_some_and(|line| line.contains("true"))
}

fn lease_path(cloudlet: &Cloudlet) -> String {
    format!(
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases/sinfonia-tier2",
        cloudlet.namespace()
    )
}

/// Who holds the lease.
fn holder(cloudlet: &Cloudlet) -> Option<String> {
    let lease = cloudlet.cluster().find(&lease_path(cloudlet)).unwrap()?;
    let holder = lease["spec"]["holderIdentity"].as_str()?;
    (!holder.is_empty()).then(|| holder.to_owned())
}

/// Plays kubelet for the Job of the hook, as often as that is made, until the deployment is installed.
async fn run_hook(cloudlet: &Cloudlet, name: &str) {
    let pods = format!("{}/pods", namespace_path(name));
    let succeeded = json!({"status": {"phase": "Succeeded"}});
    eventually(async || {
        for pod in items(&cloudlet.cluster().get_json(&pods).unwrap()) {
            let pod = pod["metadata"]["name"].as_str().unwrap();
            // One of an earlier try may just have gone.
            let _ = cloudlet
                .cluster()
                .patch(&format!("{pods}/{pod}/status"), &succeeded);
        }
        let record = cloudlet.record(1).unwrap();
        match phase_of(&record) {
            "Deployed" => Ok(()),
            phase => Err(phase.to_owned()),
        }
    })
    .await;
}
