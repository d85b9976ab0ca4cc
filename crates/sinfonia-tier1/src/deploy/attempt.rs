//! One try at one cloudlet, by way of its circuit.

use std::sync::Arc;

use sinfonia_core::deployment::{CloudletDeployment, CloudletReference};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::ranking::Class;
use sinfonia_service::reload::causes;

use super::budget::TryTime;
use super::candidates::Candidate;
use super::race::Turn;
use super::release::Claim;
use super::verdict::{Failure, Verdict, judge};
use super::{DeployRequest, Deployer};
use crate::circuits::Circuits;
use crate::forward::Call;
use crate::tally::Counted;

/// A deployment that a cloudlet made for a request.
pub(super) struct Placed {
    pub(super) deployment: CloudletDeployment,
    pub(super) endpoint: Endpoint,
    pub(super) claim: Claim,
    pub(super) counted: Counted,
}

impl Deployer {
    /// Asks a cloudlet to deploy. Nothing comes of it where the circuit has opened since the candidates were ranked.
    pub(super) async fn attempt(
        &self,
        request: &DeployRequest,
        candidate: Candidate,
        turn: Turn,
    ) -> Option<Verdict<Placed>> {
        let endpoint = &candidate.known.cloudlet.endpoint;
        let is_wanted = turn.is_last_resort || candidate.is_wanted_regardless();
        let asking = self.ask(request, &candidate, turn.time);
        through(&self.circuits, endpoint, is_wanted, asking).await
    }

    /// Asks a cloudlet to deploy. What it may have deployed is released unless the client gets it, also when this is dropped half way.
    async fn ask(
        &self,
        request: &DeployRequest,
        candidate: &Candidate,
        time: TryTime,
    ) -> Verdict<Placed> {
        let cloudlet = &candidate.known.cloudlet;
        let counted = candidate.known.tally().count(candidate.order.remembered);
        let call = request.call(candidate);
        let claim = self.releases.claim(call.clone());
        let asking = self.forward.deploy(&call, time.prefer_wait());
        let Ok(result) = tokio::time::timeout(time.duration(), asking).await else {
            return Verdict::Next(Failure::TimedOut);
        };
        if let Err(error) = &result {
            let cause = causes(error);
            tracing::info!(%error, cause, cloudlet = %cloudlet.endpoint, "cloudlet gave no answer");
        }
        match judge(result) {
            Verdict::Success(mut deployment) => {
                deployment.cloudlet = Some(CloudletReference::from(cloudlet));
                Verdict::Success(Placed {
                    deployment,
                    endpoint: cloudlet.endpoint.clone(),
                    claim,
                    counted,
                })
            }
            Verdict::ToClient(problem) => {
                claim.settle();
                Verdict::ToClient(problem)
            }
            Verdict::Next(failure) => {
                if !failure.may_have_deployed() {
                    claim.settle();
                }
                Verdict::Next(failure)
            }
        }
    }
}

/// Asks by way of a circuit, and tells it what comes of it. Where it is open nobody is asked, unless that is wanted regardless.
async fn through<D>(
    circuits: &Circuits,
    endpoint: &Endpoint,
    is_wanted_regardless: bool,
    asking: impl Future<Output = Verdict<D>>,
) -> Option<Verdict<D>> {
    let crossing = circuits.begin(endpoint);
    if crossing.is_regardless() && !is_wanted_regardless {
        return None;
    }
    let verdict = asking.await;
    crossing.end(verdict.outcome());
    Some(verdict)
}

impl Candidate {
    /// Whether it has its place although, or because, its circuit may be open: it serves the client already, or comes after all others.
    fn is_wanted_regardless(&self) -> bool {
        self.order.remembered || self.order.class >= Class::CircuitOpen
    }
}

impl DeployRequest {
    fn call(&self, candidate: &Candidate) -> Call {
        Call {
            known: Arc::clone(&candidate.known),
            recipe: self.recipe,
            key: self.key,
            client: self.client,
            request_id: self.request_id.clone(),
            trace: self.trace,
        }
    }
}

#[cfg(test)]
mod tests;
