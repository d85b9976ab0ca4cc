//! What `/readyz` names.

use serde_json::json;

use crate::harness::{Cloudlet, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_helm_that_is_missing_is_named() {
    let cloudlet = Cloudlet::new();
    let options = ["--helm", "/nonexistent/helm"];

    let tier2 = cloudlet.start("tier2", cloudlet.kubeconfig(), &options);

    let missing = json!({"helm": "helm does not work, see the log (--helm)"});
    let expected = json!({"ready": false, "missing": missing});
    eventually(async || {
        let answer = tier2.readiness().await;
        let as_expected = answer.status == 503 && answer.body == expected;
        as_expected.then_some(()).ok_or(format!("{answer:?}"))
    })
    .await;
    let log = tier2.service().log_text();
    assert!(log.contains("/nonexistent/helm"), "{log}");
}
