use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Event, Pod};
use rstest::rstest;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::cluster::kubernetes::workloads::occurrence::Occurrence;
use crate::cluster::kubernetes::workloads::standing::Workload;

const NOT_FOUND: &str = "rpc error: code = NotFound desc = failed to pull and unpack image \"ghcr.io/x/y:1\": failed to resolve reference \"ghcr.io/x/y:1\": ghcr.io/x/y:1: not found";
const NO_HOST: &str = "failed to do request: Head \"https://ghcr.io/v2/x/y/manifests/1\": dial tcp: lookup ghcr.io on 10.43.0.10:53: no such host";

#[rstest]
#[case::nothing_is_known(json!({}), "pod web-0 waits for a node")]
#[case::has_a_node(json!({"phase": "Running"}), "pod web-0 is not ready")]
#[case::no_room(
    unschedulable(
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not helpful."
    ),
    "unschedulable: 0/1 nodes are available: 1 Insufficient cpu (pod web-0)"
)]
#[case::no_gpu(
    unschedulable(
        "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint {gpu: x}."
    ),
    "no GPU free: 0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint {gpu: x}. (pod web-0)"
)]
#[case::begins(waiting("ContainerCreating", ""), "pod web-0 starts")]
#[case::network(
    waiting("ErrImagePull", NO_HOST),
    "image ghcr.io/x/y:1 cannot be pulled: dial tcp: lookup ghcr.io on 10.43.0.10:53: no such host (pod web-0)"
)]
#[case::network_of_a_later_try(waiting("ImagePullBackOff", &format!("Back-off pulling image \"ghcr.io/x/y:1\": ErrImagePull: {NO_HOST}")), "image ghcr.io/x/y:1 cannot be pulled: dial tcp: lookup ghcr.io on 10.43.0.10:53: no such host (pod web-0)")]
#[case::a_lost_layer(
    waiting(
        "ErrImagePull",
        "failed to extract layer sha256:1: content digest sha256:2: not found"
    ),
    "image ghcr.io/x/y:1 cannot be pulled: failed to extract layer sha256:1: content digest sha256:2: not found (pod web-0)"
)]
#[case::who_knows(
    waiting("ErrImagePull", "the moon is full"),
    "image ghcr.io/x/y:1 cannot be pulled: the moon is full (pod web-0)"
)]
#[case::says_nothing(
    waiting("ImagePullBackOff", "Back-off pulling image \"ghcr.io/x/y:1\""),
    "image ghcr.io/x/y:1 cannot be pulled (pod web-0)"
)]
#[case::no_secret(
    waiting("CreateContainerConfigError", "secret \"s\" not found"),
    "container web cannot be configured: secret \"s\" not found (pod web-0)"
)]
#[case::another_trouble(
    waiting("RunContainerError", "no\nway"),
    "container web does not start: RunContainerError: no way (pod web-0)"
)]
#[case::crashed(
    crashed("CrashLoopBackOff", 137, "OOMKilled", 2),
    "container web crashed with exit code 137 (OOMKilled), restarted 2 times"
)]
#[case::ended(
    crashed("CrashLoopBackOff", 0, "Completed", 1),
    "container web ended with exit code 0, restarted once"
)]
#[case::tried_again(json!({"containerStatuses": [{"name": "web", "ready": false, "restartCount": 7, "image": "", "imageID": "", "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}), "container web crashed with exit code 1, restarted 7 times")]
#[case::unwell(container(&json!({"running": {}})), "container web runs and is not ready yet (pod web-0)")]
#[case::evicted(json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}), "pod web-0 has failed: Evicted: The node was low on resource: memory.")]
#[case::failed(json!({"phase": "Failed", "containerStatuses": [{"name": "web", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": {"terminated": {"exitCode": 3}}}]}), "pod web-0 has failed with exit code 3")]
#[case::first_things_first(json!({
    "initContainerStatuses": [
        {"name": "first", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": {"running": {}}},
        {"name": "second", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": {"waiting": {"reason": "PodInitializing"}}},
    ],
    "containerStatuses": [{"name": "web", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": {"waiting": {"reason": "PodInitializing"}}}],
}), "init container first runs (pod web-0)")]
fn what_may_still_come_right_is_explained(#[case] status: Value, #[case] expected: &str) {
    assert_eq!(of_pod(&status, &[]), not_yet(expected));
}

#[rstest]
#[case::crash_loop(
    crashed("CrashLoopBackOff", 1, "Error", 3),
    "container web crashed with exit code 1, restarted 3 times"
)]
#[case::not_on_the_node(
    waiting(
        "ErrImageNeverPull",
        "Container image \"ghcr.io/x/y:1\" is not present with pull policy of Never"
    ),
    "image ghcr.io/x/y:1 is not there and may not be pulled (pod web-0)"
)]
#[case::no_name(
    waiting("InvalidImageName", "Failed to apply default image tag"),
    "ghcr.io/x/y:1 is no name of an image (pod web-0)"
)]
#[case::no_image(
    waiting("ErrImagePull", NOT_FOUND),
    "image ghcr.io/x/y:1 cannot be pulled: not found (pod web-0)"
)]
#[case::no_image_at_a_later_try(waiting("ImagePullBackOff", &format!("Back-off pulling image \"ghcr.io/x/y:1\": ErrImagePull: {NOT_FOUND}")), "image ghcr.io/x/y:1 cannot be pulled: not found (pod web-0)")]
#[case::no_access(
    waiting(
        "ErrImagePull",
        "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized"
    ),
    "image ghcr.io/x/y:1 cannot be pulled: access denied (pod web-0)"
)]
#[case::no_access_docker(
    waiting(
        "ErrImagePull",
        "pull access denied, repository may need authorization"
    ),
    "image ghcr.io/x/y:1 cannot be pulled: access denied (pod web-0)"
)]
fn what_cannot_come_right_never_will(#[case] status: Value, #[case] expected: &str) {
    assert_eq!(of_pod(&status, &[]), never(expected));
}

#[rstest]
#[case::pulling(waiting("ContainerCreating", ""), &[("Pulling", "Pulling image", 1, 1)], not_yet("pulling image ghcr.io/x/y:1 (pod web-0)"))]
#[case::pulled(waiting("ContainerCreating", ""), &[("Pulling", "Pulling image", 1, 1), ("Pulled", "Successfully pulled", 1, 1)], not_yet("pod web-0 starts"))]
#[case::pulling_again(waiting("ContainerCreating", ""), &[("Pulled", "Successfully pulled", 1, 1), ("Pulling", "Pulling image", 2, 2)], not_yet("pulling image ghcr.io/x/y:1 (pod web-0)"))]
#[case::no_volume(waiting("ContainerCreating", ""), &[("FailedMount", "secret \"s\" not found", 1, 1)], not_yet("pod web-0 cannot start: secret \"s\" not found"))]
#[case::probe_fails(container(&json!({"running": {}})), &[("Unhealthy", "Readiness probe failed: 503", 9, 1)], not_yet("container web runs and is not ready yet: Readiness probe failed: 503 (pod web-0)"))]
#[case::older_kubelets_say_it_in_events(waiting("ImagePullBackOff", "Back-off pulling image \"ghcr.io/x/y:1\""), &[("Failed", "Failed to pull image \"ghcr.io/x/y:1\": manifest unknown", 1, 1)], never("image ghcr.io/x/y:1 cannot be pulled: not found (pod web-0)"))]
#[case::two_pulls(waiting("ErrImagePull", "odd"), &[("Failed", "Failed to pull image \"ghcr.io/x/y:1\": odd", 2, 1), ("Failed", "Error: ErrImagePull", 9, 1)], not_yet("image ghcr.io/x/y:1 cannot be pulled: odd (pod web-0)"))]
#[case::three_pulls(waiting("ErrImagePull", "odd"), &[("Failed", "Failed to pull image \"ghcr.io/x/y:1\": odd", 2, 1), ("Failed", "Failed to pull image \"ghcr.io/x/y:1\": odder", 1, 2)], never("image ghcr.io/x/y:1 cannot be pulled: odd (pod web-0)"))]
#[case::a_network_that_stays_away(waiting("ErrImagePull", "i/o timeout"), &[("Failed", "Failed to pull image \"ghcr.io/x/y:1\": i/o timeout", 50, 1)], not_yet("image ghcr.io/x/y:1 cannot be pulled: i/o timeout (pod web-0)"))]
#[case::a_secret_that_may_come(waiting("CreateContainerConfigError", "no s"), &[("Failed", "Error: no s", 5, 1)], not_yet("container web cannot be configured: no s (pod web-0)"))]
#[case::a_secret_that_does_not_come(waiting("CreateContainerConfigError", "no s"), &[("Failed", "Error: no s", 6, 1)], never("container web cannot be configured: no s (pod web-0)"))]
fn what_was_seen_to_happen_counts(
    #[case] status: Value,
    #[case] events: &[(&str, &str, i32, i64)],
    #[case] expected: Readiness,
) {
    let events: Vec<Event> = events.iter().map(of_the_pod).collect();

    assert_eq!(of_pod(&status, &events), expected);
}

#[test]
fn what_happened_to_another_does_not_count() {
    let mut event = of_the_pod(&("Pulling", "Pulling image", 1, 1));
    event.involved_object.uid = Some("u-0".to_owned());
    let creating = waiting("ContainerCreating", "");

    assert_eq!(of_pod(&creating, &[event]), not_yet("pod web-0 starts"));
}

#[test]
fn an_image_whose_name_is_trouble_is_not_mistaken_for_it() {
    let pod = pod(
        &waiting("ErrImagePull", "no such denied/not found: odd"),
        "denied/not found",
    );

    let said = readiness([&kind(&[pod])], Occurrences::default());

    assert_eq!(
        said,
        not_yet(
            "image denied/not found cannot be pulled: no such denied/not found: odd (pod web-0)"
        )
    );
}

#[rstest]
#[case::some_run(json!({"readyReplicas": 1}), not_yet("1 of 3 replicas of deployment web ready"))]
#[case::all_run(json!({"readyReplicas": 3}), not_yet("deployment web is being rolled out"))]
#[case::no_room(
    refusing("pods \"web-1\" is forbidden: exceeded quota: q, requested: pods=1"),
    not_yet("deployment web cannot create pods: exceeded quota: q, requested: pods=1")
)]
#[case::forbidden(
    refusing(
        "pods \"web-1\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces"
    ),
    never(
        "deployment web cannot create pods: violates PodSecurity \"baseline:latest\": host namespaces"
    )
)]
#[case::nonsense(
    refusing(
        "Pod \"web-1\" is invalid: spec.containers[0].resources.requests: Invalid value: \"2Gi\": must be less than or equal to memory limit of 1Gi"
    ),
    never(
        "deployment web cannot create pods: spec.containers[0].resources.requests: Invalid value: \"2Gi\": must be less than or equal to memory limit of 1Gi"
    )
)]
fn a_deployment_says_how_many_run_and_what_keeps_it(
    #[case] status: Value,
    #[case] expected: Readiness,
) {
    let deployment = state::<Deployment>(&json!({
        "metadata": {"name": "web"},
        "spec": {"replicas": 3, "selector": {}, "template": {}},
        "status": status,
    }));

    assert_eq!(
        readiness([&kind(&[deployment])], Occurrences::default()),
        expected
    );
}

#[rstest]
#[case::refused(&[("FailedCreate", 1)], "stateful set db cannot create pods: exceeded quota: q")]
#[case::refused_again(&[("SuccessfulCreate", 1), ("FailedCreate", 2)], "stateful set db cannot create pods: exceeded quota: q")]
#[case::created_since(&[("FailedCreate", 1), ("SuccessfulCreate", 2)], "0 of 1 replicas of stateful set db ready")]
fn a_stateful_set_is_explained_by_what_happened_to_it(
    #[case] events: &[(&str, i64)],
    #[case] expected: &str,
) {
    let set = state::<StatefulSet>(&json!({
        "metadata": {"name": "db", "uid": "u-2"},
        "spec": {"replicas": 1, "selector": {}, "template": {}, "serviceName": "db"},
        "status": {"replicas": 0},
    }));
    let message = "create Pod db-0 in StatefulSet db failed error: pods \"db-0\" is forbidden: exceeded quota: q";
    let events: Vec<Event> = events
        .iter()
        .map(|(reason, second)| event("StatefulSet", "db", "u-2", (reason, message, 1, *second)))
        .collect();
    let known = happened(&events);

    let said = readiness([&kind(&[set])], Occurrences::new(Some(&known)));

    assert_eq!(said, not_yet(expected));
}

#[test]
fn a_daemon_set_counts_its_pods_and_a_job_that_is_refused_is_told_beside() {
    let set = state::<DaemonSet>(&json!({
        "metadata": {"name": "agent", "uid": "u-2"},
        "spec": {"selector": {}, "template": {}},
        "status": {"currentNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 1, "desiredNumberScheduled": 2},
    }));
    let message =
        "Error creating: pods \"prepare-x\" is forbidden: violates PodSecurity \"baseline\"";
    let job = event("Job", "prepare", "u-3", ("FailedCreate", message, 1, 1));
    let sets = kind(&[set]);

    let alone = readiness([&sets], Occurrences::default());
    let known = happened(&[job]);
    let with_job = readiness([&sets], Occurrences::new(Some(&known)));

    assert_eq!(alone, not_yet("1 of 2 pods of daemon set agent ready"));
    assert_eq!(
        with_job,
        not_yet("job prepare cannot create pods: violates PodSecurity \"baseline\"")
    );
}

#[test]
fn the_worst_is_told_first_and_counts_only_where_nothing_else_is_known() {
    let deployment = state::<Deployment>(&json!({
        "metadata": {"name": "web"},
        "spec": {"replicas": 3, "selector": {}, "template": {}},
        "status": {},
    }));
    let pods = [
        pod(&waiting("ContainerCreating", ""), "x"),
        pod(&crashed("CrashLoopBackOff", 1, "Error", 1), "x"),
        pod(&crashed("CrashLoopBackOff", 1, "Error", 1), "x"),
        pod(&waiting("ErrImageNeverPull", ""), "x"),
        pod(&json!({}), "x"),
    ];

    let said = readiness([&kind(&[deployment]), &kind(&pods)], Occurrences::default());

    let expected = "image x is not there and may not be pulled (pod web-0); container web crashed with exit code 1, restarted once; pod web-0 starts";
    assert_eq!(said, never(expected));
}

#[test]
fn what_is_there_and_runs_is_ready() {
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});

    assert_eq!(of_pod(&ready, &[]), Readiness::Ready);
}

fn of_pod(status: &Value, events: &[Event]) -> Readiness {
    let known = happened(events);
    readiness(
        [&kind(&[pod(status, "ghcr.io/x/y:1")])],
        Occurrences::new(Some(&known)),
    )
}

fn pod(status: &Value, image: &str) -> WorkloadState {
    state::<Pod>(&json!({
        "metadata": {"name": "web-0", "uid": "u-1"},
        "spec": {
            "initContainers": [{"name": "first"}, {"name": "second"}],
            "containers": [{"name": "web", "image": image}],
        },
        "status": status,
    }))
}

fn state<K: Workload + DeserializeOwned>(object: &Value) -> WorkloadState {
    serde_json::from_value::<K>(object.clone()).unwrap().state()
}

fn kind(states: &[WorkloadState]) -> BTreeMap<String, WorkloadState> {
    let named = states.iter().enumerate();
    named
        .map(|(name, state)| (name.to_string(), state.clone()))
        .collect()
}

fn happened(events: &[Event]) -> BTreeMap<String, Occurrence> {
    let named = events.iter().enumerate();
    named
        .map(|(name, event)| (name.to_string(), Occurrence::of(event)))
        .collect()
}

/// What happened to the container `web` of the pod: reason, message, how often, and when last.
fn of_the_pod(seen: &(&str, &str, i32, i64)) -> Event {
    let mut event = event("Pod", "web-0", "u-1", *seen);
    event.involved_object.field_path = Some("spec.containers{web}".to_owned());
    event
}

fn event(
    kind: &str,
    name: &str,
    uid: &str,
    (reason, message, count, second): (&str, &str, i32, i64),
) -> Event {
    let last = jiff::Timestamp::from_second(second).unwrap();
    serde_json::from_value(json!({
        "metadata": {},
        "involvedObject": {"kind": kind, "name": name, "uid": uid},
        "reason": reason,
        "message": message,
        "count": count,
        "lastTimestamp": last.to_string(),
    }))
    .unwrap()
}

fn unschedulable(message: &str) -> Value {
    json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message},
    ]})
}

fn waiting(reason: &str, message: &str) -> Value {
    container(&json!({"waiting": {"reason": reason, "message": message}}))
}

fn crashed(reason: &str, code: i32, how: &str, restarts: i32) -> Value {
    let mut status = waiting(reason, "back-off 10s restarting failed container");
    let container = &mut status["containerStatuses"][0];
    container["restartCount"] = json!(restarts);
    container["lastState"] = json!({"terminated": {"exitCode": code, "reason": how}});
    status
}

fn container(state: &Value) -> Value {
    json!({"phase": "Pending", "containerStatuses": [
        {"name": "web", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": state},
    ]})
}

fn refusing(message: &str) -> Value {
    json!({"conditions": [
        {"type": "Available", "status": "False"},
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message},
    ]})
}

fn not_yet(message: &str) -> Readiness {
    Readiness::NotYet(Some(Line::new(message)))
}

fn never(message: &str) -> Readiness {
    Readiness::Never(Failure {
        class: FailureClass::NotReady,
        message: message.to_owned(),
        detail: None,
    })
}
