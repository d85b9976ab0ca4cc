//! Taking the steps of a plan.

use futures_util::FutureExt;
use futures_util::future::{try_join, try_join_all};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;
use sha2::{Digest, Sha256};
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::lifecycle::{Failure, FailureClass, Peer, Record, RecordStatus, Step};
use sinfonia_core::recipe::Recipe;
use sinfonia_service::recipes::RecipeLookupError;
use sinfonia_service::reload::causes;
use tokio::sync::oneshot;

use super::charts::Chart;
use super::helm::HelmError;
use super::isolation::Isolation;
use super::objects::{self, DEPLOYER};
use super::{Kubernetes, cluster_error};
use crate::cluster::{ClusterError, StepError};
use crate::crd;

/// Why a step is not taken that may be, later.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotNow {
    #[error("the namespace {0} is still being removed")]
    Terminating(DeploymentName),
    #[error("the record has no name yet")]
    Nameless,
    #[error("the cluster has not counted yet what is in the namespace {0}")]
    QuotaUncounted(DeploymentName),
    #[error("the cluster has not told of its networks yet")]
    Surroundings,
}

impl Kubernetes {
    /// Takes a step.
    ///
    /// # Errors
    /// It does not work this time, or what is to be installed never can be.
    pub(super) async fn take(
        &self,
        name: &DeploymentName,
        record: &Record,
        step: Step,
    ) -> Result<Option<String>, StepError> {
        match step {
            Step::AwaitNamespaceGone => self.await_namespace_gone(name).await?,
            Step::PrepareNamespace => self.prepare_namespace(name, record).await?,
            Step::ApplyPeer(peer) => self.apply_peer(name, record, peer).await?,
            Step::Install => return self.install(name, record).await.map(Some),
            Step::DeletePeer => self.delete_peer(name).await?,
            Step::Uninstall { .. } => {
                let uninstalled = self.helm.uninstall(name, DEPLOYER).await;
                uninstalled.map_err(again)?;
            }
            Step::DeleteNamespace => self.delete_namespace(name).await?,
            // The record is not the cluster's.
            Step::RemoveRecord => {}
        }
        Ok(None)
    }

    async fn await_namespace_gone(&self, name: &DeploymentName) -> Result<(), ClusterError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = namespaces.get_metadata_opt(name.as_str()).await;
        match namespace.map_err(cluster_error)? {
            Some(namespace) if namespace.metadata.deletion_timestamp.is_some() => {
                Err(not_now(NotNow::Terminating(name.clone())))
            }
            _ => Ok(()),
        }
    }

    async fn prepare_namespace(
        &self,
        name: &DeploymentName,
        record: &Record,
    ) -> Result<(), StepError> {
        let status = status(record)?;
        // What a new deployment cannot have is found out before anything is made for it.
        let secrets = self.pull_secrets(status).await?;
        let isolation = self.isolation(record).await?;
        let isolation = isolation.as_ref();
        let labels = isolation.into_iter().flat_map(Isolation::labels);
        let namespace = objects::namespace(name, record, status, labels);
        self.apply_object(None, &namespace).await?;
        let deployer = [objects::service_account(), objects::role_binding(name)];
        let kept_apart = isolation.into_iter().flat_map(Isolation::objects);
        let objects = deployer.iter().chain(kept_apart);
        // None of them depends on another, and a device waits for all.
        try_join_all(objects.map(|object| self.apply_object(Some(name), object))).await?;
        let put = self.pull_secrets.put(name, &secrets).await;
        match put.map_err(cluster_error) {
            Err(error) if status.first_ready.is_some() => {
                tracing::warn!(%error, cause = causes(&error), %name, "image pull secrets cannot be put into a namespace");
                Ok(())
            }
            put => Ok(put?),
        }
    }

    /// The Secrets that images are pulled with. A deployment that runs is not given up for the want of them.
    async fn pull_secrets(&self, status: &RecordStatus) -> Result<Vec<Secret>, StepError> {
        match self.pull_secrets.read().await {
            Err(error) if status.first_ready.is_some() => {
                tracing::warn!(%error, cause = causes(&error), name = %status.deployment_name, "image pull secrets cannot be used");
                Ok(Vec::new())
            }
            Err(error) => Err(match error.failure() {
                Some(failure) => StepError::Failed(failure),
                None => ClusterError(error.into()).into(),
            }),
            Ok(secrets) => Ok(secrets),
        }
    }

    async fn apply_peer(
        &self,
        name: &DeploymentName,
        record: &Record,
        peer: Peer,
    ) -> Result<(), StepError> {
        let status = status(record)?;
        // It is made while the Namespace is, and a Peer that comes and goes interrupts all tunnels: what keeps the Namespace from being made
        // keeps it too.
        self.pull_secrets(status).await?;
        self.isolation(record).await?;
        let peer = objects::peer(name, record, status, peer);
        Ok(self.apply_object(None, &peer).await?)
    }

    async fn apply_object(
        &self,
        namespace: Option<&DeploymentName>,
        object: &serde_json::Value,
    ) -> Result<(), ClusterError> {
        objects::apply(&self.client, namespace, object)
            .await
            .map_err(cluster_error)
    }

    async fn install(&self, name: &DeploymentName, record: &Record) -> Result<String, StepError> {
        let recipe = match self.recipes.get(record.spec.uuid).await {
            Ok(recipe) => recipe,
            Err(error @ RecipeLookupError::Unknown(_)) => return Err(gone(&error)),
            Err(error) => return Err(ClusterError(error.into()).into()),
        };
        let chart = self.charts.get(&recipe.chart, &recipe.version).await;
        let chart = chart.map_err(|error| match error.failure() {
            Some(failure) => StepError::Failed(failure),
            None => ClusterError(error.into()).into(),
        })?;
        let isolation = self.isolation(record).await?;
        let (counts, counted) = oneshot::channel();
        let counted = async {
            if counted.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let values = recipe.values.as_ref();
        let installing = self
            .helm
            .install(name, DEPLOYER, &chart.path, values, counted);
        let counting = async {
            if let Some(isolation) = isolation {
                self.until_counted(name, &isolation).await?;
            }
            // Nobody waits for it where helm has ended already.
            let _ = counts.send(());
            Ok::<_, ClusterError>(())
        };
        // The cluster counts while helm starts. That it does not ends helm, before it has done anything.
        let (installed, ()) = try_join(installing.map(Ok), counting).await?;
        match installed {
            Ok(()) => Ok(digest(&recipe, &chart)),
            Err(error) => Err(match error.failure() {
                Some(failure) => StepError::Failed(failure),
                None => again(error).into(),
            }),
        }
    }

    /// Waits until the quota of a deployment counts: before that, the cluster lets everything through.
    async fn until_counted(
        &self,
        name: &DeploymentName,
        isolation: &Isolation,
    ) -> Result<(), ClusterError> {
        let counted = isolation.until_counted(&self.client, name).await;
        if counted.map_err(cluster_error)? {
            return Ok(());
        }
        Err(not_now(NotNow::QuotaUncounted(name.clone())))
    }

    async fn delete_peer(&self, name: &DeploymentName) -> Result<(), ClusterError> {
        let peers: Api<crd::Peer> = Api::all(self.client.clone());
        let deleted = peers.delete(name.as_str(), &DeleteParams::default()).await;
        unless_gone(deleted.map(drop))
    }

    async fn delete_namespace(&self, name: &DeploymentName) -> Result<(), ClusterError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let deleted = namespaces
            .delete(name.as_str(), &DeleteParams::background())
            .await;
        unless_gone(deleted.map(drop))
    }
}

/// The failure of a step, which is one for good where a quota has no room for what was never ready: its device is told, and finds room
/// elsewhere. For what was ready once it is tried on until there is room, whoever met the quota.
pub(super) fn for_good_if_new(error: StepError, record: &Record) -> StepError {
    let status = record.status.as_ref();
    let was_ready = status.is_some_and(|status| status.first_ready.is_some());
    match error {
        StepError::Failed(failure) if was_ready && failure.class == FailureClass::QuotaReached => {
            ClusterError(failure.message.into()).into()
        }
        StepError::Again(error) if !was_ready => match error.quota() {
            Some(quota) => StepError::Failed(Failure {
                class: FailureClass::QuotaReached,
                message: quota.to_string(),
                detail: None,
            }),
            None => error.into(),
        },
        other => other,
    }
}

/// What was installed: the recipe as it was read and the chart's file.
fn digest(recipe: &Recipe, chart: &Chart) -> String {
    let text = json!({"recipe": recipe, "chart": chart.digest}).to_string();
    let digest = Sha256::digest(text.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A recipe that was there when the deployment was asked for.
pub(super) fn gone(error: &RecipeLookupError) -> StepError {
    StepError::Failed(Failure {
        class: FailureClass::ChartNotFound,
        message: error.to_string(),
        detail: None,
    })
}

/// How far a record is that has a name.
///
/// # Errors
/// It has none yet.
pub(super) fn status(record: &Record) -> Result<&RecordStatus, ClusterError> {
    record.status.as_ref().ok_or(not_now(NotNow::Nameless))
}

fn again(error: HelmError) -> ClusterError {
    ClusterError(error.into())
}

pub(super) fn not_now(reason: NotNow) -> ClusterError {
    ClusterError(reason.into())
}

fn unless_gone(deleted: Result<(), kube::Error>) -> Result<(), ClusterError> {
    match deleted {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map_err(cluster_error),
    }
}
