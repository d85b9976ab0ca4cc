//! The client of other services, against small servers on loopback.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Redirect;
use axum::routing::get;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::Client;
use rstest::rstest;
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use sinfonia_service::client::pooled::{AskError, PooledClient};
use sinfonia_service::client::{
    ClientError, ClientSettings, ReadError, build, may_carry_token, read_body, read_bounded,
};
use sinfonia_service::listen::bind;
use sinfonia_service::outbound_guard::{OutboundGuard, RefusedAddress};
use sinfonia_service::path::normalised;
use sinfonia_service::server::{ServerLimits, serve};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use url::Url;

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let address = start();

    let response = plain_client()
        .get(format!("http://{address}/redirect"))
        .send()
        .await
        .unwrap();

    assert_eq!(response.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_service_learns_which_program_asks() {
    let address = start();

    let response = plain_client()
        .get(format!("http://{address}/agent"))
        .send()
        .await
        .unwrap();

    assert_eq!(
        response.text().await.unwrap(),
        concat!("sinfonia-test/", env!("CARGO_PKG_VERSION"))
    );
}

#[rstest]
#[case::at_the_limit("/ten", 10, Some("0123456789"))]
#[case::announced_too_long("/ten", 9, None)]
#[case::endless("/endless", 100_000, None)]
#[tokio::test]
async fn an_answer_is_read_up_to_its_limit(
    #[case] path: &str,
    #[case] most: usize,
    #[case] expected: Option<&str>,
) {
    let address = start();
    let response = plain_client()
        .get(format!("http://{address}{path}"))
        .send()
        .await
        .unwrap();

    let body = read_bounded(response, most).await;

    match expected {
        Some(expected) => assert_eq!(body.unwrap(), expected.as_bytes()),
        None => assert!(matches!(body, Err(ReadError::TooLong(limit)) if limit == most)),
    }
}

#[tokio::test]
async fn a_guarded_client_does_not_connect_inside() {
    let port = start().port();

    let error = build(&guarded())
        .unwrap()
        .get(format!("http://localhost:{port}/ten"))
        .send()
        .await
        .unwrap_err();

    assert!(error.is_connect());
    assert!(is_caused_by_refusal(&error), "{error:?}");
}

#[tokio::test]
async fn a_given_certificate_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (address, ca_file) = start_tls(&folder).await;
    let url = format!("https://localhost:{}/", address.port());

    let trusting = build(&trusting(ca_file))
        .unwrap()
        .get(&url)
        .send()
        .await
        .unwrap();
    let ordinary = plain_client().get(&url).send().await;

    assert_eq!(trusting.text().await.unwrap(), "hello");
    assert!(ordinary.unwrap_err().is_connect());
}

#[rstest]
#[case::redirect("/redirect", StatusCode::SEE_OTHER, "")]
#[case::user_agent("/agent", StatusCode::OK, concat!("sinfonia-test/", env!("CARGO_PKG_VERSION")))]
#[tokio::test]
async fn a_pooled_client_says_who_it_is_and_follows_nothing(
    #[case] path: &str,
    #[case] status: StatusCode,
    #[case] expected: &str,
) {
    let address = start();

    let response = ask(&pooled_client(), format!("http://{address}{path}"))
        .await
        .unwrap();

    assert_eq!(response.status(), status);
    let body = read_body(response.into_body(), 100).await.unwrap();
    assert_eq!(body, expected.as_bytes());
}

#[tokio::test]
async fn a_pooled_client_reads_an_answer_up_to_its_limit() {
    let address = start();
    let answer = async |path: &str| {
        let response = ask(&pooled_client(), format!("http://{address}{path}")).await;
        response.unwrap().into_body()
    };

    let announced = read_body(answer("/ten").await, 9).await;
    let endless = read_body(answer("/endless").await, 100_000).await;

    assert!(matches!(announced, Err(ReadError::TooLong(9))));
    assert!(matches!(endless, Err(ReadError::TooLong(100_000))));
}

#[tokio::test]
async fn a_guarded_pooled_client_does_not_connect_inside() {
    let port = start().port();
    let guarded = PooledClient::new(&guarded()).unwrap();

    let error = ask(&guarded, format!("http://localhost:{port}/ten"))
        .await
        .unwrap_err();

    assert!(matches!(error, AskError::Connect(_)));
    assert!(is_caused_by_refusal(&error), "{error:?}");
}

#[tokio::test]
async fn a_pooled_client_trusts_a_given_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (address, ca_file) = start_tls(&folder).await;
    let url = format!("https://localhost:{}/", address.port());

    let trusting = ask(&PooledClient::new(&trusting(ca_file)).unwrap(), url.clone()).await;
    let ordinary = ask(&pooled_client(), url).await;

    let body = read_body(trusting.unwrap().into_body(), 100).await;
    assert_eq!(body.unwrap(), "hello");
    assert!(matches!(ordinary, Err(AskError::Connect(_))));
}

#[tokio::test]
async fn a_url_that_is_none_is_asked_for_nowhere() {
    let result = ask(&pooled_client(), "http://not a host/".to_owned()).await;

    assert!(matches!(result, Err(AskError::Malformed(_))));
}

#[test]
fn a_file_without_certificates_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.pem");
    std::fs::write(&path, "nothing").unwrap();

    let empty = build(&trusting(path)).unwrap_err();
    let missing = build(&trusting(folder.path().join("missing.pem"))).unwrap_err();

    assert!(
        matches!(empty, ClientError::NoCertificate { .. }),
        "{empty:?}"
    );
    assert!(matches!(missing, ClientError::Read { .. }), "{missing:?}");
}

#[rstest]
#[case::https("https://cloudlet.example/", false, true)]
#[case::http("http://cloudlet.example/", false, false)]
#[case::http_wanted("http://cloudlet.example/", true, true)]
#[case::localhost("http://localhost:5000/", false, true)]
#[case::loopback("http://127.0.0.1:5000/", false, true)]
#[case::loopback_v6("http://[::1]:5000/", false, true)]
#[case::mapped_loopback("http://[::ffff:127.0.0.1]/", false, true)]
#[case::looks_like_localhost("http://localhost.example/", false, false)]
#[case::another_scheme("ftp://localhost/", true, false)]
fn a_token_travels_where_nobody_listens(
    #[case] url: &str,
    #[case] insecure_http: bool,
    #[case] expected: bool,
) {
    assert_eq!(
        may_carry_token(&Url::parse(url).unwrap(), insecure_http),
        expected
    );
}

fn is_caused_by_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| cause.is::<RefusedAddress>())
}

async fn ask(client: &PooledClient, url: String) -> Result<Response<Incoming>, AskError> {
    client.ask(Request::get(url)).await
}

fn guarded() -> ClientSettings {
    ClientSettings {
        guard: Some(OutboundGuard::default()),
        ..ClientSettings::new("sinfonia-test")
    }
}

fn trusting(ca_file: PathBuf) -> ClientSettings {
    ClientSettings {
        ca_file: Some(ca_file),
        ..ClientSettings::new("sinfonia-test")
    }
}

fn pooled_client() -> PooledClient {
    PooledClient::new(&ClientSettings::new("sinfonia-test")).unwrap()
}

fn plain_client() -> Client {
    build(&ClientSettings::new("sinfonia-test")).unwrap()
}

fn start() -> SocketAddr {
    let endless = async || {
        Body::from_stream(stream::repeat_with(|| {
            Ok::<_, std::io::Error>("0123456789")
        }))
    };
    let agent = async |headers: HeaderMap| headers["user-agent"].to_str().unwrap().to_owned();
    let router = Router::new()
        .route("/redirect", get(async || Redirect::to("/ten")))
        .route("/agent", get(agent))
        .route("/ten", get(async || "0123456789"))
        .route("/endless", get(endless));
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(
        listener,
        normalised(router),
        ServerLimits::default(),
        std::future::pending(),
    ));
    address
}

/// Answers each connection with `hello` over TLS; the certificate is in the file returned.
async fn start_tls(folder: &TempDir) -> (SocketAddr, PathBuf) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, cert.pem()).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("localhost:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust the certificate ends the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 4096];
            assert_ne!(stream.read(&mut request).await.unwrap(), 0);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (address, path)
}
