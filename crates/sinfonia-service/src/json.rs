//! JSON bodies, in and out.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// A JSON body.
///
/// As an answer its type is exactly `application/json`, because existing clients compare it. As an extractor it reads the body whatever
/// `Content-Type` says, because existing clients send others or none; what it refuses is a [`Problem`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => (
                [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
                bytes,
            )
                .into_response(),
            Err(error) => {
                tracing::error!(%error, "answer does not serialise");
                Problem::internal("the answer could not be written").into_response()
            }
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| unread(&rejection))?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Problem::bad_request(format_args!(
                "the body is not the JSON expected here: {error}"
            ))
        })
    }
}

fn unread(rejection: &BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::payload_too_large("the body is longer than this service takes")
        }
        _ => Problem::bad_request("the body could not be read to its end"),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::DefaultBodyLimit;
    use axum::{Router, routing::post};
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_body_is_json_whatever_its_content_type_says() {
        let request = Request::post("/")
            .header(CONTENT_TYPE, "text/plain")
            .body(Body::from(r#"{"a": 1}"#))
            .unwrap();

        let response = echo().oneshot(request).await.unwrap();

        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(body_of(response).await, json!({"a": 1}));
    }

    #[tokio::test]
    async fn a_body_that_is_no_json_is_a_problem_that_says_where() {
        let request = Request::post("/")
            .body(Body::from("{\"a\": nonsense}"))
            .unwrap();

        let response = echo().oneshot(request).await.unwrap();

        let expected = json!({
            "type": "about:blank",
            "title": "Bad Request",
            "status": 400,
            "detail": "the body is not the JSON expected here: expected ident at line 1 column 8",
        });
        assert_eq!(body_of(response).await, expected);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused() {
        let request = Request::post("/")
            .body(Body::from("[1, 2, 3, 4, 5, 6, 7, 8]"))
            .unwrap();

        let response = echo()
            .layer(DefaultBodyLimit::max(8))
            .oneshot(request)
            .await
            .unwrap();

        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    }

    fn echo() -> Router {
        Router::new().route("/", post(async |Json(value): Json<Value>| Json(value)))
    }

    async fn body_of(response: Response) -> Value {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }
}
