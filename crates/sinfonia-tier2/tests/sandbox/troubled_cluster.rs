//! The sandbox with the troubles that a real cluster has.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending};
use jiff::Timestamp;
use sinfonia_core::cloudlet::Resources;
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::key::PublicKey;
use sinfonia_core::lifecycle::{
    Activity, Failure, FailureClass, Namespace, Observed, PeerState, Readiness, Record, Release,
    Step, TunnelFacts,
};
use sinfonia_tier2::cluster::draining::Draining;
use sinfonia_tier2::cluster::sandbox::Sandbox;
use sinfonia_tier2::cluster::{Activities, Cluster, ClusterError, StepError};
use tokio::sync::watch;

/// What happens to an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Install {
    /// It works.
    Works,
    /// It never ends.
    Hangs,
    /// It fails for good.
    Fails(FailureClass),
}

/// A sandbox in which installations hang or fail, what is installed becomes ready when the test says so, and tunnels are in use.
pub(crate) struct TroubledCluster {
    sandbox: Sandbox,
    install: watch::Sender<Install>,
    readiness: watch::Sender<Readiness>,
    tunnel: watch::Sender<Result<TunnelFacts, String>>,
    activity: Mutex<Option<Activity>>,
    draining: watch::Sender<Draining>,
    uninstall_works: watch::Sender<bool>,
    unreachable: AtomicUsize,
    pub(crate) installs: AtomicUsize,
    records: Mutex<BTreeMap<DeploymentName, Record>>,
}

impl TroubledCluster {
    /// A cluster without troubles.
    pub(crate) fn new(client_network: &str) -> Self {
        let sandbox = Sandbox::without_tunnel(
            "203.0.113.7:51820".parse().unwrap(),
            client_network.parse().unwrap(),
        )
        .unwrap();
        let tunnel = sandbox.tunnel().borrow().clone();
        Self {
            sandbox,
            install: watch::Sender::new(Install::Works),
            readiness: watch::Sender::new(Readiness::Ready),
            tunnel: watch::Sender::new(tunnel),
            activity: Mutex::new(None),
            draining: watch::Sender::new(Draining::No),
            uninstall_works: watch::Sender::new(true),
            unreachable: AtomicUsize::new(0),
            installs: AtomicUsize::new(0),
            records: Mutex::default(),
        }
    }

    /// From now on installations behave so.
    pub(crate) fn installing(&self, install: Install) {
        self.install.send_replace(install);
    }

    /// Whether what is installed runs.
    pub(crate) fn ready(&self, ready: bool) {
        self.is(if ready {
            Readiness::Ready
        } else {
            Readiness::default()
        });
    }

    /// Whether what is installed runs, and why not.
    pub(crate) fn is(&self, readiness: Readiness) {
        self.readiness.send_replace(readiness);
    }

    /// What all tunnels do; only requests renew where nothing was said.
    pub(crate) fn tunnels_are(&self, activity: Activity) {
        *self.activity.lock().unwrap() = Some(activity);
    }

    /// Whether releases can be uninstalled; while not, it hangs.
    pub(crate) fn uninstalling(&self, works: bool) {
        self.uninstall_works.send_replace(works);
    }

    /// Whether the operator wants new deployments.
    pub(crate) fn draining(&self, draining: Draining) {
        self.draining.send_replace(draining);
    }

    /// The end of the tunnel is not known, because this is missing.
    pub(crate) fn lacks(&self, missing: &str) {
        self.tunnel
            .send_modify(|tunnel| *tunnel = Err(missing.to_owned()));
    }

    /// The cluster does not answer this many looks and steps.
    pub(crate) fn is_unreachable_for(&self, requests: usize) {
        self.unreachable.store(requests, Ordering::Relaxed);
    }

    fn answers(&self) -> Result<(), ClusterError> {
        let count_down = |left: usize| left.checked_sub(1);
        let unreachable =
            self.unreachable
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count_down);
        match unreachable {
            Ok(_) => Err(ClusterError("connection refused".into())),
            Err(_) => Ok(()),
        }
    }

    /// What is there under all names that ever were.
    pub(crate) async fn content(&self) -> HashMap<DeploymentName, Observed> {
        let records = self.records.lock().unwrap().clone();
        let mut content = HashMap::new();
        for (name, record) in records {
            let observed = self.sandbox.observe(&name, &record).await.unwrap();
            if observed != Observed::default() {
                content.insert(name, observed);
            }
        }
        content
    }

    /// Whether nothing is left in it.
    pub(crate) async fn is_empty(&self) -> bool {
        self.content().await.is_empty()
    }

    /// Whether each deployment is there in full.
    pub(crate) async fn is_complete(&self) -> bool {
        self.content().await.values().all(|observed| {
            observed.namespace == Namespace::Present
                && observed.release == Release::Deployed
                && matches!(observed.peer, PeerState::Present(_))
        })
    }

    async fn take(
        &self,
        name: &DeploymentName,
        record: &Record,
        step: Step,
    ) -> Result<Option<String>, StepError> {
        self.answers()?;
        let known = (name.clone(), record.clone());
        self.records.lock().unwrap().extend([known]);
        match step {
            Step::Install => {
                self.installs.fetch_add(1, Ordering::Relaxed);
                let mut install = self.install.subscribe();
                let how = *install
                    .wait_for(|install| *install != Install::Hangs)
                    .await
                    .unwrap();
                if let Install::Fails(class) = how {
                    let message = "the chart is no good".to_owned();
                    return Err(StepError::Failed(Failure {
                        class,
                        message,
                        detail: Some("helm: no".to_owned()),
                    }));
                }
            }
            Step::Uninstall { .. } => {
                let mut works = self.uninstall_works.subscribe();
                if works.wait_for(|works| *works).await.is_err() {
                    pending::<()>().await;
                }
            }
            _ => {}
        }
        self.sandbox.apply(name, record, step).await
    }
}

impl Cluster for TroubledCluster {
    fn tunnel(&self) -> watch::Receiver<Result<TunnelFacts, String>> {
        self.tunnel.subscribe()
    }

    fn draining(&self) -> watch::Receiver<Draining> {
        self.draining.subscribe()
    }

    fn observe<'a>(
        &'a self,
        name: &'a DeploymentName,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<Observed, ClusterError>> {
        if let Err(error) = self.answers() {
            return futures_util::future::ready(Err(error)).boxed();
        }
        self.sandbox.observe(name, record)
    }

    fn apply<'a>(
        &'a self,
        name: &'a DeploymentName,
        record: &'a Record,
        step: Step,
    ) -> BoxFuture<'a, Result<Option<String>, StepError>> {
        self.take(name, record, step).boxed()
    }

    fn readiness<'a>(
        &'a self,
        _name: &'a DeploymentName,
        _since: Timestamp,
    ) -> BoxFuture<'a, Result<watch::Receiver<Readiness>, ClusterError>> {
        futures_util::future::ready(Ok(self.readiness.subscribe())).boxed()
    }

    fn activities(&self) -> BoxFuture<'_, Activities> {
        let activity = *self.activity.lock().unwrap();
        let names: Vec<PublicKey> = (0..=u8::MAX)
            .map(|byte| PublicKey::from_bytes([byte; 32]))
            .collect();
        let activities = match activity {
            None => Activities::NotAsked,
            Some(activity) => {
                Activities::Known(names.into_iter().map(|key| (key, activity)).collect())
            }
        };
        futures_util::future::ready(activities).boxed()
    }

    fn resources(&self) -> BoxFuture<'_, Resources> {
        let resources = [("cpu_ratio".to_owned(), 0.25.try_into().unwrap())];
        futures_util::future::ready(resources.into()).boxed()
    }
}
