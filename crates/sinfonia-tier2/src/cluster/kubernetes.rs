//! A Kubernetes cluster with Kilo: Namespaces, Peers and Helm releases.

mod adoption;
mod api_server;
mod charts;
mod client;
mod disturbances;
pub(crate) mod drain;
#[cfg(test)]
pub(crate) mod fake_api;
mod gateway;
mod helm;
mod isolation;
mod leader;
pub(crate) mod mirror;
mod objects;
mod observation;
mod prometheus;
mod pull_secrets;
mod releases;
mod start;
mod steps;
mod workloads;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, TryFutureExt, ready};
use futures_util::stream::{self, BoxStream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use prometheus_client::registry::Registry;
use sinfonia_core::cloudlet::Resources;
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::isolation::Allowance;
use sinfonia_core::lifecycle::{Found, Namespace, Observed, Readiness, Record, Step, TunnelFacts};
use sinfonia_service::recipes::RecipeRepository;
use tokio::sync::{Mutex, Semaphore, watch};
use uuid::Uuid;

use self::charts::Charts;
use self::disturbances::Disturbances;
use self::helm::Helm;
use self::isolation::{Expected, Surroundings};
use self::leader::Candidate;
pub(crate) use self::objects::{CLIENT_LABEL, DEPLOYMENT, KIND_LABEL};
use self::prometheus::Prometheus;
use self::pull_secrets::PullSecrets;
pub use self::start::StartError;
pub(crate) use self::start::{Parts, connect, start};
use self::workloads::Workloads;
use super::draining::Draining;
use super::quota::QuotaReached;
use super::{Activities, Cluster, ClusterError, Disturbed, StepError};
use crate::clock::Clock;

/// Who writes, as the API server notes it at each field.
pub(crate) const FIELD_MANAGER: &str = "sinfonia-tier2";

/// Seconds that a watch lasts before it is renewed. A connection that died without a word is noticed a little later than that.
pub(crate) const WATCH_SECONDS: u32 = 90;

/// Deployments that are looked at at the same time.
const LOOKS_AT_ONCE: usize = 16;

/// A Kubernetes cluster.
pub(crate) struct Kubernetes {
    client: Client,
    helm: Arc<Helm>,
    charts: Charts,
    recipes: RecipeRepository,
    workloads: Workloads,
    pull_secrets: PullSecrets,
    prometheus: Prometheus,
    /// Whether leases depend on the tunnels' traffic, and how far back that counts.
    activity: Option<SignedDuration>,
    clock: Clock,
    tunnel: watch::Receiver<Result<TunnelFacts, String>>,
    /// What recipes may have.
    allowance: Allowance,
    /// The network around the deployments; nothing before it is known. It is known as soon as the tunnel is.
    surroundings: watch::Receiver<Option<Surroundings>>,
    disturbances: Disturbances,
    /// Time after which what has settled is compared with the cluster again.
    resync: Duration,
    leading: watch::Sender<bool>,
    draining: watch::Receiver<Draining>,
    candidate: Arc<Mutex<Candidate>>,
    uid: watch::Receiver<Option<Uuid>>,
    /// Turns to look at a deployment.
    looks: Semaphore,
}

impl Cluster for Kubernetes {
    fn tunnel(&self) -> watch::Receiver<Result<TunnelFacts, String>> {
        self.tunnel.clone()
    }

    fn observe<'a>(
        &'a self,
        name: &'a DeploymentName,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<Observed, ClusterError>> {
        let look = async {
            let isolation = self.expected(record).await;
            // Nobody closes it. A new leader looks at everything at once, which must not look like an attack to the API server.
            let _permit = self.looks.acquire().await.ok();
            self.look(name, Expected::of(&isolation)).await
        };
        look.boxed()
    }

    fn admit<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), StepError>> {
        let granted = self.grant(record.spec.uuid);
        granted.map(|granted| granted.map(drop)).boxed()
    }

    fn apply<'a>(
        &'a self,
        name: &'a DeploymentName,
        record: &'a Record,
        step: Step,
    ) -> BoxFuture<'a, Result<Option<String>, StepError>> {
        self.take(name, record, step)
            .map_err(|error| steps::for_good_if_new(error, record))
            .boxed()
    }

    fn readiness<'a>(
        &'a self,
        name: &'a DeploymentName,
        since: Timestamp,
    ) -> BoxFuture<'a, Result<watch::Receiver<Readiness>, ClusterError>> {
        self.workloads
            .readiness(name, since)
            .map(|readiness| readiness.map_err(|error| ClusterError(error.into())))
            .boxed()
    }

    fn disturbances(&self) -> BoxStream<'static, Disturbed> {
        let names = self.disturbances.subscribe().map(Disturbed::One);
        // The policies of all tell of the nodes and of the gateway.
        let mut surroundings = self.surroundings.clone();
        surroundings.mark_unchanged();
        let moves = stream::unfold(surroundings, async |mut surroundings| {
            surroundings.changed().await.ok()?;
            Some((Disturbed::All, surroundings))
        });
        stream::select(names, moves).boxed()
    }

    fn resync_interval(&self) -> Option<Duration> {
        Some(self.resync)
    }

    fn leadership(&self) -> watch::Receiver<bool> {
        self.leading.subscribe()
    }

    fn draining(&self) -> watch::Receiver<Draining> {
        self.draining.clone()
    }

    fn resign(&self) -> BoxFuture<'_, ()> {
        self.leave_leadership().boxed()
    }

    fn adoptable(&self) -> BoxFuture<'_, Result<Vec<Found>, ClusterError>> {
        self.find_adoptable().boxed()
    }

    fn adopt<'a>(&'a self, name: &'a DeploymentName) -> BoxFuture<'a, Result<(), ClusterError>> {
        self.mark_adopted(name).boxed()
    }

    fn uid(&self) -> Option<Uuid> {
        *self.uid.borrow()
    }

    fn activities(&self) -> BoxFuture<'_, Activities> {
        let Some(lease) = self.activity else {
            return ready(Activities::NotAsked).boxed();
        };
        let activities = self.prometheus.activities(lease, self.clock.now());
        activities.map(Activities::Known).boxed()
    }

    fn register(&self, registry: &mut Registry) {
        self.helm.register(registry);
    }

    fn resources(&self) -> BoxFuture<'_, Resources> {
        self.prometheus.resources().boxed()
    }
}

impl Kubernetes {
    /// What is there under a name. A Namespace without the Secrets that images are pulled with lacks something too.
    async fn look(
        &self,
        name: &DeploymentName,
        isolation: Expected<'_>,
    ) -> Result<Observed, ClusterError> {
        let observed = observation::observe(&self.client, name, isolation).await?;
        if !self.pull_secrets.are_wanted() || observed.namespace != Namespace::Present {
            return Ok(observed);
        }
        let in_place = self.pull_secrets.are_in_place(name).await;
        let namespace = if in_place.map_err(cluster_error)? {
            Namespace::Present
        } else {
            Namespace::Incomplete
        };
        Ok(Observed {
            namespace,
            ..observed
        })
    }
}

/// What an error of the API server means.
pub(crate) fn cluster_error(error: kube::Error) -> ClusterError {
    let quota = match &error {
        kube::Error::Api(status) if status.code == 403 => QuotaReached::in_words(&status.message),
        _ => None,
    };
    ClusterError(quota.map_or_else(|| error.into(), Into::into))
}
