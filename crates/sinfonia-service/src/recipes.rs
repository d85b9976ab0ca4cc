//! The recipe repository: a folder or an http(s) URL with `<uuid>.yaml` files, read through a short-lived cache.
//!
//! Look-ups of one recipe at once are one look-up. A recipe that was read once is served as long as its source cannot be reached.

mod source;

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use sinfonia_core::recipe::Recipe;
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use self::source::{Fetched, Parsed, SourceError};
pub use self::source::{RecipeSource, RecipeSourceError};
#[cfg(feature = "server")]
use crate::problem::Problem;

/// Time for which a recipe, or that there is none, is believed without asking again.
const LIFE: Duration = Duration::from_secs(15);
/// Time after a failed look-up in which it is not tried again.
const RETRY: Duration = Duration::from_secs(3);
/// Most recipes held; unknown uuids take a place too, so strangers' guesses must not fill the memory.
const CAPACITY: u64 = 10_000;

/// Why a recipe cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecipeLookupError {
    /// The repository has no such recipe.
    #[error("there is no recipe {0}")]
    Unknown(Uuid),
    /// The repository cannot be reached, or the recipe in it is malformed, and no good copy is held.
    #[error("recipe {recipe} cannot be read from the repository at present")]
    Unavailable {
        /// The recipe.
        recipe: Uuid,
        /// Seconds after which asking again makes sense.
        retry_after: u64,
    },
}

/// A recipe repository. Clones share one cache.
#[derive(Clone)]
pub struct RecipeRepository {
    source: Arc<RecipeSource>,
    client: reqwest::Client,
    slots: Cache<Uuid, Arc<Mutex<Slot>>>,
}

/// What is known of one uuid.
#[derive(Default)]
struct Slot {
    good: Option<Good>,
    /// Whether the last look-up failed.
    failed: bool,
    believed_until: Option<Instant>,
}

/// The last good copy of a recipe.
struct Good {
    recipe: Arc<Recipe>,
    etag: Option<String>,
}

impl RecipeRepository {
    /// A repository at this source. Nothing is read yet.
    pub fn new(source: RecipeSource, client: reqwest::Client) -> Self {
        Self {
            source: Arc::new(source),
            client,
            slots: Cache::new(CAPACITY),
        }
    }

    /// Looks a recipe up, in the cache or at the source.
    ///
    /// # Errors
    /// There is no such recipe, or it cannot be read and no good copy is held.
    pub async fn get(&self, recipe: Uuid) -> Result<Arc<Recipe>, RecipeLookupError> {
        let slot = self.slots.get_with(recipe, async { Arc::default() }).await;
        // Held while the source is asked: those who ask for the same recipe meanwhile wait, and find the answer.
        let mut slot = slot.lock().await;
        if slot
            .believed_until
            .is_none_or(|until| until <= Instant::now())
        {
            let etag = slot.good.as_ref().and_then(|good| good.etag.as_deref());
            let fetched = self.source.fetch(recipe, etag, &self.client).await;
            slot.take(recipe, fetched, &self.source);
        }
        slot.answer(recipe)
    }

    /// The recipes that the repository holds; `None` when it cannot be listed, as over http.
    pub async fn offered(&self) -> Option<BTreeSet<Uuid>> {
        self.source.list().await
    }
}

impl Slot {
    fn take(&mut self, recipe: Uuid, fetched: Result<Fetched, SourceError>, source: &RecipeSource) {
        let fetched = fetched.and_then(|fetched| fetched.parse(recipe));
        self.failed = fetched.is_err();
        self.believed_until = Some(Instant::now() + if self.failed { RETRY } else { LIFE });
        match fetched {
            Ok(Parsed::NotModified) => {}
            Ok(Parsed::Missing) => self.good = None,
            Ok(Parsed::Recipe { recipe, etag }) => {
                self.good = Some(Good { recipe, etag });
            }
            Err(error) => {
                let error: &dyn Error = &error;
                tracing::warn!(error, %recipe, %source, good_copy = self.good.is_some(), "recipe cannot be read");
            }
        }
    }

    fn answer(&self, recipe: Uuid) -> Result<Arc<Recipe>, RecipeLookupError> {
        match &self.good {
            Some(good) => Ok(Arc::clone(&good.recipe)),
            None if self.failed => Err(RecipeLookupError::Unavailable {
                recipe,
                retry_after: RETRY.as_secs(),
            }),
            None => Err(RecipeLookupError::Unknown(recipe)),
        }
    }
}

#[cfg(feature = "server")]
impl From<RecipeLookupError> for Problem {
    fn from(error: RecipeLookupError) -> Self {
        match error {
            RecipeLookupError::Unknown(_) => Self::not_found(error),
            RecipeLookupError::Unavailable { retry_after, .. } => {
                Self::unavailable(error, retry_after)
            }
        }
    }
}

#[cfg(test)]
mod tests;
