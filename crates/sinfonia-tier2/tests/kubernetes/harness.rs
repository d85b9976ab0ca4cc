//! A cloudlet of a test's own: a Namespace for its records, rights for its Tier 2, recipes with charts, and Tier 2s at work.

mod answer;
mod charts;
mod invariants;
mod objects;
mod waiting;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sinfonia_core::key::PublicKey;
use sinfonia_service::client::{ClientSettings, build};
use sinfonia_testbed::{
    Cloudlet as Prepared, Cluster, ControlPlane, FaultProxy, Programs, Service, SharedCluster,
    TestFolder, command,
};

pub(crate) use self::answer::{Answer, Ask};
pub(crate) use self::charts::{FAILING, HOOK, OTHER, PLAIN, WEB, write_recipes};
pub(crate) use self::invariants::isolation_paths;
pub(crate) use self::objects::{items, namespace_path, peer_path};
pub(crate) use self::waiting::{name_of, phase_of};

/// The rights that an operator gives to Tier 2.
pub(crate) const RIGHTS: &str = include_str!("../../../../deploy/tier2/rbac.yaml");
/// The definition of the records that an operator gives to the cluster.
pub(crate) const DEFINITION: &str = include_str!("../../../../deploy/tier2/crd.yaml");
/// Longest time that a test waits for something that takes a second or two on a quiet machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A cloudlet on a control plane. What its Tier 2s leave behind is not cleaned up: names are unique, and the control plane goes in the end.
pub(crate) struct Cloudlet {
    prepared: Prepared,
    _shared: Option<SharedCluster>,
    folder: TestFolder,
    client: Client,
}

/// A Tier 2 at work.
pub(crate) struct Tier2 {
    service: Service,
    client: Client,
}

impl Cloudlet {
    /// A cloudlet on the control plane that all tests share.
    pub(crate) fn new() -> Self {
        let shared = ControlPlane::shared();
        Self::on(&shared.clone(), Some(shared))
    }

    /// A cloudlet on a control plane of a test's own.
    pub(crate) fn alone_on(cluster: &Cluster) -> Self {
        Self::on(cluster, None)
    }

    fn on(cluster: &Cluster, shared: Option<SharedCluster>) -> Self {
        let folder = TestFolder::new().unwrap();
        write_recipes(folder.path());
        Self {
            prepared: Prepared::on(cluster, folder.path()).unwrap(),
            _shared: shared,
            folder,
            client: build(&ClientSettings::new("test")).unwrap(),
        }
    }

    /// The administrator's view of the cluster.
    pub(crate) const fn cluster(&self) -> &Cluster {
        self.prepared.cluster()
    }

    /// The Namespace of the records.
    pub(crate) fn namespace(&self) -> &str {
        self.prepared.namespace()
    }

    /// The folder of the test's files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a Tier 2 that leads soon, with these options, and waits until it is ready.
    pub(crate) async fn tier2(&self, options: &[&str]) -> Tier2 {
        self.tier2_with("tier2", self.kubeconfig(), options).await
    }

    /// Starts a Tier 2 of this name with other credentials.
    pub(crate) async fn tier2_with(
        &self,
        name: &str,
        kubeconfig: &Path,
        options: &[&str],
    ) -> Tier2 {
        let tier2 = self.start(name, kubeconfig, options);
        tier2.until_ready().await;
        tier2
    }

    /// Starts a Tier 2 that reaches the API server through a proxy.
    pub(crate) async fn tier2_through(&self, proxy: &FaultProxy, options: &[&str]) -> Tier2 {
        let kubeconfig = self.kubeconfig_through(proxy);
        self.tier2_with("proxied", &kubeconfig, options).await
    }

    /// Starts a Tier 2 and does not wait until it is ready.
    pub(crate) fn start(&self, name: &str, kubeconfig: &Path, options: &[&str]) -> Tier2 {
        self.start_in(name, kubeconfig, options, &[])
    }

    /// Starts a Tier 2 with these variables in its environment and does not wait until it is ready.
    pub(crate) fn start_in(
        &self,
        name: &str,
        kubeconfig: &Path,
        options: &[&str],
        environment: &[(&str, &Path)],
    ) -> Tier2 {
        let programs = Programs::find_or_hint().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_sinfonia-tier2"));
        let mut command = command(program);
        command
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--recipes")
            .arg(self.folder().join("recipes"))
            .arg("--cache")
            .arg(self.folder().join(format!("{name}-cache")))
            .args(options)
            // The options of a test win over these.
            .env("SINFONIA_HELM", programs.helm4)
            .env("SINFONIA_ACTIVITY", "none")
            .env("SINFONIA_LEADER_LEASE", "2s")
            .env("SINFONIA_JOB_INTERVAL", "1s")
            .env("SINFONIA_CLIENT_RATE", "0")
            .env("SINFONIA_MAX_DEPLOYMENTS_PER_CLIENT", "1000")
            .env("RUST_LOG", "info,sinfonia_tier2=debug")
            .envs(environment.iter().copied());
        Tier2 {
            service: Service::start(name, command, self.folder()).unwrap(),
            client: self.client.clone(),
        }
    }

    /// The public key of a device of this number that no other cloudlet's test has.
    pub(crate) fn own_key(&self, number: u8) -> PublicKey {
        let digest = Sha256::digest(format!("{}/{number}", self.namespace()));
        PublicKey::from_bytes(digest.into())
    }

    /// The credentials of this cloudlet's Tier 2.
    pub(crate) fn kubeconfig(&self) -> &Path {
        self.prepared.kubeconfig()
    }

    /// The same for one that comes through a proxy.
    pub(crate) fn kubeconfig_through(&self, proxy: &FaultProxy) -> PathBuf {
        let folder = self.folder().join("proxied");
        fs::create_dir_all(&folder).unwrap();
        let through = self.prepared.kubeconfig_through(proxy.url(), &folder);
        through.unwrap()
    }
}

impl Tier2 {
    /// `POST` for a recipe and a key.
    pub(crate) fn post(&self, recipe: &str, key: u8) -> Ask {
        self.ask(Method::POST, &deployment(recipe, key))
    }

    /// `GET` for a recipe and a key.
    pub(crate) fn get(&self, recipe: &str, key: u8) -> Ask {
        self.ask(Method::GET, &deployment(recipe, key))
    }

    /// `DELETE` for a recipe and a key.
    pub(crate) fn delete(&self, recipe: &str, key: u8) -> Ask {
        self.ask(Method::DELETE, &deployment(recipe, key))
    }

    /// `POST` by a request of this name, which waits until the deployment is ready; gives that.
    pub(crate) async fn post_as(&self, recipe: &str, key: u8, id: &str) -> Value {
        let post = self.post(recipe, key).header("x-request-id", id);
        post.wait(60).granted().await
    }

    /// `DELETE` of what the request of this name created.
    pub(crate) async fn delete_created_by(&self, recipe: &str, key: u8, id: &str) {
        let path = format!("{}?created-by={id}", deployment(recipe, key));
        let deleted = self.ask(Method::DELETE, &path).answer().await;
        assert_eq!(deleted.status, 204, "{deleted:?}");
    }

    /// Any request.
    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask {
        let request: RequestBuilder = self
            .client
            .request(method, format!("{}{path}", self.service.url()));
        Ask::new(request)
    }

    /// The process and its log.
    pub(crate) const fn service(&self) -> &Service {
        &self.service
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.service.wait().unwrap()
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(self) {
        self.service.kill().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(self) {
        let stopped = tokio::task::spawn_blocking(|| self.service.stop());
        assert!(stopped.await.unwrap().unwrap().success());
    }

    /// What `/readyz` says.
    pub(crate) async fn readiness(&self) -> Answer {
        let url = format!("http://{}/readyz", self.service.admin());
        Ask::new(self.client.get(url)).answer().await
    }

    /// What `/metrics` says as soon as it has this line.
    pub(crate) async fn metrics_with(&self, line: &str) -> String {
        let url = format!("http://{}/metrics", self.service.admin());
        eventually(async || {
            let answer = Ask::new(self.client.get(&url)).answer().await;
            let page = answer.body.as_str().unwrap_or_default().to_owned();
            let has_it = page.lines().any(|other| other == line);
            if has_it { Ok(page) } else { Err(page) }
        })
        .await
    }

    /// Waits until it is ready.
    pub(crate) async fn until_ready(&self) {
        eventually(async || {
            let answer = self.readiness().await;
            if answer.status == 200 {
                Ok(())
            } else {
                Err(format!("{answer:?}"))
            }
        })
        .await;
    }
}

/// Asks again and again until it is well; fails with the last reason when that takes too long.
pub(crate) async fn eventually<T>(attempt: impl AsyncFn() -> Result<T, String>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(reason) if tokio::time::Instant::now() > deadline => {
                panic!("not within {PATIENCE:?}: {reason}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// The public key of a device of this number.
pub(crate) fn key(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

fn deployment(recipe: &str, number: u8) -> String {
    format!("/api/v1/deploy/{recipe}/{}", key(number).url_safe())
}
