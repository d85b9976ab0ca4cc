//! The way from an application's namespaces to a cloudlet, which may change while the application runs.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::num::NonZeroU16;
use std::time::Duration;

use ipnet::IpNet;
use sinfonia_core::key::{PrivateKey, PublicKey};
use sinfonia_core::tunnel::TunnelConfig;
use sinfonia_tunnel::confinement::{Confinement, Mtu, Namespaces, Network, Tun};
use sinfonia_tunnel::driver::{PeerCounters, Tunnel, TunnelError, TunnelParts};
use sinfonia_tunnel::endpoint::PeerConfig;
use socket2::{Domain, Protocol, Socket, Type};

use crate::confined::InsideError;
use crate::wireguard::KEEPALIVE;

/// Time in which the cloudlet has to answer the first handshake. A lost packet costs one or two seconds of it.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);

/// A tunnel, the namespaces that it serves, and the cloudlet that it leads to.
pub(crate) struct Uplink {
    confinement: Confinement,
    tunnel: Tunnel,
    mtu: Mtu,
    config: TunnelConfig,
    /// What went to cloudlets that were left.
    sent_before: u64,
    /// What came from them.
    received_before: u64,
}

/// What an uplink has done, and how the cloudlet answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Bytes to all cloudlets so far.
    pub(crate) sent_bytes: u64,
    /// Bytes from all cloudlets so far.
    pub(crate) received_bytes: u64,
    /// What is known of the present one.
    pub(crate) peer: PeerCounters,
}

impl Uplink {
    /// Connects namespaces with a cloudlet.
    ///
    /// # Errors
    /// The namespaces do not take the addresses, the cloudlet cannot be found, or it does not answer.
    pub(crate) fn connect(
        mut confinement: Confinement,
        tun: Tun,
        mtu: Mtu,
        private_key: &PrivateKey,
        config: &TunnelConfig,
    ) -> Result<Self, InsideError> {
        confinement.configure(&network(config, mtu))?;
        let endpoint = resolve(config)?;
        let tunnel = Tunnel::start(TunnelParts {
            device: tun,
            mtu: mtu.bytes(),
            socket: socket().map_err(InsideError::Socket)?,
            private_key: private_key.clone(),
        })?;
        tunnel.set_peer(peer(config, endpoint, allowed_ips(config)))?;
        if !tunnel.connect(config.public_key, HANDSHAKE_TIME)? {
            return Err(InsideError::NoAnswer(endpoint));
        }
        Ok(Self {
            confinement,
            tunnel,
            mtu,
            config: config.clone(),
            sent_before: 0,
            received_before: 0,
        })
    }

    /// What was done so far.
    ///
    /// # Errors
    /// The tunnel broke down.
    pub(crate) fn traffic(&self) -> Result<Traffic, TunnelError> {
        let counters = self.tunnel.counters()?.peers.into_iter();
        let peer = counters
            .into_iter()
            .find(|peer| peer.public_key == self.config.public_key)
            .ok_or(TunnelError::Silent)?;
        Ok(Traffic {
            sent_bytes: self.sent_before + peer.sent_bytes,
            received_bytes: self.received_before + peer.received_bytes,
            peer,
        })
    }

    /// Tries the same cloudlet at another address.
    ///
    /// # Errors
    /// The tunnel broke down.
    pub(crate) fn redirect(&self, endpoint: SocketAddr) -> Result<(), TunnelError> {
        let allowed = allowed_ips(&self.config);
        self.tunnel.set_peer(peer(&self.config, endpoint, allowed))
    }

    /// Begins to shake hands with another cloudlet, while packets still go to the present one.
    ///
    /// # Errors
    /// The tunnel broke down.
    pub(crate) fn greet(
        &self,
        config: &TunnelConfig,
        endpoint: SocketAddr,
    ) -> Result<(), TunnelError> {
        if config.public_key == self.config.public_key {
            return self.redirect(endpoint);
        }
        self.tunnel.set_peer(peer(config, endpoint, Vec::new()))?;
        // Whether it answers is asked later.
        self.tunnel.connect(config.public_key, Duration::ZERO)?;
        Ok(())
    }

    /// Whether another cloudlet has answered.
    ///
    /// # Errors
    /// The tunnel broke down.
    pub(crate) fn has_answered(&self, other: &PublicKey) -> Result<bool, TunnelError> {
        let mut peers = self.tunnel.counters()?.peers.into_iter();
        let peer = peers.find(|peer| peer.public_key == *other);
        Ok(peer.is_some_and(|peer| peer.handshake_age.is_some() && peer.asked_for.is_none()))
    }

    /// Forgets another cloudlet.
    ///
    /// # Errors
    /// The tunnel broke down.
    pub(crate) fn forget(&self, other: &PublicKey) -> Result<(), TunnelError> {
        if *other != self.config.public_key {
            self.tunnel.remove_peer(*other)?;
        }
        Ok(())
    }

    /// Leads to another cloudlet from now on, with addresses and name servers of the namespaces.
    ///
    /// # Errors
    /// The namespaces do not take them, or the tunnel broke down.
    pub(crate) fn move_to(
        &mut self,
        config: &TunnelConfig,
        endpoint: SocketAddr,
    ) -> Result<(), InsideError> {
        let left = self.traffic()?.peer;
        if let Err(error) = self.confinement.configure(&network(config, self.mtu)) {
            // Some of it may have been done. What was there before was taken before.
            self.confinement
                .configure(&network(&self.config, self.mtu))?;
            return Err(error.into());
        }
        let allowed = allowed_ips(config);
        self.tunnel.set_peer(peer(config, endpoint, allowed))?;
        if left.public_key != config.public_key {
            self.tunnel.remove_peer(left.public_key)?;
            self.sent_before += left.sent_bytes;
            self.received_before += left.received_bytes;
        }
        self.config = config.clone();
        Ok(())
    }

    /// What the tunnel is for.
    pub(crate) const fn namespaces(&self) -> &Namespaces {
        self.confinement.namespaces()
    }

    /// What the tunnel is like at present.
    pub(crate) const fn config(&self) -> &TunnelConfig {
        &self.config
    }

    /// Stops the tunnel.
    ///
    /// # Errors
    /// It broke down before.
    pub(crate) fn stop(self) -> Result<(), TunnelError> {
        self.tunnel.stop()
    }
}

fn network(config: &TunnelConfig, mtu: Mtu) -> Network {
    Network {
        mtu,
        ..Network::from(config)
    }
}

fn peer(config: &TunnelConfig, endpoint: SocketAddr, allowed_ips: Vec<IpNet>) -> PeerConfig {
    PeerConfig {
        public_key: config.public_key,
        preshared_key: None,
        endpoint: Some(endpoint),
        allowed_ips,
        persistent_keepalive: NonZeroU16::new(KEEPALIVE),
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

/// A socket of both families, because nobody knows of which the next cloudlet is; of IPv4 alone where the system has no other.
fn socket() -> io::Result<UdpSocket> {
    both_families().or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))
}

fn both_families() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(false)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
    Ok(socket.into())
}

fn allowed_ips(config: &TunnelConfig) -> Vec<IpNet> {
    let networks = config.allowed_ips.iter();
    networks
        .filter_map(|network| IpNet::new(network.address(), network.prefix_length()).ok())
        .collect()
}
