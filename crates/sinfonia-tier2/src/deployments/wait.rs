//! Waiting for records to change: a request waits, nobody asks again and again.

use std::time::Duration;

use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_core::key::PublicKey;
use sinfonia_core::lifecycle::{Phase, Readiness, RecordStatus, Stage};
use sinfonia_service::reload::causes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use uuid::Uuid;

use super::{Deployments, Refusal, known};
use crate::cluster::until_ready;

/// Least time that a request gives the controller to take its record up, because before that there is nothing to answer.
const TAKING_UP: Duration = Duration::from_secs(1);

impl Deployments {
    /// Waits until a deployment is ready or `deadline` has come, then answers what there is.
    pub(super) async fn await_ready(
        &self,
        uuid: Uuid,
        key: &PublicKey,
        deadline: Instant,
    ) -> Result<CloudletDeployment, Refusal> {
        let mut changes = self.records.follow(key).ok_or(Refusal::Removed)?;
        let taken_up_by = deadline.max(Instant::now() + TAKING_UP);
        loop {
            let seen = changes.borrow_and_update().clone();
            // What failed may have been replaced before anybody who waited for it had a look.
            if seen.record().spec.uuid != uuid {
                return Err(Refusal::Removed);
            }
            let stopping = self.stopping.is_cancelled();
            let (readiness, until) = match seen.record().stage() {
                Stage::Leaving => return Err(Refusal::Removed),
                Stage::Ended(status) => return Err(Refusal::failed_meanwhile(status)),
                // The record is written, so it is taken up even when the service stops; to refuse it now would leave it to its lease.
                Stage::Starting => (None, taken_up_by),
                Stage::Live(status) if stopping => (self.readiness(status).await, Instant::now()),
                Stage::Live(status) => (self.readiness(status).await, deadline),
            };
            let now = known(readiness.as_ref());
            if now.is_ready() || Instant::now() >= until {
                return self.answer(seen.record(), &now);
            }
            tokio::select! {
                changed = changes.changed() => changed.map_err(|_| Refusal::Removed)?,
                () = until_ready(readiness) => {}
                () = sleep_until(until) => {}
                () = self.stopping.cancelled(), if !stopping => {}
            }
        }
    }

    /// Waits until the record of a key that is being deleted is gone.
    pub(super) async fn await_removal(
        &self,
        key: &PublicKey,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let Some(mut changes) = self.records.follow(key) else {
            return Ok(());
        };
        // Another request may have made a new one already; that one is not to be waited for.
        let gone = async { drop(changes.wait_for(|seen| !seen.record().deleting).await) };
        tokio::select! {
            gone = timeout_at(deadline, gone) => gone.map_err(|_| Refusal::Leaving),
            () = self.stopping.cancelled() => Err(Refusal::Leaving),
        }
    }

    /// Follows whether what was installed runs. When the cluster does not say, it does not.
    pub(super) async fn readiness(
        &self,
        status: &RecordStatus,
    ) -> Option<watch::Receiver<Readiness>> {
        if status.phase != Phase::Deployed {
            return None;
        }
        match self
            .cluster
            .readiness(&status.deployment_name, status.since)
            .await
        {
            Ok(readiness) => Some(readiness),
            Err(error) => {
                tracing::info!(%error, cause = causes(&error), name = %status.deployment_name, "readiness is not known");
                None
            }
        }
    }
}
