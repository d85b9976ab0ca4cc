//! Waiting for records to change: a request waits, nobody asks again and again.

use std::time::Duration;

use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_core::key::PublicKey;
use sinfonia_core::lifecycle::{Phase, RecordStatus, Stage};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use uuid::Uuid;

use super::{Deployments, Refusal};

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
            let ready = readiness
                .as_ref()
                .is_some_and(|readiness| *readiness.borrow());
            if ready || Instant::now() >= until {
                return self.answer(seen.record(), ready);
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
    pub(super) async fn readiness(&self, status: &RecordStatus) -> Option<watch::Receiver<bool>> {
        if status.phase != Phase::Deployed {
            return None;
        }
        match self.cluster.readiness(&status.deployment_name).await {
            Ok(readiness) => Some(readiness),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::info!(error, name = %status.deployment_name, "readiness is not known");
                None
            }
        }
    }
}

/// Resolves when it is ready; never, if nobody follows that.
async fn until_ready(readiness: Option<watch::Receiver<bool>>) {
    let ready = match readiness {
        Some(mut readiness) => readiness.wait_for(|ready| *ready).await.is_ok(),
        None => false,
    };
    if !ready {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;

    use futures_util::poll;
    use sinfonia_core::deployment::Status;
    use sinfonia_core::lifecycle::{
        AddressPool, DeployDecision, Failure, FailureClass, Policy, Record, Request, deploy, fail,
        place, start,
    };
    use sinfonia_core::network::Network;
    use sinfonia_service::client::{ClientSettings, build};
    use sinfonia_service::recipes::RecipeRepository;
    use sinfonia_service::shutdown::CancellationToken;

    use super::super::Admission;
    use super::*;
    use crate::clock::Clock;
    use crate::cluster::sandbox::Sandbox;
    use crate::records::Records;

    const KEY: PublicKey = PublicKey::from_bytes([1; 32]);
    const FIRST: Uuid = Uuid::from_u128(1);
    const SECOND: Uuid = Uuid::from_u128(2);

    #[tokio::test(start_paused = true)]
    async fn what_another_application_took_over_meanwhile_is_not_given() {
        let deployments = deployments();
        ask_for(FIRST, &deployments);
        take_up(&deployments);
        let mut waiting = pin!(deployments.await_ready(FIRST, &KEY, in_a_while()));
        assert!(poll!(&mut waiting).is_pending());

        end(&deployments);
        ask_for(SECOND, &deployments);
        take_up(&deployments);

        assert!(matches!(waiting.await, Err(Refusal::Removed)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_written_is_answered_although_the_service_stops() {
        let deployments = deployments();
        ask_for(FIRST, &deployments);
        deployments.stopping.cancel();
        let mut waiting = pin!(deployments.await_ready(FIRST, &KEY, in_a_while()));
        assert!(poll!(&mut waiting).is_pending());

        take_up(&deployments);

        let answer = waiting.await.unwrap();
        assert_eq!(answer.status, Status::Initializing);
    }

    #[tokio::test(start_paused = true)]
    async fn the_removal_of_a_record_that_is_new_already_is_not_waited_for() {
        let deployments = deployments();
        ask_for(FIRST, &deployments);

        let result = deployments.await_removal(&KEY, in_a_while()).await;

        assert!(result.is_ok());
    }

    fn in_a_while() -> Instant {
        Instant::now() + Duration::from_secs(8)
    }

    /// Writes a request for a recipe.
    fn ask_for(uuid: Uuid, deployments: &Deployments) {
        let request = Request {
            uuid,
            public_key: KEY,
            client_address: [192, 0, 2, 7].into(),
            id: uuid.to_string(),
        };
        let seen = deployments.records.get(&KEY);
        let record = seen.as_ref().map(|seen| seen.record());
        let now = deployments.clock.now();
        match deploy(record, &request, now, &deployments.policy) {
            DeployDecision::Create(spec) | DeployDecision::Restart(spec) => {
                assert!(deployments.write(seen.as_ref(), spec));
            }
            decision => panic!("{decision:?}"),
        }
    }

    /// Does what the controller does with a new request.
    fn take_up(deployments: &Deployments) {
        write_status(deployments, |record| {
            let placement = place(record, [record], &deployments.admission.pool, 0).unwrap();
            start(
                record,
                placement,
                deployments.clock.now(),
                &deployments.policy,
            )
        });
    }

    /// Does what the controller does when an installation fails.
    fn end(deployments: &Deployments) {
        let failure = Failure {
            class: FailureClass::Refused,
            message: "no".to_owned(),
        };
        write_status(deployments, |record| {
            fail(record, failure, deployments.clock.now()).unwrap()
        });
    }

    fn write_status(deployments: &Deployments, status: impl FnOnce(&Record) -> RecordStatus) {
        let seen = deployments.records.get(&KEY).unwrap();
        let status = status(seen.record());
        deployments.records.write_status(&seen, status).unwrap();
    }

    /// The API's side alone: nobody takes requests up.
    fn deployments() -> Deployments {
        let network: Network = "10.5.0.0/16".parse().unwrap();
        let sandbox = Sandbox::new("203.0.113.7:51820".parse().unwrap(), network).unwrap();
        let client = build(&ClientSettings::new("test")).unwrap();
        Deployments {
            records: Arc::new(Records::new().0),
            cluster: Arc::new(sandbox),
            recipes: RecipeRepository::new("RECIPES".parse().unwrap(), client),
            policy: Policy::default(),
            admission: Admission {
                most: None,
                most_per_client: 4,
                pool: AddressPool::new(network).unwrap(),
            },
            clock: Clock::system(),
            sandbox: true,
            stopping: CancellationToken::new(),
            withdrawn: std::sync::Mutex::default(),
        }
    }
}
