//! Deployments of the older Tier 2: their Peers carry its labels, but not that we manage them, and their Namespaces carry nothing.

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::lifecycle::{Found, Release};

use super::objects::{
    self, CREATED_ANNOTATION, DEPLOYER, DEPLOYMENT, KIND_LABEL, MANAGED_BY, MANAGED_BY_LABEL,
    UUID_LABEL,
};
use super::observation::parse_peer;
use super::{FIELD_MANAGER, Kubernetes, cluster_error, releases};
use crate::cluster::ClusterError;
use crate::crd;

impl Kubernetes {
    /// The deployments of the older Tier 2: a Peer that nobody manages, and a release of its name.
    pub(super) async fn find_adoptable(&self) -> Result<Vec<Found>, ClusterError> {
        let peers: Api<crd::Peer> = Api::all(self.client.clone());
        let label = format!("{KIND_LABEL}={DEPLOYMENT},!{MANAGED_BY_LABEL}");
        let peers = peers.list(&ListParams::default().labels(&label)).await;
        let mut adoptable = Vec::new();
        for peer in peers.map_err(cluster_error)? {
            let Some(found) = found(&peer) else {
                tracing::warn!(
                    name = peer.name_any(),
                    "this Peer of another program cannot be understood and is left alone"
                );
                continue;
            };
            if self.has_release(&found.name).await.map_err(cluster_error)? {
                adoptable.push(found);
            } else {
                tracing::warn!(name = %found.name, "this Peer of another program has no release and is left alone");
            }
        }
        Ok(adoptable)
    }

    /// Adds to a Peer that we manage it. Kilo's tunnels do not notice.
    pub(super) async fn mark_adopted(&self, name: &DeploymentName) -> Result<(), ClusterError> {
        let peers: Api<crd::Peer> = Api::all(self.client.clone());
        let patch = Patch::Merge(json!({"metadata": {"labels": {MANAGED_BY_LABEL: MANAGED_BY}}}));
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        peers
            .patch_metadata(name.as_str(), &parameters, &patch)
            .await
            .map_err(cluster_error)?;
        Ok(())
    }

    /// Whether a Namespace holds a release of its own name. To look, what helm acts with has to be there; it is taken away again where
    /// there is none.
    async fn has_release(&self, name: &DeploymentName) -> Result<bool, kube::Error> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = namespaces.get_metadata_opt(name.as_str()).await?;
        if namespace.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some()) {
            return Ok(false);
        }
        objects::apply(&self.client, Some(name), &objects::service_account()).await?;
        objects::apply(&self.client, Some(name), &objects::role_binding(name)).await?;
        if releases::state(&self.client, name).await? != Release::Absent {
            return Ok(true);
        }
        let bindings: Api<RoleBinding> = Api::namespaced(self.client.clone(), name.as_str());
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name.as_str());
        bindings.delete(DEPLOYER, &DeleteParams::default()).await?;
        accounts.delete(DEPLOYER, &DeleteParams::default()).await?;
        Ok(false)
    }
}

fn found(peer: &crd::Peer) -> Option<Found> {
    Some(Found {
        name: peer.name_any().parse().ok()?,
        uuid: peer.labels().get(UUID_LABEL)?.parse().ok()?,
        peer: parse_peer(&peer.spec)?,
        created: peer
            .annotations()
            .get(CREATED_ANNOTATION)
            .and_then(|created| created.parse().ok()),
    })
}
