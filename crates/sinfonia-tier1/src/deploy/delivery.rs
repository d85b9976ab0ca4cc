//! From the end of a race to what the client hears.

use jiff::Timestamp;
use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_service::problem::Problem;

use super::attempt::Placed;
use super::candidates::{Candidate, Choice};
use super::race::{Finish, Race};
use super::verdict::{Failure, conclude};
use super::{DeployRequest, Deployer};
use crate::metrics::{Outcome, TryOutcome};

/// What came of a request.
pub(crate) struct Decision<T> {
    /// How many cloudlets were tried.
    pub(crate) tries: usize,
    /// What the client gets, or hears instead.
    pub(crate) result: Result<T, Problem>,
}

/// What the client gets if it is still there; dropped, it is released.
pub(super) struct Delivery {
    pub(super) placed: Vec<Placed>,
    /// The cloudlets that failed, so that they no longer serve this client.
    pub(super) failed: Vec<Endpoint>,
}

impl<T> Decision<T> {
    /// No cloudlet was tried.
    pub(super) const fn refused(problem: Problem) -> Self {
        Self {
            tries: 0,
            result: Err(problem),
        }
    }

    /// Makes something else of what the client gets.
    pub(super) fn map<U>(self, make: impl FnOnce(T) -> U) -> Decision<U> {
        Decision {
            tries: self.tries,
            result: self.result.map(make),
        }
    }
}

impl Deployer {
    /// What the client gets of a race, or hears instead.
    ///
    /// # Errors
    /// Nobody deployed.
    pub(super) fn conclude(
        &self,
        race: Race<Placed>,
        candidates: &[Candidate],
    ) -> Result<Delivery, Problem> {
        match race.finish {
            Finish::Deployed(placed) => {
                self.metrics.decided(Outcome::Deployed);
                let failed = race
                    .failures
                    .iter()
                    .filter_map(|(place, _)| candidates.get(*place));
                let endpoint = |candidate: &Candidate| candidate.known.cloudlet.endpoint.clone();
                let failed = failed.map(endpoint).collect();
                Ok(Delivery { placed, failed })
            }
            Finish::Refused(problem) => {
                self.metrics.decided(Outcome::Refused);
                Err(problem)
            }
            Finish::Failed => {
                self.metrics.decided(Outcome::Failed);
                let failures: Vec<Failure> = race
                    .failures
                    .into_iter()
                    .map(|(_, failure)| failure)
                    .collect();
                Err(conclude(&failures))
            }
        }
    }

    /// Remembers who serves the client from now on, and hands it over.
    pub(super) fn deliver(
        &self,
        request: &DeployRequest,
        delivery: Delivery,
    ) -> Vec<CloudletDeployment> {
        let (recipe, key) = (request.recipe, &request.key);
        for endpoint in &delivery.failed {
            self.placements.forget(recipe, key, endpoint);
        }
        let mut deployments = Vec::with_capacity(delivery.placed.len());
        let mut served = Vec::with_capacity(delivery.placed.len());
        for placed in delivery.placed {
            placed.claim.settle();
            served.push((placed.endpoint, placed.counted.keep()));
            deployments.push(placed.deployment);
        }
        self.placements
            .remember(recipe, key, served, Timestamp::now());
        deployments
    }

    /// Counts the tries of a race.
    pub(super) fn count(&self, race: &Race<Placed>) {
        let deployed = race.deployed().len();
        let failed = race
            .failures
            .iter()
            .filter(|(_, failure)| failure.counts())
            .count();
        self.metrics.tried(TryOutcome::Deployed, deployed);
        self.metrics.tried(TryOutcome::Failed, failed);
        self.metrics.tried(
            TryOutcome::Declined,
            race.tried.saturating_sub(deployed + failed),
        );
        self.metrics.fell_over(race.fall_overs);
    }

    /// Tells the log who got the client, and what put the first of them there.
    pub(super) fn tell(&self, request: &DeployRequest, choice: &Choice, race: &Race<Placed>) {
        let deployed = race.deployed();
        let cloudlets: Vec<&str> = deployed
            .iter()
            .map(|placed| placed.endpoint.as_str())
            .collect();
        let failures: Vec<String> = race
            .failures
            .iter()
            .map(|(_, failure)| failure.to_string())
            .collect();
        let first = deployed.first().and_then(|placed| {
            let mut candidates = (1..).zip(&choice.candidates);
            candidates.find(|(_, candidate)| candidate.known.cloudlet.endpoint == placed.endpoint)
        });
        tracing::info!(
            recipe = %request.recipe,
            key = request.key.short(),
            client = %request.client.address(),
            cloudlets = cloudlets.join(" "),
            rank = first.map(|(rank, _): (u64, _)| rank),
            matcher = first.map(|(_, candidate)| candidate.matcher.to_string()),
            class = first.map(|(_, candidate)| candidate.order.class.to_string()),
            remembered = first.map(|(_, candidate)| candidate.order.remembered),
            distance_km = first.and_then(|(_, candidate)| candidate.distance_km),
            candidates = choice.candidates.len(),
            excluded = choice.excluded.to_string(),
            tried = race.tried,
            failures = failures.join(", "),
            milliseconds = request.started.elapsed().as_secs_f64() * 1000.0,
            request_id = %request.request_id,
            "deploy request decided"
        );
    }
}

impl Race<Placed> {
    /// What was deployed, best first.
    fn deployed(&self) -> &[Placed] {
        match &self.finish {
            Finish::Deployed(placed) => placed,
            Finish::Refused(_) | Finish::Failed => &[],
        }
    }
}
