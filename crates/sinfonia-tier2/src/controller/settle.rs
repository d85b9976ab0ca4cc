//! The work on one record: asking the state machine what comes next, and doing it, until there is nothing left to do.

use std::time::Duration;

use futures_util::future::{FutureExt, join_all};
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::lifecycle::{
    Desired, Failure, Next, Observed, Phase, PlacementError, Readiness, Record, RecordSpec,
    RecordStatus, Step, desired, fail, place, reconcile, start, tell,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Controller;
use crate::cluster::{ClusterError, StepError};
use crate::records::{Seen, unless_stale};

/// Shortest time between a status and one that only says something else of why a deployment is not ready.
const SILENCE: Duration = Duration::from_secs(2);

/// When a record needs work again.
pub(super) enum Rest {
    /// At once: it was changed.
    Changed,
    /// At once: steps were taken.
    Applied,
    /// When it is changed.
    UntilChanged,
    /// When it is changed, or there is something else to say of whether what was installed runs.
    UntilOther(Told),
    /// Never: it is removed.
    Gone,
}

/// What was said of whether what was installed runs.
pub(super) struct Told {
    readiness: watch::Receiver<Readiness>,
    /// Why it does not run, as the record says it.
    message: Option<String>,
    /// When the record may say something else.
    not_before: Instant,
}

/// What the task of a record remembers from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The digest of what is installed, until a status tells it.
    digest: Option<String>,
    /// What was observed last, for what was asked for then, unless steps were taken since.
    observed: Option<(RecordSpec, DeploymentName, Observed)>,
    /// Whether the name was picked just now, so that there is nothing under it without a look.
    is_new: bool,
    /// When the status was last written.
    written: Option<Instant>,
}

/// Why the work on a record stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettleError {
    /// A step, or a look at the cluster, did not work this time.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The record cannot be written.
    #[error("the record cannot be written")]
    Write(#[source] ClusterError),
    /// The system gives no randomness for a name.
    #[error("the system has no randomness for a name")]
    Randomness(#[from] getrandom::Error),
    /// A step never can work, and the record is past being told so.
    #[error("a step failed for good: {0}")]
    PastFailing(String),
}

impl Controller {
    /// Does what is next for a record as it was seen; the channel tells of changes meanwhile.
    ///
    /// Where nobody has asked for anything since the last look, as after a write of its own or of the job runner, what was observed then
    /// may tell that nothing is to be done in the cluster. Steps are taken only after a new look, or under a name that was picked just now.
    pub(super) async fn settle(
        &self,
        seen: &Seen,
        changes: &watch::Receiver<Seen>,
        memory: &mut Memory,
    ) -> Result<Rest, SettleError> {
        let record = seen.record();
        if let Some(observed) = memory.recall(record) {
            let (next, readiness) = self.next(record, &observed).await?;
            if memory.is_new || matches!(next, Next::Write(_) | Next::Rest) {
                return self.follow(seen, next, readiness, changes, memory).await;
            }
        }
        memory.forget();
        let observed = match record.status.as_ref().map(|status| &status.deployment_name) {
            Some(name) => {
                let observed = self.cluster.observe(name, record).await?;
                memory.observed = Some((record.spec.clone(), name.clone(), observed));
                observed
            }
            None => Observed::default(),
        };
        let (next, readiness) = self.next(record, &observed).await?;
        self.follow(seen, next, readiness, changes, memory).await
    }

    /// What is next for a record, and whether what was installed runs, where that matters.
    async fn next(
        &self,
        record: &Record,
        observed: &Observed,
    ) -> Result<(Next, Option<watch::Receiver<Readiness>>), ClusterError> {
        let readiness = self.readiness(record, observed).await?;
        let now = readiness
            .as_ref()
            .map_or_else(Readiness::default, |readiness| readiness.borrow().clone());
        let next = reconcile(record, observed, &now, self.clock.now(), &self.policy);
        Ok((next, readiness))
    }

    async fn follow(
        &self,
        seen: &Seen,
        next: Next,
        readiness: Option<watch::Receiver<Readiness>>,
        changes: &watch::Receiver<Seen>,
        memory: &mut Memory,
    ) -> Result<Rest, SettleError> {
        match next {
            Next::Start => self.start(seen, memory).await,
            Next::Write(mut status) => {
                if status.phase == Phase::Deployed && status.recipe_digest.is_none() {
                    status.recipe_digest = memory.digest.take();
                }
                if status.phase == Phase::Deployed && status.first_ready.is_none() {
                    // Who waits for the status asks this next; it is found out meanwhile.
                    let readiness = self
                        .cluster
                        .readiness(&status.deployment_name, status.since);
                    drop(readiness.now_or_never());
                }
                memory.written = Some(Instant::now());
                self.write(seen, *status).await?;
                Ok(Rest::Changed)
            }
            Next::Apply(steps) => {
                let was_new = memory.is_new;
                memory.forget();
                let rest = self
                    .apply(seen, &steps, changes, &mut memory.digest)
                    .await?;
                if was_new && matches!(rest, Rest::Applied) {
                    memory.made_from_nothing(seen.record());
                }
                Ok(rest)
            }
            Next::Rest => match readiness {
                Some(readiness) => self.tell(seen, readiness, memory).await,
                None => Ok(Rest::UntilChanged),
            },
        }
    }

    /// Says in the record why what was installed does not run yet, where that is news, and not again and again: how far it is can change
    /// many times a second, and what runs soon is not worth a word.
    async fn tell(
        &self,
        seen: &Seen,
        readiness: watch::Receiver<Readiness>,
        memory: &mut Memory,
    ) -> Result<Rest, SettleError> {
        let record = seen.record();
        let now = Instant::now();
        let not_before = memory.written.map_or(now, |written| written + SILENCE);
        let news = tell(record, &readiness.borrow());
        match news {
            Some(status) if now >= not_before => {
                memory.written = Some(now);
                tracing::debug!(key = %record.spec.public_key.short(), name = %status.deployment_name, message = status.message, "deployment is not ready yet");
                unless_stale(self.records.write_status(seen, status).await)
                    .map_err(SettleError::Write)?;
                Ok(Rest::Changed)
            }
            _ => Ok(Rest::UntilOther(Told {
                readiness,
                message: record
                    .status
                    .as_ref()
                    .and_then(|status| status.message.clone()),
                not_before,
            })),
        }
    }

    /// Writes how far a record is, if nobody was quicker.
    async fn write(&self, seen: &Seen, status: RecordStatus) -> Result<(), SettleError> {
        let before = seen.record().status.as_ref();
        let moved = before.is_none_or(|before| before.phase != status.phase);
        let (name, phase) = (status.deployment_name.clone(), status.phase);
        let failure = status.failure;
        if let Some(class) = status.failure {
            tracing::info!(%class, message = status.message, %name, "deployment never can be ready");
        }
        let key = seen.record().spec.public_key;
        if !unless_stale(self.records.write_status(seen, status).await)
            .map_err(SettleError::Write)?
        {
            return Ok(());
        }
        if moved {
            if let Some(class) = failure {
                self.metrics.failed(class);
            }
            tracing::info!(key = %key.short(), %name, %phase, "deployment moves on");
        } else {
            tracing::info!(key = %key.short(), %name, "deployment is ready");
        }
        Ok(())
    }

    /// Whether what was installed runs, as long as that has not been seen once.
    async fn readiness(
        &self,
        record: &Record,
        observed: &Observed,
    ) -> Result<Option<watch::Receiver<Readiness>>, ClusterError> {
        match &record.status {
            Some(status)
                if status.phase == Phase::Deployed
                    && status.first_ready.is_none()
                    && !record.deleting
                    && observed.is_installed() =>
            {
                let readiness = self
                    .cluster
                    .readiness(&status.deployment_name, status.since)
                    .await?;
                Ok(Some(readiness))
            }
            _ => Ok(None),
        }
    }

    /// Gives a record its name and address. A record for which there is none is removed, and who waits for it told so.
    async fn start(&self, seen: &Seen, memory: &mut Memory) -> Result<Rest, SettleError> {
        let _alone = self.placing.lock().await;
        let all = self.records.all();
        let record = seen.record();
        let others = all.iter().map(Seen::record);
        match place(record, others, &self.pool, getrandom::u64()?) {
            Ok(placement) => {
                let status = start(record, placement, self.clock.now(), &self.policy);
                tracing::info!(key = %record.spec.public_key.short(), recipe = %record.spec.uuid, name = %status.deployment_name, "deployment starts");
                let name = status.deployment_name.clone();
                if unless_stale(self.records.write_status(seen, status).await)
                    .map_err(SettleError::Write)?
                {
                    memory.observed = Some((record.spec.clone(), name, Observed::default()));
                    memory.is_new = true;
                }
            }
            Err(error @ (PlacementError::Addresses(_) | PlacementError::Names)) => {
                tracing::warn!(%error, key = %record.spec.public_key.short(), "deployment cannot be placed");
                unless_stale(self.records.delete(seen).await).map_err(SettleError::Write)?;
            }
        }
        Ok(Rest::Changed)
    }

    async fn apply(
        &self,
        seen: &Seen,
        steps: &[Step],
        changes: &watch::Receiver<Seen>,
        digest: &mut Option<String>,
    ) -> Result<Rest, SettleError> {
        let record = seen.record();
        if begins(record, steps)
            && let Err(error) = self.cluster.admit(record).await
        {
            return match error {
                StepError::Failed(failure) => self.give_up(seen, &failure).await,
                StepError::Again(error) => Err(error.into()),
            };
        }
        // A Peer depends on nothing that is in the Namespace.
        for together in steps.chunk_by(|_, next| matches!(next, Step::ApplyPeer(_))) {
            if together == [Step::RemoveRecord] {
                return self.remove(seen).await;
            }
            let Some(status) = &record.status else {
                continue;
            };
            let name = &status.deployment_name;
            let taken = together
                .iter()
                .map(|step| self.take(name, record, *step, changes));
            for (step, taken) in together.iter().zip(join_all(taken).await) {
                match taken {
                    None => return Ok(Rest::Changed),
                    Some(Ok(installed)) => *digest = installed.or(digest.take()),
                    Some(Err(StepError::Failed(failure))) => {
                        return self.give_up(seen, &failure).await;
                    }
                    Some(Err(StepError::Again(error)))
                        if *step == (Step::Uninstall { best_effort: true }) =>
                    {
                        tracing::info!(%error, %name, "release goes with its namespace");
                    }
                    Some(Err(StepError::Again(error))) => return Err(error.into()),
                }
            }
        }
        Ok(Rest::Applied)
    }

    /// Takes a step; gives an installation up, with nothing as its result, as soon as nobody wants it any more.
    async fn take(
        &self,
        name: &DeploymentName,
        record: &Record,
        step: Step,
        changes: &watch::Receiver<Seen>,
    ) -> Option<Result<Option<String>, StepError>> {
        tracing::debug!(%name, ?step, "step");
        let work = self.cluster.apply(name, record, step);
        if step != Step::Install {
            return Some(work.await);
        }
        tokio::select! {
            biased;
            () = unwanted(changes.clone()) => {
                tracing::info!(%name, "installation cancelled");
                None
            }
            result = work => Some(result),
        }
    }

    /// Writes that an installation failed for good, whoever else writes the record meanwhile.
    ///
    /// # Errors
    /// Nothing has come to the record since it was seen, and nothing can be written either: what failed would fail again at once.
    async fn give_up(&self, before: &Seen, failure: &Failure) -> Result<Rest, SettleError> {
        let key = &before.record().spec.public_key;
        tracing::info!(class = %failure.class, message = failure.message, key = %key.short(), "installation failed");
        while let Some(seen) = self.records.get(key) {
            let Some(status) = fail(seen.record(), failure.clone(), self.clock.now()) else {
                if seen == *before {
                    return Err(SettleError::PastFailing(failure.message.clone()));
                }
                break;
            };
            if unless_stale(self.records.write_status(&seen, status).await)
                .map_err(SettleError::Write)?
            {
                self.metrics.failed(failure.class);
                break;
            }
        }
        Ok(Rest::Changed)
    }

    async fn remove(&self, seen: &Seen) -> Result<Rest, SettleError> {
        if !unless_stale(self.records.remove(seen).await).map_err(SettleError::Write)? {
            return Ok(Rest::Changed);
        }
        tracing::info!(key = %seen.record().spec.public_key.short(), "deployment removed");
        Ok(Rest::Gone)
    }
}

impl Memory {
    /// Forgets what was observed: something may have changed in the cluster.
    pub(super) fn forget(&mut self) {
        self.observed = None;
        self.is_new = false;
    }

    /// Remembers that all steps towards what a record wants were taken, where there was nothing before.
    fn made_from_nothing(&mut self, record: &Record) {
        if let (Desired::Running(peer), Some(status)) = (desired(record), &record.status) {
            let name = status.deployment_name.clone();
            self.observed = Some((record.spec.clone(), name, Observed::running(peer)));
        }
    }

    /// What was observed last, if that was for what the record asks for now.
    fn recall(&self, record: &Record) -> Option<Observed> {
        let (spec, name, observed) = self.observed.as_ref()?;
        let now = record.status.as_ref().map(|status| &status.deployment_name);
        (*spec == record.spec && now == Some(name)).then_some(*observed)
    }
}

/// Resolves when what was installed runs or never will, or when the record may say something else of why it does not; never, if nobody
/// follows that.
pub(super) async fn until_otherwise(told: Option<Told>) {
    let Some(told) = told else {
        return std::future::pending().await;
    };
    let (mut decided, mut news) = (told.readiness.clone(), told.readiness);
    let is_decided = |readiness: &Readiness| !matches!(readiness, Readiness::NotYet(_));
    let is_news = |readiness: &Readiness| {
        readiness.message().is_some() && readiness.message() != told.message.as_deref()
    };
    let decided = async { decided.wait_for(is_decided).await.is_ok() };
    let news = async {
        sleep_until(told.not_before).await;
        news.wait_for(is_news).await.is_ok()
    };
    let is_followed = tokio::select! {
        is_followed = decided => is_followed,
        is_followed = news => is_followed,
    };
    if !is_followed {
        std::future::pending::<()>().await;
    }
}

/// Whether these steps make something for a deployment that does not run yet.
fn begins(record: &Record, steps: &[Step]) -> bool {
    let phase = record.status.as_ref().map(|status| status.phase);
    let makes = |step: &Step| matches!(step, Step::PrepareNamespace | Step::Install);
    phase == Some(Phase::Initializing) && steps.iter().any(makes)
}

/// Resolves when the record does not want to be installed any more.
async fn unwanted(mut changes: watch::Receiver<Seen>) {
    // An error is that the record is gone, which nobody but its own task removes.
    let _ = changes
        .wait_for(|seen| !matches!(desired(seen.record()), Desired::Running(_)))
        .await;
}
