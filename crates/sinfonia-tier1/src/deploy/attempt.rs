//! One try at one cloudlet.

use std::sync::Arc;

use sinfonia_core::deployment::{CloudletDeployment, CloudletReference};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_service::reload::causes;

use super::budget::TryTime;
use super::candidates::Candidate;
use super::release::Claim;
use super::verdict::{Verdict, judge};
use super::{DeployRequest, Deployer};
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
    /// Asks a cloudlet to deploy. What it may have deployed is released unless the client gets it, also when this is dropped half way.
    pub(super) async fn attempt(
        &self,
        request: &DeployRequest,
        candidate: Candidate,
        time: TryTime,
    ) -> Verdict<Placed> {
        let cloudlet = &candidate.known.cloudlet;
        let counted = candidate.known.tally.count(candidate.remembered);
        let call = request.call(&candidate);
        let claim = self.releases.claim(call.clone());
        let result = self.forward.deploy(&call, time.prefer_wait()).await;
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
