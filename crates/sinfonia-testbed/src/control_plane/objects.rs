//! What a cluster with Kilo holds before Sinfonia comes to it.

use std::time::Duration;

use crate::{Cluster, ClusterError};

/// The definition of Peers that a cloudlet of ours has.
const PEERS: &str = include_str!("../../../../deploy/tier2/kilo-crd.yaml");
const MANIFEST: &str = include_str!("objects.yaml");
/// Time that the API server has to serve Peers.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn make(cluster: &Cluster) -> Result<(), ClusterError> {
    cluster.apply(PEERS)?;
    cluster.apply(MANIFEST)?;
    cluster.wait_for("/apis/kilo.squat.ai/v1alpha1/peers", PATIENCE, |peers| {
        peers.is_some()
    })?;
    Ok(())
}
