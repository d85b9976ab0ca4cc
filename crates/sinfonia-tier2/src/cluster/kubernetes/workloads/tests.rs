use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::{Instant, advance, sleep, timeout};

use super::*;
use crate::cluster::kubernetes::fake_api::FakeApi;
use jiff::Timestamp;

const INSTALLED: Timestamp = Timestamp::UNIX_EPOCH;
const LATER: Timestamp = Timestamp::constant(60, 0);
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/brave-otter-x7k2p/deployments";
const STATEFUL_SETS: &str = "/apis/apps/v1/namespaces/brave-otter-x7k2p/statefulsets";
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/brave-otter-x7k2p/daemonsets";
const PODS: &str = "/api/v1/namespaces/brave-otter-x7k2p/pods";
const EVENTS: &str = "/api/v1/namespaces/brave-otter-x7k2p/events";
const ALL: [&str; 4] = [DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, PODS];

#[tokio::test(start_paused = true)]
async fn an_empty_namespace_has_nothing_that_does_not_run() {
    let (_api, workloads) = cluster();

    let readiness = workloads.readiness(&name(), INSTALLED).await.unwrap();

    assert!(readiness.borrow().is_ready());
}

#[tokio::test(start_paused = true)]
async fn every_kind_has_to_run() {
    for (path, ready, unready) in [
        (DEPLOYMENTS, deployment(1), deployment(0)),
        (STATEFUL_SETS, stateful_set(1), stateful_set(0)),
        (DAEMON_SETS, daemon_set(1), daemon_set(0)),
        (PODS, pod("a", "True"), pod("a", "False")),
    ] {
        let (api, workloads) = cluster();
        api.put(path, unready);
        let mut readiness = workloads.readiness(&name(), INSTALLED).await.unwrap();
        assert!(!readiness.borrow_and_update().is_ready(), "{path}");

        api.put(path, ready);

        becomes(&mut readiness, true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_of_every_change() {
    let (api, workloads) = cluster();
    api.put(DEPLOYMENTS, deployment(1));
    let mut readiness = workloads.readiness(&name(), INSTALLED).await.unwrap();
    assert!(readiness.borrow_and_update().is_ready());

    api.put(PODS, pod("a", "True"));
    api.put(PODS, pod("b", "False"));
    becomes(&mut readiness, false).await;

    api.delete(PODS, "b");
    becomes(&mut readiness, true).await;
}

#[tokio::test(start_paused = true)]
async fn pods_that_become_ready_count_once_the_nodes_forward_to_them() {
    let (api, workloads) = cluster();
    api.put(PODS, pod("a", "False"));
    let mut readiness = workloads.readiness(&name(), INSTALLED).await.unwrap();

    api.put(PODS, pod("a", "True"));
    sleep(FORWARDING / 2).await;
    let before = readiness.borrow_and_update().clone();

    assert_eq!(
        before.message(),
        Some("waiting until the nodes forward to it")
    );
    becomes(&mut readiness, true).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_new_list_lacks_is_gone() {
    let (api, workloads) = cluster();
    api.put(PODS, pod("a", "False"));
    let mut readiness = workloads.readiness(&name(), INSTALLED).await.unwrap();
    assert!(!readiness.borrow_and_update().is_ready());

    api.delete_unseen(PODS, "a");

    becomes(&mut readiness, true).await;
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_share_one_set_of_watches() {
    let (api, workloads) = cluster();
    let name = name();

    let (first, second) = tokio::join!(
        workloads.readiness(&name, INSTALLED),
        workloads.readiness(&name, INSTALLED)
    );
    let third = workloads.readiness(&name, INSTALLED).await;
    settle().await;

    assert!(first.is_ok() && second.is_ok() && third.is_ok());
    assert_eq!(
        ALL.map(|path| (api.lists(path), api.watches(path))),
        [(1, 1); 4]
    );
}

#[tokio::test(start_paused = true)]
async fn a_device_that_polls_costs_no_new_watches() {
    let (api, workloads) = cluster();

    for _ in 0..120 {
        drop(workloads.readiness(&name(), INSTALLED).await.unwrap());
        sleep(Duration::from_secs(1)).await;
    }

    assert_eq!(ALL.map(|path| api.lists(path)), [1; 4]);
}

#[tokio::test(start_paused = true)]
async fn watches_end_half_a_minute_after_nobody_waits_any_more() {
    let (api, workloads) = cluster();
    let receivers = [
        workloads.readiness(&name(), INSTALLED).await.unwrap(),
        workloads.readiness(&name(), INSTALLED).await.unwrap(),
    ];
    sleep(Duration::from_secs(100)).await;
    assert_eq!(ALL.map(|path| api.watches(path)), [1; 4]);

    drop(receivers);
    sleep(Duration::from_secs(29)).await;
    assert_eq!(ALL.map(|path| api.watches(path)), [1; 4]);

    sleep(Duration::from_secs(2)).await;
    assert_eq!(ALL.map(|path| api.watches(path)), [0; 4]);
    assert!(lock(&workloads.followed).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_known_before_a_new_installation_is_forgotten() {
    let (api, workloads) = cluster();
    let mut old = workloads.readiness(&name(), INSTALLED).await.unwrap();
    assert!(old.borrow_and_update().is_ready());

    // The watches have had no time to tell of it.
    api.put(DEPLOYMENTS, deployment(0));
    let new = workloads.readiness(&name(), LATER).await.unwrap();

    assert!(!new.borrow().is_ready());
    becomes(&mut old, false).await;
    drop(old);
    sleep(LINGER * 2).await;
    assert_eq!(ALL.map(|path| api.watches(path)), [1; 4]);
    assert_eq!(lock(&workloads.followed).len(), 1);
}

#[rstest]
#[case(DEPLOYMENTS)]
#[case(PODS)]
#[tokio::test(start_paused = true)]
async fn a_cluster_that_refuses_is_told_and_asked_anew_by_the_next(#[case] path: &str) {
    let (api, workloads) = cluster();
    api.fail(path, Some(403));
    let name = name();

    let (first, second) = tokio::join!(
        workloads.readiness(&name, INSTALLED),
        workloads.readiness(&name, INSTALLED)
    );
    for refused in [first, second] {
        assert!(
            matches!(refused, Err(WorkloadsError::Watch { .. })),
            "{refused:?}"
        );
    }
    assert!(lock(&workloads.followed).is_empty());

    api.fail(path, None);
    assert!(workloads.readiness(&name, INSTALLED).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_does_not_answer_is_given_up() {
    let (api, workloads) = cluster();
    api.fall_silent(STATEFUL_SETS);

    let readiness = workloads.readiness(&name(), INSTALLED).await;

    assert!(
        matches!(readiness, Err(WorkloadsError::TooSlow { .. })),
        "{readiness:?}"
    );
    assert!(lock(&workloads.followed).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_fails_later_is_tried_again() {
    let (api, workloads) = cluster();
    api.put(PODS, pod("a", "False"));
    let mut readiness = workloads.readiness(&name(), INSTALLED).await.unwrap();
    api.fail(PODS, Some(503));
    sleep(Duration::from_secs(60)).await;

    api.fail(PODS, None);
    api.put(PODS, pod("a", "True"));

    becomes(&mut readiness, true).await;
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_asked_for_only_when_something_takes_its_time() {
    let (api, workloads) = cluster();
    api.put(PODS, pod("a", "False"));
    let mut readiness = workloads.readiness(&name(), INSTALLED).await.unwrap();
    sleep(DOUBT - Duration::from_millis(100)).await;
    assert_eq!(api.lists(EVENTS), 0);

    sleep(Duration::from_millis(200)).await;
    assert_eq!((api.lists(EVENTS), api.watches(EVENTS)), (1, 1));
    api.put(PODS, pod("a", "True"));
    becomes(&mut readiness, true).await;
    settle().await;

    assert_eq!((api.lists(EVENTS), api.watches(EVENTS)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_ready_at_once_costs_no_look_at_what_happens() {
    let (api, workloads) = cluster();
    api.put(PODS, pod("a", "False"));
    let mut readiness = workloads.readiness(&name(), INSTALLED).await.unwrap();
    api.put(PODS, pod("a", "True"));
    becomes(&mut readiness, true).await;

    sleep(DOUBT * 3).await;

    assert_eq!(api.lists(EVENTS), 0);
}

#[tokio::test(start_paused = true)]
async fn that_something_never_runs_is_believed_after_a_while() {
    let (api, workloads) = cluster();
    api.put(PODS, hopeless_pod());
    let begun = Instant::now();

    let mut readiness = workloads.readiness(&name(), INSTALLED).await.unwrap();
    let at_first = readiness.borrow().clone();
    let is_never = |readiness: &Readiness| matches!(readiness, Readiness::Never(_));
    let then = readiness.wait_for(is_never).await.unwrap().clone();

    assert!(matches!(at_first, Readiness::NotYet(_)), "{at_first:?}");
    assert_eq!(at_first.message(), then.message());
    assert_eq!(begun.elapsed().as_secs(), DOUBT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_told_as_it_is_seen() {
    let (api, workloads) = cluster();
    api.put(PODS, starting_pod());
    let mut readiness = workloads.readiness(&name(), INSTALLED).await.unwrap();
    sleep(DOUBT * 2).await;

    api.put(EVENTS, pulling());

    let told =
        readiness.wait_for(|readiness| readiness.message() == Some("pulling image x:1 (pod a)"));
    timeout(Duration::from_secs(60), told)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_hides_what_happens_still_tells_what_runs() {
    let (api, workloads) = cluster();
    api.fail(EVENTS, Some(403));
    api.put(PODS, starting_pod());
    let mut readiness = workloads.readiness(&name(), INSTALLED).await.unwrap();
    sleep(DOUBT * 2).await;

    api.put(PODS, pod("a", "True"));

    becomes(&mut readiness, true).await;
}

#[tokio::test(start_paused = true)]
async fn watches_end_with_the_service() {
    let (api, workloads) = cluster();
    let readiness = workloads.readiness(&name(), INSTALLED).await.unwrap();
    settle().await;
    assert_eq!(ALL.map(|path| api.watches(path)), [1; 4]);

    drop(workloads);
    settle().await;

    assert_eq!(ALL.map(|path| api.watches(path)), [0; 4]);
    assert!(readiness.has_changed().is_err());
}

fn cluster() -> (FakeApi, Workloads) {
    let api = FakeApi::default();
    let workloads = Workloads::new(api.client());
    (api, workloads)
}

fn name() -> DeploymentName {
    "brave-otter-x7k2p".parse().unwrap()
}

/// Lets all tasks do what they can.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    advance(Duration::from_millis(1)).await;
}

async fn becomes(readiness: &mut watch::Receiver<Readiness>, expected: bool) {
    let waiting = readiness.wait_for(|readiness| readiness.is_ready() == expected);
    timeout(Duration::from_secs(120), waiting)
        .await
        .unwrap()
        .unwrap();
}

fn deployment(available: i32) -> Value {
    json!({
        "metadata": { "name": "a", "generation": 1 },
        "spec": { "replicas": 1, "selector": {}, "template": {} },
        "status": { "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": available },
    })
}

fn stateful_set(ready: i32) -> Value {
    json!({
        "metadata": { "name": "a", "generation": 1 },
        "spec": { "replicas": 1, "selector": {}, "template": {}, "serviceName": "a" },
        "status": { "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready },
    })
}

fn daemon_set(available: i32) -> Value {
    json!({
        "metadata": { "name": "a", "generation": 1 },
        "spec": { "selector": {}, "template": {} },
        "status": {
            "observedGeneration": 1, "currentNumberScheduled": 1, "numberMisscheduled": 0, "numberReady": 0,
            "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": available,
        },
    })
}

fn starting_pod() -> Value {
    waiting_pod("ContainerCreating")
}

fn hopeless_pod() -> Value {
    waiting_pod("ErrImageNeverPull")
}

fn waiting_pod(reason: &str) -> Value {
    let container = json!({
        "name": "web", "ready": false, "restartCount": 0, "image": "x:1", "imageID": "",
        "state": { "waiting": { "reason": reason } },
    });
    json!({
        "metadata": { "name": "a", "uid": "u-1" },
        "status": { "phase": "Pending", "containerStatuses": [container] },
    })
}

fn pulling() -> Value {
    let part = "spec.containers{web}";
    json!({
        "metadata": { "name": "e" },
        "involvedObject": { "kind": "Pod", "name": "a", "uid": "u-1", "fieldPath": part },
        "reason": "Pulling",
    })
}

fn pod(name: &str, ready: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": ready }] },
    })
}
