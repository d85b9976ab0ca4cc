//! Tier 2 on a Kubernetes cluster.

use std::sync::Arc;

use jiff::SignedDuration;
use sinfonia_service::readiness::Readiness;
use sinfonia_service::recipes::RecipeRepository;

use super::RunError;
use super::foundation::{Ground, client};
use crate::clock::Clock;
use crate::cluster::kubernetes::{Parts, start};
use crate::settings::{ActivitySource, Settings};

/// Longest time between two handshakes of a tunnel that is in use: WireGuard's `REJECT_AFTER_TIME` (its white paper, section 6.1).
const HANDSHAKE_EVERY: SignedDuration = SignedDuration::from_mins(3);

/// A Kubernetes cluster, followed.
pub(super) async fn ground(settings: &Settings, clock: &Clock) -> Result<Ground, RunError> {
    if settings.kubernetes.activity == ActivitySource::Prometheus
        && settings.life.lease < HANDSHAKE_EVERY
    {
        tracing::warn!(
            "a lease (--lease) below 3 min may end while its tunnel is in use, when Prometheus has just begun"
        );
    }
    let client = client(settings)?;
    let recipes = RecipeRepository::new(settings.cluster.recipes.clone(), client.clone());
    let readiness = Readiness::new();
    let Parts {
        cluster,
        records,
        tasks,
    } = start(settings, clock, &recipes, &client, &readiness).await?;
    Ok(Ground {
        cluster: Arc::new(cluster),
        records,
        recipes,
        client,
        readiness,
        tasks,
    })
}
