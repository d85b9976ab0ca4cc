//! Tier 2 on a Kubernetes cluster.

use std::sync::Arc;

use sinfonia_service::readiness::Readiness;
use sinfonia_service::recipes::RecipeRepository;

use super::RunError;
use super::foundation::{Ground, client};
use crate::clock::Clock;
use crate::cluster::kubernetes::{Parts, start};
use crate::settings::Settings;

/// A Kubernetes cluster, followed.
pub(super) async fn ground(settings: &Settings, clock: &Clock) -> Result<Ground, RunError> {
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
