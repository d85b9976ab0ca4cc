//! Stand-ins for Tier 2, which note what they are asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

/// The key that the stand-ins answer with; a real Tier 2 would repeat the client's.
const KEY: &str = "+/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=";
/// Longest wait for something that is due.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a stand-in does with a deploy request.
#[derive(Clone)]
pub(crate) enum Does {
    /// Answers like a Tier 2 that has deployed.
    Deploys,
    /// Answers this.
    Answers(StatusCode, Vec<(&'static str, &'static str)>, Vec<u8>),
    /// Answers only after a long time.
    Hangs,
    /// Does so whatever it is asked, where others hang with deploy requests alone.
    HangsAlways,
}

/// A request that a stand-in was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A Tier 2 that does as it is told. It stops with the test.
#[derive(Clone)]
pub(crate) struct FakeTier2 {
    pub(crate) address: SocketAddr,
    does: Arc<Mutex<Does>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Does {
    /// Answers with this status and a problem document.
    pub(crate) fn refuses(status: u16, problem: &Value) -> Self {
        let headers = vec![("content-type", "application/problem+json")];
        let status = StatusCode::from_u16(status).unwrap();
        Self::Answers(status, headers, problem.to_string().into_bytes())
    }

    /// Answers 200 with this body.
    pub(crate) fn says(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self::Answers(
            StatusCode::OK,
            vec![("content-type", content_type)],
            body.into(),
        )
    }
}

impl FakeTier2 {
    pub(crate) async fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap(),
            does: Arc::new(Mutex::new(does)),
            asked: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    /// From now on it does something else.
    pub(crate) fn now(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    pub(crate) fn endpoint(&self) -> String {
        endpoint(self.address)
    }

    /// What it was asked by this method so far.
    pub(crate) fn asked(&self, method: &Method) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|asked| asked.method == method)
            .cloned()
            .collect()
    }

    /// Waits until it was asked by this method.
    pub(crate) async fn is_asked(&self, method: &Method) -> Asked {
        let asked = self.is_asked_times(method, 1).await;
        asked.into_iter().next().unwrap()
    }

    /// Waits until it was asked so many times by this method.
    pub(crate) async fn is_asked_times(&self, method: &Method, times: usize) -> Vec<Asked> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let asked = self.asked(method);
            if asked.len() >= times {
                return asked;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "nobody asked {method}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// An address where each connection is reset after the request.
pub(crate) async fn resetting() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.set_zero_linger();
        }
    });
    address
}

pub(crate) fn endpoint(address: SocketAddr) -> String {
    format!("http://{address}/api/v1/deploy")
}

/// A deployment as a Tier 2 tells it.
pub(crate) fn deployment() -> Value {
    json!({
        "DeploymentName": "brave-otter-x7k2p",
        "UUID": "00000000-0000-0000-0000-000000000000",
        "ApplicationKey": KEY,
        "Status": "Deployed",
        "Created": "2026-11-22T15:09:00+00:00",
        "TunnelConfig": {
            "publicKey": "//////////////////////////////////////////8=",
            "allowedIPs": ["0.0.0.0/0"],
            "endpoint": "203.0.113.7:51820",
            "address": ["10.5.17.4"],
            "dns": ["10.43.0.10", "svc.cluster.local"],
        },
    })
}

async fn answer(State(fake): State<FakeTier2>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let asked = Asked {
        method: parts.method.clone(),
        uri: parts.uri.to_string(),
        headers: parts.headers,
        body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
    };
    fake.asked.lock().unwrap().push(asked);
    let does = fake.does.lock().unwrap().clone();
    match (does, parts.method) {
        (Does::Hangs, Method::POST) | (Does::HangsAlways, _) => {
            tokio::time::sleep(Duration::from_secs(120)).await;
            StatusCode::OK.into_response()
        }
        (Does::Deploys | Does::Hangs, Method::DELETE) => StatusCode::NO_CONTENT.into_response(),
        (Does::Deploys | Does::Hangs, Method::GET) => axum::Json(deployment()).into_response(),
        (Does::Deploys, _) => axum::Json(json!([deployment()])).into_response(),
        (Does::Hangs, _) => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        (Does::Answers(status, headers, body), _) => {
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
    }
}
