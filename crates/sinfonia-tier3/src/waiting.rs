//! Waiting until what was deployed runs.

use std::time::Duration;

use http::StatusCode;
use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_core::key::PublicKey;
use tokio::time::{Instant, sleep, timeout_at};

use crate::application::Application;
use crate::printable::Printable;
use crate::problem::Refusal;
use crate::talk::Progress;
use crate::tier1::{AskError, Tier1};

/// Time between the first two questions.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Longest time between two questions.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why waiting came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WaitError {
    /// The cloudlet could not bring it up, and has rolled it back.
    #[error("the deployment failed: {0}")]
    Failed(Box<Refusal>),
    /// It was there, and is no more.
    #[error("the deployment is gone: {0}")]
    Gone(Box<Refusal>),
    /// Time is up.
    #[error("the deployment is not ready yet{}", .0.as_ref().map_or_else(String::new, |message| format!(": {message}")))]
    NotReady(Option<Printable>),
    /// Tier 1 can no longer be asked.
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// What one question brought.
#[derive(Debug)]
enum Told {
    /// How far it is.
    State(Box<CloudletDeployment>),
    /// That this server cannot be asked: one of the older kind.
    Nothing,
    /// Nothing this time.
    Later,
}

/// Deployments on their way.
pub(crate) struct Waiting<'a> {
    tier1: &'a Tier1,
    application: Application,
    key: &'a PublicKey,
    deployments: Vec<CloudletDeployment>,
    progress: &'a Progress,
    /// How far it is, as it was last told.
    told: String,
}

impl<'a> Waiting<'a> {
    /// Waits for these deployments of an application for this key.
    pub(crate) fn new(
        tier1: &'a Tier1,
        application: Application,
        key: &'a PublicKey,
        deployments: Vec<CloudletDeployment>,
        progress: &'a Progress,
    ) -> Self {
        Self {
            tier1,
            application,
            key,
            deployments,
            progress,
            told: String::new(),
        }
    }

    /// Asks until all run, or this server cannot tell. Of several, those that fail are left out.
    ///
    /// # Errors
    /// All failed, time is up, or Tier 1 refuses to be asked.
    pub(crate) async fn until_ready(
        mut self,
        deadline: Instant,
    ) -> Result<Vec<CloudletDeployment>, WaitError> {
        match timeout_at(deadline, self.ask_on()).await {
            Ok(Ok(())) => Ok(self.deployments),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(WaitError::NotReady(self.message())),
        }
    }

    async fn ask_on(&mut self) -> Result<(), WaitError> {
        for pause in pauses() {
            if self.deployments.iter().all(CloudletDeployment::is_ready) {
                return Ok(());
            }
            self.tell();
            sleep(pause).await;
            if !self.ask_all().await? {
                break;
            }
        }
        Ok(())
    }

    /// Asks about each deployment that is not ready; false when no server tells.
    async fn ask_all(&mut self) -> Result<bool, WaitError> {
        let mut any_tells = false;
        let mut kept = Vec::with_capacity(self.deployments.len());
        let mut failure = None;
        // What was not asked about yet stays in place, for a message when time is up meanwhile.
        for known in self.deployments.clone() {
            if known.is_ready() {
                kept.push(known);
                continue;
            }
            let cloudlet = known.cloudlet.as_ref().map(|cloudlet| cloudlet.uuid);
            let answer = self
                .tier1
                .deployment(self.application, self.key, cloudlet)
                .await;
            match judge(answer, &known) {
                Ok(Told::State(told)) => kept.push(with_place(*told, known)),
                Ok(Told::Later) => kept.push(known),
                Ok(Told::Nothing) => {
                    kept.push(known);
                    continue;
                }
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            }
            any_tells = true;
        }
        match failure {
            Some(error) if kept.is_empty() => return Err(error),
            Some(error) => self
                .progress
                .note(&format!("note: one of the cloudlets is left out: {error}")),
            None => {}
        }
        self.deployments = kept;
        Ok(any_tells)
    }

    /// Tells how far it is, where that is news.
    fn tell(&mut self) {
        let summary = self.summary();
        if summary != self.told {
            self.progress.set(&summary);
            self.told = summary;
        }
    }

    fn message(&self) -> Option<Printable> {
        let late = self.deployments.iter().find(|known| !known.is_ready())?;
        late.message.as_deref().map(Printable::new)
    }

    fn summary(&self) -> String {
        let late = self.deployments.iter().find(|known| !known.is_ready());
        let place = late
            .and_then(|known| known.cloudlet.as_ref())
            .map(|cloudlet| format!(" on {}", Printable::new(&cloudlet.name)));
        let message = self.message().map(|message| format!(": {message}"));
        format!(
            "waiting for {}{}{}",
            self.application,
            place.unwrap_or_default(),
            message.unwrap_or_default()
        )
    }
}

/// The pauses between questions: they grow by half until they are 5 s.
fn pauses() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(FIRST_PAUSE), |pause| {
        Some((*pause * 3 / 2).min(LONGEST_PAUSE))
    })
}

fn judge(
    answer: Result<CloudletDeployment, AskError>,
    known: &CloudletDeployment,
) -> Result<Told, WaitError> {
    let error = match answer {
        Ok(told) => return Ok(Told::State(Box::new(told))),
        Err(error) => error,
    };
    match (error.status(), error) {
        (_, AskError::Unreachable { .. } | AskError::TimedOut { .. }) => Ok(Told::Later),
        (_, AskError::Refused(refusal)) if passes(refusal.status) => Ok(Told::Later),
        (Some(StatusCode::NOT_FOUND), AskError::Refused(refusal)) if refusal.class().is_some() => {
            Err(WaitError::Failed(refusal))
        }
        // A Tier 1 that says where it placed something knows how to ask there.
        (Some(StatusCode::NOT_FOUND), AskError::Refused(refusal)) if known.cloudlet.is_some() => {
            Err(WaitError::Gone(refusal))
        }
        (Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED), _) => Ok(Told::Nothing),
        (_, error) => Err(error.into()),
    }
}

/// Whether a refusal may be over the next time.
fn passes(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// A later answer may come from the cloudlet itself, which does not say where it is.
fn with_place(told: CloudletDeployment, known: CloudletDeployment) -> CloudletDeployment {
    let cloudlet = told.cloudlet.or(known.cloudlet);
    CloudletDeployment { cloudlet, ..told }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_become_rarer_until_there_is_one_every_five_seconds() {
        let first: Vec<u128> = pauses().take(6).map(|pause| pause.as_millis()).collect();

        assert_eq!(first, [1000, 1500, 2250, 3375, 5000, 5000]);
    }
}
