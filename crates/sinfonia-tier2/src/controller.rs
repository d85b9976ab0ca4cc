//! The controller: for each record a task that makes the cluster what the record wants, and tells in the record how far that is.

mod settle;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use sinfonia_core::key::PublicKey;
use sinfonia_core::lifecycle::{AddressPool, Policy};
use sinfonia_service::reload::causes;
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use self::settle::{Memory, Rest, SettleError, until_otherwise};
use crate::clock::Clock;
use crate::cluster::{Cluster, Disturbed};
use crate::metrics::Metrics;
use crate::records::{Records, Seen};

/// Time before the first new try of what did not work; it doubles with each.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Longest time between two tries.
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// Plans in a row that may succeed without settling anything; beyond, something undoes what they do, and they are made more slowly.
const PLANS_AT_ONCE: u32 = 5;

/// What every task of the controller works with. It alone writes the status of records.
pub(crate) struct Controller {
    pub(crate) records: Arc<Records>,
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) policy: Policy,
    pub(crate) pool: AddressPool,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    /// Held while a name and an address are picked and written, so that no two records get the same.
    pub(crate) placing: AsyncMutex<()>,
    /// Wakes the task of a record.
    pub(crate) wakers: Mutex<HashMap<PublicKey, Arc<Notify>>>,
}

impl Controller {
    /// Takes up each record that there is and that comes, until this is dropped.
    ///
    /// # Errors
    /// A task panicked.
    pub(crate) async fn run(self: Arc<Self>) -> Result<(), JoinError> {
        let mut keys = self.records.keys();
        let mut disturbances = self.cluster.disturbances();
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                key = keys.recv() => match key {
                    Some(key) => drop(tasks.spawn(Arc::clone(&self).tend(key))),
                    None => return Ok(()),
                },
                Some(disturbed) = disturbances.next() => self.wake(&disturbed),
                Some(ended) = tasks.join_next() => ended?,
            }
        }
    }

    /// Has the tasks of these deployments look again.
    fn wake(&self, disturbed: &Disturbed) {
        let is_disturbed = |seen: &&Seen| match (disturbed, &seen.record().status) {
            (Disturbed::All, _) => true,
            (Disturbed::One(name), Some(status)) => status.deployment_name == *name,
            (Disturbed::One(_), None) => false,
        };
        for seen in self.records.all().iter().filter(is_disturbed) {
            self.waker(&seen.record().spec.public_key).notify_one();
        }
    }

    fn waker(&self, key: &PublicKey) -> Arc<Notify> {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(wakers.entry(*key).or_default())
    }

    /// Follows a record until it is removed.
    async fn tend(self: Arc<Self>, key: PublicKey) {
        self.settle_for_ever(&key).await;
        if self.records.get(&key).is_none() {
            let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
            wakers.remove(&key);
        }
    }

    async fn settle_for_ever(&self, key: &PublicKey) {
        let Some(mut changes) = self.records.follow(key) else {
            return;
        };
        let waker = self.waker(key);
        let (mut failures, mut plans) = (0, 0);
        let mut memory = Memory::default();
        loop {
            // A look from now on sees what it was woken for.
            if waker.notified().now_or_never().is_some() {
                memory.forget();
            }
            // What is decided about a record that is gone can never be written.
            if changes.has_changed().is_err() {
                return;
            }
            let seen = changes.borrow_and_update().clone();
            let rest = match self.settle(&seen, &changes, &mut memory).await {
                Ok(rest) => {
                    failures = 0;
                    rest
                }
                Err(error) => {
                    log_failure(&error, key);
                    memory.forget();
                    pause(retry_after(failures), &mut changes).await;
                    failures += 1;
                    continue;
                }
            };
            plans = if matches!(rest, Rest::Applied) {
                plans + 1
            } else {
                0
            };
            if plans > PLANS_AT_ONCE {
                pause(retry_after(plans - PLANS_AT_ONCE), &mut changes).await;
                continue;
            }
            let until_other = match rest {
                Rest::Gone => return,
                Rest::Changed | Rest::Applied => continue,
                Rest::UntilChanged => None,
                Rest::UntilOther(told) => Some(told),
            };
            tokio::select! {
                () = until_worth_a_look(&mut changes, &seen) => {}
                () = until_otherwise(until_other) => {}
                () = waker.notified() => memory.forget(),
                () = until_resync(self.cluster.resync_interval()) => memory.forget(),
            }
        }
    }
}

/// Waits before the next try, less where the record changes, which may be that nobody wants it any more.
async fn pause(longest: Duration, changes: &mut watch::Receiver<Seen>) {
    // An error is that the record is gone.
    let _ = timeout(longest, changes.changed()).await;
}

/// Resolves when a record that has settled was changed by more than a longer lease, or is gone.
async fn until_worth_a_look(changes: &mut watch::Receiver<Seen>, settled: &Seen) {
    // An error is that the record is gone.
    let _ = changes
        .wait_for(|seen| {
            seen != settled && !seen.record().was_only_prolonged_since(settled.record())
        })
        .await;
}

/// Resolves after about this time; the records' looks are spread over it.
async fn until_resync(interval: Option<Duration>) {
    let Some(interval) = interval else {
        return std::future::pending().await;
    };
    // Without randomness all look at once, which does no harm but costs.
    let random = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
    sleep(interval.mul_f64(0.75 + random / 2.0)).await;
}

fn log_failure(error: &SettleError, key: &PublicKey) {
    tracing::warn!(%error, cause = causes(error), key = %key.short(), "deployment cannot be settled, another try follows");
}

fn retry_after(failures: u32) -> Duration {
    FIRST_RETRY
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(LONGEST_RETRY)
}
