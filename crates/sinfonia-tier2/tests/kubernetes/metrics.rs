//! What `/metrics` tells on Kubernetes.

use sinfonia_testbed::Metric;

use crate::harness::{Cloudlet, FAILING, PLAIN};

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_those_of_the_table_and_tell_of_helm_failures_and_leases() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    let (failing, class) = FAILING[0];
    tier2.post(PLAIN, 1).wait(60).granted().await;
    tier2.post(failing, 2).wait(60).answer().await;

    let page = tier2
        .metrics_with("sinfonia_tier2_leases{activity=\"not_asked\"} 1")
        .await;

    let documented = Metric::documented(&["Tier 2", "Tier 2 on Kubernetes"]);
    assert_eq!(Metric::exposed(&page), documented);
    let failed = format!("sinfonia_tier2_deployment_failures_total{{class=\"{class}\"}} 1");
    for line in [
        "sinfonia_tier2_ready 1",
        "sinfonia_tier2_leading 1",
        "sinfonia_tier2_helm_duration_seconds_count{command=\"install\",outcome=\"succeeded\"} 1",
        &failed,
    ] {
        assert!(
            page.lines().any(|other| other == line),
            "{line} is missing in {page}"
        );
    }
}
