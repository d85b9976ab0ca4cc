//! `/deploy/{uuid}/{application_key}`: who would be tried, and a deployment by the best.

use axum::Extension;
use axum::extract::{RawQuery, State};
use sinfonia_core::cloudlet::CandidateInfo;
use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_service::deploy_path::DeployPath;
use sinfonia_service::json::Json;
use sinfonia_service::problem::Problem;
use sinfonia_service::request_id::RequestId;
use sinfonia_service::trace_parent::TraceParent;
use tokio::time::Instant;

use crate::callers::Sender;
use crate::deploy::{Budget, DeployQuery, DeployRequest, Deployer};

/// `POST`: deploys, and answers with the deployments.
pub(super) async fn deploy(
    State(deployer): State<Deployer>,
    path: DeployPath,
    RawQuery(query): RawQuery,
    sender: Sender,
    Extension(request_id): Extension<RequestId>,
    Extension(trace): Extension<TraceParent>,
) -> Result<Json<Vec<CloudletDeployment>>, Problem> {
    let request = request(path, query.as_deref(), &sender, request_id, trace)?;
    deployer.deploy(request).await.map(Json)
}

/// `GET`: the cloudlets that `POST` would try, best first, and what put them there.
pub(super) async fn candidates(
    State(deployer): State<Deployer>,
    path: DeployPath,
    RawQuery(query): RawQuery,
    sender: Sender,
    Extension(request_id): Extension<RequestId>,
    Extension(trace): Extension<TraceParent>,
) -> Result<Json<Vec<CandidateInfo>>, Problem> {
    let request = request(path, query.as_deref(), &sender, request_id, trace)?;
    let recipe = deployer.recipes.get(request.recipe).await?;
    let most = request
        .query
        .results
        .map_or(usize::MAX, |results| results.get());
    let candidates = deployer.choose(&request, &recipe, most).candidates;
    if candidates.is_empty() {
        return Err(Problem::not_found(request.without_candidates()));
    }
    let ranked = candidates.iter().zip(1..);
    Ok(Json(
        ranked
            .map(|(candidate, rank)| candidate.info(rank))
            .collect(),
    ))
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
        query: DeployQuery::parse(query)?,
        budget: Budget::of(sender.prefer_wait()),
        started: Instant::now(),
        request_id,
        trace,
    })
}
