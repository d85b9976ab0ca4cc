//! Asking the Tier 2 of a cloudlet.

mod answer;

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::request::Builder;
use http::{HeaderName, Method, Request};
use sinfonia_core::client::ClientInfo;
use sinfonia_core::key::PublicKey;
use sinfonia_service::client::pooled::{AskError, PooledClient};
use sinfonia_service::client::{ANSWER_BYTES, ClientError, ClientSettings, ReadError, read_body};
use sinfonia_service::outbound_guard::{OutboundGuard, RefusedAddress};
use sinfonia_service::proxies::X_CLIENT_IP;
use sinfonia_service::request_id::{RequestId, X_REQUEST_ID};
use sinfonia_service::trace_parent::{TRACEPARENT, TraceParent};
use sinfonia_service::traces::Question;
use uuid::Uuid;

pub(crate) use self::answer::Answer;
use crate::in_flight::InFlight;
use crate::registry::Known;

/// Header in which a client states where it is.
pub(crate) const X_LOCATION: HeaderName = HeaderName::from_static("x-location");
/// Header in which a caller says how long it waits (RFC 7240).
pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What cloudlets are asked for, as traces name it.
const ASKED: &str = "deployment of a cloudlet";

/// What is said to a cloudlet about one deployment.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The cloudlet.
    pub(crate) known: Arc<Known>,
    /// The recipe.
    pub(crate) recipe: Uuid,
    /// The device's key.
    pub(crate) key: PublicKey,
    /// The device.
    pub(crate) client: ClientInfo,
    /// The request that this is done for.
    pub(crate) request_id: RequestId,
    /// The trace that it belongs to.
    pub(crate) trace: TraceParent,
}

/// Why a cloudlet gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// As many requests are in flight to the cloudlet as may be, so it was asked nothing.
    #[error("the cloudlet has enough requests in flight (--max-in-flight-per-cloudlet)")]
    Busy,
    /// Its address is one that a report must not make us connect to.
    #[error("the endpoint is refused; --allow-endpoints allows it")]
    Refused(#[source] RefusedAddress),
    /// No connection came about, so it was asked nothing.
    #[error("the cloudlet cannot be reached")]
    Connect(#[source] AskError),
    /// The connection broke, before or after it did what it was asked.
    #[error("the connection to the cloudlet broke")]
    Broken(#[source] AskError),
    /// What it answered cannot be read.
    #[error("the cloudlet's answer cannot be read")]
    Unreadable(#[source] ReadError<hyper::Error>),
}

/// Asks cloudlets, each no more than so many things at once. Endpoints that only a report names are asked with care, those of the
/// operator's file as they are.
#[derive(Debug, Clone)]
pub(crate) struct Forward {
    direct: PooledClient,
    guarded: PooledClient,
    guard: OutboundGuard,
    in_flight: InFlight,
}

impl Forward {
    /// Asks with these settings, each cloudlet at most this many things at once, and refuses inner addresses of reported endpoints as
    /// `guard` says.
    ///
    /// # Errors
    /// The clients cannot be made.
    pub(crate) fn new(
        settings: &ClientSettings,
        guard: OutboundGuard,
        most_in_flight: usize,
    ) -> Result<Self, ClientError> {
        let guarded = ClientSettings {
            guard: Some(guard.clone()),
            ..settings.clone()
        };
        Ok(Self {
            direct: PooledClient::new(settings)?,
            guarded: PooledClient::new(&guarded)?,
            guard,
            in_flight: InFlight::new(most_in_flight),
        })
    }

    /// Asks for the deployment, and the cloudlet to answer within `wait` seconds.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn deploy(&self, call: &Call, wait: u64) -> Result<Answer, CallError> {
        let request = call.request(&Method::POST, "");
        let request = request.header(PREFER, format!("wait={wait}"));
        // Some proxies refuse a POST that leaves its length open.
        let request = request.header(CONTENT_LENGTH, 0);
        self.answer(call, &Method::POST, request).await
    }

    /// Asks how the deployment is.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn show(&self, call: &Call) -> Result<Answer, CallError> {
        let request = call.request(&Method::GET, "");
        self.answer(call, &Method::GET, request).await
    }

    /// Asks for the deployment's end, when the client wants it.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn delete(&self, call: &Call) -> Result<Answer, CallError> {
        let request = call.request(&Method::DELETE, "");
        self.answer(call, &Method::DELETE, request).await
    }

    /// Takes back what this very request has created, and nothing else.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn release(&self, call: &Call) -> Result<Answer, CallError> {
        // What an identity is made of needs no escape.
        let query = format!("?created-by={}", call.request_id);
        let request = call.request(&Method::DELETE, &query);
        self.answer(call, &Method::DELETE, request).await
    }

    async fn answer(
        &self,
        call: &Call,
        method: &Method,
        request: Builder,
    ) -> Result<Answer, CallError> {
        let client = self.client(call)?;
        let cloudlet = &call.known.cloudlet;
        let place = self.in_flight.take(&cloudlet.endpoint);
        let _place = place.ok_or(CallError::Busy)?;
        let question = Question::new(method, ASKED, &cloudlet.name, Some(call.trace));
        let trace = question.parent().unwrap_or(call.trace);
        let answer = answered(client, request.header(TRACEPARENT, trace.to_string())).await?;
        question.answered(answer.status);
        Ok(answer)
    }

    fn client(&self, call: &Call) -> Result<&PooledClient, CallError> {
        if call.known.is_from_file() {
            return Ok(&self.direct);
        }
        let url = call.known.cloudlet.endpoint.url();
        self.guard.check_url(&url).map_err(CallError::Refused)?;
        Ok(&self.guarded)
    }
}

impl Call {
    fn request(&self, method: &Method, query: &str) -> Builder {
        let endpoint = &self.known.cloudlet.endpoint;
        let mut request = Request::builder()
            .method(method)
            .uri(endpoint.deployment(self.recipe, &self.key) + query)
            .header(X_CLIENT_IP, self.client.address().to_string())
            .header(X_REQUEST_ID, self.request_id.as_str());
        if let Some(location) = self.client.location() {
            request = request.header(X_LOCATION, location.to_string());
        }
        if let Some(token) = self.known.token() {
            request = request.header(AUTHORIZATION, token.authorization());
        }
        request
    }
}

/// Asks, and reads the answer. The body of an error only explains it, so one that cannot be read is left out.
async fn answered(client: &PooledClient, request: Builder) -> Result<Answer, CallError> {
    let response = client.ask(request).await.map_err(|error| match error {
        AskError::Malformed(_) | AskError::Connect(_) => CallError::Connect(error),
        AskError::Broken(_) => CallError::Broken(error),
    })?;
    let status = response.status();
    let retry_after = answer::retry_after(response.headers());
    let body = match read_body(response.into_body(), ANSWER_BYTES).await {
        Ok(body) => body,
        Err(error) if status.is_success() => return Err(CallError::Unreadable(error)),
        Err(_) => bytes::Bytes::new(),
    };
    Ok(Answer {
        status,
        retry_after,
        body,
    })
}
