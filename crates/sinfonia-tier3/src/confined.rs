//! Running an application inside the tunnel of its deployment.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::num::NonZeroU16;
use std::time::Duration;

use ipnet::IpNet;
use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_core::tunnel::TunnelConfig;
use sinfonia_tunnel::confinement::{
    self, Application, Confinement, ConfinementError, Mtu, Network, Signals, Tun, Waiting,
};
use sinfonia_tunnel::driver::{Tunnel, TunnelError, TunnelParts};
use sinfonia_tunnel::endpoint::PeerConfig;

use crate::commands::deploy::{Plan, deploy};
use crate::failure::{Call, CommandError};
use crate::key_cache::KeyPair;
use crate::renewal::Renewal;
use crate::session::Session;
use crate::wireguard::KEEPALIVE;

/// Time in which the cloudlet has to answer the first handshake. A lost packet costs one or two seconds of it.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);

/// What is run, and how.
#[derive(Debug, Clone)]
pub(crate) struct Inside {
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
    /// Longest packet inside the tunnel.
    pub(crate) mtu: Mtu,
    /// Whether the deployment stays when the application has ended.
    pub(crate) keep: bool,
}

/// Why an application does not run inside a tunnel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InsideError {
    /// The namespaces cannot be had, or the application cannot be executed.
    #[error(transparent)]
    Confinement(#[from] ConfinementError),
    /// The tunnel does not come about, or broke down.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    /// Nobody knows where the cloudlet is.
    #[error("cannot find {host}, the cloudlet's end of the tunnel")]
    Endpoint {
        /// The host and port in the answer.
        host: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no socket.
    #[error("cannot open a socket for the tunnel")]
    Socket(#[source] io::Error),
    /// The cloudlet does not answer.
    #[error("the cloudlet's end of the tunnel at {0} does not answer")]
    NoAnswer(SocketAddr),
    /// The system does not tell what became of the application.
    #[error("cannot follow the application")]
    Application(#[source] io::Error),
}

/// Deploys, runs an application whose only way out is the tunnel to the deployment, and gives the deployment back after it. Returns what
/// the application exited with.
///
/// # Errors
/// It does not come to run.
pub(crate) fn run(
    session: &Session,
    key: &KeyPair,
    plan: &Plan,
    inside: &Inside,
) -> Result<u8, CommandError> {
    // Nothing is deployed for a device that cannot use it.
    let confined = confine(inside)?;
    let deployments = confined
        .signals
        .let_through(|| deploy(session, key, plan))
        .map_err(InsideError::Application)??;
    let Some(deployment) = deployments.first() else {
        return Err(CommandError::NothingDeployed);
    };
    let outcome = connect_and_run(session, key, plan, inside, confined, deployment);
    if !inside.keep {
        release(session, key);
    }
    Ok(outcome?)
}

/// Where the application will run.
struct Confined {
    confinement: Confinement,
    tun: Tun,
    waiting: Waiting,
    signals: Signals,
}

fn confine(inside: &Inside) -> Result<Confined, InsideError> {
    // Before there is a thread that would take them.
    let signals = Signals::hold().map_err(InsideError::Application)?;
    let mut words = inside.command.iter();
    let program = words.next().cloned().unwrap_or_default();
    let application = Application::new(program).arguments(words);
    let (confinement, tun, waiting) = Confinement::make(&application)?;
    Ok(Confined {
        confinement,
        tun,
        waiting,
        signals,
    })
}

fn connect_and_run(
    session: &Session,
    key: &KeyPair,
    plan: &Plan,
    inside: &Inside,
    confined: Confined,
    deployment: &CloudletDeployment,
) -> Result<u8, InsideError> {
    let Confined {
        mut confinement,
        tun,
        waiting,
        signals,
    } = confined;
    let config = &deployment.tunnel_config;
    confinement.configure(&Network {
        mtu: inside.mtu,
        ..Network::from(config)
    })?;
    let tunnel = connect(key, config, tun, inside.mtu)?;
    let running = waiting.go()?;
    signals
        .pass_on_to(running.handle())
        .map_err(InsideError::Application)?;
    let renewal = Renewal::start(session, key, plan).map_err(InsideError::Application)?;
    let status = running.wait().map_err(InsideError::Application)?;
    drop(renewal);
    if let Err(error) = tunnel.stop() {
        session.talk.note(&format!("note: {error}"));
    }
    Ok(confinement::exit_code(status))
}

fn connect(
    key: &KeyPair,
    config: &TunnelConfig,
    tun: Tun,
    mtu: Mtu,
) -> Result<Tunnel, InsideError> {
    let endpoint = resolve(config)?;
    let tunnel = Tunnel::start(TunnelParts {
        device: tun,
        mtu: mtu.bytes(),
        socket: socket(endpoint).map_err(InsideError::Socket)?,
        private_key: key.private.clone(),
    })?;
    tunnel.set_peer(PeerConfig {
        public_key: config.public_key,
        preshared_key: None,
        endpoint: Some(endpoint),
        allowed_ips: allowed_ips(config),
        persistent_keepalive: NonZeroU16::new(KEEPALIVE),
    })?;
    if tunnel.connect(config.public_key, HANDSHAKE_TIME)? {
        Ok(tunnel)
    } else {
        Err(InsideError::NoAnswer(endpoint))
    }
}

fn resolve(config: &TunnelConfig) -> Result<SocketAddr, InsideError> {
    let host = config.endpoint.to_string();
    let failed = |source| InsideError::Endpoint {
        host: host.clone(),
        source,
    };
    let mut addresses = host.to_socket_addrs().map_err(failed)?;
    addresses
        .next()
        .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

/// A socket of the family that the endpoint needs, so that it works where there is but one.
fn socket(endpoint: SocketAddr) -> io::Result<UdpSocket> {
    match endpoint {
        SocketAddr::V4(_) => UdpSocket::bind(("0.0.0.0", 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
    }
}

fn allowed_ips(config: &TunnelConfig) -> Vec<IpNet> {
    let networks = config.allowed_ips.iter();
    networks
        .filter_map(|network| IpNet::new(network.address(), network.prefix_length()).ok())
        .collect()
}

/// Gives back what was deployed; where that fails, it ends with its lease.
fn release(session: &Session, key: &KeyPair) {
    let application = session.application;
    let delete = session.tier1.delete(application, &key.public, None);
    if let Err(error) = session.ask(Call::Delete, delete) {
        session.talk.note(&format!(
            "note: {application} could not be deleted, it ends by itself once its lease has passed: {error}"
        ));
    }
}
