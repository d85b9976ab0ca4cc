//! Asking the Tier 2 of a cloudlet.

mod answer;

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderName, Method};
use reqwest::{Client, RequestBuilder, Response};
use sinfonia_core::client::ClientInfo;
use sinfonia_core::key::PublicKey;
use sinfonia_service::client::{
    self, ANSWER_BYTES, ClientError, ClientSettings, ReadError, read_bounded,
};
use sinfonia_service::outbound_guard::{OutboundGuard, RefusedAddress};
use sinfonia_service::proxies::X_CLIENT_IP;
use sinfonia_service::request_id::{RequestId, X_REQUEST_ID};
use sinfonia_service::trace_parent::{TRACEPARENT, TraceParent};
use sinfonia_service::traces::Question;
use url::Url;
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
    Connect(#[source] reqwest::Error),
    /// The connection broke, before or after it did what it was asked.
    #[error("the connection to the cloudlet broke")]
    Broken(#[source] reqwest::Error),
    /// What it answered cannot be read.
    #[error("the cloudlet's answer cannot be read")]
    Unreadable(#[source] ReadError),
}

/// Asks cloudlets, each no more than so many things at once. Endpoints that only a report names are asked with care, those of the
/// operator's file as they are.
#[derive(Debug, Clone)]
pub(crate) struct Forward {
    direct: Client,
    guarded: Client,
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
            direct: client::build(settings)?,
            guarded: client::build(&guarded)?,
            guard,
            in_flight: InFlight::new(most_in_flight),
        })
    }

    /// Asks for the deployment, and the cloudlet to answer within `wait` seconds.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn deploy(&self, call: &Call, wait: u64) -> Result<Answer, CallError> {
        let request = self.request(Method::POST, call, call.url())?;
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
        let request = self.request(Method::GET, call, call.url())?;
        self.answer(call, &Method::GET, request).await
    }

    /// Asks for the deployment's end, when the client wants it.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn delete(&self, call: &Call) -> Result<Answer, CallError> {
        let request = self.request(Method::DELETE, call, call.url())?;
        self.answer(call, &Method::DELETE, request).await
    }

    /// Takes back what this very request has created, and nothing else.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn release(&self, call: &Call) -> Result<Answer, CallError> {
        let mut url = call.url();
        url.query_pairs_mut()
            .append_pair("created-by", call.request_id.as_str());
        let request = self.request(Method::DELETE, call, url)?;
        self.answer(call, &Method::DELETE, request).await
    }

    async fn answer(
        &self,
        call: &Call,
        method: &Method,
        request: RequestBuilder,
    ) -> Result<Answer, CallError> {
        let cloudlet = &call.known.cloudlet;
        let place = self.in_flight.take(&cloudlet.endpoint);
        let _place = place.ok_or(CallError::Busy)?;
        let question = Question::new(method, ASKED, &cloudlet.name, Some(call.trace));
        let trace = question.parent().unwrap_or(call.trace);
        let answer = answered(request.header(TRACEPARENT, trace.to_string())).await?;
        question.answered(answer.status);
        Ok(answer)
    }

    fn request(&self, method: Method, call: &Call, url: Url) -> Result<RequestBuilder, CallError> {
        let client = if call.known.is_from_file() {
            &self.direct
        } else {
            self.guard.check_url(&url).map_err(CallError::Refused)?;
            &self.guarded
        };
        let mut request = client
            .request(method, url)
            .header(X_CLIENT_IP, call.client.address().to_string())
            .header(X_REQUEST_ID, call.request_id.as_str());
        if let Some(location) = call.client.location() {
            request = request.header(X_LOCATION, location.to_string());
        }
        if let Some(token) = call.known.token() {
            request = request.header(AUTHORIZATION, token.authorization());
        }
        Ok(request)
    }
}

impl Call {
    fn url(&self) -> Url {
        self.known
            .cloudlet
            .endpoint
            .deployment_url(self.recipe, &self.key)
    }
}

async fn answered(request: RequestBuilder) -> Result<Answer, CallError> {
    // The URL holds the device's key, which no log may show in full.
    let response = request.send().await.map_err(|error| {
        let error = error.without_url();
        if error.is_connect() {
            CallError::Connect(error)
        } else {
            CallError::Broken(error)
        }
    })?;
    read(response).await
}

/// Reads a body. That of an error only explains it, so one that cannot be read is left out.
async fn read(response: Response) -> Result<Answer, CallError> {
    let status = response.status();
    let retry_after = answer::retry_after(response.headers());
    let body = match read_bounded(response, ANSWER_BYTES).await {
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
