//! What a workload that does not run says of itself. What that means is told by [`super::explanation`], together with what was seen to
//! happen to it.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// A workload that does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unready {
    /// What tells it from others that had its name before.
    pub(super) uid: String,
    /// Its kind and name.
    pub(super) name: String,
    /// What it lacks.
    pub(super) lacks: Vec<Lack>,
}

/// What a workload lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lack {
    /// Pods that cannot be created, for this reason.
    Pods(String),
    /// Replicas, in words; and whether some have no Pod at all.
    Replicas { count: String, pods_missing: bool },
    /// A node that fits; the scheduler's words.
    Node(String),
    /// A container that does not do what it should.
    Container(Container),
    /// Something else, in words.
    Other(String),
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) name: String,
    /// As the Pod names it.
    pub(super) image: String,
    /// Whether it has to end before others start.
    pub(super) is_initial: bool,
    pub(super) restarts: i32,
    pub(super) state: State,
    /// How it ended last: its exit code and what that means.
    pub(super) last_end: Option<(i32, String)>,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It is not started, for a reason of one word, with more words.
    Waiting { reason: String, message: String },
    /// It runs.
    Running,
    /// It has ended.
    Ended,
}

/// What a Deployment says.
pub(super) fn deployment(deployment: &Deployment) -> Unready {
    let status = deployment.status.clone().unwrap_or_default();
    let spec = deployment.spec.as_ref();
    let wanted = spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let conditions = status.conditions.unwrap_or_default();
    let cannot = conditions
        .iter()
        .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True");
    let name = named("deployment", &deployment.metadata);
    let count = count("replicas", &name, status.ready_replicas, wanted);
    let replicas = Lack::Replicas {
        count,
        pods_missing: status.replicas.unwrap_or(0) < wanted,
    };
    let cannot = cannot.map(|condition| Lack::Pods(condition.message.clone().unwrap_or_default()));
    of(
        &deployment.metadata,
        name,
        cannot.into_iter().chain([replicas]),
    )
}

/// What a StatefulSet says.
pub(super) fn stateful_set(set: &StatefulSet) -> Unready {
    let status = set.status.clone().unwrap_or_default();
    let spec = set.spec.as_ref();
    let wanted = spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let name = named("stateful set", &set.metadata);
    let count = count("replicas", &name, status.ready_replicas, wanted);
    let replicas = Lack::Replicas {
        count,
        pods_missing: status.replicas < wanted,
    };
    of(&set.metadata, name, [replicas])
}

/// What a DaemonSet says.
pub(super) fn daemon_set(set: &DaemonSet) -> Unready {
    let status = set.status.clone().unwrap_or_default();
    let wanted = status.desired_number_scheduled;
    let name = named("daemon set", &set.metadata);
    let count = count("pods", &name, Some(status.number_ready), wanted);
    let replicas = Lack::Replicas {
        count,
        pods_missing: status.current_number_scheduled < wanted,
    };
    of(&set.metadata, name, [replicas])
}

/// What a Pod says.
pub(super) fn pod(pod: &Pod) -> Unready {
    let name = named("pod", &pod.metadata);
    let status = pod.status.clone().unwrap_or_default();
    let has_node = pod
        .spec
        .as_ref()
        .is_some_and(|spec| spec.node_name.is_some());
    let lacks = if status.phase.as_deref() == Some("Failed") {
        vec![Lack::Other(ended(&name, &status))]
    } else {
        match node(&status) {
            Some(lack) => vec![lack],
            None => containers(pod, &status),
        }
    };
    let otherwise = || {
        let has_begun = has_node || status.phase.as_deref() == Some("Running");
        let text = if has_begun {
            "is not ready"
        } else {
            "waits for a node"
        };
        vec![Lack::Other(format!("{name} {text}"))]
    };
    let lacks = if lacks.is_empty() { otherwise() } else { lacks };
    of(&pod.metadata, name, lacks)
}

/// How a Pod ended that failed as a whole, because it was evicted for instance.
fn ended(name: &str, status: &PodStatus) -> String {
    let words = [&status.reason, &status.message];
    let words: Vec<_> = words.into_iter().flatten().map(String::as_str).collect();
    if let Some((code, reason)) = container_statuses(status).find_map(last_end) {
        return format!("{name} has failed with {}", exit(code, &reason));
    }
    match words.as_slice() {
        [] => format!("{name} has failed"),
        words => format!("{name} has failed: {}", words.join(": ")),
    }
}

/// The node that a Pod lacks, if that is it.
fn node(status: &PodStatus) -> Option<Lack> {
    let conditions = status.conditions.as_ref()?;
    let scheduled = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some(Lack::Node(scheduled.message.clone().unwrap_or_default()))
}

/// The containers that a Pod lacks: of those that run one after the other the one whose turn it is, before the others start.
fn containers(pod: &Pod, status: &PodStatus) -> Vec<Lack> {
    // One that ended well before the others start is ready.
    let lacking = container_statuses(status).filter(|status| !status.ready);
    let lacking: Vec<_> = lacking.map(|status| container(pod, status)).collect();
    let is_initial = lacking.iter().any(|container| container.is_initial);
    let of_turn = lacking
        .into_iter()
        .filter(|container| container.is_initial == is_initial);
    let most = if is_initial { 1 } else { usize::MAX };
    of_turn.take(most).map(Lack::Container).collect()
}

/// All containers of a Pod, those first that others wait for.
fn container_statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let initial = status.init_container_statuses.iter().flatten();
    initial.chain(status.container_statuses.iter().flatten())
}

fn container(pod: &Pod, status: &ContainerStatus) -> Container {
    let state = status.state.clone().unwrap_or_default();
    let waiting = state.waiting.unwrap_or_default();
    let state = match (&state.running, &state.terminated) {
        (Some(_), _) => State::Running,
        (None, Some(_)) => State::Ended,
        (None, None) => State::Waiting {
            reason: waiting.reason.unwrap_or_default(),
            message: waiting.message.unwrap_or_default(),
        },
    };
    Container {
        name: status.name.clone(),
        image: image(pod, &status.name).unwrap_or_else(|| status.image.clone()),
        is_initial: is_initial(pod, &status.name),
        restarts: status.restart_count,
        state,
        last_end: last_end(status),
    }
}

/// Whether others start only after a container has ended. Those that are listed with such and run on beside the others are not meant.
fn is_initial(pod: &Pod, name: &str) -> bool {
    let initial = pod.spec.iter().flat_map(|spec| &spec.init_containers);
    initial.flatten().any(|container| {
        container.name == name && container.restart_policy.as_deref() != Some("Always")
    })
}

/// The image of a container, as it was asked for: its status may name it otherwise.
fn image(pod: &Pod, name: &str) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let initial = spec.init_containers.iter().flatten();
    let mut containers = initial.chain(&spec.containers);
    let container = containers.find(|container| container.name == name)?;
    container.image.clone()
}

/// How a container ended last, now or before it was started again.
fn last_end(status: &ContainerStatus) -> Option<(i32, String)> {
    let states = [&status.state, &status.last_state];
    let mut ends = states
        .into_iter()
        .flatten()
        .filter_map(|state| state.terminated.as_ref());
    let end = ends.next()?;
    Some((end.exit_code, end.reason.clone().unwrap_or_default()))
}

/// An exit code and what it means, where that says more.
pub(super) fn exit(code: i32, reason: &str) -> String {
    match reason {
        "" | "Error" | "Completed" => format!("exit code {code}"),
        reason => format!("exit code {code} ({reason})"),
    }
}

fn of(metadata: &ObjectMeta, name: String, lacks: impl IntoIterator<Item = Lack>) -> Unready {
    Unready {
        uid: metadata.uid.clone().unwrap_or_default(),
        name,
        lacks: lacks.into_iter().collect(),
    }
}

fn named(kind: &str, metadata: &ObjectMeta) -> String {
    format!("{kind} {}", metadata.name.as_deref().unwrap_or_default())
}

fn count(what: &str, name: &str, ready: Option<i32>, wanted: i32) -> String {
    match ready.unwrap_or(0) {
        ready if ready >= wanted => format!("{name} is being rolled out"),
        ready => format!("{ready} of {wanted} {what} of {name} ready"),
    }
}
