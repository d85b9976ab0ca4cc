//! The helm binary, version 3 or 4: installs and uninstalls releases as the deployment's own ServiceAccount.
//!
//! helm ends with this process and with the future that runs it, however they end: two of them must never work on one release. Its text
//! goes to the log; callers are told a [`HelmFailure`].

mod environment;
mod error;
mod failure;
mod metrics;
mod process;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value};
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::recipe::ChartVersion;
use tokio::sync::Semaphore;
use url::Url;

use self::environment::Environment;
pub(crate) use self::error::HelmError;
pub(crate) use self::failure::HelmFailure;
use self::metrics::HelmMetrics;
use self::process::{Finished, Input, Invocation};

/// Time after helm's own time-out in which it may still end by itself.
const OVERTIME: Duration = Duration::from_secs(10);
/// Time to say its version, and longest time to fetch a chart.
const VERSION_TIME: Duration = Duration::from_secs(10);
const PULL_TIME: Duration = Duration::from_secs(60);
/// Time in which an API server learns of a RoleBinding that was just made, or of all of them when it has just started.
const RIGHTS_LAG: Duration = Duration::from_secs(2);

/// How helm is run.
#[derive(Debug, Clone)]
pub(crate) struct HelmSettings {
    /// The binary.
    pub(crate) program: PathBuf,
    /// A folder of its own for all that helm keeps.
    pub(crate) home: PathBuf,
    /// How many work at once.
    pub(crate) concurrency: usize,
    /// Time that helm has for one operation.
    pub(crate) timeout: Duration,
    /// The cluster's credentials; otherwise `KUBECONFIG`, `~/.kube/config` or those of the Pod that this runs in.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the credentials to use.
    pub(crate) context: Option<String>,
}

/// The helm binary.
#[derive(Debug)]
pub(crate) struct Helm {
    settings: HelmSettings,
    environment: Environment,
    permits: Semaphore,
    metrics: HelmMetrics,
}

impl Helm {
    /// helm with these settings and what it needs of this process's environment. It is not run yet.
    ///
    /// # Errors
    /// Its folder cannot be prepared.
    pub(crate) fn new(settings: HelmSettings) -> Result<Self, HelmError> {
        let environment = Environment::prepare(&settings, |name| std::env::var_os(name))?;
        Ok(Self {
            environment,
            permits: Semaphore::new(settings.concurrency.max(1)),
            metrics: HelmMetrics::new(),
            settings,
        })
    }

    /// Adds what it measures to the registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    /// Its version, such as `v4.3.1+g1234567`.
    ///
    /// # Errors
    /// It cannot be run, or is neither helm 3 nor 4.
    pub(crate) async fn version(&self) -> Result<String, HelmError> {
        let arguments = ["version", "--short"].map(OsString::from).to_vec();
        // Without a permit: whether helm is there must not depend on how busy it is.
        let finished = self.run("version", arguments, None, VERSION_TIME).await?;
        let version = finished.stdout.trim().to_owned();
        if finished.succeeded
            && ["v3.", "v4."]
                .iter()
                .any(|known| version.starts_with(known))
        {
            return Ok(version);
        }
        Err(HelmError::Version {
            program: self.settings.program.clone(),
            version: version.chars().take(80).collect(),
        })
    }

    /// Installs a chart's file as a release in the Namespace of its name, as that Namespace's ServiceAccount `account`. It does not wait
    /// until what was installed is ready, only for the chart's hooks. helm is started at once, and gets the values that it needs for anything
    /// else once `ready` is.
    ///
    /// A denial in its own Namespace gets a second try: it also comes from an API server that does not know of the rights yet, which
    /// happens whenever one starts.
    ///
    /// # Errors
    /// helm failed; it may have left a release, which is to be uninstalled before it is tried again.
    pub(crate) async fn install(
        &self,
        release: &DeploymentName,
        account: &str,
        chart: &Path,
        values: Option<&Map<String, Value>>,
        ready: impl Future<Output = ()> + Send,
    ) -> Result<(), HelmError> {
        let mut arguments: Vec<OsString> = vec!["install".into(), release.as_str().into()];
        arguments.push(chart.into());
        arguments.extend(self.acting_as(release, account));
        arguments.extend(["--skip-crds", "-f", "-"].map(OsString::from));
        let values = values.map_or_else(|| "{}".to_owned(), to_json);
        let _permit = self.permits.acquire().await.ok();
        let input = Input {
            text: values.clone(),
            after: ready.boxed(),
        };
        let tried = self.operate("install", arguments.clone(), Some(input));
        match tried.await {
            Err(HelmError::Failed { kind, text, .. })
                if kind != HelmFailure::OwnIsolation
                    && failure::is_denied_at_home(release, &text) =>
            {
                tokio::time::sleep(RIGHTS_LAG).await;
                // What it left, if it came that far, is in the way.
                self.clear(release, account).await?;
                let input = Input {
                    text: values,
                    after: std::future::ready(()).boxed(),
                };
                self.operate("install", arguments, Some(input)).await
            }
            done => done,
        }
    }

    /// Uninstalls a release, or clears what is left of one; that there is none is no error.
    ///
    /// helm 3 and 4 alike uninstall a release in every state: `deployed`, `failed`, `pending-install`, `pending-upgrade`, and `uninstalling`
    /// also when its resources are gone. Two things keep them from it. A `pre-delete` hook that fails or hangs leaves it `uninstalling`,
    /// however often that is tried; so the hooks get one try, and then there is one without them. A `post-delete` hook that fails is an error
    /// too, but by then the release is gone, which is what the second try finds. What hooks have made stays in any case, until a new
    /// installation or the Namespace's end.
    ///
    /// # Errors
    /// helm failed, and the release may still be there.
    pub(crate) async fn uninstall(
        &self,
        release: &DeploymentName,
        account: &str,
    ) -> Result<(), HelmError> {
        let mut arguments: Vec<OsString> = vec!["uninstall".into(), release.as_str().into()];
        arguments.extend(self.acting_as(release, account));
        let _permit = self.permits.acquire().await.ok();
        match self.operate("uninstall", arguments, None).await {
            Err(HelmError::Failed { kind, .. }) if kind != HelmFailure::Unreachable => {
                self.clear(release, account).await
            }
            done => done,
        }
    }

    /// Uninstalls a release without running its hooks.
    async fn clear(&self, release: &DeploymentName, account: &str) -> Result<(), HelmError> {
        let mut arguments: Vec<OsString> = vec!["uninstall".into(), release.as_str().into()];
        arguments.extend(self.acting_as(release, account));
        arguments.push("--no-hooks".into());
        self.operate("uninstall", arguments, None).await
    }

    /// Fetches a chart from a container registry into a folder.
    ///
    /// # Errors
    /// The registry has no such chart or cannot be reached.
    pub(crate) async fn pull(
        &self,
        reference: &Url,
        version: &ChartVersion,
        folder: &Path,
    ) -> Result<(), HelmError> {
        let mut arguments = ["pull", reference.as_str(), "--version"]
            .map(OsString::from)
            .to_vec();
        arguments.extend([
            version.to_string().into(),
            "--destination".into(),
            folder.into(),
        ]);
        let limit = self.settings.timeout.min(PULL_TIME);
        let _permit = self.permits.acquire().await.ok();
        let began = Instant::now();
        let finished = self.run("pull", arguments, None, limit).await;
        let done = finished.and_then(|run| run.or_failed("pull", failure::classify_pull));
        self.metrics.ended("pull", done.is_ok(), began.elapsed());
        done
    }

    /// What makes helm act in the release's Namespace with no more rights than that has.
    fn acting_as(&self, release: &DeploymentName, account: &str) -> Vec<OsString> {
        let mut arguments = vec!["--namespace".into(), release.as_str().into()];
        let user = format!("system:serviceaccount:{}:{account}", release.as_str());
        arguments.extend(["--kube-as-user".into(), user.into()]);
        let seconds = self.settings.timeout.as_secs().max(1);
        arguments.extend(["--timeout".into(), format!("{seconds}s").into()]);
        if let Some(kubeconfig) = self.environment.kubeconfig() {
            arguments.extend(["--kubeconfig".into(), kubeconfig.into()]);
        }
        if let Some(context) = &self.settings.context {
            arguments.extend(["--kube-context".into(), context.into()]);
        }
        arguments
    }

    /// Does something with a release.
    async fn operate(
        &self,
        command: &'static str,
        arguments: Vec<OsString>,
        stdin: Option<Input<'_>>,
    ) -> Result<(), HelmError> {
        let limit = self.settings.timeout + OVERTIME;
        let began = Instant::now();
        let finished = self.run(command, arguments, stdin, limit).await;
        let done = finished.and_then(|run| run.or_failed(command, failure::classify));
        let done = if command == "uninstall" {
            absent_is_done(done)
        } else {
            done
        };
        self.metrics.ended(command, done.is_ok(), began.elapsed());
        done
    }

    async fn run(
        &self,
        command: &'static str,
        arguments: Vec<OsString>,
        stdin: Option<Input<'_>>,
        limit: Duration,
    ) -> Result<Finished, HelmError> {
        let invocation = Invocation {
            program: &self.settings.program,
            arguments,
            environment: self.environment.variables(),
            stdin,
        };
        match tokio::time::timeout(limit, invocation.run()).await {
            Ok(Ok(finished)) => Ok(finished),
            Ok(Err(source)) => Err(HelmError::Run {
                program: self.settings.program.clone(),
                source,
            }),
            // Dropping the future has killed it.
            Err(_) => {
                tracing::warn!(command, ?limit, "helm did not end in time");
                Err(HelmError::Overdue { command, limit })
            }
        }
    }
}

impl Finished {
    fn or_failed(
        self,
        command: &'static str,
        classify: impl FnOnce(&str) -> HelmFailure,
    ) -> Result<(), HelmError> {
        if self.succeeded {
            return Ok(());
        }
        let (kind, text) = (classify(&self.stderr), self.stderr);
        tracing::info!(command, %kind, text, "helm failed");
        Err(HelmError::Failed {
            command,
            kind,
            text,
        })
    }
}

fn absent_is_done(tried: Result<(), HelmError>) -> Result<(), HelmError> {
    match tried {
        Err(HelmError::Failed { text, .. }) if failure::is_absent(&text) => Ok(()),
        other => other,
    }
}

fn to_json(values: &Map<String, Value>) -> String {
    Value::Object(values.clone()).to_string()
}

#[cfg(test)]
mod tests;
