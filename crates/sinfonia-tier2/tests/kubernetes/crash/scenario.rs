//! Parts of a deployment's life, and the world in which they are cut.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sinfonia_testbed::{ApiCall, Fault, FaultProxy, Rule};

use crate::harness::{Cloudlet, FAILING, PLAIN, Tier2, eventually};

/// Time in which Tier 2 notices that its helm has ended.
const HELM_NOTICED: Duration = Duration::from_millis(500);
/// The device's number.
const DEVICE: u8 = 1;
/// Seconds that the device waits.
const WAIT: u64 = 60;

/// A part of a deployment's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scenario {
    /// From the first request until it is ready.
    Create,
    /// From Expiring back until it is ready.
    Revive,
    /// From the end of its lease until it is Expired.
    Expire,
    /// From a request to delete it until nothing is left.
    Delete,
    /// From the first request for what cannot be installed until it is rolled back.
    FailingInstall,
}

/// A cloudlet, and what cuts its Tier 2's work.
pub(super) struct World {
    pub(super) cloudlet: Cloudlet,
    proxy: Option<(FaultProxy, PathBuf)>,
    points: PathBuf,
}

impl Scenario {
    fn recipe(self) -> &'static str {
        match self {
            Self::FailingInstall => FAILING[6].0,
            _ => PLAIN,
        }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Expire => &["--grace", "1s"],
            _ => &[],
        }
    }

    /// Brings the deployment to where the scenario begins.
    pub(super) async fn prepare(self, world: &World, tier2: &Tier2) {
        if matches!(self, Self::Create | Self::FailingInstall) {
            return;
        }
        assert!(self.ask(world, tier2, Method::POST).await);
        world.reaches(async || world.is_ready()).await;
        if self == Self::Revive {
            world.let_lease_pass();
            world.reaches(async || world.is_paused()).await;
            // helm is gone before Tier 2 has passed the point after it, which belongs to what comes before this scenario.
            tokio::time::sleep(HELM_NOTICED).await;
        }
    }

    /// Does what sets it going. Tells whether that was answered.
    pub(super) async fn act(self, world: &World, tier2: &Tier2) -> bool {
        match self {
            Self::Create | Self::Revive | Self::FailingInstall => {
                self.ask(world, tier2, Method::POST).await
            }
            Self::Delete => self.ask(world, tier2, Method::DELETE).await,
            Self::Expire => {
                world.let_lease_pass();
                true
            }
        }
    }

    /// Whether its end is reached; else why not.
    pub(super) fn end(self, world: &World) -> Result<(), String> {
        match self {
            Self::Create | Self::Revive => world.is_ready(),
            Self::Expire => world.is_in("Expired"),
            Self::FailingInstall => world.is_in("Failed"),
            Self::Delete => match world.record() {
                None => Ok(()),
                Some(record) => Err(format!("there is still {record}")),
            },
        }
    }

    async fn ask(self, world: &World, tier2: &Tier2, method: Method) -> bool {
        let key = world.cloudlet.own_key(DEVICE).url_safe();
        let path = format!("/api/v1/deploy/{}/{key}", self.recipe());
        let answer = tier2.ask(method, &path).wait(WAIT).answer_if_any().await;
        let Ok(answer) = answer else { return false };
        let expected = match self {
            Self::FailingInstall => answer.problem() == (500, Some("refused")),
            _ => answer.status / 100 == 2,
        };
        assert!(expected, "{answer:?}");
        true
    }
}

impl World {
    pub(super) fn new() -> Self {
        if !cfg!(feature = "fail-points") {
            panic!(
                "this test needs fail points: run `cargo xtask test`, or `cargo test -p sinfonia-tier2 --features fail-points`"
            );
        }
        let cloudlet = Cloudlet::new();
        let points = cloudlet.folder().join("points");
        fs::create_dir(&points).unwrap();
        Self {
            cloudlet,
            proxy: None,
            points,
        }
    }

    /// Lets the first Tier 2, and its helm, reach the API server only through a proxy.
    pub(super) fn watch_helm(&mut self) {
        let proxy = FaultProxy::start(self.cloudlet.cluster()).unwrap();
        let kubeconfig = self.cloudlet.kubeconfig_through(&proxy);
        self.proxy = Some((proxy, kubeconfig));
    }

    /// Starts the Tier 2 that will die.
    pub(super) async fn first(&self, scenario: Scenario) -> Tier2 {
        let direct = self.cloudlet.kubeconfig();
        let kubeconfig = self.proxy.as_ref().map_or(direct, |(_, proxied)| proxied);
        self.start(
            "first",
            kubeconfig,
            scenario,
            &[("SINFONIA_FAIL_POINTS", &self.points)],
        )
        .await
    }

    /// Starts the one after it.
    pub(super) async fn second(&self, scenario: Scenario) -> Tier2 {
        self.start("second", self.cloudlet.kubeconfig(), scenario, &[])
            .await
    }

    async fn start(
        &self,
        name: &str,
        kubeconfig: &Path,
        scenario: Scenario,
        environment: &[(&str, &Path)],
    ) -> Tier2 {
        let options = scenario.options();
        let start = || {
            self.cloudlet
                .start_in(name, kubeconfig, options, environment)
        };
        let tier2 = start();
        tier2.until_ready().await;
        tier2
    }

    /// From now on points are written down, and the Tier 2 dies at this one.
    pub(super) fn arm(&self, point: Option<&str>) {
        if let Some((proxy, _)) = &self.proxy {
            proxy.forget_calls();
        }
        // It must not be read half written.
        let prepared = self.points.join("prepared");
        fs::write(&prepared, point.unwrap_or_default()).unwrap();
        fs::rename(prepared, self.points.join("armed")).unwrap();
    }

    /// The points that were passed.
    pub(super) fn passed(&self) -> String {
        fs::read_to_string(self.points.join("passed")).unwrap()
    }

    /// How much helm has changed in the cluster.
    pub(super) fn changes_by_helm(&self) -> usize {
        let calls = self.proxy().calls();
        calls.iter().filter(|call| is_change_by_helm(call)).count()
    }

    /// Lets helm wait for ever when it has made so many changes and asks for the next.
    pub(super) fn hold_helm(&self, change: usize, after: bool) {
        self.proxy().forget_calls();
        let count = AtomicUsize::new(0);
        let is_it = move |call: &ApiCall| {
            is_change_by_helm(call) && count.fetch_add(1, Ordering::SeqCst) == change
        };
        let rule = Rule::when(is_it, Fault::Hang);
        let rule = if after {
            rule.after_it_took_effect()
        } else {
            rule
        };
        self.proxy().inject(rule);
    }

    pub(super) async fn helm_is_held(&self, change: usize) {
        eventually(async || match self.changes_by_helm() {
            changes if changes > change => Ok(()),
            changes => Err(format!("helm made {changes} changes")),
        })
        .await;
        // The change that is to be done takes its time.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }

    fn proxy(&self) -> &FaultProxy {
        &self.proxy.as_ref().unwrap().0
    }

    /// Waits until this holds, and all that has to hold always.
    pub(super) async fn reaches(&self, goal: impl AsyncFn() -> Result<(), String>) {
        eventually(async || {
            goal().await?;
            self.cloudlet.invariants()
        })
        .await;
    }

    fn is_ready(&self) -> Result<(), String> {
        self.is_in("Deployed")?;
        match self.record() {
            Some(record) if record["status"]["firstReady"].is_string() => Ok(()),
            other => Err(format!("not ready: {other:?}")),
        }
    }

    fn is_paused(&self) -> Result<(), String> {
        self.is_in("Expiring")?;
        match self.cloudlet.helms() {
            helms if helms.is_empty() => Ok(()),
            helms => Err(format!("helm still works: {helms:?}")),
        }
    }

    fn is_in(&self, phase: &str) -> Result<(), String> {
        match self.record() {
            Some(record) if record["status"]["phase"] == phase => Ok(()),
            other => Err(format!("not {phase}: {other:?}")),
        }
    }

    fn record(&self) -> Option<Value> {
        let records = self.cloudlet.records();
        assert!(records.len() <= 1, "{records:?}");
        records.into_iter().next()
    }

    /// Plays that the lease was taken long ago.
    fn let_lease_pass(&self) {
        let name = self.cloudlet.own_key(DEVICE).record_name();
        let namespace = self.cloudlet.namespace();
        let path = format!(
            "/apis/findcloudlet.org/v1alpha1/namespaces/{namespace}/cloudletdeployments/{name}"
        );
        let past = "2026-01-01T00:00:00Z";
        let cluster = self.cloudlet.cluster();
        cluster
            .patch(&path, &json!({"spec": {"renewed": past}}))
            .unwrap();
        let status = json!({"status": {"leaseEnd": past}});
        cluster.patch(&format!("{path}/status"), &status).unwrap();
    }
}

fn is_change_by_helm(call: &ApiCall) -> bool {
    let changes = !matches!(call.verb, "get" | "list" | "watch");
    changes && call.user_agent.starts_with("Helm/")
}
