//! A Tier 1 in this process, and a client of it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use sinfonia_service::client::{self, ClientSettings};
use sinfonia_service::settings::try_parse_from;
use sinfonia_service::shutdown::CancellationToken;
use sinfonia_tier1::settings::Settings;
use sinfonia_tier1::{StartError, Tier1};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::tier2::FakeTier2;

/// The device's key, unescaped and escaped for a path.
pub(crate) const KEY: &str = "+/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=";
/// The key as Tier 1 passes it on.
pub(crate) const URL_SAFE_KEY: &str = "-_v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8";
/// A recipe that everyone may read.
pub(crate) const OPEN_RECIPE: &str = "00000000-0000-0000-0000-000000000000";
/// A recipe that nobody may read.
pub(crate) const RESTRICTED_RECIPE: &str = "00000000-0000-0000-0000-000000000001";
/// A recipe that there is not.
pub(crate) const UNKNOWN_RECIPE: &str = "00000000-0000-0000-0000-00000000000f";

/// A running Tier 1 with its folder.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<()>,
    client: reqwest::Client,
    _folder: TempDir,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// Cloudlets for a cloudlet file, each farther from 0,0 than the one before.
#[derive(Default)]
pub(crate) struct Cloudlets(String);

impl Cloudlets {
    pub(crate) fn of(fakes: &[&FakeTier2]) -> Self {
        fakes
            .iter()
            .fold(Self::default(), |file, fake| file.and(fake.address, ""))
    }

    /// Adds one, with further lines of YAML.
    pub(crate) fn and(mut self, address: SocketAddr, more: &str) -> Self {
        let place = self.0.matches("endpoint:").count() + 1;
        let uuid = uuid(place);
        write!(
            self.0,
            "---\nname: cloudlet {place}\nuuid: {uuid}\nendpoint: http://{address}/api/v1/deploy\nlocation: [0, {place}]\nlocal_networks: [192.0.2.0/24]\n{more}\n"
        )
        .unwrap();
        self
    }
}

/// The uuid of the n-th cloudlet of a file, counted from 1.
pub(crate) fn uuid(place: usize) -> String {
    format!("00000000-0000-0000-0000-{:012x}", 0xc100 + place)
}

impl Running {
    pub(crate) async fn with(cloudlets: Cloudlets) -> Self {
        Self::with_options(cloudlets, &[]).await
    }

    pub(crate) async fn with_options(cloudlets: Cloudlets, options: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let tier1 = start(folder.path(), &cloudlets, options).await.unwrap();
        let (address, admin) = (tier1.address(), tier1.admin_address().unwrap());
        let stop = CancellationToken::new();
        let served = tokio::spawn(tier1.serve(stop.clone().cancelled_owned()));
        Self {
            address,
            admin,
            stop,
            served,
            client: client(),
            _folder: folder,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[]).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.ask(Method::POST, path, &[]).await
    }

    /// Asks for the open recipe, from 0,0, with a key that no other number from 1 on has. There is time for two cloudlets.
    pub(crate) async fn deploy_as(&self, number: usize) -> Answer {
        let path = format!("/deploy/{OPEN_RECIPE}/{number:064x}");
        let headers = [("x-location", "0,0"), ("prefer", "wait=5")];
        self.ask(Method::POST, &path, &headers).await
    }

    /// Asks for the open recipe, from 0,0.
    pub(crate) async fn deploy(&self, query: &str) -> Answer {
        let path = format!("/deploy/{OPEN_RECIPE}/{KEY}{query}");
        self.ask(Method::POST, &path, &[("x-location", "0,0")])
            .await
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let url = format!("http://{}/api/v1{path}", self.address);
        self.ask_url(method, &url, headers).await
    }

    pub(crate) async fn ask_admin(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.admin);
        self.client
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    pub(crate) async fn ask_url(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.client.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.bytes().await.unwrap();
        Answer {
            status,
            headers,
            body: serde_json::from_slice(&text).unwrap_or(Value::Null),
        }
    }

    /// Sends a request on a connection of its own, and does not wait for the answer.
    pub(crate) async fn send(&self, method: &str, path: &str, wait: u64) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nhost: tier1\r\nprefer: wait={wait}\r\ncontent-length: 0\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        connection
    }

    /// Reports a cloudlet without a token.
    pub(crate) async fn report(&self, endpoint: &str) -> StatusCode {
        self.report_resources(endpoint, &serde_json::json!({}))
            .await
    }

    /// Reports what a cloudlet measures, without a token.
    pub(crate) async fn report_resources(&self, endpoint: &str, resources: &Value) -> StatusCode {
        let body = serde_json::json!({
            "uuid": uuid(9), "endpoint": endpoint, "local_networks": ["192.0.2.0/24"], "resources": resources,
        });
        let url = format!("http://{}/api/v1/cloudlets/", self.address);
        let answer = self
            .client
            .post(url)
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        answer.status()
    }

    /// Stops it as SIGTERM does, and waits for its end.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), self.served)
            .await
            .unwrap()
            .unwrap();
    }
}

impl Answer {
    /// The uuids of the cloudlets that it names, in its order.
    pub(crate) fn cloudlets(&self) -> Vec<&str> {
        let deployments = self.body.as_array().unwrap_or_else(|| panic!("{self:?}"));
        let uuid = |deployment: &'_ Value| deployment["Cloudlet"]["uuid"].is_string();
        assert!(deployments.iter().all(uuid), "{self:?}");
        deployments
            .iter()
            .filter_map(|deployment| deployment["Cloudlet"]["uuid"].as_str())
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Asserts that it is a problem document of this status, and gives its detail.
    pub(crate) fn problem(&self, status: u16) -> &str {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(self.body["status"], status);
        assert_eq!(
            self.body["request_id"].as_str(),
            self.header("x-request-id")
        );
        self.body["detail"].as_str().unwrap_or_default()
    }
}

/// A client that waits as long as it takes.
pub(crate) fn client() -> reqwest::Client {
    client::build(&ClientSettings::new("test")).unwrap()
}

/// Starts a Tier 1 on free ports of loopback, with a folder of recipes and a cloudlet file.
pub(crate) async fn start(
    folder: &Path,
    cloudlets: &Cloudlets,
    options: &[&str],
) -> Result<Tier1, StartError> {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write(
        &format!("{OPEN_RECIPE}.yaml"),
        "chart: example\nversion: 0.1.0\ndescription: Hello\nrestricted: false\n",
    );
    write(
        &format!("{RESTRICTED_RECIPE}.yaml"),
        "chart: example\nversion: 0.1.0\n",
    );
    write("token.txt", "secret\n");
    write("cloudlets.yaml", &cloudlets.0);
    let path = |option: &str, path: &Path| format!("{option}={}", path.display());
    let mut arguments = vec![
        "sinfonia-tier1".to_owned(),
        "--port=0".to_owned(),
        "--listen=127.0.0.1".to_owned(),
        path("--cloudlets", &folder.join("cloudlets.yaml")),
    ];
    if !options.iter().any(|option| option.starts_with("--recipes")) {
        arguments.push(path("--recipes", folder));
    }
    arguments.extend(options.iter().map(|option| (*option).to_owned()));
    let arguments = arguments.into_iter().map(Into::into);
    let settings: Settings = try_parse_from(arguments, |_| None).unwrap();
    Tier1::start(settings).await
}
