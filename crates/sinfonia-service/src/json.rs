//! JSON bodies, in and out.

use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Bytes of a piece of a long list, more or less: few enough to be written while others wait.
const PIECE_BYTES: usize = 32 * 1024;

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

/// A list as a JSON body that is written while it is sent, so that a long one is never in memory as a whole. A short one is sent at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonList<I>(pub I);

impl<I> IntoResponse for JsonList<I>
where
    I: IntoIterator<Item: Serialize, IntoIter: Send + 'static>,
{
    fn into_response(self) -> Response {
        let mut pieces = Pieces {
            items: self.0.into_iter(),
            state: State::First,
        };
        let first = pieces.next();
        let body = match (first, pieces.state) {
            (Some(Ok(all)), State::Done) => Body::from(all),
            (first, _) => Body::from_stream(stream::iter(first.into_iter().chain(pieces))),
        };
        let json = HeaderValue::from_static("application/json");
        ([(CONTENT_TYPE, json)], body).into_response()
    }
}

/// A list, piece by piece.
struct Pieces<I> {
    items: I,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was written yet.
    First,
    /// Items were written, others may follow.
    Next,
    Done,
}

impl<I: Iterator<Item: Serialize>> Iterator for Pieces<I> {
    type Item = Result<Bytes, serde_json::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Done {
            return None;
        }
        let mut piece = Vec::new();
        let written = self.write(&mut piece);
        if let Err(error) = written {
            tracing::error!(%error, "answer does not serialise");
            self.state = State::Done;
            return Some(Err(error));
        }
        Some(Ok(piece.into()))
    }
}

impl<I: Iterator<Item: Serialize>> Pieces<I> {
    fn write(&mut self, piece: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        while piece.len() < PIECE_BYTES {
            let begin = if self.state == State::First {
                b'['
            } else {
                b','
            };
            let Some(item) = self.items.next() else {
                if self.state == State::First {
                    piece.push(begin);
                }
                piece.push(b']');
                self.state = State::Done;
                return Ok(());
            };
            piece.push(begin);
            serde_json::to_writer(&mut *piece, &item)?;
            self.state = State::Next;
        }
        Ok(())
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        parse(&body_of(request).await?).map(Self)
    }
}

/// Reads the body of a request, as [`Json`] does.
///
/// # Errors
/// 413: it is too long. 400: it breaks off.
pub async fn body_of(request: Request) -> Result<Bytes, Problem> {
    let body = Bytes::from_request(request, &()).await;
    body.map_err(|rejection| unread(&rejection))
}

/// Reads JSON, as [`Json`] does.
///
/// # Errors
/// 400: it is malformed, or something else than is expected.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::bad_request(format_args!(
            "the body is not the JSON expected here: {error}"
        ))
    })
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
    use axum::body::HttpBody;
    use axum::extract::DefaultBodyLimit;
    use axum::{Router, routing::post};
    use http_body_util::BodyExt;
    use rstest::rstest;
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

    #[rstest]
    #[case::none(0)]
    #[case::one(1)]
    #[case::few(10)]
    #[case::many(10_000)]
    #[tokio::test]
    async fn a_list_is_the_same_whether_it_is_sent_at_once_or_in_pieces(#[case] length: usize) {
        let items = vec!["item"; length];

        let response = JsonList(items.clone()).into_response();

        let is_whole = response.body().size_hint().exact().is_some();
        assert_eq!(is_whole, length < 1000);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(body_of(response).await, json!(items));
    }

    #[tokio::test]
    async fn a_list_that_cannot_be_written_to_its_end_breaks_off() {
        let items = (0..100_000).map(|number| Failing(number == 99_999));

        let body = JsonList(items).into_response().into_body();

        assert!(body.collect().await.is_err());
    }

    struct Failing(bool);

    impl Serialize for Failing {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0 {
                return Err(serde::ser::Error::custom("no"));
            }
            serializer.serialize_bool(true)
        }
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
