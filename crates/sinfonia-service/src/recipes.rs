//! The recipe repository: a folder or an http(s) URL with `<uuid>.yaml` files, read through a short-lived cache.
//!
//! Look-ups of one recipe at once are one look-up, which goes on when those who wait for it go. A recipe that was read once is served as
//! long as its source cannot be reached.

mod source;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::future::Cache;
use sinfonia_core::diagnostic::Diagnostic;
use sinfonia_core::recipe::Recipe;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use self::source::{Parsed, Read, SourceError};
pub use self::source::{RecipeSource, RecipeSourceError};
#[cfg(feature = "server")]
use crate::problem::Problem;
use crate::reload::causes;

/// Time for which a recipe, or that there is none, is believed without asking again.
const LIFE: Duration = Duration::from_secs(15);
/// Time after a failed look-up in which it is not tried again.
const RETRY: Duration = Duration::from_secs(3);
/// Time that a request waits for news of a recipe of which there is a good copy: a source that hangs must not use up its time.
const PATIENCE: Duration = Duration::from_secs(1);
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
    parse: Parse,
    slots: Cache<Uuid, Arc<Slot>>,
}

/// What makes a recipe of a text.
type Parse = fn(&str) -> Result<Recipe, Diagnostic>;

/// One uuid.
#[derive(Default)]
struct Slot {
    known: Mutex<Known>,
    /// Held while the source is asked.
    asking: Arc<AsyncMutex<()>>,
}

/// What is known of one uuid.
#[derive(Default)]
struct Known {
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
            parse: Recipe::parse,
            slots: Cache::new(CAPACITY),
        }
    }

    /// The same repository for somebody who chooses cloudlets: what a recipe requires and prefers of them is read, kept with it, and makes
    /// the recipe malformed where it cannot be used.
    #[must_use]
    pub fn with_policies(self) -> Self {
        Self {
            parse: Recipe::parse_with_policy,
            ..self
        }
    }

    /// Looks a recipe up, in the cache or at the source.
    ///
    /// # Errors
    /// There is no such recipe, or it cannot be read and no good copy is held.
    pub async fn get(&self, recipe: Uuid) -> Result<Arc<Recipe>, RecipeLookupError> {
        let slot = self.slots.get_with(recipe, async { Arc::default() }).await;
        if slot.known().is_believed() {
            return slot.known().answer(recipe);
        }
        let has_copy = slot.known().good.is_some();
        let turn = if has_copy {
            // Where somebody asks already, the copy will do.
            Arc::clone(&slot.asking).try_lock_owned().ok()
        } else {
            Some(Arc::clone(&slot.asking).lock_owned().await)
        };
        // Those who waited for their turn find the answer.
        if let Some(turn) = turn.filter(|_| !slot.known().is_believed()) {
            let asking = self.ask(recipe, Arc::clone(&slot), turn);
            let patience = if has_copy { PATIENCE } else { Duration::MAX };
            // Whatever came of it is known by now, or the copy has to do.
            let _ = tokio::time::timeout(patience, asking).await;
        }
        slot.known().answer(recipe)
    }

    /// Whether the repository is a folder of this machine, so that its owner decides what is in it.
    pub fn is_local(&self) -> bool {
        matches!(*self.source, RecipeSource::Folder(_))
    }

    /// The recipes that the repository holds; `None` when it cannot be listed, as over http.
    pub async fn offered(&self) -> Option<BTreeSet<Uuid>> {
        self.source.list().await
    }

    /// Asks the source, on a task of its own: what it says is kept even if nobody waits for it any more.
    fn ask(&self, recipe: Uuid, slot: Arc<Slot>, turn: OwnedMutexGuard<()>) -> JoinHandle<()> {
        let (source, client, parse) = (Arc::clone(&self.source), self.client.clone(), self.parse);
        let asking = async move {
            let etag = slot.known().etag();
            let fetched = source.fetch(recipe, etag.as_deref(), &client).await;
            let read = fetched.and_then(|fetched| fetched.parse(parse));
            slot.known().take(recipe, read, &source);
            drop(turn);
        };
        tokio::spawn(asking.in_current_span())
    }
}

impl Slot {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_believed(&self) -> bool {
        self.believed_until
            .is_some_and(|until| until > Instant::now())
    }

    fn etag(&self) -> Option<String> {
        self.good.as_ref()?.etag.clone()
    }

    fn take(&mut self, recipe: Uuid, read: Result<Parsed, SourceError>, source: &RecipeSource) {
        let had_failed = self.failed;
        self.failed = read.is_err();
        self.believed_until = Some(Instant::now() + if self.failed { RETRY } else { LIFE });
        match read {
            Ok(Parsed::NotModified) => {}
            Ok(Parsed::Missing) => self.good = None,
            Ok(Parsed::Recipe(read)) => self.replace(recipe, read),
            Err(_) if had_failed => {}
            Err(error) => {
                let cause = causes(&error);
                tracing::warn!(%error, cause, %recipe, %source, good_copy = self.good.is_some(), "recipe cannot be read");
            }
        }
    }

    fn replace(&mut self, uuid: Uuid, read: Read) {
        let Read {
            recipe,
            etag,
            ignored,
        } = read;
        if self.good.as_ref().is_none_or(|good| good.recipe != recipe) {
            for field in ignored {
                tracing::info!(recipe = %uuid, field, "recipe has a field that this version ignores");
            }
        }
        self.good = Some(Good { recipe, etag });
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
