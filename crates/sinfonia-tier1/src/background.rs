//! What Tier 1 does beside requests, each for ever.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sinfonia_service::readiness::Condition;
use sinfonia_service::recipes::RecipeRepository;

use crate::circuits::Circuits;
use crate::deploy::Budget;
use crate::placements::Placements;
use crate::registry::Registry;

/// Time between two looks for cloudlets that fell silent and placements that ended; small beside the 5 minutes that both have.
const EXPIRIES: Duration = Duration::from_secs(5);
/// Time between two looks for circuits that can be forgotten; they are few, and small.
const TIDIES: Duration = Duration::from_secs(60);
/// Time between two looks at the recipe folder.
const FOLDER_CHECKS: Duration = Duration::from_secs(10);

/// Forgets cloudlets that fell silent, and placements that ended.
pub(crate) async fn expire(registry: Registry, placements: Arc<Placements>) {
    loop {
        tokio::time::sleep(EXPIRIES).await;
        placements.expire(Timestamp::now());
        let expired = registry.expire(Timestamp::now());
        for endpoint in expired.dropped {
            tracing::info!(%endpoint, "cloudlet fell silent and is no longer known");
        }
        for endpoint in expired.silent {
            tracing::info!(%endpoint, "cloudlet of the file fell silent and has no measurements now");
        }
    }
}

/// Forgets the circuits of cloudlets that are not known any more, and those that have nothing to tell.
pub(crate) async fn tidy_circuits(circuits: Circuits, registry: Registry) {
    loop {
        tokio::time::sleep(TIDIES).await;
        circuits.tidy(Budget::longest(), |endpoint| {
            registry.at(endpoint).is_some()
        });
    }
}

/// Tells whether the folder of recipes can be listed.
pub(crate) async fn watch_folder(recipes: RecipeRepository, folder: PathBuf, condition: Condition) {
    let mut was_there = true;
    loop {
        let is_there = recipes.offered().await.is_some();
        if is_there {
            condition.ready();
        } else {
            condition.not_ready(format_args!("cannot list the folder {}", folder.display()));
        }
        if was_there && !is_there {
            tracing::warn!(folder = %folder.display(), "recipe folder cannot be listed (--recipes)");
        }
        was_there = is_there;
        tokio::time::sleep(FOLDER_CHECKS).await;
    }
}
