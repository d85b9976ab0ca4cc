//! `/deploy/{uuid}/{application_key}`: who would be tried, and a deployment by the best.

use std::sync::Arc;

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
#[utoipa::path(
    post,
    path = "/api/v1/deploy/{uuid}/{application_key}",
    operation_id = "deploy",
    tag = "Deployments",
    summary = "Deploys a client's backend on the best cloudlet",
    description = "Repeats are idempotent and extend the lease. A cloudlet that fails is followed by the next one within the same request.",
    params(
        ("uuid" = String, Path),
        ("application_key" = String, Path),
        ("results" = Option<u64>, Query, minimum = 1, description = "How many deployments are wanted, at most 3; 1 where it does not say."),
        ("cloudlet" = Option<String>, Query, format = "uuid", description = "The only cloudlet that is wanted."),
        ("exclude" = Option<String>, Query, format = "uuid", description = "A cloudlet that is not wanted, and is forgotten as this client's; repeatable."),
        ("Prefer" = Option<String>, Header, description = "wait=<seconds>: how long the client waits (RFC 7240). 9 s where it does not say.", example = "wait=60"),
        ("X-ClientIP" = Option<String>, Header),
        ("X-Location" = Option<String>, Header),
        ("X-RTT" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "The deployments, in the order of their cloudlets", body = ref("#/components/schemas/Deployments"), headers(
            ("X-Sinfonia-Cloudlet" = String, description = "The cloudlets that deployed: uuids, separated by commas"),
        )),
        (status = 400, description = "The uuid, the key or the query is malformed"),
        (status = 404, description = "There is no such recipe"),
        (status = 409, description = "The key holds a deployment of another application on every cloudlet"),
        (status = 429, description = "The client has, or asks for, too much"),
        (status = 502, description = "Every cloudlet that was tried failed"),
        (status = 503, description = "No cloudlet qualifies, all are full, or too many requests are running"),
    ),
    security((), ("token" = [])),
)]
pub(super) async fn deploy(
    State(deployer): State<Arc<Deployer>>,
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
#[utoipa::path(
    get,
    path = "/api/v1/deploy/{uuid}/{application_key}",
    operation_id = "candidates",
    tag = "Deployments",
    summary = "Tells which cloudlets would be tried, best first, and deploys nothing",
    params(
        ("uuid" = String, Path),
        ("application_key" = String, Path),
        ("results" = Option<u64>, Query, minimum = 1, description = "How many cloudlets are wanted; all where it does not say."),
        ("cloudlet" = Option<String>, Query, format = "uuid", description = "The only cloudlet that is wanted."),
        ("exclude" = Option<String>, Query, format = "uuid", description = "A cloudlet that is not wanted; repeatable."),
        ("X-ClientIP" = Option<String>, Header),
        ("X-Location" = Option<String>, Header),
        ("X-RTT" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "The cloudlets, best first", body = ref("#/components/schemas/Candidates")),
        (status = 400, description = "The uuid, the key or the query is malformed"),
        (status = 404, description = "There is no such recipe, or no cloudlet qualifies"),
        (status = 503, description = "The recipe cannot be read at present, or too many requests are running"),
    ),
    security((), ("token" = [])),
)]
pub(super) async fn candidates(
    State(deployer): State<Arc<Deployer>>,
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
