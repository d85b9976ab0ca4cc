//! The tunnel in this process that forwarded ports lead into.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use sinfonia_core::tunnel::{Interface, TunnelConfig};
use sinfonia_tunnel::endpoint::PeerConfig;
use sinfonia_tunnel::userspace::{StackConfig, Tunnel};
use tokio::net::{UdpSocket, lookup_host};

use super::error::ForwardError;
use super::route::Route;
use super::slots::CONNECTIONS;
use crate::key_cache::KeyPair;
use crate::wireguard::KEEPALIVE;

/// Time in which the cloudlet has to answer the first handshake. A lost packet costs one or two seconds of it.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);

/// Bytes in each buffer of a stream: what is on its way at 1 Gbit/s and a round trip of 8 ms, or at 100 Mbit/s and 80 ms. The system
/// gives the memory when it is first used, so short streams take little of it.
pub(super) const STREAM_BUFFER: usize = 1 << 20;

/// Streams of the stack: those of all connections, and as many that still send what their connection left.
const STREAMS: usize = 2 * CONNECTIONS as usize;

/// A tunnel to a cloudlet. It ends when this is dropped, and with it what goes through [`Self::route`].
pub(super) struct Link {
    tunnel: Tunnel,
    route: Arc<Route>,
}

impl Link {
    /// Opens a tunnel, with packets of this length at most, and waits until the cloudlet has answered.
    ///
    /// # Errors
    /// The cloudlet cannot be found or does not answer, or the system gives no socket.
    pub(super) async fn open(
        key: &KeyPair,
        config: &TunnelConfig,
        mtu: u16,
    ) -> Result<Self, ForwardError> {
        let endpoint = resolve(config).await?;
        let socket = socket(endpoint).await.map_err(ForwardError::Socket)?;
        let tunnel = Tunnel::start(socket, &key.private, mtu).map_err(ForwardError::Socket)?;
        let stack = tunnel.stack(&StackConfig {
            addresses: networks(&config.address),
            stream_buffer: STREAM_BUFFER,
            streams: STREAMS,
        });
        let stack = stack.map_err(ForwardError::Socket)?;
        let peer = PeerConfig {
            public_key: config.public_key,
            preshared_key: None,
            endpoint: Some(endpoint),
            allowed_ips: networks(&config.allowed_ips),
            persistent_keepalive: NonZeroU16::new(KEEPALIVE),
        };
        tunnel.set_peer(peer, stack.clone())?;
        if !tunnel.connect(config.public_key, HANDSHAKE_TIME).await? {
            return Err(ForwardError::NoAnswer(endpoint));
        }
        Ok(Self {
            tunnel,
            route: Arc::new(Route::new(stack, config)),
        })
    }

    /// All bytes that went through it so far, in both directions.
    pub(super) async fn traffic(&self) -> Result<u64, ForwardError> {
        let peers = self.tunnel.peers().await?;
        let bytes = peers
            .iter()
            .map(|peer| peer.sent_bytes + peer.received_bytes);
        Ok(bytes.sum())
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

fn networks(interfaces: &[Interface]) -> Vec<IpNet> {
    let networks = interfaces.iter();
    networks
        .filter_map(|network| IpNet::new(network.address(), network.prefix_length()).ok())
        .collect()
}
