//! What others destroy in the cluster comes back, and what they hold up blocks nobody.

use serde_json::{Value, json};

use crate::harness::{Cloudlet, PLAIN, Tier2, name_of, namespace_path, peer_path};

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_somebody_deletes_comes_back_as_it_was() {
    let cloudlet = Cloudlet::new();
    let (_tier2, name) = deployed(&cloudlet, &[]).await;
    let before = cloudlet.find_peer(&name).unwrap();

    cloudlet.cluster().delete(&peer_path(&name)).unwrap();

    let after = cloudlet.when(&peer_path(&name), |peer| {
        peer.is_some_and(|peer| uid(peer) != uid(&before))
    });
    let after = after.unwrap();
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
    cloudlet.record_in(1, "Deployed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_somebody_changes_is_put_right_where_it_is() {
    let cloudlet = Cloudlet::new();
    let (_tier2, name) = deployed(&cloudlet, &[]).await;
    let before = cloudlet.find_peer(&name).unwrap();
    let version = |peer: &Value| peer["metadata"]["resourceVersion"].clone();

    let changed = json!({"spec": {"allowedIPs": ["10.99.0.1/32"]}});
    cloudlet
        .cluster()
        .patch(&peer_path(&name), &changed)
        .unwrap();

    let after = cloudlet.when(&peer_path(&name), |peer| {
        peer.is_some_and(|peer| peer["spec"] == before["spec"] && version(peer) != version(&before))
    });
    assert_eq!(uid(&after.unwrap()), uid(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_somebody_deletes_comes_back_with_all_it_held() {
    let cloudlet = Cloudlet::new();
    let (tier2, name) = deployed(&cloudlet, &[]).await;
    let before = tier2.get(PLAIN, 1).granted().await;
    let (namespace, peer) = (
        cloudlet.find_namespace(&name).unwrap(),
        cloudlet.find_peer(&name).unwrap(),
    );

    cloudlet.cluster().delete(&namespace_path(&name)).unwrap();

    cloudlet.when(&namespace_path(&name), |found| {
        found.is_some_and(|found| uid(found) != uid(&namespace))
    });
    cloudlet.until_release(&name, Some("deployed")).await;
    cloudlet.record_in(1, "Deployed");
    let after = tier2.post(PLAIN, 1).wait(60).granted().await;
    assert_eq!(after["Ready"], true);
    assert_eq!(after["DeploymentName"], before["DeploymentName"]);
    assert_eq!(after["TunnelConfig"], before["TunnelConfig"]);
    assert_eq!(
        cloudlet.find_peer(&name).as_ref().map(uid),
        Some(uid(&peer))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_is_told_of_comes_back_after_a_while() {
    let cloudlet = Cloudlet::new();
    let (_tier2, name) = deployed(&cloudlet, &["--resync-interval", "1s"]).await;
    let binding = format!(
        "/apis/rbac.authorization.k8s.io/v1/namespaces/{name}/rolebindings/sinfonia-deployer"
    );
    let peer = cloudlet.find_peer(&name).unwrap();

    cloudlet.cluster().delete(&binding).unwrap();
    cloudlet.when(&binding, |binding| binding.is_some());
    cloudlet.helm(&name, &["uninstall", &name]);

    cloudlet.until_release(&name, Some("deployed")).await;
    let record = cloudlet.record_in(1, "Deployed");
    assert_eq!(record["status"]["deploymentName"], *name);
    assert_eq!(cloudlet.find_peer(&name), Some(peer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_somebody_deletes_takes_along_what_was_made_of_it() {
    let cloudlet = Cloudlet::new();
    let (tier2, name) = deployed(&cloudlet, &[]).await;

    cloudlet.cluster().delete(&cloudlet.record_path(1)).unwrap();

    cloudlet.until_gone(&cloudlet.record_path(1));
    assert_eq!(cloudlet.find_peer(&name), None);
    cloudlet.until_gone(&namespace_path(&name));
    assert_eq!(tier2.get(PLAIN, 1).answer().await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_cannot_go_blocks_nobody() {
    let cloudlet = Cloudlet::new();
    let (tier2, old) = deployed(&cloudlet, &[]).await;
    let anchor = format!("{}/configmaps/anchor", namespace_path(&old));
    let maps = format!("{}/configmaps", namespace_path(&old));
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "anchor", "finalizers": ["test.example/hold"]},
    });
    cloudlet.cluster().create(&maps, &object).unwrap();

    assert_eq!(tier2.delete(PLAIN, 1).answer().await.status, 204);
    let new = tier2.post(PLAIN, 1).wait(60).granted().await;

    assert_eq!(new["Status"], "Deployed");
    assert_ne!(name_of(&new), old);
    let stuck = cloudlet.find_namespace(&old).unwrap();
    assert_eq!(stuck["status"]["phase"], "Terminating");
    assert_eq!(cloudlet.find_peer(&old), None);
    let free = json!({"metadata": {"finalizers": null}});
    cloudlet.cluster().patch(&anchor, &free).unwrap();
    cloudlet.until_gone(&namespace_path(&old));
}

/// A Tier 2 with a deployment that runs, and its name.
async fn deployed(cloudlet: &Cloudlet, options: &[&str]) -> (Tier2, String) {
    let tier2 = cloudlet.tier2(options).await;
    let deployment = tier2.post(PLAIN, 1).wait(60).granted().await;
    cloudlet.record_when(1, |record| !record["status"]["firstReady"].is_null());
    let name = name_of(&deployment).to_owned();
    (tier2, name)
}

fn uid(object: &Value) -> &Value {
    &object["metadata"]["uid"]
}
