//! `/deployments/{uuid}/{application_key}`: how a deployment is and its end, asked of the cloudlet that has it.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::AppendHeaders;
use http::{HeaderName, StatusCode};
use sinfonia_core::deployment::{CloudletDeployment, CloudletReference};
use sinfonia_service::deploy_path::DeployPath;
use sinfonia_service::json::Json;
use sinfonia_service::problem::Problem;
use sinfonia_service::reload::causes;
use sinfonia_service::request_id::RequestId;
use sinfonia_service::trace_parent::TraceParent;

use super::deploy::X_SINFONIA_CLOUDLET;
use crate::callers::Sender;
use crate::deploy::{DeployQuery, Deployer};
use crate::forward::{Answer, Call, CallError};
use crate::in_flight::RETRY_BUSY;
use crate::registry::Known;

/// Time that the cloudlet gets: existing clients give up after 10 seconds.
const TIMEOUT: Duration = Duration::from_secs(9);

/// The header that names the cloudlet.
type Named = AppendHeaders<[(HeaderName, String); 1]>;

/// `GET`: the deployment as its cloudlet tells it.
#[utoipa::path(
    get,
    path = "/api/v1/deployments/{uuid}/{application_key}",
    operation_id = "deployment",
    tag = "Deployments",
    summary = "Tells how a deployment is",
    params(
        ("uuid" = String, Path),
        ("application_key" = String, Path),
        ("cloudlet" = Option<String>, Query, format = "uuid", description = "The cloudlet that has it; where it does not say, the one that Tier 1 remembers."),
        ("X-ClientIP" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "The deployment", body = ref("#/components/schemas/CloudletDeployment"), headers(
            ("X-Sinfonia-Cloudlet" = String, description = "The cloudlet that has it"),
        )),
        (status = 400, description = "The uuid, the key or the query is malformed"),
        (status = 404, description = "There is no such deployment, none is remembered, or there is no such cloudlet"),
        (status = 429, description = "The client asks the cloudlet too often"),
        (status = 502, description = "The cloudlet cannot be reached, or its answer makes no sense"),
        (status = 503, description = "The cloudlet cannot tell at present, or too many requests are running"),
    ),
    security((), ("token" = [])),
)]
pub(super) async fn show(
    State(deployer): State<Arc<Deployer>>,
    path: DeployPath,
    RawQuery(query): RawQuery,
    sender: Sender,
    Extension(request_id): Extension<RequestId>,
    Extension(trace): Extension<TraceParent>,
) -> Result<(Named, Json<CloudletDeployment>), Problem> {
    let known = holder(&deployer, path, query.as_deref())?;
    let _place = deployer.relay()?;
    let call = call(known, path, &sender, request_id, trace);
    let answer = in_time(&call, deployer.forward.show(&call)).await?;
    if answer.status != StatusCode::OK {
        return Err(passed_on(answer));
    }
    let mut deployment = CloudletDeployment::parse(&answer.body).map_err(|error| {
        let (cause, cloudlet) = (causes(&error), &call.known.cloudlet.endpoint);
        tracing::info!(%error, cause, %cloudlet, "cloudlet gave an invalid answer");
        Problem::bad_gateway("the cloudlet's answer is not a deployment")
    })?;
    deployment.cloudlet = Some(CloudletReference::from(&call.known.cloudlet));
    Ok((named(&call), Json(deployment)))
}

/// `DELETE`: ends the deployment.
#[utoipa::path(
    delete,
    path = "/api/v1/deployments/{uuid}/{application_key}",
    operation_id = "end_deployment",
    tag = "Deployments",
    summary = "Ends a deployment, also one that is not there any more",
    params(
        ("uuid" = String, Path),
        ("application_key" = String, Path),
        ("cloudlet" = Option<String>, Query, format = "uuid", description = "The cloudlet that has it; where it does not say, the one that Tier 1 remembers."),
        ("X-ClientIP" = Option<String>, Header),
    ),
    responses(
        (status = 204, description = "It is gone, or soon will be", headers(
            ("X-Sinfonia-Cloudlet" = String, description = "The cloudlet that had it"),
        )),
        (status = 403, description = "Another client created it"),
        (status = 400, description = "The uuid, the key or the query is malformed"),
        (status = 404, description = "There is no such deployment, none is remembered, or there is no such cloudlet"),
        (status = 429, description = "The client asks the cloudlet too often"),
        (status = 502, description = "The cloudlet cannot be reached, or its answer makes no sense"),
        (status = 503, description = "The cloudlet cannot tell at present, or too many requests are running"),
    ),
    security((), ("token" = [])),
)]
pub(super) async fn delete(
    State(deployer): State<Arc<Deployer>>,
    path: DeployPath,
    RawQuery(query): RawQuery,
    sender: Sender,
    Extension(request_id): Extension<RequestId>,
    Extension(trace): Extension<TraceParent>,
) -> Result<(StatusCode, Named), Problem> {
    let known = holder(&deployer, path, query.as_deref())?;
    let _place = deployer.relay()?;
    let call = call(known, path, &sender, request_id, trace);
    let answer = in_time(&call, deployer.forward.delete(&call)).await?;
    if !answer.status.is_success() {
        return Err(passed_on(answer));
    }
    let endpoint = &call.known.cloudlet.endpoint;
    deployer.placements.forget(path.uuid, &path.key, endpoint);
    Ok((StatusCode::NO_CONTENT, named(&call)))
}

/// The cloudlet that the query names, or else the one that served last.
fn holder(
    deployer: &Deployer,
    path: DeployPath,
    query: Option<&str>,
) -> Result<Arc<Known>, Problem> {
    if let Some(uuid) = DeployQuery::parse(query)?.cloudlet {
        let known = deployer.registry.get(uuid);
        return known
            .ok_or_else(|| Problem::not_found(format_args!("there is no cloudlet {uuid}")));
    }
    let remembered = deployer.remembered(path.uuid, &path.key);
    let known = remembered
        .iter()
        .find_map(|endpoint| deployer.registry.at(endpoint));
    known.ok_or_else(|| {
        Problem::not_found(
            "no cloudlet is remembered for this recipe and key; ?cloudlet=<uuid> names one",
        )
    })
}

fn call(
    known: Arc<Known>,
    path: DeployPath,
    sender: &Sender,
    request_id: RequestId,
    trace: TraceParent,
) -> Call {
    Call {
        known,
        recipe: path.uuid,
        key: path.key,
        client: sender.client(),
        request_id,
        trace,
    }
}

fn named(call: &Call) -> Named {
    AppendHeaders([(X_SINFONIA_CLOUDLET, call.known.cloudlet.uuid.to_string())])
}

async fn in_time(
    call: &Call,
    answer: impl Future<Output = Result<Answer, CallError>>,
) -> Result<Answer, Problem> {
    let cloudlet = &call.known.cloudlet.endpoint;
    let Ok(answer) = tokio::time::timeout(TIMEOUT, answer).await else {
        tracing::info!(%cloudlet, "cloudlet gave no answer in time");
        return Err(Problem::bad_gateway("the cloudlet did not answer in time"));
    };
    answer.map_err(|error| {
        let cause = causes(&error);
        tracing::info!(%error, cause, %cloudlet, "cloudlet gave no answer");
        match error {
            CallError::Busy => Problem::unavailable(error, RETRY_BUSY),
            _ => Problem::bad_gateway(error),
        }
    })
}

/// What a cloudlet refuses goes to the client, except that it wants a token: that is between the two of us.
fn passed_on(answer: Answer) -> Problem {
    let status = answer.status;
    if status == StatusCode::UNAUTHORIZED {
        return Problem::bad_gateway("the cloudlet wants a token from this Tier 1");
    }
    if status.is_client_error() || status.is_server_error() {
        return answer.into_problem();
    }
    Problem::bad_gateway(format_args!("the cloudlet answered {}", status.as_u16()))
}
