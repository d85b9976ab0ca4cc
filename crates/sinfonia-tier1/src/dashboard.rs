//! The dashboard: a page at `/` with a map of the cloudlets, and what it shows, as it changes.
//!
//! The page itself tells nothing and is for everyone; what is known of cloudlets is for those who may ask for explanations. While nobody
//! looks, nothing is done for it.

mod assets;
mod board;
mod feed;
mod routes;

use sinfonia_service::recipes::RecipeRepository;
use sinfonia_service::shutdown::CancellationToken;

use self::feed::{Feed, Source};
pub(crate) use self::routes::router;
use crate::callers::Callers;
use crate::deploy::Deployer;

/// What the dashboard answers from.
#[derive(Clone)]
pub(crate) struct Dashboard {
    callers: Callers,
    recipes: RecipeRepository,
    feed: Feed,
}

impl Dashboard {
    /// Tells of the cloudlets that this deploys at, to those who may know, until `stop` is cancelled.
    pub(crate) fn new(callers: Callers, deployer: &Deployer, stop: CancellationToken) -> Self {
        let source = Source {
            registry: deployer.registry.clone(),
            circuits: deployer.circuits.clone(),
        };
        Self {
            callers,
            recipes: deployer.recipes.clone(),
            feed: Feed::new(source, stop),
        }
    }
}
