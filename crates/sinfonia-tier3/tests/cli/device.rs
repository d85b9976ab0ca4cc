//! A device with a home of its own, and the Tier 1 that it asks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin;
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::{any, method, path, query_param};
use wiremock::{Mock, MockBuilder, MockServer, Request, ResponseTemplate};

/// The device's key pair for every application, as the cache holds it.
pub(crate) const PUBLIC_KEY: &str = "QROKEJzmRbhtdJleQSlp1HgZi1Tm6HcTgAtO8Q38Vhw=";
pub(crate) const PRIVATE_KEY: &str = "QAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8=";

pub(crate) const HELLOWORLD: &str = "00000000-0000-0000-0000-000000000000";
pub(crate) const CLOUDLET: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

/// How the key travels in a path.
pub(crate) const URL_SAFE_KEY: &str = "QROKEJzmRbhtdJleQSlp1HgZi1Tm6HcTgAtO8Q38Vhw";

pub(crate) struct Device {
    home: TempDir,
    pub(crate) tier1: MockServer,
}

impl Device {
    /// A device with a key for helloworld.
    pub(crate) async fn new() -> Self {
        Self::without_keys().await.with_key()
    }

    /// The same with a Tier 1 of its own, which other tests do not get after it.
    pub(crate) fn asking(tier1: MockServer) -> Self {
        let home = TempDir::new().unwrap();
        Self { home, tier1 }.with_key()
    }

    fn with_key(self) -> Self {
        let device = self;
        let entry = device.key_entry();
        fs::create_dir_all(entry.parent().unwrap()).unwrap();
        fs::write(
            &entry,
            format!("private_key: {PRIVATE_KEY}\npublic_key: {PUBLIC_KEY}\n"),
        )
        .unwrap();
        device
    }

    pub(crate) async fn without_keys() -> Self {
        Self {
            home: TempDir::new().unwrap(),
            tier1: MockServer::start().await,
        }
    }

    /// Where the key for helloworld is.
    pub(crate) fn key_entry(&self) -> PathBuf {
        self.home.path().join("caches/sinfonia").join(HELLOWORLD)
    }

    /// The folder in which commands run.
    pub(crate) fn folder(&self) -> &Path {
        self.home.path()
    }

    /// The program with these arguments, Tier 1's URL in the environment and nothing else there.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(cargo_bin!("sinfonia-tier3"));
        command
            .env_clear()
            .env("XDG_CACHE_HOME", self.home.path().join("caches"))
            .env("SINFONIA_TIER1_URL", self.tier1.uri())
            .current_dir(self.folder())
            .args(line.split_whitespace());
        command
    }

    /// Runs the program and tells what a user would see.
    pub(crate) fn run(&self, line: &str) -> String {
        let output = self.command(line).output().unwrap();
        self.told(&output)
    }

    /// What a user sees of a run, without what differs from run to run.
    pub(crate) fn told(&self, output: &Output) -> String {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let shown = format!(
            "exit {}\n-- stdout\n{}-- stderr\n{}",
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr),
        );
        shown
            .replace(&self.tier1.uri(), "http://tier1")
            .replace(&self.tier1.address().to_string(), "tier1")
            .replace(self.home.path().to_str().unwrap(), "$HOME")
    }

    /// What the device asked, as `METHOD path?query`.
    pub(crate) async fn asked(&self) -> Vec<String> {
        let requests = self.tier1.received_requests().await.unwrap();
        requests.iter().map(line_of).collect()
    }

    /// A header of the first request.
    pub(crate) async fn header(&self, name: &str) -> Option<String> {
        let requests = self.tier1.received_requests().await.unwrap();
        let value = requests.first()?.headers.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    }

    /// Answers deploy requests.
    pub(crate) async fn deploys(&self, answer: ResponseTemplate) {
        on_deploy("POST")
            .respond_with(answer)
            .mount(&self.tier1)
            .await;
    }

    /// Answers requests that do not want this cloudlet; to be said before what answers the others.
    pub(crate) async fn deploys_elsewhere(&self, than: &str, answer: ResponseTemplate) {
        on_deploy("POST")
            .and(query_param("exclude", than))
            .respond_with(answer)
            .mount(&self.tier1)
            .await;
    }

    /// Answers requests that want this cloudlet alone; to be said before what answers the others.
    pub(crate) async fn deploys_there(&self, cloudlet: &str, answer: ResponseTemplate) {
        on_deploy("POST")
            .and(query_param("cloudlet", cloudlet))
            .respond_with(answer)
            .mount(&self.tier1)
            .await;
    }

    /// Answers questions about candidates.
    pub(crate) async fn lists(&self, answer: ResponseTemplate) {
        on_deploy("GET")
            .respond_with(answer)
            .mount(&self.tier1)
            .await;
    }

    /// Answers questions why candidates are chosen.
    pub(crate) async fn explains(&self, answer: ResponseTemplate) {
        Mock::given(method("GET"))
            .and(path("/api/v1/explain"))
            .respond_with(answer)
            .mount(&self.tier1)
            .await;
    }

    /// Answers the next question about the deployment, and further ones where no later answer is left.
    pub(crate) async fn tells(&self, answer: ResponseTemplate) {
        on_deployment("GET")
            .respond_with(answer)
            .mount(&self.tier1)
            .await;
    }

    /// Answers the next question about the deployment, and no other.
    pub(crate) async fn tells_once(&self, answer: ResponseTemplate) {
        on_deployment("GET")
            .respond_with(answer)
            .up_to_n_times(1)
            .mount(&self.tier1)
            .await;
    }

    /// Answers everything as our services answer paths that they do not serve.
    pub(crate) async fn knows_no_path(&self) {
        let problem = json!({"type": "about:blank", "title": "Not Found", "status": 404, "request_id": "r-1"});
        let answer = ResponseTemplate::new(404)
            .set_body_raw(problem.to_string(), "application/problem+json");
        Mock::given(any())
            .respond_with(answer)
            .mount(&self.tier1)
            .await;
    }

    /// Answers requests for deletion.
    pub(crate) async fn deletes(&self, answer: ResponseTemplate) {
        on_deployment("DELETE")
            .respond_with(answer)
            .mount(&self.tier1)
            .await;
    }
}

/// The bits of a file's mode that say who may do what.
pub(crate) fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

pub(crate) fn answer(value: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(value)
}

/// A problem document as our services answer it.
pub(crate) fn problem(status: u16, detail: &str) -> ResponseTemplate {
    of_class(status, detail, None)
}

/// A problem document of a class.
pub(crate) fn of_class(status: u16, detail: &str, class: Option<&str>) -> ResponseTemplate {
    let mut problem = json!({"type": "about:blank", "title": "Title", "status": status, "detail": detail, "request_id": "r-1"});
    if let Some(class) = class {
        problem["class"] = class.into();
    }
    ResponseTemplate::new(status).set_body_raw(problem.to_string(), "application/problem+json")
}

/// A deployment that runs.
pub(crate) fn ready() -> Value {
    json!({
        "DeploymentName": "brave-otter-x7k2p",
        "UUID": HELLOWORLD,
        "ApplicationKey": PUBLIC_KEY,
        "Status": "Deployed",
        "Created": "2026-11-22T15:09:00+00:00",
        "TunnelConfig": {
            "publicKey": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
            "allowedIPs": ["0.0.0.0/0"],
            "endpoint": "203.0.113.7:51820",
            "address": ["10.5.17.4"],
            "dns": ["10.43.0.10", "brave-otter-x7k2p.svc.cluster.local", "svc.cluster.local"],
        },
        "Ready": true,
        "Expires": "2099-01-01T00:00:00+00:00",
        "Cloudlet": {"uuid": CLOUDLET, "name": "Pittsburgh", "endpoint": "http://cloudlet:5000/api/v1/deploy"},
    })
}

/// The same deployment before it runs.
pub(crate) fn starting() -> Value {
    let mut deployment = ready();
    deployment["Status"] = "Initializing".into();
    deployment["Ready"] = false.into();
    deployment["Message"] = "waiting for 1 of 2 Pods".into();
    deployment
}

/// A deployment without these fields.
pub(crate) fn without(mut deployment: Value, fields: &[&str]) -> Value {
    for field in fields {
        deployment.as_object_mut().unwrap().remove(*field);
    }
    deployment
}

fn on_deploy(verb: &str) -> MockBuilder {
    let place = format!("/api/v1/deploy/{HELLOWORLD}/{URL_SAFE_KEY}");
    Mock::given(method(verb)).and(path(place))
}

fn on_deployment(verb: &str) -> MockBuilder {
    let place = format!("/api/v1/deployments/{HELLOWORLD}/{URL_SAFE_KEY}");
    Mock::given(method(verb)).and(path(place))
}

fn line_of(request: &Request) -> String {
    let query = request.url.query().map(|query| format!("?{query}"));
    format!(
        "{} {}{}",
        request.method,
        request.url.path(),
        query.unwrap_or_default()
    )
}
