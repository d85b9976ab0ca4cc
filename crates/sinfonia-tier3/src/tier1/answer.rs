//! What an answer amounts to.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::Response;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sinfonia_core::deployment::{CloudletDeployment, DeploymentError};
use sinfonia_core::key::PublicKey;

use super::AskError;
use crate::application::Application;
use crate::printable::Printable;
use crate::problem::{Problem, Refusal};
use crate::tier1_url::{API, Tier1Url};

/// The head of an answer, as far as it matters.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    media_type: Option<Printable>,
    location: Option<String>,
    retry_after: Option<u64>,
}

impl Answer {
    pub(super) fn head(response: &Response) -> Self {
        let text = |name: HeaderName| response.headers().get(name)?.to_str().ok();
        Self {
            status: response.status(),
            media_type: text(CONTENT_TYPE).map(Printable::new),
            location: text(LOCATION).map(str::to_owned),
            retry_after: text(RETRY_AFTER).and_then(|seconds| seconds.parse().ok()),
        }
    }

    /// Gives the body of an answer that grants the request.
    ///
    /// # Errors
    /// The answer refuses it, leads elsewhere, or is none that a Tier 1 would give.
    pub(super) fn granted(self, url: &Tier1Url, body: Bytes) -> Result<Bytes, AskError> {
        if self.status.is_success() {
            return Ok(body);
        }
        if let Some(to) = self.leads_to(url) {
            return Err(AskError::Redirected {
                url: url.clone(),
                to,
            });
        }
        let problem = Problem::parse(&body);
        if problem.is_none() && !may_lack_problem(self.status) {
            let kind = self
                .media_type
                .map_or_else(String::new, |kind| format!(", {kind}"));
            return Err(AskError::Stranger {
                url: url.clone(),
                status: self.status,
                said: format!("{}{kind}", self.status),
            });
        }
        Err(AskError::Refused(Box::new(Refusal {
            status: self.status,
            problem,
            retry_after: self.retry_after,
        })))
    }

    /// The other Tier 1 to which the answer leads, without the path of the call.
    fn leads_to(&self, url: &Tier1Url) -> Option<Tier1Url> {
        let location = self.location.as_ref()?;
        if !self.status.is_redirection() {
            return None;
        }
        let to = url.url().join(location).ok()?;
        let (base, _) = to.as_str().split_once(API)?;
        base.parse().ok().filter(|to| to != url)
    }
}

/// Whether what stands between may answer so, on behalf of a Tier 1 that is there: it wants to know who asks, or is too busy, or
/// finds Tier 1 gone.
fn may_lack_problem(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::PROXY_AUTHENTICATION_REQUIRED
                | StatusCode::TOO_MANY_REQUESTS
        )
}

/// The answer as JSON.
pub(super) fn json(url: &Tier1Url, body: &[u8]) -> Result<Value, AskError> {
    serde_json::from_slice(body).map_err(|_| not_json(url))
}

/// The answer as one that has nothing to say. A page, as web sites and log-in portals give it for everything, is none.
pub(super) fn nothing(url: &Tier1Url, body: &[u8]) -> Result<(), AskError> {
    if body.is_empty() {
        return Ok(());
    }
    json(url, body).map(drop)
}

/// The answer as what it has to be.
pub(super) fn typed<T: DeserializeOwned>(value: Value) -> Result<T, AskError> {
    serde_json::from_value(value).map_err(|error| malformed(&error.to_string()))
}

/// The answer as a list of at least one deployment.
pub(super) fn deployments(
    url: &Tier1Url,
    body: &[u8],
) -> Result<Vec<CloudletDeployment>, AskError> {
    json(url, body)?;
    CloudletDeployment::parse_answer(body).map_err(|error| match error {
        DeploymentError::Answer(reason) => malformed(&reason.to_string()),
        other => malformed(&other.to_string()),
    })
}

/// A deployment, if it is of this application and for this key: any other would give a tunnel that stays silent.
pub(super) fn ours(
    deployment: CloudletDeployment,
    application: Application,
    key: &PublicKey,
) -> Result<CloudletDeployment, AskError> {
    if deployment.uuid != application.uuid() || deployment.application_key != *key {
        return Err(malformed("it is about another deployment"));
    }
    Ok(deployment)
}

fn not_json(url: &Tier1Url) -> AskError {
    AskError::Stranger {
        url: url.clone(),
        status: StatusCode::OK,
        said: "what it says is no JSON".to_owned(),
    }
}

fn malformed(reason: &str) -> AskError {
    AskError::Malformed(Printable::new(reason))
}
