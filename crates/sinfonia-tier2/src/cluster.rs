//! What Tier 2 asks of a cluster, whatever that is made of.

pub mod draining;
mod facts;
pub mod kubernetes;
pub mod quota;
pub mod sandbox;

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, ready};
use futures_util::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use sinfonia_core::cloudlet::Resources;
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::key::PublicKey;
use sinfonia_core::lifecycle::{
    Activity, Failure, Found, Observed, Readiness, Record, Step, TunnelFacts,
};
use tokio::sync::watch;
use uuid::Uuid;

use self::draining::Draining;
use self::quota::QuotaReached;

/// Where something is no longer as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disturbed {
    /// Under this name.
    One(DeploymentName),
    /// Everywhere: what all deployments are made from has changed.
    All,
}

/// What runs the deployments: what is there, what makes it so, and how it does.
///
/// Futures may be dropped before they end, which gives the work up: whatever a step has begun by then shows in the next observation.
pub trait Cluster: Send + Sync + 'static {
    /// The cloudlet's end of the tunnel, or what is missing for it to be known. It is followed, because it comes and goes.
    fn tunnel(&self) -> watch::Receiver<Result<TunnelFacts, String>>;

    /// What is there under the name of a record's deployment.
    fn observe<'a>(
        &'a self,
        name: &'a DeploymentName,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<Observed, ClusterError>>;

    /// Whether a deployment may have what its recipe asks for, before anything is made for it.
    fn admit<'a>(&'a self, _record: &'a Record) -> BoxFuture<'a, Result<(), StepError>> {
        ready(Ok(())).boxed()
    }

    /// Takes a step for a deployment that has a name; [`Step::RemoveRecord`] is not the cluster's. An installation gives a digest of what
    /// it installed, where there is one.
    fn apply<'a>(
        &'a self,
        name: &'a DeploymentName,
        record: &'a Record,
        step: Step,
    ) -> BoxFuture<'a, Result<Option<String>, StepError>>;

    /// Whether all that was installed under a deployment's name runs, and why not. It is followed as long as the receiver is held. What was seen for
    /// another `since`, when the deployment was last installed, does not count.
    fn readiness<'a>(
        &'a self,
        name: &'a DeploymentName,
        since: Timestamp,
    ) -> BoxFuture<'a, Result<watch::Receiver<Readiness>, ClusterError>>;

    /// What somebody else may have changed. Those who miss it find out when they look the next time.
    fn disturbances(&self) -> BoxStream<'static, Disturbed> {
        stream::pending().boxed()
    }

    /// How long what has settled is left alone before somebody looks whether it is still so; for ever, where nobody else can change it.
    fn resync_interval(&self) -> Option<Duration> {
        None
    }

    /// Whether this process is the one that works on deployments. It is followed, because it comes and goes where there are others.
    fn leadership(&self) -> watch::Receiver<bool> {
        // Nobody ever sends, which is no change.
        watch::Sender::new(true).subscribe()
    }

    /// Whether no new deployments are to be taken. It is followed, because the operator may change it at any time.
    fn draining(&self) -> watch::Receiver<Draining> {
        // Nobody ever sends, which is no change.
        watch::Sender::new(Draining::No).subscribe()
    }

    /// Leaves the leadership to another process, because this one ends. Nothing of this one works on deployments any more.
    fn resign(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }

    /// Deployments that another program made and that have no record yet.
    fn adoptable(&self) -> BoxFuture<'_, Result<Vec<Found>, ClusterError>> {
        ready(Ok(Vec::new())).boxed()
    }

    /// Marks a deployment as ours, now that it has a record.
    fn adopt<'a>(&'a self, _name: &'a DeploymentName) -> BoxFuture<'a, Result<(), ClusterError>> {
        ready(Ok(())).boxed()
    }

    /// What the identity of a cloudlet is made of beside its endpoint, where that is known.
    fn uid(&self) -> Option<Uuid> {
        None
    }

    /// What is known about the traffic of all tunnels.
    fn activities(&self) -> BoxFuture<'_, Activities>;

    /// Adds measurements of its own to the registry.
    fn register(&self, _registry: &mut Registry) {}

    /// What is used of the cluster; what cannot be measured is left out.
    fn resources(&self) -> BoxFuture<'_, Resources>;
}

/// What is known about the traffic of all tunnels at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activities {
    /// Nobody asks: only requests renew.
    NotAsked,
    /// What was found out; nothing is known of a key that is not in it.
    Known(HashMap<PublicKey, Activity>),
}

/// The cluster did not answer, or not to the question.
#[derive(Debug, thiserror::Error)]
#[error("the cluster cannot be asked")]
pub struct ClusterError(#[source] pub Box<dyn Error + Send + Sync>);

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It did not work this time, and may the next.
    #[error(transparent)]
    Again(#[from] ClusterError),
    /// What is to be installed never can be.
    #[error("the installation failed: {}", .0.message)]
    Failed(Failure),
}

impl ClusterError {
    /// The quota that has no room at present, if that is why.
    pub fn quota(&self) -> Option<&QuotaReached> {
        self.0.downcast_ref()
    }
}

impl Activities {
    /// The activity of one tunnel.
    pub fn of(&self, key: &PublicKey) -> Activity {
        match self {
            Self::NotAsked => Activity::NotAsked,
            Self::Known(activities) => activities.get(key).copied().unwrap_or(Activity::Unknown),
        }
    }
}

/// Resolves when what a receiver follows is ready; never, if nobody follows that.
pub(crate) async fn until_ready(readiness: Option<watch::Receiver<Readiness>>) {
    let ready = match readiness {
        Some(mut readiness) => readiness.wait_for(Readiness::is_ready).await.is_ok(),
        None => false,
    };
    if !ready {
        std::future::pending::<()>().await;
    }
}
