//! The part of a path that names a deployment: `{uuid}/{application_key}`.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use sinfonia_core::key::PublicKey;
use uuid::Uuid;

use crate::problem::Problem;

/// Application and device of one deployment, taken from a route that ends in `/{uuid}/{*application_key}`.
///
/// The uuid is taken in each of its usual spellings. The key may hold its `+`, `/` and `=` as they are or percent-encoded, and may start
/// with a slash. What is malformed is answered with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeployPath {
    /// The recipe's identity.
    pub uuid: Uuid,
    /// The device's WireGuard key.
    pub key: PublicKey,
}

impl<S: Send + Sync> FromRequestParts<S> for DeployPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((uuid, key)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|_| {
                Problem::bad_request("the path does not name a uuid and an application key")
            })?;
        let uuid = parse_uuid(&uuid)?;
        let key = key
            .parse()
            .map_err(|error| Problem::bad_request(format_args!("application key: {error}")))?;
        Ok(Self { uuid, key })
    }
}

/// Reads a uuid in each of its usual spellings: hyphenated or not, in braces, as a URN, in either case.
///
/// # Errors
/// A problem of status 400 that repeats what was there, made printable and cut short.
pub fn parse_uuid(text: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(text).map_err(|_| {
        let shown: String = text.escape_default().take(48).collect();
        Problem::bad_request(format_args!("`{shown}` is not a uuid"))
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::{Router, routing::get};
    use http::{Request, StatusCode};
    use http_body_util::BodyExt;
    use proptest::prelude::*;
    use rstest::rstest;
    use tower::ServiceExt;

    use super::*;
    use crate::path::{App, normalised};

    const UUID: &str = "00112233-4455-6677-8899-aabbccddeeff";

    #[rstest]
    #[case::standard("+/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=")]
    #[case::standard_without_padding("+/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8")]
    #[case::url_safe("-_v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8")]
    #[case::percent_encoded("%2B%2fv7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8%3D")]
    #[case::trailing_slash("+/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8/")]
    #[case::padding_and_trailing_slash("+/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=/")]
    #[case::hex("fbfbfb0c667b819952d929a1b52bd81c580f5f8c6868bdae48e4da38d677667f")]
    #[tokio::test]
    async fn a_key_is_taken_in_every_spelling(#[case] spelling: &str) {
        let answer = ask(&format!("/api/v1/deploy/{UUID}/{spelling}")).await;

        assert_eq!(
            answer,
            (
                StatusCode::OK,
                format!("{UUID} +/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=")
            )
        );
    }

    #[rstest]
    #[case::one_slash("/bv7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=")]
    #[case::two_slashes("//v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=")]
    #[case::slashes_within("AA//DGZ7gZlS2Smh//vYHFgPX4xoaL2uSOTaONZ3Zn8=")]
    #[tokio::test]
    async fn a_key_may_start_with_and_hold_slashes(#[case] key: &str) {
        let answer = ask(&format!("//api/v1/deploy/{UUID}/{key}")).await;

        assert_eq!(answer, (StatusCode::OK, format!("{UUID} {key}")));
    }

    #[rstest]
    #[case::simple("00112233445566778899AABBCCDDEEFF")]
    #[case::braced("%7B00112233-4455-6677-8899-aabbccddeeff%7D")]
    #[case::urn("urn:uuid:00112233-4455-6677-8899-aabbccddeeff")]
    #[tokio::test]
    async fn a_uuid_is_taken_in_every_spelling(#[case] spelling: &str) {
        let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

        let answer = ask(&format!("/api/v1/deploy/{spelling}/{key}")).await;

        assert_eq!(answer, (StatusCode::OK, format!("{UUID} {key}")));
    }

    #[rstest]
    #[case::uuid(
        "nonsense/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "`nonsense` is not a uuid"
    )]
    #[case::key(
        "00112233-4455-6677-8899-aabbccddeeff/short",
        "application key: a WireGuard key has 43 base64 characters, 44 with padding, or 64 hex digits; this one has 5"
    )]
    #[case::no_text("%ff/AAAA", "the path does not name a uuid and an application key")]
    #[tokio::test]
    async fn what_is_malformed_is_named(#[case] path: &str, #[case] expected: &str) {
        let (status, body) = ask(&format!("/api/v1/deploy/{path}")).await;

        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(problem["detail"], expected);
    }

    proptest! {
        #[test]
        fn every_key_comes_through_unescaped(bytes: [u8; 32]) {
            let key = PublicKey::from_bytes(bytes);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

            let unpadded = key.to_string().trim_end_matches('=').to_owned();
            let answer = runtime.block_on(ask(&format!("/api/v1/deploy/{UUID}/{unpadded}/")));

            prop_assert_eq!(answer, (StatusCode::OK, format!("{UUID} {key}")));
        }
    }

    async fn ask(uri: &str) -> (StatusCode, String) {
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let response = app().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    fn app() -> App {
        let handler = async |path: DeployPath| format!("{} {}", path.uuid, path.key);
        normalised(Router::new().route("/api/v1/deploy/{uuid}/{*application_key}", get(handler)))
    }
}
