//! Whether a workload runs. The rules are those by which `kubectl rollout status` takes a roll-out for done: the controller has seen the
//! newest specification (its `observedGeneration` has reached `generation`; until then all it counts is about an older one), all it is to
//! run is made of that specification, and what it runs is available.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::unready::{self, Unready};

/// Where a workload stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It runs, or is not meant to.
    Ready,
    /// It does not run, or not yet.
    NotReady,
    /// A Pod that ended well, and the uid of what controls it.
    Succeeded(Option<String>),
    /// A Pod that ended badly, and the uid of what controls it.
    Failed(Option<String>),
}

/// A workload as it is kept in mind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) standing: Standing,
    /// What it says of itself, where it does not run.
    unready: Option<Box<Unready>>,
}

/// A kind of workload.
pub(super) trait Workload {
    /// Where it stands. One that is being deleted is not of what was installed any more.
    fn standing(&self) -> Standing;

    /// What it says of why it does not run.
    fn unready(&self) -> Unready;

    /// What is kept in mind of it.
    fn state(&self) -> State {
        let standing = self.standing();
        let runs = matches!(standing, Standing::Ready | Standing::Succeeded(_));
        State {
            standing,
            unready: (!runs).then(|| Box::new(self.unready())),
        }
    }
}

/// What of a kind does not run. A Pod that ended badly does not count once another of the same controller ended well: a Job keeps its failed
/// tries.
pub(super) fn unready(states: &BTreeMap<String, State>) -> impl Iterator<Item = &Unready> {
    let has_succeeded = |controller: &String| {
        states.values().any(
            |other| matches!(&other.standing, Standing::Succeeded(Some(of)) if of == controller),
        )
    };
    states
        .values()
        .filter(move |state| match &state.standing {
            Standing::Failed(Some(controller)) => !has_succeeded(controller),
            _ => true,
        })
        .filter_map(|state| state.unready.as_deref())
}

impl Workload for Deployment {
    fn standing(&self) -> Standing {
        let status = self.status.clone().unwrap_or_default();
        let wanted = self.spec.as_ref().and_then(|spec| spec.replicas);
        let updated = status.updated_replicas.unwrap_or(0);
        // Old replicas still run beside the new ones as long as there are more than are updated. A Deployment of none is done when none
        // is left.
        unless_leaving(&self.metadata, || {
            is_observed(&self.metadata, status.observed_generation)
                && updated >= wanted.unwrap_or(1)
                && status.replicas.unwrap_or(0) <= updated
                && status.available_replicas.unwrap_or(0) >= updated
        })
    }

    fn unready(&self) -> Unready {
        unready::deployment(self)
    }
}

impl Workload for StatefulSet {
    fn standing(&self) -> Standing {
        let status = self.status.clone().unwrap_or_default();
        let spec = self.spec.as_ref();
        let wanted = spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let strategy = spec.and_then(|spec| spec.update_strategy.as_ref());
        let partition = strategy
            .and_then(|strategy| strategy.rolling_update.as_ref())
            .and_then(|rolling| rolling.partition)
            .unwrap_or(0);
        // Those below the partition are meant to stay old, and with OnDelete all are.
        let to_update = if is_on_delete(strategy.and_then(|strategy| strategy.type_.as_deref())) {
            0
        } else {
            wanted - partition
        };
        unless_leaving(&self.metadata, || {
            is_observed(&self.metadata, status.observed_generation)
                && status.ready_replicas.unwrap_or(0) >= wanted
                && status.updated_replicas.unwrap_or(0) >= to_update
        })
    }

    fn unready(&self) -> Unready {
        unready::stateful_set(self)
    }
}

impl Workload for DaemonSet {
    fn standing(&self) -> Standing {
        let status = self.status.clone().unwrap_or_default();
        let strategy = self
            .spec
            .as_ref()
            .and_then(|spec| spec.update_strategy.as_ref());
        // A DaemonSet that fits no node is to run nowhere, hence done.
        let wanted = status.desired_number_scheduled;
        let updated = status.updated_number_scheduled.unwrap_or(0);
        unless_leaving(&self.metadata, || {
            is_observed(&self.metadata, status.observed_generation)
                && (updated >= wanted
                    || is_on_delete(strategy.and_then(|strategy| strategy.type_.as_deref())))
                && status.number_available.unwrap_or(0) >= wanted
        })
    }

    fn unready(&self) -> Unready {
        unready::daemon_set(self)
    }
}

impl Workload for Pod {
    fn standing(&self) -> Standing {
        let status = self.status.as_ref();
        let controller = controller(&self.metadata);
        match status.and_then(|status| status.phase.as_deref()) {
            Some("Succeeded") => Standing::Succeeded(controller.map(|owner| owner.uid.clone())),
            // A node that ran out of something leaves such Pods behind. The ReplicaSet has made others, which count.
            Some("Failed") if controller.is_some_and(|owner| owner.kind == "ReplicaSet") => {
                Standing::Ready
            }
            Some("Failed") if self.metadata.deletion_timestamp.is_none() => {
                Standing::Failed(controller.map(|owner| owner.uid.clone()))
            }
            _ => unless_leaving(&self.metadata, || {
                let conditions = status.and_then(|status| status.conditions.as_ref());
                conditions
                    .into_iter()
                    .flatten()
                    .any(|condition| condition.type_ == "Ready" && condition.status == "True")
            }),
        }
    }

    fn unready(&self) -> Unready {
        unready::pod(self)
    }
}

fn unless_leaving(metadata: &ObjectMeta, is_ready: impl FnOnce() -> bool) -> Standing {
    if metadata.deletion_timestamp.is_some() || is_ready() {
        Standing::Ready
    } else {
        Standing::NotReady
    }
}

/// Whether the status is about the newest specification. What no controller has looked at yet has no `observedGeneration`.
fn is_observed(metadata: &ObjectMeta, observed: Option<i64>) -> bool {
    observed.is_some_and(|observed| observed > 0 && observed >= metadata.generation.unwrap_or(0))
}

fn is_on_delete(strategy: Option<&str>) -> bool {
    strategy == Some("OnDelete")
}

fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
}

#[cfg(test)]
mod tests;
