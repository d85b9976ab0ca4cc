//! The controller: for each record a task that makes the cluster what the record wants, and tells in the record how far that is.

mod settle;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sinfonia_core::key::PublicKey;
use sinfonia_core::lifecycle::{AddressPool, Policy};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use self::settle::{Rest, SettleError};
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::records::{Records, Seen};

/// Time before the first new try of what did not work; it doubles with each.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Longest time between two tries.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// What every task of the controller works with. It alone writes the status of records.
pub(crate) struct Controller {
    pub(crate) records: Arc<Records>,
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) policy: Policy,
    pub(crate) pool: AddressPool,
    pub(crate) clock: Clock,
    /// Held while a name and an address are picked and written, so that no two records get the same.
    pub(crate) placing: Mutex<()>,
}

impl Controller {
    /// Takes up each record that is created, until nobody can create any more.
    ///
    /// # Errors
    /// A task panicked.
    pub(crate) async fn run(
        self: Arc<Self>,
        mut creations: UnboundedReceiver<PublicKey>,
    ) -> Result<(), JoinError> {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                created = creations.recv() => match created {
                    Some(key) => drop(tasks.spawn(Arc::clone(&self).tend(key))),
                    None => return Ok(()),
                },
                Some(ended) = tasks.join_next() => ended?,
            }
        }
    }

    /// Follows a record until it is removed.
    async fn tend(self: Arc<Self>, key: PublicKey) {
        let Some(mut changes) = self.records.follow(&key) else {
            return;
        };
        let mut failures = 0;
        loop {
            let seen = changes.borrow_and_update().clone();
            let rest = self.settle(&seen, &changes).await;
            match rest {
                Ok(Rest::Gone) => return,
                Ok(Rest::Changed) => continue,
                Ok(Rest::UntilChanged) => {
                    failures = 0;
                    if changes.changed().await.is_err() {
                        return;
                    }
                }
                Ok(Rest::UntilReady(readiness)) => {
                    failures = 0;
                    until_ready_or_changed(readiness, &mut changes).await;
                }
                Err(error) => {
                    log_failure(&error, &key);
                    let pause = retry_after(failures);
                    failures += 1;
                    // A change may be that nobody wants it any more.
                    let _ = tokio::time::timeout(pause, changes.changed()).await;
                }
            }
        }
    }
}

async fn until_ready_or_changed(
    mut readiness: watch::Receiver<bool>,
    changes: &mut watch::Receiver<Seen>,
) {
    let ready = async {
        if readiness.wait_for(|ready| *ready).await.is_err() {
            // Nobody follows it any more; only a change of the record helps.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = ready => {}
        _ = changes.changed() => {}
    }
}

fn log_failure(error: &SettleError, key: &PublicKey) {
    let error: &dyn std::error::Error = error;
    tracing::warn!(error, key = %key.short(), "deployment cannot be settled, another try follows");
}

fn retry_after(failures: u32) -> Duration {
    FIRST_RETRY
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(LONGEST_RETRY)
}
