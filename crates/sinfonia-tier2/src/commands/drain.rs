//! `sinfonia-tier2 drain` and `undrain`.

use kube::Client;
use sinfonia_core::lifecycle::Stage;

use crate::cluster::ClusterError;
use crate::cluster::draining::Reason;
use crate::cluster::kubernetes::drain::{Change, NAME, Wish};
use crate::cluster::kubernetes::{StartError, connect};
use crate::records::kubernetes::RecordApi;
use crate::records::{Records, Seen};
use crate::settings::{ClusterKind, DrainArgs, Settings, TargetArgs};

/// Why a cloudlet is not drained, or still is.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// A sandbox ends when its process does.
    #[error("a sandbox cannot be drained: this needs a Kubernetes cluster")]
    Sandbox,
    /// There is no cluster.
    #[error(transparent)]
    Connect(StartError),
    /// Nobody would notice.
    #[error("no Tier 2 works in the namespace {0}")]
    NoTier2(String),
    /// The wish to drain cannot be read or written.
    #[error("the ConfigMap {NAME} in the namespace {namespace} cannot be read or written")]
    Wish {
        /// Where it is.
        namespace: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The records cannot be read.
    #[error("done, but the deployments in the namespace {namespace} cannot be counted")]
    Count {
        /// Where they are.
        namespace: String,
        /// What the API server said.
        #[source]
        source: ClusterError,
    },
}

impl DrainError {
    /// What the user can do about it.
    pub(super) const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Sandbox => Some("stop its process: its deployments end with it"),
            Self::Connect(_) => Some("name the credentials of the cluster with --kubeconfig"),
            Self::NoTier2(_) => Some(
                "name the namespace of its records with --namespace; kubectl get cld -A lists them",
            ),
            Self::Wish { .. } => Some("deploy/tier2/rbac.yaml has the rights that this needs"),
            Self::Count { .. } => Some("kubectl get cld lists the deployments that go on"),
        }
    }
}

/// Has the Tier 2s of a Namespace take no new deployments, and says what that means. Repeating it does no harm.
///
/// # Errors
/// There is no such Tier 2, or the API server does not take it.
pub async fn drain(settings: &Settings, args: &DrainArgs) -> Result<String, DrainError> {
    let target = Target::of(settings, &args.target).await?;
    target.require_tier2().await?;
    let change = target.begin(args.reason.as_ref()).await?;
    let going_on = match target.deployments().await? {
        0 => "nothing is deployed".to_owned(),
        1 => "1 deployment goes on".to_owned(),
        count => format!("{count} deployments go on"),
    };
    let namespace = &target.namespace;
    let done = match change {
        Change::Turned => "draining",
        Change::Reworded => "draining already, for another reason now",
        Change::Nothing => "draining already",
    };
    Ok(format!("{namespace}: {done}: {going_on}, no new ones"))
}

/// Has the Tier 2s of a Namespace take new deployments again, and says so. Repeating it does no harm.
///
/// # Errors
/// There is no such Tier 2, or the API server does not take it.
pub async fn undrain(settings: &Settings, args: &TargetArgs) -> Result<String, DrainError> {
    let target = Target::of(settings, args).await?;
    let namespace = &target.namespace;
    let ended = target.wish.end().await;
    match ended.map_err(|error| target.failed(error))? {
        Change::Nothing => {
            target.require_tier2().await?;
            Ok(format!(
                "{namespace}: not draining, new deployments are taken"
            ))
        }
        Change::Turned | Change::Reworded => Ok(format!(
            "{namespace}: not draining any more, new deployments are taken"
        )),
    }
}

/// The Tier 2s of a Namespace.
struct Target {
    namespace: String,
    client: Client,
    wish: Wish,
}

impl Target {
    /// Those that the command names, else those that the options before it name.
    async fn of(settings: &Settings, args: &TargetArgs) -> Result<Self, DrainError> {
        let TargetArgs {
            kubeconfig,
            kubecontext,
            namespace,
        } = args;
        let cluster = &settings.cluster;
        if cluster.cluster == ClusterKind::Sandbox {
            return Err(DrainError::Sandbox);
        }
        let kubeconfig = kubeconfig.as_ref().or(cluster.kubeconfig.as_ref());
        let context = kubecontext.as_ref().or(cluster.kubecontext.as_ref());
        let client = connect(kubeconfig.map(AsRef::as_ref), context.map(String::as_str))
            .await
            .map_err(DrainError::Connect)?;
        let namespace = namespace
            .as_ref()
            .or(settings.kubernetes.namespace.as_ref());
        let namespace = namespace.map_or_else(|| client.default_namespace(), String::as_str);
        Ok(Self {
            wish: Wish::new(client.clone(), namespace),
            namespace: namespace.to_owned(),
            client,
        })
    }

    /// A wish in the wrong Namespace would be granted by nobody.
    async fn require_tier2(&self) -> Result<(), DrainError> {
        match self.wish.has_tier2().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(DrainError::NoTier2(self.namespace.clone())),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn begin(&self, reason: Option<&Reason>) -> Result<Change, DrainError> {
        let begun = self.wish.begin(reason).await;
        begun.map_err(|error| self.failed(error))
    }

    /// How many deployments there are.
    async fn deployments(&self) -> Result<usize, DrainError> {
        let api = RecordApi::new(self.client.clone(), &self.namespace);
        let records = Records::in_kubernetes(api);
        let refreshed = records.refresh().await;
        refreshed.map_err(|source| DrainError::Count {
            namespace: self.namespace.clone(),
            source,
        })?;
        let all = records.all();
        let going_on = |seen: &&Seen| !matches!(seen.record().stage(), Stage::Ended(_));
        Ok(all.iter().filter(going_on).count())
    }

    fn failed(&self, source: kube::Error) -> DrainError {
        DrainError::Wish {
            namespace: self.namespace.clone(),
            source: Box::new(source),
        }
    }
}
