//! The charts of recipes: fetched once, checked, and kept as files for helm.
//!
//! What is handed out is a file that lies under its own digest and is the chart of the name and version asked for. Look-ups of one chart
//! at once are one look-up, which goes on when those who wait for it go; a chart that was fetched once is served as long as its source
//! cannot be reached.

mod archive;
mod origin;
mod store;

use std::collections::HashMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sinfonia_core::lifecycle::Failure;
use sinfonia_core::recipe::{ChartReference, ChartVersion};
use sinfonia_service::recipes::RecipeSource;
use sinfonia_service::reload::causes;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Instrument;

use self::archive::{Expected, check};
use self::origin::{FetchError, Fetched, Origin, Tag};
pub(crate) use self::store::StoreError;
use self::store::{Store, Stored};
use super::helm::{Helm, HelmFailure};

/// Time after a failed look-up in which it is not tried again.
const RETRY: Duration = Duration::from_secs(3);
/// Time that somebody waits for news of a chart of which there is a good copy.
const PATIENCE: Duration = Duration::from_secs(1);

/// The charts of a recipe repository.
#[derive(Debug)]
pub(crate) struct Charts {
    shared: Arc<Shared>,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

/// A chart's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chart {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// SHA-256 of it, in hex.
    pub(crate) digest: String,
}

/// Why a chart cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ChartError {
    /// There is none.
    #[error("there is no chart {0}")]
    NotFound(String),
    /// What is there is not this chart, or may not be used.
    #[error("chart {0} cannot be used")]
    Invalid(String, #[source] Arc<dyn Error + Send + Sync>),
    /// Its source or the cache failed, and no good copy is held; trying again may help.
    #[error("chart {0} cannot be had at present")]
    Unavailable(String, #[source] Arc<dyn Error + Send + Sync>),
}

/// What look-ups work with.
#[derive(Debug)]
struct Shared {
    source: RecipeSource,
    client: reqwest::Client,
    helm: Arc<Helm>,
    store: Store,
}

/// One chart in one version.
#[derive(Debug)]
struct Slot {
    name: String,
    expected: Expected,
    origin: Origin,
    known: Mutex<Known>,
    /// Held while the source is asked.
    asking: Arc<AsyncMutex<()>>,
}

/// What is known of a chart.
#[derive(Debug, Default)]
struct Known {
    good: Option<Good>,
    error: Option<ChartError>,
    believed_until: Option<Instant>,
}

/// The last good copy of a chart.
#[derive(Debug, Clone)]
struct Good {
    stored: Stored,
    tag: Tag,
}

impl ChartError {
    /// What callers are told when trying again does not help.
    pub(crate) fn failure(&self) -> Option<Failure> {
        match self {
            Self::NotFound(_) | Self::Invalid(..) => {
                let failure = HelmFailure::ChartNotFound.failure()?;
                Some(Failure {
                    detail: Some(self.to_string()),
                    ..failure
                })
            }
            Self::Unavailable(..) => None,
        }
    }
}

impl Charts {
    /// The charts of the recipes of this source, kept in the folder `cache`, which is made where it is missing.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn new(
        source: RecipeSource,
        client: reqwest::Client,
        cache: PathBuf,
        helm: Arc<Helm>,
    ) -> Result<Self, StoreError> {
        let shared = Shared {
            source,
            client,
            helm,
            store: Store::open(cache)?,
        };
        Ok(Self {
            shared: Arc::new(shared),
            slots: Mutex::default(),
        })
    }

    /// The chart's file.
    ///
    /// # Errors
    /// There is no such chart, what is there may not be used, or it cannot be had and no good copy is held.
    pub(crate) async fn get(
        &self,
        reference: &ChartReference,
        version: &ChartVersion,
    ) -> Result<Chart, ChartError> {
        let slot = self.slot(reference, version);
        if slot.is_believed(&self.shared).await {
            return slot.answer();
        }
        let has_copy = slot.known().good.is_some();
        let turn = if has_copy {
            // Where somebody asks already, the copy will do.
            Arc::clone(&slot.asking).try_lock_owned().ok()
        } else {
            Some(Arc::clone(&slot.asking).lock_owned().await)
        };
        let Some(turn) = turn else {
            return slot.answer();
        };
        // Those who waited for their turn find the answer.
        if !slot.is_believed(&self.shared).await {
            let asking = self.ask(Arc::clone(&slot), turn);
            let patience = if has_copy { PATIENCE } else { Duration::MAX };
            // Whatever came of it is known by now, or the copy has to do.
            let _ = tokio::time::timeout(patience, asking).await;
        }
        slot.answer()
    }

    fn slot(&self, reference: &ChartReference, version: &ChartVersion) -> Arc<Slot> {
        let name = format!("{reference} {version}");
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(name).or_insert_with_key(|name| {
            Arc::new(Slot {
                name: name.clone(),
                expected: Expected::new(reference, version),
                origin: Origin::new(&self.shared.source, reference, version),
                known: Mutex::default(),
                asking: Arc::default(),
            })
        });
        Arc::clone(slot)
    }

    /// Asks the source, on a task of its own: what it says is kept even if nobody waits for it any more.
    fn ask(&self, slot: Arc<Slot>, turn: OwnedMutexGuard<()>) -> JoinHandle<()> {
        let shared = Arc::clone(&self.shared);
        let asking = async move {
            let news = slot.look_up(&shared).await;
            slot.take(news);
            drop(turn);
        };
        tokio::spawn(asking.in_current_span())
    }
}

impl Slot {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what is known can be answered without asking the source.
    async fn is_believed(&self, shared: &Shared) -> bool {
        let (good, until) = {
            let known = self.known();
            (known.good.clone(), known.believed_until)
        };
        let in_time = until.is_some_and(|until| until > Instant::now());
        let Some(good) = good else {
            return in_time;
        };
        // The file lies where others may clear it away.
        let fresh = in_time || self.origin.is_unchanged(&good.tag).await;
        fresh && shared.store.holds(&good.stored).await
    }

    /// What the source says: a new copy, or `None` when the one that is held is still right.
    async fn look_up(&self, shared: &Shared) -> Result<Option<Good>, ChartError> {
        let mut held = self.known().good.clone();
        if let Some(good) = &held
            && !shared.store.holds(&good.stored).await
        {
            tracing::info!(chart = self.name, "chart is gone from the cache");
            self.known().good = None;
            held = None;
        }
        let tag = held.map(|good| good.tag);
        let fetched = self.origin.fetch(tag.as_ref(), shared).await;
        let (bytes, tag) = match fetched.map_err(|error| self.error(error))? {
            Fetched::NotModified => return Ok(None),
            Fetched::Chart { bytes, tag } => (bytes, tag),
        };
        let (expected, store) = (self.expected.clone(), shared.store.clone());
        let kept = tokio::task::spawn_blocking(move || {
            check(&bytes, &expected).map_err(FetchError::Archive)?;
            store.keep(&bytes).map_err(FetchError::Store)
        });
        let stored = kept
            .await
            .unwrap_or_else(|error| Err(FetchError::Interrupted(error)))
            .map_err(|error| self.error(error))?;
        Ok(Some(Good { stored, tag }))
    }

    fn error(&self, error: FetchError) -> ChartError {
        let name = self.name.clone();
        match error {
            FetchError::Missing => ChartError::NotFound(name),
            error if error.is_final() => ChartError::Invalid(name, Arc::new(error)),
            error => ChartError::Unavailable(name, Arc::new(error)),
        }
    }

    fn take(&self, news: Result<Option<Good>, ChartError>) {
        let mut known = self.known();
        let life = if news.is_ok() {
            self.origin.life()
        } else {
            self.origin.retry(RETRY)
        };
        known.believed_until = Some(Instant::now() + life);
        match news {
            Ok(good) => {
                known.good = good.or_else(|| known.good.take());
                known.error = None;
            }
            Err(error) => {
                if matches!(error, ChartError::NotFound(_)) {
                    known.good = None;
                }
                if known.error.is_none() {
                    let cause = causes(&error);
                    tracing::warn!(%error, cause, good_copy = known.good.is_some(), "chart cannot be fetched");
                }
                known.error = Some(error);
            }
        }
    }

    fn answer(&self) -> Result<Chart, ChartError> {
        let known = self.known();
        match (&known.good, &known.error) {
            (Some(good), _) => Ok(good.stored.chart()),
            (None, Some(error)) => Err(error.clone()),
            // The task that asked has ended without an answer: the program is shutting down.
            (None, None) => {
                let error = Arc::new(FetchError::NoAnswer);
                Err(ChartError::Unavailable(self.name.clone(), error))
            }
        }
    }
}

#[cfg(test)]
mod tests;
