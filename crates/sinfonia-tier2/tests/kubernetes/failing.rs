//! Recipes that cannot be installed: what callers are told, and that nothing is left.

use std::fs;
use std::path::PathBuf;

use futures_util::future::join_all;
use rstest::rstest;
use sinfonia_testbed::Programs;

use crate::harness::{Cloudlet, FAILING, HOOK, PLAIN, Tier2, WEB};

#[rstest]
#[case::helm_4(|programs: Programs| programs.helm4)]
#[case::helm_3(|programs: Programs| programs.helm3)]
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_installed_is_told_by_its_class_and_leaves_nothing(
    #[case] helm: fn(Programs) -> PathBuf,
) {
    let cloudlet = Cloudlet::new();
    let tier2 = with_tokens(&cloudlet, helm).await;
    let numbered = || FAILING.into_iter().zip(1..);

    let posts = numbered().map(|((recipe, _), key)| tier2.post(recipe, key).wait(60).answer());
    let answers = join_all(posts).await;

    for (((recipe, class), key), posted) in numbered().zip(answers) {
        let name = cloudlet.name_of(key);
        assert_eq!(posted.problem(), (500, Some(class)), "{posted:?}");
        let read = tier2.get(recipe, key).answer().await;
        assert_eq!(read.problem(), (404, Some(class)), "{read:?}");
        let bearer = tier2
            .get(recipe, key)
            .header("authorization", "Bearer secret");
        let in_detail = bearer.answer().await;
        assert_eq!(in_detail.problem(), (404, Some(class)), "{in_detail:?}");
        assert_eq!(read.detail(), posted.detail());
        let more = in_detail.detail().strip_prefix(read.detail());
        assert!(more.is_some_and(|more| more.len() > 20), "{in_detail:?}");
        cloudlet.wait_until_reclaimed(&name);
        let role = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}");
        assert_eq!(cloudlet.cluster().find(&role).unwrap(), None);
        let elsewhere = "/api/v1/namespaces/default/configmaps/elsewhere";
        assert_eq!(cloudlet.cluster().find(elsewhere).unwrap(), None);
    }
    let next = numbered().map(|(_, key)| tier2.post(PLAIN, key).wait(60).granted());
    let ready = join_all(next).await;
    assert!(ready.iter().all(|next| next["Ready"] == true), "{ready:?}");
}

#[rstest]
#[case::helm_4(|programs: Programs| programs.helm4)]
#[case::helm_3(|programs: Programs| programs.helm3)]
#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_fails_the_deployment(#[case] helm: fn(Programs) -> PathBuf) {
    let cloudlet = Cloudlet::new();
    let tier2 = with_tokens(&cloudlet, helm).await;
    let waiting = tokio::spawn(tier2.post(HOOK, 1).wait(60).answer());
    let name = cloudlet.name_of(1);

    cloudlet.end_pods(&name, "Failed");

    let answer = waiting.await.unwrap();
    assert_eq!(answer.problem(), (500, Some("not-ready")), "{answer:?}");
    cloudlet.wait_until_reclaimed(&name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_hangs_is_given_up_when_helms_time_is_over() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&["--helm-timeout", "2s"]).await;

    let answer = tier2.post(HOOK, 1).wait(60).answer().await;

    assert_eq!(answer.problem(), (500, Some("timed-out")), "{answer:?}");
    cloudlet.wait_until_reclaimed(&cloudlet.name_of(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ready_in_time_is_rolled_back() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&["--ready-deadline", "3s"]).await;

    let answer = tier2.post(WEB, 1).wait(60).answer().await;

    assert_eq!(answer.problem(), (500, Some("not-ready")), "{answer:?}");
    cloudlet.wait_until_reclaimed(&cloudlet.name_of(1));
    let read = tier2.get(WEB, 1).answer().await;
    assert_eq!(read.problem(), (404, Some("not-ready")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_cancels_an_installation_and_reclaims_what_it_made() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    let begun = tier2.post(HOOK, 1).wait(0).granted().await;
    let name = begun["DeploymentName"].as_str().unwrap();
    let job = format!("/apis/batch/v1/namespaces/{name}/jobs/prepare");
    let cluster = cloudlet.cluster();
    cluster
        .wait_for(&job, crate::harness::PATIENCE, |job| job.is_some())
        .unwrap();

    let deleted = tier2.delete(HOOK, 1).answer().await;

    assert_eq!(
        (begun["Status"].as_str(), deleted.status),
        (Some("Initializing"), 204)
    );
    cloudlet.wait_until_reclaimed(name);
    assert_eq!(cloudlet.record(1), None);
    let read = tier2.get(HOOK, 1).answer().await;
    assert_eq!(read.problem(), (404, None));
}

/// A Tier 2 that wants tokens, except from this machine, and works with the helm that is picked.
async fn with_tokens(cloudlet: &Cloudlet, helm: fn(Programs) -> PathBuf) -> Tier2 {
    let tokens = cloudlet.folder().join("tokens");
    fs::write(&tokens, "secret\n").unwrap();
    let helm = helm(Programs::find_or_hint().unwrap());
    let options = [
        "--helm",
        helm.to_str().unwrap(),
        "--deploy-tokens",
        tokens.to_str().unwrap(),
        "--trusted-proxies",
        "127.0.0.1/32",
    ];
    cloudlet.tier2(&options).await
}
