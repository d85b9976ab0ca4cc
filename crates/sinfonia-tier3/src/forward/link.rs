//! The tunnel in this process that forwarded ports lead into.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sinfonia_core::key::PrivateKey;
use sinfonia_core::tunnel::TunnelConfig;
use sinfonia_tunnel::endpoint::PeerStatus;
use sinfonia_tunnel::userspace::{Ended, Stack, StackConfig, Tunnel};
use tokio::net::{UdpSocket, lookup_host};

use super::error::ForwardError;
use super::route::Route;
use super::slots::CONNECTIONS;
use crate::peer::{HANDSHAKE_TIME, networks, peer};

/// Bytes in each buffer of a stream: what is on its way at 1 Gbit/s and a round trip of 8 ms, or at 100 Mbit/s and 80 ms. The system
/// gives the memory when it is first used, so short streams take little of it.
pub(super) const STREAM_BUFFER: usize = 1 << 20;

/// Streams of the stack: those of all connections, and as many that still send what their connection left.
const STREAMS: usize = 2 * CONNECTIONS as usize;

/// A tunnel to a cloudlet. It ends when this is dropped, and with it what goes through [`Self::route`].
pub(super) struct Link {
    tunnel: Tunnel,
    config: TunnelConfig,
    stack: Stack,
    route: Arc<Route>,
}

impl Link {
    /// Opens a tunnel, with packets of this length at most, and waits until the cloudlet has answered.
    ///
    /// # Errors
    /// The cloudlet cannot be found or does not answer, or the system gives no socket.
    pub(super) async fn open(
        private_key: &PrivateKey,
        config: &TunnelConfig,
        mtu: u16,
    ) -> Result<Self, ForwardError> {
        let endpoint = resolve(config).await?;
        let link = Self::begin(private_key, config, endpoint, mtu).await?;
        let answered = link.tunnel.connect(config.public_key, HANDSHAKE_TIME);
        if !answered.await? {
            return Err(ForwardError::NoAnswer(endpoint));
        }
        Ok(link)
    }

    /// Begins to shake hands with a cloudlet; whether it answers shows in [`Self::peer`].
    ///
    /// # Errors
    /// The system gives no socket.
    pub(super) async fn begin(
        private_key: &PrivateKey,
        config: &TunnelConfig,
        endpoint: SocketAddr,
        mtu: u16,
    ) -> Result<Self, ForwardError> {
        let socket = socket(endpoint).await.map_err(ForwardError::Socket)?;
        let tunnel = Tunnel::start(socket, private_key, mtu).map_err(ForwardError::Socket)?;
        let stack = tunnel.stack(&StackConfig {
            addresses: networks(&config.address),
            stream_buffer: STREAM_BUFFER,
            streams: STREAMS,
        });
        let stack = stack.map_err(ForwardError::Socket)?;
        let link = Self {
            tunnel,
            config: config.clone(),
            route: Arc::new(Route::new(stack.clone(), config)),
            stack,
        };
        link.set_endpoint(endpoint)?;
        // Nobody waits here.
        link.tunnel
            .connect(config.public_key, Duration::ZERO)
            .await?;
        Ok(link)
    }

    /// What the tunnel is like.
    pub(super) const fn config(&self) -> &TunnelConfig {
        &self.config
    }

    /// Whether there is a way to such an address from its socket.
    pub(super) const fn reaches(&self, endpoint: SocketAddr) -> bool {
        self.tunnel.local_address().is_ipv4() == endpoint.is_ipv4()
    }

    /// Looks for the cloudlet at this address from now on.
    ///
    /// # Errors
    /// The tunnel has ended.
    pub(super) fn set_endpoint(&self, endpoint: SocketAddr) -> Result<(), ForwardError> {
        let allowed = networks(&self.config.allowed_ips);
        let peer = peer(&self.config, endpoint, allowed);
        Ok(self.tunnel.set_peer(peer, self.stack.clone())?)
    }

    /// What is known of the cloudlet.
    ///
    /// # Errors
    /// The tunnel has ended.
    pub(super) async fn peer(&self) -> Result<PeerStatus, ForwardError> {
        let peers = self.tunnel.peers().await?;
        // It has one peer, which is never removed.
        Ok(peers.into_iter().next().ok_or(Ended)?)
    }

    /// The way through it.
    pub(super) fn route(&self) -> Arc<Route> {
        Arc::clone(&self.route)
    }
}

async fn resolve(config: &TunnelConfig) -> Result<SocketAddr, ForwardError> {
    let host = config.endpoint.to_string();
    let failed = |source| ForwardError::Endpoint {
        host: host.clone(),
        source,
    };
    let mut addresses = lookup_host(&host).await.map_err(failed)?;
    addresses
        .next()
        .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

/// A socket of the family that the endpoint needs, so that it works where there is but one.
async fn socket(endpoint: SocketAddr) -> io::Result<UdpSocket> {
    match endpoint {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await,
    }
}
