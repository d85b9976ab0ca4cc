//! What stands before every router: each request is named, bounded, measured and logged, and each error is a problem document.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::metrics::{HttpMetrics, UNMATCHED, method_label};
use crate::path::{App, normalised};
use crate::problem::{PROBLEM_JSON, Problem};
use crate::request_id::{
    Entropy, RequestId, RequestIds, X_REQUEST_ID, caller_trace, continue_trace,
};
use crate::traces;

/// Longest plain text, in bytes, that is taken over from an error into its problem document.
const LONGEST_DETAIL: usize = 4096;

/// Seconds after which a request that was shed may try again.
const RETRY_SHED: u64 = 1;

/// Bounds of what one request may bring and take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Longest path and query, in bytes; a longer one is answered with 414.
    pub uri_bytes: usize,
    /// Longest body, in bytes; a longer one is answered with 413.
    pub body_bytes: usize,
    /// Requests that run at once; one more is answered with 503 straight away instead of waiting.
    pub concurrent: usize,
    /// Time from a request's headers to its answer; then it is given up and answered with 504.
    pub time: Duration,
}

impl Default for RequestLimits {
    /// 8 KiB of path and query, 64 KiB of body, 1024 requests at once, 30 seconds each.
    fn default() -> Self {
        Self {
            uri_bytes: 8 * 1024,
            body_bytes: 64 * 1024,
            concurrent: 1024,
            time: Duration::from_secs(30),
        }
    }
}

/// What stands before a router.
#[derive(Debug, Clone)]
pub struct Front {
    /// Bounds of each request.
    pub limits: RequestLimits,
    /// Where the identity of each request comes from.
    pub request_ids: RequestIds,
    /// What counts and times the requests.
    pub metrics: HttpMetrics,
    /// Routes whose requests are spans of a trace.
    pub traced: &'static [&'static str],
}

struct Shared {
    front: Front,
    running: Semaphore,
}

impl Front {
    /// Puts this front before a router whose state is already given, and path normalisation before both.
    ///
    /// Handlers find the request's [`RequestId`] and [`crate::trace_parent::TraceParent`] among its extensions, and hand them on to the
    /// services that they ask. A handler that panics is answered with 500, and errors that are not problem documents yet, the router's own
    /// included, become some.
    pub fn before(self, router: Router) -> App {
        let body_limit = DefaultBodyLimit::max(self.limits.body_bytes);
        let running = Semaphore::new(self.limits.concurrent);
        let shared = Arc::new(Shared {
            front: self,
            running,
        });
        normalised(
            router
                .layer(body_limit)
                .layer(from_fn_with_state(shared, receive)),
        )
    }
}

async fn receive(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let entropy = match Entropy::draw() {
        Ok(entropy) => entropy,
        Err(error) => {
            tracing::error!(%error, "system has no randomness");
            return Problem::internal("the system has no randomness").into_response();
        }
    };
    let id = shared.front.request_ids.choose(request.headers(), &entropy);
    let caller = caller_trace(request.headers());
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let label = method_label(&method);
    let exported = if shared.front.traced.contains(&route) {
        traces::Answer::new(label, route, &id, caller)
    } else {
        traces::Answer::untraced()
    };
    let trace = exported
        .parent()
        .unwrap_or_else(|| continue_trace(caller, &entropy));
    let span = tracing::info_span!("request", request_id = %id, trace_id = trace.trace_id(), method = %label, route);
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(trace);

    let response = bounded(&shared, request, next)
        .instrument(span.clone())
        .await;
    let response = named(problems_only(response).await, &id);

    let duration = started.elapsed();
    shared
        .front
        .metrics
        .observe(route, &method, response.status(), duration);
    exported.given(response.status());
    span.in_scope(|| log(response.status(), duration));
    response
}

async fn bounded(shared: &Shared, request: Request, next: Next) -> Response {
    let limits = shared.front.limits;
    let uri_bytes = request
        .uri()
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    if uri_bytes > limits.uri_bytes {
        let detail = format_args!(
            "path and query have {uri_bytes} bytes, at most {} are taken",
            limits.uri_bytes
        );
        return Problem::uri_too_long(detail).into_response();
    }
    let Ok(_running) = shared.running.try_acquire() else {
        return Problem::unavailable("too many requests are running", RETRY_SHED).into_response();
    };
    match tokio::time::timeout(
        limits.time,
        AssertUnwindSafe(next.run(request)).catch_unwind(),
    )
    .await
    {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!("request handler panicked");
            Problem::internal("the request met an error in this service").into_response()
        }
        Err(_) => Problem::timed_out(format_args!(
            "no answer within {} s",
            limits.time.as_secs_f64()
        ))
        .into_response(),
    }
}

/// Makes a problem document of an error that is plain text or has no body, as the router and its extractors give them.
async fn problems_only(response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || !is_plain(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, LONGEST_DETAIL).await.unwrap_or_default();
    let problem = match std::str::from_utf8(&text).map(str::trim) {
        Ok("") | Err(_) => Problem::new(status),
        Ok(text) => Problem::new(status).detail(text),
    };
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, PROBLEM_JSON);
    let body = problem.to_body();
    parts.extensions.insert(problem);
    Response::from_parts(parts, body)
}

fn is_plain(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_none_or(|value| value.as_bytes().starts_with(b"text/plain"))
}

/// Writes the request's identity into the answer's header and, where it is one, its problem document.
fn named(mut response: Response, id: &RequestId) -> Response {
    if let Some(value) = id.header_value() {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = problem.request_id(id.as_str()).to_body();
    }
    response
}

/// Answers as wanted are many and of little interest; what was refused or failed is what an operator looks for.
fn log(status: StatusCode, duration: Duration) {
    let milliseconds = duration.as_secs_f64() * 1000.0;
    let status = status.as_u16();
    if status < 400 {
        tracing::debug!(status, milliseconds, "request answered");
    } else {
        tracing::info!(status, milliseconds, "request refused");
    }
}
