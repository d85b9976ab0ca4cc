use rstest::rstest;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

#[rstest]
#[case::never_looked_at(1, json!({}), Standing::NotReady)]
#[case::of_an_older_specification(1, json!({ "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1 }), Standing::NotReady)]
#[case::runs(1, json!({ "observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1 }), Standing::Ready)]
#[case::not_updated(2, json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2 }), Standing::NotReady)]
#[case::old_ones_still_run(1, json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2 }), Standing::NotReady)]
#[case::not_available(2, json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1 }), Standing::NotReady)]
#[case::of_none(0, json!({ "observedGeneration": 2 }), Standing::Ready)]
#[case::of_none_with_one_left(0, json!({ "observedGeneration": 2, "replicas": 1, "availableReplicas": 1 }), Standing::NotReady)]
fn a_deployment_is_ready_when_all_its_replicas_are_new_and_available(
    #[case] replicas: i32,
    #[case] status: Value,
    #[case] expected: Standing,
) {
    let standing = standing::<Deployment>(&json!({
        "metadata": { "generation": 2 },
        "spec": { "replicas": replicas, "selector": {}, "template": {} },
        "status": status,
    }));

    assert_eq!(standing, expected);
}

#[rstest]
#[case::never_looked_at(json!({}), json!({ "replicas": 0 }), Standing::NotReady)]
#[case::of_an_older_specification(json!({}), json!({ "observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2 }), Standing::NotReady)]
#[case::runs(json!({}), json!({ "observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2 }), Standing::Ready)]
#[case::one_is_not_ready(json!({}), json!({ "observedGeneration": 2, "replicas": 2, "readyReplicas": 1, "updatedReplicas": 2 }), Standing::NotReady)]
#[case::one_is_old(json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } }), json!({ "observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 1 }), Standing::NotReady)]
#[case::one_is_meant_to_stay_old(json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 1 } }), json!({ "observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 1 }), Standing::Ready)]
#[case::all_are_meant_to_stay_old(json!({ "type": "OnDelete" }), json!({ "observedGeneration": 2, "replicas": 2, "readyReplicas": 2 }), Standing::Ready)]
fn a_stateful_set_is_ready_when_all_its_replicas_are_and_those_to_be_updated_are_new(
    #[case] strategy: Value,
    #[case] status: Value,
    #[case] expected: Standing,
) {
    let standing = standing::<StatefulSet>(&json!({
        "metadata": { "generation": 2 },
        "spec": { "replicas": 2, "selector": {}, "template": {}, "serviceName": "x", "updateStrategy": strategy },
        "status": status,
    }));

    assert_eq!(standing, expected);
}

#[rstest]
#[case::never_looked_at("RollingUpdate", json!({ "desiredNumberScheduled": 0 }), Standing::NotReady)]
#[case::fits_no_node("RollingUpdate", json!({ "observedGeneration": 2, "desiredNumberScheduled": 0 }), Standing::Ready)]
#[case::runs("RollingUpdate", json!({ "observedGeneration": 2, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2 }), Standing::Ready)]
#[case::one_is_missing("RollingUpdate", json!({ "observedGeneration": 2, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 1 }), Standing::NotReady)]
#[case::one_is_old("RollingUpdate", json!({ "observedGeneration": 2, "desiredNumberScheduled": 2, "updatedNumberScheduled": 1, "numberAvailable": 2 }), Standing::NotReady)]
#[case::all_are_meant_to_stay_old("OnDelete", json!({ "observedGeneration": 2, "desiredNumberScheduled": 2, "numberAvailable": 2 }), Standing::Ready)]
fn a_daemon_set_is_ready_when_it_is_new_and_available_on_each_node_that_it_fits(
    #[case] strategy: &str,
    #[case] mut status: Value,
    #[case] expected: Standing,
) {
    for required in [
        "currentNumberScheduled",
        "numberMisscheduled",
        "numberReady",
    ] {
        status[required] = json!(0);
    }
    let standing = standing::<DaemonSet>(&json!({
        "metadata": { "generation": 2 },
        "spec": { "selector": {}, "template": {}, "updateStrategy": { "type": strategy } },
        "status": status,
    }));

    assert_eq!(standing, expected);
}

#[rstest]
#[case::not_seen_by_a_node(json!({}), Standing::NotReady)]
#[case::starts(json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "True" }] }), Standing::NotReady)]
#[case::runs_unready(json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "False" }] }), Standing::NotReady)]
#[case::on_a_lost_node(json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "Unknown" }] }), Standing::NotReady)]
#[case::runs(json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] }), Standing::Ready)]
#[case::ended_well(json!({ "phase": "Succeeded", "conditions": [{ "type": "Ready", "status": "False" }] }), Standing::Succeeded(None))]
#[case::ended_badly(json!({ "phase": "Failed" }), Standing::Failed(None))]
fn a_pod_says_itself_whether_it_is_ready(#[case] status: Value, #[case] expected: Standing) {
    let standing = standing::<Pod>(&json!({ "metadata": {}, "status": status }));

    assert_eq!(standing, expected);
}

#[rstest]
#[case::job("Job", Standing::Failed(Some("u-1".to_owned())))]
#[case::replica_set("ReplicaSet", Standing::Ready)]
#[case::stateful_set("StatefulSet", Standing::Failed(Some("u-1".to_owned())))]
fn a_failed_pod_that_was_replaced_does_not_count(#[case] kind: &str, #[case] expected: Standing) {
    let standing = standing::<Pod>(&json!({
        "metadata": { "ownerReferences": [
            { "apiVersion": "v1", "kind": "Other", "name": "x", "uid": "u-0" },
            { "apiVersion": "v1", "kind": kind, "name": "x", "uid": "u-1", "controller": true },
        ]},
        "status": { "phase": "Failed" },
    }));

    assert_eq!(standing, expected);
}

#[rstest]
#[case::pod(standing::<Pod>)]
#[case::deployment(standing::<Deployment>)]
#[case::stateful_set(standing::<StatefulSet>)]
#[case::daemon_set(standing::<DaemonSet>)]
fn what_is_being_deleted_does_not_count(#[case] standing: fn(&Value) -> Standing) {
    let leaving =
        json!({ "metadata": { "generation": 1, "deletionTimestamp": "2026-11-22T15:09:00Z" } });

    assert_eq!(standing(&leaving), Standing::Ready);
}

#[rstest]
#[case::nothing(&[], true)]
#[case::all_run(&[Standing::Ready, Standing::Succeeded(None)], true)]
#[case::one_does_not(&[Standing::Ready, Standing::NotReady], false)]
#[case::one_failed(&[failed(None), Standing::Succeeded(None)], false)]
#[case::a_later_try_succeeded(&[failed(Some("a")), succeeded("a")], true)]
#[case::another_job_succeeded(&[failed(Some("a")), succeeded("b")], false)]
fn everything_has_to_run(#[case] standings: &[Standing], #[case] expected: bool) {
    let named = standings.iter().enumerate();
    let states = named
        .map(|(name, standing)| (name.to_string(), of(standing)))
        .collect();

    assert_eq!(unready(&states).next().is_none(), expected);
}

fn standing<K: Workload + DeserializeOwned>(object: &Value) -> Standing {
    serde_json::from_value::<K>(object.clone())
        .unwrap()
        .standing()
}

/// A pod that stands so.
fn of(standing: &Standing) -> State {
    let does_not_run = matches!(standing, Standing::NotReady | Standing::Failed(_));
    State {
        standing: standing.clone(),
        unready: does_not_run.then(|| Box::new(Pod::default().unready())),
    }
}

fn failed(controller: Option<&str>) -> Standing {
    Standing::Failed(controller.map(str::to_owned))
}

fn succeeded(controller: &str) -> Standing {
    Standing::Succeeded(Some(controller.to_owned()))
}
