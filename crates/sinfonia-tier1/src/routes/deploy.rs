//! `/deploy/{uuid}/{application_key}`: who would be tried, and a deployment by the best.

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue};
use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_service::deploy_path::DeployPath;
use sinfonia_service::json::{Json, JsonList};
use sinfonia_service::problem::Problem;
use sinfonia_service::request_id::RequestId;
use sinfonia_service::trace_parent::TraceParent;
use tokio::time::Instant;

use crate::callers::Sender;
use crate::deploy::{Budget, Decision, DeployQuery, DeployRequest, Deployer};

/// Header that names the cloudlets whose deployments are in the answer, in its order.
pub(super) const X_SINFONIA_CLOUDLET: HeaderName = HeaderName::from_static("x-sinfonia-cloudlet");
/// Header that says how many cloudlets were tried for the answer.
const X_SINFONIA_TRIES: HeaderName = HeaderName::from_static("x-sinfonia-tries");

/// `POST`: deploys, and answers with the deployments.
pub(super) async fn deploy(
    State(deployer): State<Deployer>,
    path: DeployPath,
    RawQuery(query): RawQuery,
    sender: Sender,
    Extension(request_id): Extension<RequestId>,
    Extension(trace): Extension<TraceParent>,
) -> Result<Response, Problem> {
    let request = request(path, query.as_deref(), &sender, request_id, trace)?;
    Ok(answer(deployer.deploy(request).await))
}

/// `GET`: the cloudlets that `POST` would try, best first, and what put them there.
pub(super) async fn candidates(
    State(deployer): State<Deployer>,
    path: DeployPath,
    RawQuery(query): RawQuery,
    sender: Sender,
    Extension(request_id): Extension<RequestId>,
    Extension(trace): Extension<TraceParent>,
) -> Result<Response, Problem> {
    let request = request(path, query.as_deref(), &sender, request_id, trace)?;
    let recipe = deployer.recipes.get(request.recipe).await?;
    let most = request
        .query
        .results
        .map_or(usize::MAX, |results| results.get());
    let candidates = deployer.choose(&request, &recipe, most).await?.candidates;
    if candidates.is_empty() {
        return Err(Problem::not_found(request.without_candidates()));
    }
    let ranked = (1..).zip(candidates).take(most);
    let infos = ranked.map(|(rank, candidate)| candidate.info(rank));
    Ok(JsonList(infos).into_response())
}

fn answer(decision: Decision<Vec<CloudletDeployment>>) -> Response {
    let mut response = match decision.result {
        Ok(deployments) => {
            let cloudlets = cloudlets(&deployments);
            ([(X_SINFONIA_CLOUDLET, cloudlets)], Json(deployments)).into_response()
        }
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(X_SINFONIA_TRIES, HeaderValue::from(decision.tries));
    response
}

fn cloudlets(deployments: &[CloudletDeployment]) -> String {
    let cloudlets = deployments
        .iter()
        .filter_map(|deployment| deployment.cloudlet.as_ref());
    let uuids: Vec<String> = cloudlets
        .map(|cloudlet| cloudlet.uuid.to_string())
        .collect();
    uuids.join(",")
}

fn request(
    path: DeployPath,
    query: Option<&str>,
    sender: &Sender,
    request_id: RequestId,
    trace: TraceParent,
) -> Result<DeployRequest, Problem> {
    Ok(DeployRequest {
        recipe: path.uuid,
        key: path.key,
        client: sender.client(),
        round_trips: sender.round_trips().clone(),
        query: DeployQuery::parse(query)?,
        budget: Budget::of(sender.prefer_wait()),
        started: Instant::now(),
        request_id,
        trace,
    })
}
