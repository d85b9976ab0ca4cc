//! Quotas of the cluster's operator: what meets one is refused for a while, and nothing of it is left.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::Method;
use rstest::rstest;
use serde_json::json;
use sinfonia_testbed::{Answer, Fault, FaultProxy, Rule};

use crate::harness::{Cloudlet, PLAIN, eventually, name_of, peer_path};

/// What the operator limits: the records in Tier 2's own Namespace.
const RECORDS: &str = "count/cloudletdeployments.findcloudlet.org";

#[tokio::test(flavor = "multi_thread")]
async fn a_record_beyond_the_quota_is_refused_with_its_words_and_leaves_nothing() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    limit_records(&cloudlet, 1).await;
    let there = tier2.post(PLAIN, 1).wait(60).granted().await;

    let own_key = cloudlet.own_key(2).url_safe();
    let path = format!("/api/v1/deploy/{PLAIN}/{own_key}");
    let refused = tier2.ask(Method::POST, &path).wait(60).answer().await;

    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.headers["retry-after"], "60");
    let expected = format!(
        "a quota of the cloudlet stands in the way: exceeded quota: records, requested: {RECORDS}=1, used: {RECORDS}=1, limited: {RECORDS}=1"
    );
    assert_eq!(refused.detail(), expected);
    assert_eq!(cloudlet.records().len(), 1);
    cloudlet.check_invariants().await;
    let renewed = tier2.post(PLAIN, 1).granted().await;
    assert_eq!(name_of(&renewed), name_of(&there));

    limit_records(&cloudlet, 2).await;
    tier2.ask(Method::POST, &path).wait(60).granted().await;
    cloudlet.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_once_share_what_room_a_quota_leaves() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    limit_records(&cloudlet, 2).await;

    let posts = (1..=6).map(|key| tier2.post(PLAIN, key).wait(60).answer());
    let answers = futures_util::future::join_all(posts).await;

    let count = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    assert_eq!((count(200), count(503)), (2, 4), "{answers:?}");
    assert_eq!(cloudlet.records().len(), 2);
    cloudlet.check_invariants().await;
}

#[rstest]
#[case::of_tier_2("patch", "serviceaccounts")]
#[case::of_helm("create", "secrets")]
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_deployment_beyond_a_quota_is_refused_and_all_of_it_is_undone(
    #[case] verb: &str,
    #[case] resource: &str,
) {
    let cloudlet = Cloudlet::new();
    let proxy = FaultProxy::start(cloudlet.cluster()).unwrap();
    let tier2 = cloudlet.tier2_through(&proxy, &[]).await;
    proxy.inject(Rule::on(verb, resource, Fault::Answer(Answer::OVER_QUOTA)).times(1));

    let refused = tier2.post(PLAIN, 1).wait(60).answer().await;

    assert_eq!(
        refused.problem(),
        (503, Some("quota-reached")),
        "{refused:?}"
    );
    assert_eq!(refused.headers["retry-after"], "60");
    let expected = "a quota of the cloudlet stands in the way: exceeded quota: storage, requested: a=1, used: a=1, limited: a=1";
    assert!(refused.detail().starts_with(expected), "{refused:?}");
    cloudlet.wait_until_reclaimed(&cloudlet.name_of(1));
    let read = tier2.get(PLAIN, 1).answer().await;
    assert_eq!(read.problem(), (404, Some("quota-reached")), "{read:?}");
    let next = tier2.post(PLAIN, 1).wait(60).granted().await;
    assert_eq!(next["Ready"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_ready_once_is_healed_as_soon_as_a_quota_has_room_again() {
    let cloudlet = Cloudlet::new();
    let proxy = FaultProxy::start(cloudlet.cluster()).unwrap();
    let tier2 = cloudlet.tier2_through(&proxy, &[]).await;
    let there = tier2.post(PLAIN, 1).wait(60).granted().await;
    proxy.inject(Rule::on("patch", "peers", Fault::Answer(Answer::OVER_QUOTA)).times(2));

    let peer = peer_path(name_of(&there));
    cloudlet.cluster().delete(&peer).unwrap();

    cloudlet.when(&peer, |peer| peer.is_some());
    let healed = tier2.get(PLAIN, 1).granted().await;
    assert_eq!(name_of(&healed), name_of(&there));
    assert_eq!(healed["Status"], "Deployed");
}

/// Limits the records, and waits until the API server knows how many there are. It counts when the quota changes, but not before it has
/// learned of the kind, which takes it half a minute where that is new.
async fn limit_records(cloudlet: &Cloudlet, most: u32) {
    let collection = format!("/api/v1/namespaces/{}/resourcequotas", cloudlet.namespace());
    let path = format!("{collection}/records");
    let cluster = cloudlet.cluster();
    if cluster.find(&path).unwrap().is_none() {
        let quota = json!({"metadata": {"name": "records"}, "spec": {"hard": {}}});
        cluster.create(&collection, &quota).unwrap();
    }
    let attempts = AtomicU32::new(1_000);
    eventually(async || {
        let other = attempts.fetch_add(1, Ordering::Relaxed).to_string();
        let hard = json!({RECORDS: most.to_string(), "count/secrets": other});
        cluster
            .patch(&path, &json!({"spec": {"hard": hard}}))
            .unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let quota = cluster.get_json(&path).unwrap();
        let is_counted = quota["status"]["hard"][RECORDS] == hard[RECORDS]
            && quota["status"]["used"][RECORDS].is_string();
        is_counted.then_some(()).ok_or(quota.to_string())
    })
    .await;
}
