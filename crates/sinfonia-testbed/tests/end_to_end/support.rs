//! What the scenarios are made of: a folder, programs, an HTTP client, and patience.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use sinfonia_core::key::PublicKey;
use sinfonia_service::client::{ClientSettings, build};
use sinfonia_testbed::{Binaries, ReservedPort, Service, ServiceError, TestFolder, command};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

/// The recipe that every repository of the tests has.
pub(super) const HELLOWORLD: &str = "00000000-0000-0000-0000-000000000000";
/// An application whose recipe nobody may read.
pub(super) const RESTRICTED: &str = "00000000-0000-0000-0000-000000000001";
/// Yet another application.
pub(super) const OTHER: &str = "00000000-0000-0000-0000-000000000002";
/// A recipe that no repository has.
pub(super) const UNKNOWN: &str = "00000000-0000-0000-0000-0000000000ff";
/// Where the device is, as a header says it, and two places that are near to and far from it, as a cloudlet file says them.
pub(super) const DEVICE: &str = "40.4406,-79.9959";
pub(super) const NEAR: &str = "[40.4439, -79.9444]";
pub(super) const FAR: &str = "[48.8566, 2.3522]";
/// What lets a Tier 1 connect to cloudlets on loopback that only a report names.
pub(super) const ALLOW_LOOPBACK: [&str; 2] = ["--allow-endpoints", "127.0.0.0/8"];

/// The test's own repository: its folder and its recipes.
const REPOSITORY: &str = "recipes";
const RECIPES: [(&str, &str); 3] = [
    (
        HELLOWORLD,
        "chart: charts/helloworld\nversion: 0.1.0\ndescription: Says hello\nrestricted: false\n",
    ),
    (RESTRICTED, "chart: charts/secret\nversion: 0.1.0\n"),
    (
        OTHER,
        "chart: charts/other\nversion: 2.0.0\nrestricted: false\nvalues: {replicas: 2}\n",
    ),
];

/// How long a test waits for something that has to happen, before it fails.
const PATIENCE: Duration = Duration::from_secs(40);
/// Time between two looks at whether it has happened.
const POLL: Duration = Duration::from_millis(50);

/// A test's own corner: its files and logs, its programs, its HTTP client.
pub(super) struct World {
    folder: TestFolder,
    binaries: Binaries,
    http: Client,
}

/// An answer, read completely.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

/// What a program that has ended left behind.
#[derive(Debug)]
pub(super) struct Ran {
    /// What it exited with; -1 when a signal ended it.
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl World {
    pub(super) fn new() -> Self {
        let binaries = Binaries::of_this_build().unwrap_or_else(|missing| panic!("{missing}"));
        let folder = TestFolder::new().unwrap();
        fs::create_dir(folder.path().join(REPOSITORY)).unwrap();
        for (uuid, recipe) in RECIPES {
            let file = format!("{REPOSITORY}/{uuid}.yaml");
            fs::write(folder.path().join(file), recipe).unwrap();
        }
        Self {
            folder,
            binaries,
            http: build(&ClientSettings::new("end-to-end-test")).unwrap(),
        }
    }

    /// Starts a Tier 1 with this cloudlet file and the test's own repository.
    pub(super) async fn tier1(&self, cloudlets: &str, options: &[&str]) -> Service {
        let file = self.write("cloudlets.yaml", cloudlets);
        let mut command = command(&self.binaries.tier1);
        command.arg("--cloudlets").arg(file).args(options);
        self.start(None, "tier1", self.with_recipes(command, options))
            .await
    }

    /// Starts a Tier 1 that knows no cloudlet until one reports.
    pub(super) async fn tier1_without_cloudlets(&self, options: &[&str]) -> Service {
        self.tier1_on(None, options).await
    }

    /// Starts a Tier 1 that knows no cloudlet until one reports, on a port that was reserved.
    pub(super) async fn tier1_on(&self, port: Option<&ReservedPort>, options: &[&str]) -> Service {
        let mut command = command(&self.binaries.tier1);
        command.args(options);
        let command = self.with_recipes(command, options);
        self.start(port, "tier1", command).await
    }

    /// Starts a sandboxed Tier 2 with the test's own repository.
    pub(super) async fn tier2(&self, name: &str, options: &[&str]) -> Service {
        self.start(None, name, self.sandbox(options)).await
    }

    /// Starts a sandboxed Tier 2 on a port that was reserved.
    pub(super) async fn tier2_on(
        &self,
        port: &ReservedPort,
        name: &str,
        options: &[&str],
    ) -> Service {
        self.start(Some(port), name, self.sandbox(options)).await
    }

    /// Runs `sinfonia-tier3` in the test's folder, with a key cache there.
    pub(super) async fn tier3(&self, arguments: &[&str]) -> Ran {
        let mut command = command(&self.binaries.tier3);
        command
            .args(arguments)
            .current_dir(self.path())
            .env("XDG_CACHE_HOME", self.path().join("cache"));
        run(command).await
    }

    /// The folder of this test.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The programs.
    pub(super) const fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Writes a file into the test's folder, at once, so that nobody reads half of it.
    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &path).unwrap();
        path
    }

    /// Writes a file into the test's folder, and gives its path as an option takes it.
    pub(super) fn file(&self, name: &str, text: &str) -> String {
        self.write(name, text).to_str().unwrap().to_owned()
    }

    /// A request to send with [`send`].
    pub(super) fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url).timeout(PATIENCE)
    }

    /// Asks for something.
    pub(super) async fn get(&self, url: &str) -> Answer {
        send(self.request(Method::GET, url)).await
    }

    /// A request for a helloworld for the device of this key, which it makes from [`DEVICE`].
    pub(super) fn deploying(&self, tier1: &Service, key: &PublicKey) -> RequestBuilder {
        self.request(Method::POST, &deploy_url(&tier1.url(), key))
            .header("x-location", DEVICE)
    }

    /// Asks for a helloworld as [`World::deploying`] says.
    pub(super) async fn deploy(&self, tier1: &Service, key: &PublicKey) -> Answer {
        send(self.deploying(tier1, key)).await
    }

    /// Whether a Tier 2 itself says that it has a helloworld for this key.
    pub(super) async fn has_deployment(&self, tier2: &Service, key: &PublicKey) -> bool {
        let answer = self.get(&deploy_url(&tier2.url(), key)).await;
        answer.status == 200
    }

    /// The names of the cloudlets that Tier 1 knows, sorted.
    pub(super) async fn known_cloudlets(&self, tier1: &Service) -> Vec<String> {
        let answer = self
            .get(&format!("{}/api/v1/cloudlets/", tier1.url()))
            .await;
        let known = answer.json();
        let name = |cloudlet: &Value| cloudlet["name"].as_str().unwrap_or_default().to_owned();
        let mut names: Vec<String> = known.as_array().unwrap().iter().map(name).collect();
        names.sort();
        names
    }

    fn sandbox(&self, options: &[&str]) -> Command {
        let mut command = command(&self.binaries.tier2);
        command
            .args(["--cluster", "sandbox", "--tunnel-listen", "127.0.0.1:0"])
            .args(options);
        self.with_recipes(command, options)
    }

    /// Adds the test's own repository unless the options name another one.
    pub(super) fn with_recipes(&self, mut command: Command, options: &[&str]) -> Command {
        if !options.contains(&"--recipes") {
            command.arg("--recipes").arg(self.path().join(REPOSITORY));
        }
        command
    }

    /// Starts a program of ours, on a port that was reserved or a free one.
    pub(super) async fn start(
        &self,
        port: Option<&ReservedPort>,
        name: &str,
        command: Command,
    ) -> Service {
        let (name, folder) = (name.to_owned(), self.path().to_owned());
        let port = port.map_or(0, ReservedPort::number);
        let starting = spawn_blocking(move || Service::start_on(port, &name, command, &folder));
        told(starting.await.unwrap())
    }
}

impl Answer {
    /// The body as JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error} in the answer {} {}", self.status, self.text))
    }

    /// What the problem document says happened.
    pub(super) fn detail(&self) -> String {
        let problem = self.json();
        problem["detail"].as_str().unwrap_or_default().to_owned()
    }

    /// A header as text, empty where it is absent.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Status and media type, which existing clients compare both.
    pub(super) fn kind(&self) -> (u16, &str) {
        (self.status, self.header(CONTENT_TYPE.as_str()))
    }

    /// The deployments of an answer that grants them.
    pub(super) fn deployments(&self) -> Vec<Value> {
        assert_eq!(self.kind(), (200, "application/json"), "{}", self.text);
        self.json().as_array().unwrap().clone()
    }

    /// The names of the cloudlets of an answer that grants deployments.
    pub(super) fn cloudlets(&self) -> Vec<String> {
        let name = |deployment: &Value| deployment["Cloudlet"]["name"].as_str().unwrap().to_owned();
        self.deployments().iter().map(name).collect()
    }

    /// The name of the only deployment of an answer.
    pub(super) fn deployment_name(&self) -> String {
        let deployments = self.deployments();
        assert_eq!(deployments.len(), 1, "{}", self.text);
        deployments[0]["DeploymentName"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

/// Sends a request and reads the answer.
pub(super) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

/// Runs a program to its end.
pub(super) async fn run(command: Command) -> Ran {
    run_within(PATIENCE, command).await
}

/// Runs a program to its end, which has to come within this time.
pub(super) async fn run_within(patience: Duration, command: Command) -> Ran {
    let shown = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let Ok(output) = timeout(patience, command.output()).await else {
        panic!("{shown} still runs after {patience:?}");
    };
    let output = output.unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Waits until a service has ended by itself.
pub(super) async fn ended(mut service: Service) -> ExitStatus {
    told(spawn_blocking(move || service.wait()).await.unwrap())
}

/// Asks a service to end and waits until it has.
pub(super) async fn stopped(service: Service) -> ExitStatus {
    told(spawn_blocking(move || service.stop()).await.unwrap())
}

/// Looks again and again until there is what a test waits for.
pub(super) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited for {PATIENCE:?} in vain: {what}"
        );
        sleep(POLL).await;
    }
}

/// Waits until a service has logged this text.
pub(super) async fn logged(service: &Service, text: &str) {
    eventually(&format!("the log says {text:?}"), async || {
        service.log_text().contains(text).then_some(())
    })
    .await;
}

/// The cloudlet file of these documents.
pub(super) fn cloudlets(documents: &[String]) -> String {
    documents.join("---\n")
}

/// One document of a cloudlet file.
pub(super) fn cloudlet(name: &str, url: &str, location: &str) -> String {
    format!("name: {name}\nendpoint: {url}/api/v1/deploy\nlocation: {location}\n")
}

/// A device's key.
pub(super) fn key(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

/// Where the helloworld for a key is asked for.
pub(super) fn deploy_url(base: &str, key: &PublicKey) -> String {
    format!("{base}/api/v1/deploy/{HELLOWORLD}/{}", key.url_safe())
}

/// Where the helloworld for a key is looked after at Tier 1.
pub(super) fn deployments_url(tier1: &Service, key: &PublicKey) -> String {
    format!(
        "{}/api/v1/deployments/{HELLOWORLD}/{}",
        tier1.url(),
        key.url_safe()
    )
}

fn told<T>(result: Result<T, ServiceError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
