//! What Tier 2 asks of a cluster, whatever that is made of.

pub mod sandbox;

use std::collections::HashMap;
use std::error::Error;

use futures_util::future::BoxFuture;
use sinfonia_core::cloudlet::Resources;
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::key::PublicKey;
use sinfonia_core::lifecycle::{Activity, Failure, Observed, RecordSpec, Step, TunnelFacts};
use tokio::sync::watch;

/// What runs the deployments: what is there, what makes it so, and how it does.
///
/// Futures may be dropped before they end, which gives the work up: whatever a step has begun by then shows in the next observation.
pub trait Cluster: Send + Sync + 'static {
    /// The cloudlet's end of the tunnel, or what is missing for it to be known. It is followed, because it comes and goes.
    fn tunnel(&self) -> watch::Receiver<Result<TunnelFacts, String>>;

    /// What is there under a deployment's name.
    fn observe<'a>(
        &'a self,
        name: &'a DeploymentName,
    ) -> BoxFuture<'a, Result<Observed, ClusterError>>;

    /// Takes a step for a deployment; [`Step::RemoveRecord`] is not the cluster's.
    fn apply<'a>(
        &'a self,
        name: &'a DeploymentName,
        spec: &'a RecordSpec,
        step: Step,
    ) -> BoxFuture<'a, Result<(), StepError>>;

    /// Whether all that was installed under a deployment's name runs. It is followed as long as the receiver is held.
    fn readiness<'a>(
        &'a self,
        name: &'a DeploymentName,
    ) -> BoxFuture<'a, Result<watch::Receiver<bool>, ClusterError>>;

    /// What is known about the traffic of all tunnels.
    fn activities(&self) -> BoxFuture<'_, Activities>;

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

impl Activities {
    /// The activity of one tunnel.
    pub fn of(&self, key: &PublicKey) -> Activity {
        match self {
            Self::NotAsked => Activity::NotAsked,
            Self::Known(activities) => activities.get(key).copied().unwrap_or(Activity::Unknown),
        }
    }
}
