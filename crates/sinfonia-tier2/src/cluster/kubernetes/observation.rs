//! What is there under a deployment's name, asked of the API server itself: what is decided from it must not be older than what was done.

use futures_util::future::{join3, try_join4};
use k8s_openapi::api::core::v1::{Namespace as NamespaceObject, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::Api;
use kube::{Client, ResourceExt};
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::lifecycle::{Namespace, Observed, Peer, PeerState, Release};
use sinfonia_core::tunnel::Interface;

use super::isolation::Expected;
use super::objects::{DEPLOYER, DEPLOYMENT, KIND_LABEL};
use super::{cluster_error, releases};
use crate::cluster::ClusterError;
use crate::crd;

/// What is there under a name, where this is expected to keep it apart.
///
/// # Errors
/// The API server does not answer.
pub(super) async fn observe(
    client: &Client,
    name: &DeploymentName,
    isolation: Expected<'_>,
) -> Result<Observed, ClusterError> {
    let (namespace, release, peer) = join3(
        namespace(client, name, isolation),
        releases::state(client, name),
        peer(client, name),
    )
    .await;
    let namespace = namespace.map_err(cluster_error)?;
    let release = match namespace {
        // What is in a Namespace that goes, goes with it.
        Namespace::Absent | Namespace::Terminating => Release::Absent,
        // Nor would we be let read it.
        Namespace::Incomplete => Release::Unknown,
        Namespace::Present => release.map_err(cluster_error)?,
    };
    let peer = peer.map_err(cluster_error)?;
    Ok(Observed {
        namespace,
        peer,
        release,
    })
}

async fn namespace(
    client: &Client,
    name: &DeploymentName,
    isolation: Expected<'_>,
) -> Result<Namespace, kube::Error> {
    let namespaces: Api<NamespaceObject> = Api::all(client.clone());
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), name.as_str());
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), name.as_str());
    let (namespace, account, binding, is_apart) = try_join4(
        namespaces.get_metadata_opt(name.as_str()),
        accounts.get_metadata_opt(DEPLOYER),
        bindings.get_metadata_opt(DEPLOYER),
        isolation.is_met(client, name),
    )
    .await?;
    Ok(match namespace {
        None => Namespace::Absent,
        Some(namespace) if namespace.metadata.deletion_timestamp.is_some() => {
            Namespace::Terminating
        }
        Some(namespace) => {
            let label = namespace.labels().get(KIND_LABEL);
            let labelled = label.is_some_and(|value| value == DEPLOYMENT);
            let is_apart = is_apart && isolation.is_enforced(namespace.labels());
            if labelled && is_apart && account.is_some() && binding.is_some() {
                Namespace::Present
            } else {
                Namespace::Incomplete
            }
        }
    })
}

async fn peer(client: &Client, name: &DeploymentName) -> Result<PeerState, kube::Error> {
    let peers: Api<crd::Peer> = Api::all(client.clone());
    Ok(match peers.get_opt(name.as_str()).await? {
        None => PeerState::Absent,
        // Its name is free again only when it is gone; a finalizer of somebody's may hold it.
        Some(peer) if peer.metadata.deletion_timestamp.is_some() => PeerState::Malformed,
        Some(peer) => parse_peer(&peer.spec).map_or(PeerState::Malformed, PeerState::Present),
    })
}

/// The device that a Peer routes to, if it is one and only one.
pub(super) fn parse_peer(spec: &crd::PeerSpec) -> Option<Peer> {
    let [network] = spec.allowed_ips.as_slice() else {
        return None;
    };
    let interface: Interface = network.parse().ok()?;
    let address = interface.address();
    let host_bits = if address.is_ipv4() { 32 } else { 128 };
    (interface.prefix_length() == host_bits).then_some(Peer {
        public_key: spec.public_key.parse().ok()?,
        address,
    })
}
