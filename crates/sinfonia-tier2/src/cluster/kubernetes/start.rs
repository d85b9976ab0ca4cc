//! From settings to a cluster that is followed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use etcetera::{AppStrategy, AppStrategyArgs};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use sinfonia_service::readiness::{Condition, Readiness};
use sinfonia_service::recipes::RecipeRepository;
use sinfonia_service::reload::causes;
use sinfonia_service::settings::flatten;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinSet;

use super::charts::Charts;
use super::client::client;
use super::disturbances::Disturbances;
use super::drain::Wish;
use super::gateway::{self, GatewaySettings, Told};
use super::helm::{Helm, HelmSettings};
use super::leader::Candidate;
use super::prometheus::Prometheus;
use super::pull_secrets::PullSecrets;
use super::workloads::Workloads;
use super::{Kubernetes, LOOKS_AT_ONCE, api_server};
use crate::clock::Clock;
use crate::cluster::draining::Draining;
use crate::records::Records;
use crate::records::kubernetes::RecordApi;
use crate::settings::{ActivitySource, Settings};

/// Time between two looks at helm while it does not work.
const HELM_INTERVAL: Duration = Duration::from_secs(10);

/// Why there is no cluster to work on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There are no credentials of a cluster.
    #[error(
        "there is no Kubernetes cluster to work on: none is named by --kubeconfig, KUBECONFIG or ~/.kube/config, and this is no pod of one"
    )]
    NoCluster,
    /// The credentials of a cluster cannot be used.
    #[error("the credentials of the Kubernetes cluster cannot be used")]
    Credentials(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The client cannot be made.
    #[error("cannot set up the client of the API server")]
    Client(#[source] kube::Error),
    /// There is no folder for charts and helm.
    #[error("there is no folder for charts, give one with --cache")]
    NoCache,
    /// The folder for charts cannot be used.
    #[error("the folder for charts (--cache) cannot be used")]
    Cache(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Helm cannot be set up.
    #[error("helm cannot be used")]
    Helm(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The system gives no randomness.
    #[error("the system has no randomness for a name")]
    Randomness(#[source] getrandom::Error),
}

/// A cluster, its records, and the tasks that follow them; none of those ends by itself.
pub(crate) struct Parts {
    pub(crate) cluster: Kubernetes,
    pub(crate) records: Records,
    pub(crate) tasks: JoinSet<&'static str>,
}

/// Begins to follow the cluster that the settings name.
///
/// # Errors
/// Something that the settings name cannot be used. A cluster that does not answer is no error; readiness tells.
pub(crate) async fn start(
    settings: &Settings,
    clock: &Clock,
    recipes: &RecipeRepository,
    http: &reqwest::Client,
    readiness: &Readiness,
) -> Result<Parts, StartError> {
    let config = config(
        settings.cluster.kubeconfig.as_deref(),
        settings.cluster.kubecontext.as_deref(),
    )
    .await?;
    let namespace = settings.kubernetes.namespace.as_ref();
    let namespace = namespace.unwrap_or(&config.default_namespace).clone();
    let client = client(&config).map_err(StartError::Client)?;
    let helm = Arc::new(helm(settings)?);
    let charts = Charts::new(
        settings.cluster.recipes.clone(),
        http.clone(),
        cache(settings)?.join("charts"),
        Arc::clone(&helm),
    )
    .map_err(|error| StartError::Cache(error.into()))?;
    let (tunnel_sender, tunnel) =
        watch::channel(Err("the cluster was not looked at yet".to_owned()));
    let (surroundings_sender, surroundings) = watch::channel(None);
    let (uid_sender, uid) = watch::channel(None);
    let leading = watch::Sender::new(false);
    let (draining_sender, draining) = watch::channel(Draining::Unknown(
        "the cluster was not asked yet".to_owned(),
    ));
    let lease = settings.kubernetes.leader_lease.unsigned_abs();
    let candidate = Candidate::new(client.clone(), &namespace, identity()?, lease);
    let record_api = RecordApi::new(client.clone(), &namespace);
    let names = flatten(&settings.kubernetes.image_pull_secret);
    let pull_secrets = PullSecrets::new(client.clone(), namespace.clone(), names);
    let cluster = Kubernetes {
        helm: Arc::clone(&helm),
        charts,
        recipes: recipes.clone(),
        workloads: Workloads::new(client.clone()),
        pull_secrets: pull_secrets.clone(),
        prometheus: Prometheus::new(settings.cluster.prometheus.clone(), http.clone()),
        activity: match settings.kubernetes.activity {
            ActivitySource::Prometheus => Some(settings.life.lease),
            ActivitySource::None => None,
        },
        clock: clock.clone(),
        tunnel,
        allowance: settings.isolation.allowance(),
        surroundings,
        disturbances: Disturbances::new(),
        resync: settings.kubernetes.resync_interval.unsigned_abs(),
        leading: leading.clone(),
        draining,
        candidate: Arc::new(Mutex::new(candidate)),
        uid,
        looks: Semaphore::new(LOOKS_AT_ONCE),
        client: client.clone(),
    };
    let mut tasks = JoinSet::new();
    let mut essential = |name: &'static str, task: futures_util::future::BoxFuture<'static, ()>| {
        tasks.spawn(async move {
            task.await;
            name
        });
    };
    let condition = readiness.condition("api_server");
    essential(
        "watch on the API server",
        Box::pin(api_server::follow(client.clone(), uid_sender, condition)),
    );
    let gateway = GatewaySettings {
        endpoint: settings.tunnel.tunnel_endpoint.clone(),
        client_network: settings.tunnel.client_network,
        cluster_networks: settings.isolation.cluster_networks(),
    };
    essential(
        "watch on the gateway",
        Box::pin(gateway::follow(
            client.clone(),
            gateway,
            clock.clone(),
            Told {
                facts: tunnel_sender,
                surroundings: surroundings_sender,
            },
        )),
    );
    essential(
        "watch on namespaces and peers",
        Box::pin(cluster.disturbances.follow(&client)),
    );
    essential(
        "watch on the records",
        Box::pin(record_api.clone().follow()),
    );
    let condition = readiness.condition("records");
    essential(
        "watch on the records' state",
        Box::pin(follow_records(record_api.synchronised(), condition)),
    );
    let condition = readiness.condition("drain");
    let wish = Wish::new(client.clone(), &namespace);
    essential(
        "watch on whether to drain",
        Box::pin(wish.follow(draining_sender, condition)),
    );
    let condition = readiness.condition("helm");
    essential("look at helm", Box::pin(look_at_helm(helm, condition)));
    essential(
        "look at the image pull secrets",
        Box::pin(async move {
            pull_secrets.look().await;
            std::future::pending::<()>().await;
        }),
    );
    let candidate = Arc::clone(&cluster.candidate);
    essential(
        "leader election",
        Box::pin(async move { candidate.lock().await.run(&leading).await }),
    );
    Ok(Parts {
        cluster,
        records: Records::in_kubernetes(record_api),
        tasks,
    })
}

impl Kubernetes {
    /// Frees the Lease, so that another replica need not wait until it has run out.
    pub(super) async fn leave_leadership(&self) {
        if !self.leading.send_replace(false) {
            return;
        }
        if let Err(error) = self.candidate.lock().await.release().await {
            tracing::info!(%error, cause = causes(&error), "the lease could not be freed, it runs out");
        }
    }
}

/// A client of the cluster that these credentials are for.
///
/// # Errors
/// There are none, or they cannot be used. A cluster that does not answer is no error.
pub(crate) async fn connect(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<Client, StartError> {
    client(&config(kubeconfig, context).await?).map_err(StartError::Client)
}

async fn config(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, StartError> {
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let wrong = |error: KubeconfigError| StartError::Credentials(error.into());
    match (kubeconfig, context) {
        (Some(file), _) => {
            let file = Kubeconfig::read_from(file).map_err(wrong)?;
            Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(wrong)
        }
        (None, context) if context.is_some() || has_kubeconfig() => {
            Config::from_kubeconfig(&options).await.map_err(wrong)
        }
        (None, _) if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
            Config::incluster().map_err(|error| StartError::Credentials(error.into()))
        }
        (None, _) => Err(StartError::NoCluster),
    }
}

/// Whether a kubeconfig is named, or is where everybody looks for it.
fn has_kubeconfig() -> bool {
    let named = std::env::var_os("KUBECONFIG").is_some_and(|files| !files.is_empty());
    let home = etcetera::home_dir().map(|home| home.join(".kube/config"));
    named || home.is_ok_and(|file| file.is_file())
}

fn helm(settings: &Settings) -> Result<Helm, StartError> {
    let options = &settings.helm;
    Helm::new(HelmSettings {
        program: options.helm.clone(),
        home: cache(settings)?.join("helm"),
        concurrency: options.helm_concurrency.get(),
        timeout: options.helm_timeout.unsigned_abs(),
        kubeconfig: settings.cluster.kubeconfig.clone(),
        context: settings.cluster.kubecontext.clone(),
    })
    .map_err(|error| StartError::Helm(error.into()))
}

/// The folder for what can be fetched again.
fn cache(settings: &Settings) -> Result<PathBuf, StartError> {
    if let Some(folder) = &settings.helm.cache {
        return Ok(folder.clone());
    }
    let strategy = etcetera::app_strategy::choose_app_strategy(AppStrategyArgs {
        app_name: "sinfonia-tier2".to_owned(),
        ..AppStrategyArgs::default()
    });
    Ok(strategy.map_err(|_| StartError::NoCache)?.cache_dir())
}

/// A name of this process that no other has.
fn identity() -> Result<String, StartError> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut entropy = [0; 16];
    getrandom::fill(&mut entropy).map_err(StartError::Randomness)?;
    let unique = uuid::Builder::from_random_bytes(entropy).into_uuid();
    Ok(format!("{}_{unique}", host.trim()))
}

async fn follow_records(mut state: watch::Receiver<Result<(), String>>, condition: Condition) {
    loop {
        match &*state.borrow_and_update() {
            Ok(()) => condition.ready(),
            Err(reason) => condition.not_ready(reason),
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// Looks until helm has worked once; it does not go away later.
async fn look_at_helm(helm: Arc<Helm>, condition: Condition) {
    loop {
        match helm.version().await {
            Ok(version) => {
                tracing::info!(version, "helm works");
                condition.ready();
                return std::future::pending().await;
            }
            Err(error) => {
                tracing::warn!(%error, cause = causes(&error), "helm does not work");
                condition.not_ready("helm does not work, see the log (--helm)");
            }
        }
        tokio::time::sleep(HELM_INTERVAL).await;
    }
}
