//! The life of a deployment in a cluster.

use crate::harness::{Cloudlet, PLAIN};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_becomes_a_namespace_a_peer_and_a_release() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;

    let deployment = tier2.post(PLAIN, 1).wait(60).granted().await;

    assert_eq!(deployment["Status"], "Deployed");
    assert_eq!(deployment["Ready"], true);
    let name = deployment["DeploymentName"].as_str().unwrap();
    assert!(cloudlet.find_namespace(name).is_some());
    assert!(cloudlet.find_peer(name).is_some());
    assert_eq!(cloudlet.release(name).as_deref(), Some("deployed"));
    cloudlet.check_invariants().await;
}
