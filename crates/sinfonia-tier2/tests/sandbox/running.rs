//! The whole service on sockets.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use serde_json::Value;
use sinfonia_service::listen::Listeners;
use sinfonia_service::settings::ListenArgs;
use sinfonia_service::shutdown::CancellationToken;
use sinfonia_tier2::cluster::sandbox::SandboxError;
use sinfonia_tier2::settings::Settings;
use sinfonia_tier2::{RunError, run_on};
use tokio::task::JoinHandle;

use crate::harness::{deployment, settings, write_recipes};

#[tokio::test]
async fn a_sandbox_serves_on_its_sockets_until_it_is_stopped() {
    let running = Running::start();

    let deployed = running.post().await;
    running.stopping.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), running.task).await;

    assert_eq!(
        (&deployed[0]["Ready"], &deployed[0]["Sandbox"]),
        (&Value::Bool(true), &Value::Bool(true))
    );
    assert!(matches!(ended, Ok(Ok(Ok(())))));
}

#[tokio::test]
async fn devices_can_be_told_another_address_of_the_tunnel_as_behind_a_nat() {
    let folder = tempfile::tempdir().unwrap();
    write_recipes(&folder);
    let running = Running::with(folder, &["--tunnel-endpoint", "gateway.example:4711"]);

    let deployed = running.post().await;

    assert_eq!(
        deployed[0]["TunnelConfig"]["endpoint"],
        "gateway.example:4711"
    );
}

#[tokio::test]
async fn a_port_of_the_tunnel_that_is_taken_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut settings = settings(&folder, &[]);
    settings.tunnel.tunnel_listen = taken.local_addr().ok();

    let error = start(settings).await.unwrap_err();

    assert!(error.is_fixable());
    assert!(matches!(
        error,
        RunError::Sandbox(SandboxError::Listen { .. })
    ));
}

#[tokio::test]
async fn a_token_does_not_travel_in_the_open() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "secret\n").unwrap();
    let options = [
        "--tier1-url",
        "http://tier1.example",
        "--tier2-url",
        "http://cloudlet.example",
        "--report-token",
        "FOLDER/token",
    ];

    let error = start(settings(&folder, &options)).await.unwrap_err();

    assert!(matches!(&error, RunError::TokenInTheOpen(_)));
    assert_eq!(
        error.to_string(),
        "the report token would travel over plain http to http://tier1.example/"
    );
}

#[tokio::test]
async fn a_missing_token_file_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();

    let error = start(settings(&folder, &["--deploy-tokens", "FOLDER/none"]))
        .await
        .unwrap_err();

    assert!(error.is_fixable());
    assert_eq!(
        error.to_string(),
        "the deploy tokens (--deploy-tokens) cannot be used"
    );
}

#[tokio::test]
async fn a_client_network_without_room_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();

    let error = start(settings(&folder, &["--client-network", "10.5.0.0/31"]))
        .await
        .unwrap_err();

    assert!(matches!(error, RunError::ClientNetwork(_)));
}

/// A Tier 2 on sockets of loopback.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stopping: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
    _folder: tempfile::TempDir,
}

impl Running {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_recipes(&folder);
        Self::with(folder, &[])
    }

    /// One with the recipes of this folder and these options.
    pub(crate) fn with(folder: tempfile::TempDir, options: &[&str]) -> Self {
        let settings = settings(&folder, options);
        Self::run(folder, settings)
    }

    /// One with these settings, which may lead to this folder.
    pub(crate) fn run(folder: tempfile::TempDir, settings: Settings) -> Self {
        let listeners = Listeners::bind(&ListenArgs::any_free_port()).unwrap();
        let address = listeners.address();
        let stopping = CancellationToken::new();
        let task = tokio::spawn(run_on(listeners, settings, stopping.clone()));
        Self {
            address,
            stopping,
            task,
            _folder: folder,
        }
    }

    async fn post(&self) -> Value {
        let path = deployment(crate::harness::HELLOWORLD, 1);
        let url = format!("http://{}{path}", self.address);
        let client =
            sinfonia_service::client::build(&sinfonia_service::client::ClientSettings::new("test"))
                .unwrap();
        let response = client.post(url).send().await.unwrap();
        response.json().await.unwrap()
    }
}

/// Runs it on any free port; the test expects that it does not get far.
async fn start(settings: Settings) -> Result<(), RunError> {
    let listeners = Listeners::bind(&ListenArgs::any_free_port()).unwrap();
    run_on(listeners, settings, CancellationToken::new()).await
}
