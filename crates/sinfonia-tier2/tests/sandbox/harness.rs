//! A Tier 2 under test, and how to ask it.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sinfonia_core::key::PublicKey;
use sinfonia_service::client::{self, ClientSettings};
use sinfonia_service::path::App;
use sinfonia_service::recipes::RecipeRepository;
use sinfonia_service::settings::try_parse_from;
use sinfonia_service::shutdown::CancellationToken;
use sinfonia_tier2::clock::Clock;
use sinfonia_tier2::service::{Ground, Service};
use sinfonia_tier2::settings::Settings;
use tempfile::TempDir;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::troubled_cluster::TroubledCluster;

/// The recipe that most tests deploy.
pub(crate) const HELLOWORLD: &str = "00000000-0000-0000-0000-000000000000";
/// Another recipe of the repository.
pub(crate) const OTHER: &str = "00000000-0000-0000-0000-000000000001";
/// The device that asks where a test says nothing else; no proxy that is trusted.
pub(crate) const DEVICE: &str = "192.0.2.7";

/// A Tier 2 on a troubled cluster.
pub(crate) struct Tier2 {
    pub(crate) cluster: Arc<TroubledCluster>,
    pub(crate) stopping: CancellationToken,
    pub(crate) folder: TempDir,
    service: Service,
}

/// A request to be sent.
pub(crate) struct Ask {
    app: App,
    method: Method,
    path: String,
    peer: SocketAddr,
    headers: HeaderMap,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Tier2 {
    /// One with the settings' defaults.
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// One with these options. `FOLDER` in one stands for a folder of the test's own.
    pub(crate) async fn with(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_recipes(&folder);
        Self::in_folder(folder, options).await
    }

    /// One with these options and this folder.
    pub(crate) async fn in_folder(folder: TempDir, options: &[&str]) -> Self {
        let settings = settings(&folder, options);
        let network = settings.tunnel.client_network.to_string();
        let cluster = Arc::new(TroubledCluster::new(&network));
        let stopping = CancellationToken::new();
        let client = client::build(&ClientSettings::new("tests")).unwrap();
        let recipes = RecipeRepository::new(settings.cluster.recipes.clone(), client.clone());
        let ground = Ground::in_memory(Arc::clone(&cluster) as _, recipes, client);
        let service = Service::start(&settings, ground, clock(), stopping.clone())
            .await
            .unwrap();
        Self {
            cluster,
            stopping,
            folder,
            service,
        }
    }

    /// `POST` for helloworld and a key.
    pub(crate) fn post(&self, key: u8) -> Ask {
        self.ask(Method::POST, &deployment(HELLOWORLD, key))
    }

    /// `GET` for helloworld and a key.
    pub(crate) fn get(&self, key: u8) -> Ask {
        self.ask(Method::GET, &deployment(HELLOWORLD, key))
    }

    /// `DELETE` for helloworld and a key.
    pub(crate) fn delete(&self, key: u8) -> Ask {
        self.ask(Method::DELETE, &deployment(HELLOWORLD, key))
    }

    /// Any request.
    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask {
        Ask {
            app: self.service.app(),
            method,
            path: path.to_owned(),
            peer: peer(DEVICE),
            headers: HeaderMap::new(),
        }
    }

    /// A request to the admin port.
    pub(crate) fn admin(&self, path: &str) -> Ask {
        Ask {
            app: self.service.admin(),
            ..self.ask(Method::GET, path)
        }
    }
}

impl Ask {
    /// Comes from this address.
    pub(crate) fn from(mut self, address: &str) -> Self {
        self.peer = peer(address);
        self
    }

    /// Has this header.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    /// Shows this token.
    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Sends it and waits for the answer.
    pub(crate) async fn answer(self) -> Answer {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .body(Body::empty())
            .unwrap();
        *request.headers_mut() = self.headers;
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let response = self.app.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }

    /// Sends it, and asserts that it is granted; gives the deployment or whatever else is answered.
    pub(crate) async fn granted(self) -> Value {
        let answer = self.answer().await;
        assert!(answer.status.is_success(), "{answer:?}");
        match answer.body {
            Value::Array(mut list) if list.len() == 1 => list.remove(0),
            body => body,
        }
    }

    /// Sends it, and gives the status alone.
    pub(crate) async fn status(self) -> StatusCode {
        self.answer().await.status
    }
}

impl Answer {
    /// Seconds after which another try is welcome.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.headers.get("retry-after")?.to_str().ok()?.parse().ok()
    }

    /// Status, class and detail of a problem.
    pub(crate) fn problem(&self) -> (u16, Option<&str>, &str) {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let class = self.body["class"].as_str();
        let detail = self.body["detail"].as_str().unwrap_or_default();
        (self.status.as_u16(), class, detail)
    }
}

/// The settings of a sandbox with recipes in this folder.
pub(crate) fn settings(folder: &TempDir, options: &[&str]) -> Settings {
    let path = folder.path().to_str().unwrap();
    let recipes = format!("{path}/recipes");
    let fixed = [
        "sinfonia-tier2",
        "--cluster",
        "sandbox",
        "--tunnel-listen",
        "127.0.0.1:0",
        "--recipes",
        &recipes,
    ];
    let options = options.iter().map(|option| option.replace("FOLDER", path));
    let arguments = fixed
        .iter()
        .map(ToString::to_string)
        .chain(options)
        .map(OsString::from);
    try_parse_from(arguments, |_| None).unwrap()
}

/// Writes the recipes helloworld and another.
pub(crate) fn write_recipes(folder: &TempDir) {
    let recipes = folder.path().join("recipes");
    fs::create_dir_all(&recipes).unwrap();
    for uuid in [HELLOWORLD, OTHER] {
        let path = recipes.join(format!("{uuid}.yaml"));
        fs::write(path, "chart: helloworld\nversion: 0.1.0\n").unwrap();
    }
}

/// The path of a deployment.
pub(crate) fn deployment(recipe: &str, key: u8) -> String {
    let key = PublicKey::from_bytes([key; 32]).url_safe();
    format!("/api/v1/deploy/{recipe}/{key}")
}

/// Lets this much time pass; what runs beside the test gets its turn meanwhile.
pub(crate) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Whole seconds that something took.
pub(crate) async fn seconds_of<T>(work: impl Future<Output = T>) -> (u64, T) {
    let start = Instant::now();
    let result = work.await;
    (start.elapsed().as_secs(), result)
}

/// A clock that goes as tokio's does, from a fixed time on.
fn clock() -> Clock {
    let start = Instant::now();
    let beginning: Timestamp = "2026-11-22T15:09:00Z".parse().unwrap();
    Clock::of(move || beginning + SignedDuration::try_from(start.elapsed()).unwrap())
}

fn peer(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), 4711)
}
