//! The sandbox's end of the tunnels: WireGuard in userspace, and what answers in it for each deployment.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use jiff::Timestamp;
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::key::PrivateKey;
use sinfonia_core::lifecycle::{Failure, FailureClass, Peer, Record};
use sinfonia_core::recipe::{Recipe, RecipeError, SandboxBackend};
use sinfonia_service::recipes::{RecipeLookupError, RecipeRepository};
use sinfonia_tunnel::endpoint::{PeerConfig, Traffic};
use sinfonia_tunnel::userspace::{Ended, StackConfig, Tunnel};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use uuid::Uuid;

use super::backend::Backend;
use super::page::Page;
use crate::cluster::{ClusterError, StepError};

/// MTU inside the tunnels, the usual one of WireGuard.
const MTU: u16 = 1420;

/// Bytes in each direction of a stream: enough for 100 Mbit/s over 20 ms.
const STREAM_BUFFER: usize = 256 * 1024;

/// Streams that a device may have at a time.
const STREAMS: usize = 64;

/// Why a device is not connected, or its backend not started.
#[derive(Debug, thiserror::Error)]
enum GatewayError {
    #[error("the device's end of the tunnel cannot be made")]
    Stack(#[source] io::Error),
    #[error(transparent)]
    Ended(#[from] Ended),
    #[error("the deployment {0} has no device")]
    NoDevice(DeploymentName),
    #[error("the deployment's programs cannot be connected")]
    Backend(#[source] io::Error),
}

/// The end of all tunnels, one device for each deployment.
pub(super) struct Gateway {
    tunnel: Tunnel,
    /// Where all deployments answer, each to its own device.
    address: IpAddr,
    recipes: RecipeRepository,
    devices: Mutex<HashMap<DeploymentName, Device>>,
}

struct Device {
    peer: Peer,
    installed: Option<Installed>,
    _backend: Option<Backend>,
}

/// What stands in for a deployment's chart.
#[derive(Clone)]
struct Installed {
    backend: SandboxBackend,
    recipe: Uuid,
    /// The chart and its version.
    chart: String,
    created: Timestamp,
}

impl Gateway {
    /// Starts to speak WireGuard at this socket, on tokio's current runtime.
    ///
    /// # Errors
    /// The socket has no address.
    pub(super) fn start(
        socket: UdpSocket,
        private_key: &PrivateKey,
        address: IpAddr,
        recipes: RecipeRepository,
    ) -> io::Result<Self> {
        Ok(Self {
            tunnel: Tunnel::start(socket, private_key, MTU)?,
            address,
            recipes,
            devices: Mutex::default(),
        })
    }

    /// Lets a deployment's device in; does nothing where that is so already.
    ///
    /// # Errors
    /// The system has no randomness, or the tunnel has ended.
    pub(super) fn connect(&self, name: &DeploymentName, peer: Peer) -> Result<(), ClusterError> {
        self.try_connect(name, peer).map_err(cluster_error)
    }

    /// Shuts a deployment's device out; does nothing where there is none.
    ///
    /// # Errors
    /// The tunnel has ended.
    pub(super) fn disconnect(&self, name: &DeploymentName) -> Result<(), ClusterError> {
        let mut devices = self.devices();
        if let Some(device) = devices.get(name) {
            let removed = self.tunnel.remove_peer(device.peer.public_key);
            removed.map_err(|ended| cluster_error(ended.into()))?;
            devices.remove(name);
        }
        Ok(())
    }

    /// What becomes of the tunnel if that ends by itself.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        self.tunnel.ended()
    }

    /// What went through all tunnels.
    pub(super) fn traffic(&self) -> watch::Receiver<Traffic> {
        self.tunnel.traffic()
    }

    /// Starts what stands in for a deployment's chart.
    ///
    /// # Errors
    /// The recipe cannot be read now, makes no sense or is gone; or the device is.
    pub(super) async fn install(
        &self,
        name: &DeploymentName,
        record: &Record,
    ) -> Result<(), StepError> {
        let uuid = record.spec.uuid;
        let recipe = match self.recipes.get(uuid).await {
            Ok(recipe) => recipe,
            Err(error @ RecipeLookupError::Unknown(_)) => return Err(gone(&error)),
            Err(error) => return Err(ClusterError(error.into()).into()),
        };
        let installed = Installed {
            backend: self.backend(&recipe, name)?,
            recipe: uuid,
            chart: format!("{} {}", recipe.chart, recipe.version),
            created: record.spec.created,
        };
        self.replace(name, Some(installed))
            .map_err(|error| cluster_error(error).into())
    }

    /// Ends what stands in for a deployment's chart, and all connections to it; does nothing where there is no device.
    ///
    /// # Errors
    /// The system has no randomness, or the tunnel has ended.
    pub(super) fn uninstall(&self, name: &DeploymentName) -> Result<(), ClusterError> {
        match self.replace(name, None) {
            Err(GatewayError::NoDevice(_)) => Ok(()),
            outcome => outcome.map_err(cluster_error),
        }
    }

    fn try_connect(&self, name: &DeploymentName, peer: Peer) -> Result<(), GatewayError> {
        let mut devices = self.devices();
        let before = devices.get(name);
        if before.is_some_and(|device| device.peer == peer) {
            return Ok(());
        }
        if let Some(before) = before.filter(|device| device.peer.public_key != peer.public_key) {
            self.tunnel.remove_peer(before.peer.public_key)?;
        }
        let installed = before.and_then(|device| device.installed.clone());
        let device = self.device(name, peer, installed)?;
        devices.insert(name.clone(), device);
        Ok(())
    }

    /// Lets a deployment's device reach this and nothing else from now on.
    fn replace(
        &self,
        name: &DeploymentName,
        installed: Option<Installed>,
    ) -> Result<(), GatewayError> {
        let mut devices = self.devices();
        let Some(Device { peer, .. }) = devices.get(name) else {
            return Err(GatewayError::NoDevice(name.clone()));
        };
        let device = self.device(name, *peer, installed)?;
        devices.insert(name.clone(), device);
        Ok(())
    }

    /// Lets a device in, with a stack of its own on which nothing else answers.
    fn device(
        &self,
        name: &DeploymentName,
        peer: Peer,
        installed: Option<Installed>,
    ) -> Result<Device, GatewayError> {
        let config = StackConfig {
            addresses: vec![IpNet::from(self.address)],
            stream_buffer: STREAM_BUFFER,
            streams: STREAMS,
        };
        let stack = self.tunnel.stack(&config).map_err(GatewayError::Stack)?;
        let backend = installed.as_ref().map(|installed| {
            let page = Page {
                deployment: name.clone(),
                recipe: installed.recipe,
                chart: installed.chart.clone(),
                device: peer.public_key,
                address: peer.address,
                created: installed.created,
            };
            Backend::start(&stack, self.address, &installed.backend, page)
        });
        let backend = backend.transpose().map_err(GatewayError::Backend)?;
        let config = PeerConfig {
            public_key: peer.public_key,
            preshared_key: None,
            endpoint: None,
            allowed_ips: vec![IpNet::from(peer.address)],
            persistent_keepalive: None,
        };
        self.tunnel.set_peer(config, stack)?;
        Ok(Device {
            peer,
            installed,
            _backend: backend,
        })
    }

    /// What a recipe wants of a sandbox; nothing, if others than the owner of this machine may have written it: they would open programs of
    /// this machine to strangers.
    fn backend(&self, recipe: &Recipe, name: &DeploymentName) -> Result<SandboxBackend, StepError> {
        if self.recipes.is_local() {
            return recipe.sandbox_backend().map_err(|error| failed(&error));
        }
        if recipe.sandbox.is_some() {
            tracing::warn!(deployment = %name, "the recipe's `sandbox` is ignored: only recipes of a local folder may name programs of this machine");
        }
        Ok(SandboxBackend::default())
    }

    fn devices(&self) -> MutexGuard<'_, HashMap<DeploymentName, Device>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cluster_error(error: GatewayError) -> ClusterError {
    ClusterError(error.into())
}

/// A recipe that was there when the deployment was asked for.
fn gone(error: &RecipeLookupError) -> StepError {
    StepError::Failed(Failure {
        class: FailureClass::ChartNotFound,
        message: error.to_string(),
        detail: None,
    })
}

/// A recipe whose `sandbox` makes no sense.
fn failed(error: &RecipeError) -> StepError {
    StepError::Failed(Failure {
        class: FailureClass::BadValues,
        message: error.to_string(),
        detail: None,
    })
}
