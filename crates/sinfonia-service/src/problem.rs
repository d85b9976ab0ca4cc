//! Errors as callers see them: problem documents (RFC 9457).

use std::fmt::Display;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

/// Media type of a problem document.
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Name of the member that holds the request's identity.
const REQUEST_ID: &str = "request_id";

/// A problem document: what went wrong with one request, for the caller to read.
///
/// Handlers return it as their error. Its `type` is always `about:blank`, so its title is the status' phrase, as RFC 9457 asks for;
/// what a program may want to tell apart is in members of its own, such as `class`.
/// [`crate::front`] adds the request's identity to it as `request_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(flatten)]
    members: Map<String, Value>,
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    /// A problem of this status, with the status' phrase as its title and no detail.
    pub fn new(status: StatusCode) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status,
            detail: None,
            members: Map::new(),
            retry_after: None,
        }
    }

    /// 400: the request is malformed; `detail` names what of it and what would be right.
    pub fn bad_request(detail: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST).detail(detail)
    }

    /// 401 with `WWW-Authenticate: Bearer`: a token is needed.
    pub fn unauthorized(detail: impl Display) -> Self {
        Self::new(StatusCode::UNAUTHORIZED).detail(detail)
    }

    /// 403: the caller may not do this.
    pub fn forbidden(detail: impl Display) -> Self {
        Self::new(StatusCode::FORBIDDEN).detail(detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND).detail(detail)
    }

    /// 409: what is there stands in the way.
    pub fn conflict(detail: impl Display) -> Self {
        Self::new(StatusCode::CONFLICT).detail(detail)
    }

    /// 413: the body is longer than this service takes.
    pub fn payload_too_large(detail: impl Display) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE).detail(detail)
    }

    /// 414: the path and query are longer than this service takes.
    pub fn uri_too_long(detail: impl Display) -> Self {
        Self::new(StatusCode::URI_TOO_LONG).detail(detail)
    }

    /// 429 with `Retry-After` in seconds: this client asks too often or holds too much.
    pub fn too_many_requests(detail: impl Display, retry_after: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS)
            .detail(detail)
            .retry_after(retry_after)
    }

    /// 500: the service failed. The cause belongs into the log and not in here.
    pub fn internal(detail: impl Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR).detail(detail)
    }

    /// 502: a service that this one asked failed.
    pub fn bad_gateway(detail: impl Display) -> Self {
        Self::new(StatusCode::BAD_GATEWAY).detail(detail)
    }

    /// 503 with `Retry-After` in seconds: not now.
    pub fn unavailable(detail: impl Display, retry_after: u64) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE)
            .detail(detail)
            .retry_after(retry_after)
    }

    /// 504: the request took longer than this service gives it.
    pub fn timed_out(detail: impl Display) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT).detail(detail)
    }

    /// Says what happened to this one request.
    #[must_use]
    pub fn detail(mut self, detail: impl Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// Adds a member of our own, for programs to read. It cannot replace a member that RFC 9457 defines.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        if !matches!(name, "type" | "title" | "status" | "detail") {
            self.members.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Adds the member `class`: the failure's kind, one of a few words that programs compare.
    #[must_use]
    pub fn class(self, class: &str) -> Self {
        self.with("class", class)
    }

    /// Says in seconds after how long another try makes sense (header `Retry-After`).
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Status that this problem is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What happened, if that was said.
    pub fn detail_text(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// Adds the request's identity, for the caller to quote.
    #[must_use]
    pub(crate) fn request_id(self, id: &str) -> Self {
        self.with(REQUEST_ID, id)
    }

    /// The document as a body.
    pub(crate) fn to_body(&self) -> Body {
        // A map of strings to JSON values always serialises.
        Body::from(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.to_body());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The front finds the problem here and completes it.
        response.extensions_mut().insert(self);
        response
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_problem_is_answered_as_rfc_9457_says() {
        let problem = Problem::conflict("the key holds another deployment").class("refused");

        let response = problem.into_response();

        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let expected = json!({
            "type": "about:blank",
            "title": "Conflict",
            "status": 409,
            "detail": "the key holds another deployment",
            "class": "refused",
        });
        assert_eq!(body_of(response).await, expected);
    }

    #[test]
    fn a_missing_token_says_which_scheme_is_wanted() {
        let response = Problem::unauthorized("a token is needed").into_response();

        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
    }

    #[test]
    fn another_try_is_told_in_seconds() {
        let response = Problem::unavailable("no recipe repository", 5).into_response();

        assert_eq!(response.headers()[RETRY_AFTER], "5");
    }

    #[tokio::test]
    async fn own_members_never_replace_the_standard_ones() {
        let problem = Problem::not_found("no such recipe")
            .with("status", 200)
            .with("Message", "gone");

        let expected = json!({
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "no such recipe",
            "Message": "gone",
        });
        assert_eq!(body_of(problem.into_response()).await, expected);
    }

    async fn body_of(response: Response) -> Value {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }
}
