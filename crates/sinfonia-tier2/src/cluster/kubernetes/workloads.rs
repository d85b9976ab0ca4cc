//! Whether what was installed in a Namespace runs, and why not, watched while somebody waits for it. What was seen to happen in it (its
//! Events) is only asked for when something takes its time.
//!
//! A watch begins with a list that names no resource version, which the API server answers as of now and not from a cache that may be behind
//! (since Kubernetes 1.31 from its cache, after making sure of that, so it costs etcd nothing). From there the watch continues without a
//! gap, so that what is known may lag behind by the time an event travels, but never goes back. That lag can span an installation, so what was
//! known before one does not count after it.

mod explanation;
mod following;
mod occurrence;
mod standing;
#[cfg(test)]
mod tests;
mod unready;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use kube::runtime::watcher;
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::lifecycle::Readiness;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use self::following::Following;

/// Time until the first state of a Namespace must be known.
const FIRST_STATE: Duration = Duration::from_secs(10);

/// Time for which something may be amiss before more is asked about it, and before it is believed that it never comes right: most starts are
/// over by then, and what is left of an earlier installation is gone.
const DOUBT: Duration = Duration::from_secs(3);

/// Time that nodes may take until they forward to Pods that have become ready: kube-proxy writes its rules at most once a second, and a
/// device that is told sooner may find nobody there.
const FORWARDING: Duration = Duration::from_millis(1500);

/// Time that a Namespace is followed after nobody waits any more; a device that waits asks once a second.
const LINGER: Duration = Duration::from_secs(30);

/// Why it is not known whether what was installed runs. All who waited for the same answer get it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum WorkloadsError {
    /// The API server refuses to list or watch, or does not answer.
    #[error("the workloads in namespace {namespace} cannot be watched")]
    Watch {
        /// The Namespace.
        namespace: DeploymentName,
        /// What the watch said.
        #[source]
        source: Arc<watcher::Error>,
    },
    /// The API server took too long.
    #[error("the workloads in namespace {namespace} were not listed within {} s", FIRST_STATE.as_secs())]
    TooSlow {
        /// The Namespace.
        namespace: DeploymentName,
    },
    /// Nobody watches any more.
    #[error("the workloads in namespace {namespace} are not watched any more")]
    Stopped {
        /// The Namespace.
        namespace: DeploymentName,
    },
}

/// Tells whether what was installed runs, with one set of watches per Namespace for all who wait. Dropping it ends them.
pub(crate) struct Workloads {
    client: Client,
    followed: Followed,
    tasks: Mutex<JoinSet<()>>,
}

/// The Namespaces that are followed.
type Followed = Arc<Mutex<HashMap<DeploymentName, Shared>>>;

/// Whether the first state is known, or cannot be; `None` as long as that is open.
type First = watch::Receiver<Option<Result<(), WorkloadsError>>>;

/// What those who wait for a Namespace share.
#[derive(Clone)]
struct Shared {
    /// What those who wait know of: when it was installed.
    since: Timestamp,
    /// Whether everything runs; means nothing before the first state is known.
    readiness: watch::Sender<Readiness>,
    first: First,
    /// Told that somebody has come.
    joined: Arc<Notify>,
}

impl Workloads {
    /// Nothing is followed yet.
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            followed: Arc::default(),
            tasks: Mutex::default(),
        }
    }

    /// Whether everything in a Namespace runs, and why not: every Deployment, StatefulSet, DaemonSet and Pod. It resolves once that is known; the receiver
    /// is kept up to date while it is held. An empty Namespace, or one that is not there, has nothing that does not run.
    ///
    /// # Errors
    /// The API server refuses, or does not answer. The next call tries anew.
    pub(crate) async fn readiness(
        &self,
        namespace: &DeploymentName,
        since: Timestamp,
    ) -> Result<watch::Receiver<Readiness>, WorkloadsError> {
        let (readiness, mut first) = self.join(namespace, since);
        let outcome = match first.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        let stopped = || WorkloadsError::Stopped {
            namespace: namespace.clone(),
        };
        outcome
            .unwrap_or_else(|| Err(stopped()))
            .map(|()| readiness)
    }

    /// Takes part in following a Namespace, which begins if nobody does yet.
    fn join(
        &self,
        namespace: &DeploymentName,
        since: Timestamp,
    ) -> (watch::Receiver<Readiness>, First) {
        let mut followed = lock(&self.followed);
        // A task takes its Namespace off before it ends, unless it panics.
        followed.retain(|name, shared| {
            let outdated = name == namespace && shared.since != since;
            shared.first.has_changed().is_ok() && !outdated
        });
        let shared = followed
            .entry(namespace.clone())
            .or_insert_with(|| self.start(namespace, since));
        shared.joined.notify_one();
        (shared.readiness.subscribe(), shared.first.clone())
    }

    fn start(&self, namespace: &DeploymentName, since: Timestamp) -> Shared {
        let (told_first, first) = watch::channel(None);
        let shared = Shared {
            since,
            readiness: watch::Sender::default(),
            first,
            joined: Arc::default(),
        };
        let following = Following {
            client: self.client.clone(),
            namespace: namespace.clone(),
            shared: shared.clone(),
            first: told_first,
            followed: Arc::clone(&self.followed),
        };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(following.run());
        shared
    }
}

fn lock(followed: &Followed) -> MutexGuard<'_, HashMap<DeploymentName, Shared>> {
    followed.lock().unwrap_or_else(PoisonError::into_inner)
}
