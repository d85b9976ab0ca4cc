//! The way from an application's namespaces to a cloudlet, which may change while the application runs.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::time::Duration;

use sinfonia_core::key::{PrivateKey, PublicKey};
use sinfonia_core::tunnel::TunnelConfig;
use sinfonia_tunnel::confinement::{Confinement, ConfinementError, Mtu, Namespaces, Network, Tun};
use sinfonia_tunnel::driver::{PeerCounters, Tunnel, TunnelError, TunnelParts};
use socket2::{Domain, Protocol, Socket, Type};

use super::InsideError;
use crate::keeper::{self, Traffic};
use crate::peer::{HANDSHAKE_TIME, networks, peer};
use crate::watch::Silence;

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

/// Another cloudlet that is asked whether it answers.
pub(crate) struct Greeting {
    config: TunnelConfig,
    endpoint: SocketAddr,
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
        tunnel.set_peer(peer(config, endpoint, networks(&config.allowed_ips)))?;
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

    /// What is known of the present cloudlet.
    ///
    /// # Errors
    /// The tunnel broke down.
    pub(crate) fn peer(&self) -> Result<PeerCounters, TunnelError> {
        let mut peers = self.tunnel.counters()?.peers.into_iter();
        peers
            .find(|peer| peer.public_key == self.config.public_key)
            .ok_or(TunnelError::Silent)
    }

    fn set_endpoint(&self, endpoint: SocketAddr) -> Result<(), TunnelError> {
        let allowed = networks(&self.config.allowed_ips);
        self.tunnel.set_peer(peer(&self.config, endpoint, allowed))
    }

    /// Forgets another cloudlet, if it is another one.
    fn remove(&self, key: PublicKey) -> Result<(), TunnelError> {
        if key != self.config.public_key {
            self.tunnel.remove_peer(key)?;
        }
        Ok(())
    }

    /// Has the namespaces take other addresses and name servers, or none of them.
    fn configure(&mut self, config: &TunnelConfig) -> Result<(), ConfinementError> {
        let taken = self.confinement.configure(&network(config, self.mtu));
        if taken.is_err() {
            // Some of it may have been done. What was there before was taken before.
            self.confinement
                .configure(&network(&self.config, self.mtu))?;
        }
        taken
    }

    fn lead_to(&mut self, greeting: &Greeting) -> Result<(), InsideError> {
        let left = self.peer()?;
        let Greeting { config, endpoint } = greeting;
        self.configure(config)?;
        let allowed = networks(&config.allowed_ips);
        self.tunnel.set_peer(peer(config, *endpoint, allowed))?;
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

    /// Stops the tunnel.
    ///
    /// # Errors
    /// It broke down before.
    pub(crate) fn stop(self) -> Result<(), TunnelError> {
        self.tunnel.stop()
    }
}

/// The tunnel has a thread of its own, which answers at once: nothing is waited for here.
impl keeper::Uplink for Uplink {
    type Greeting = Greeting;
    type Error = InsideError;

    fn config(&self) -> &TunnelConfig {
        &self.config
    }

    async fn traffic(&self) -> Result<Traffic, InsideError> {
        let peer = self.peer()?;
        Ok(Traffic {
            sent_bytes: self.sent_before + peer.sent_bytes,
            received_bytes: self.received_before + peer.received_bytes,
            endpoint: peer.endpoint,
            round_trip: peer.round_trip,
            silence: Silence::of(peer.unanswered_for, peer.asked_for),
        })
    }

    /// The socket is of both families wherever there are both.
    fn reaches(&self, _: SocketAddr) -> bool {
        true
    }

    async fn redirect(&self, endpoint: SocketAddr) -> Result<(), InsideError> {
        Ok(self.set_endpoint(endpoint)?)
    }

    async fn greet(
        &self,
        config: &TunnelConfig,
        endpoint: SocketAddr,
    ) -> Result<Greeting, InsideError> {
        if config.public_key == self.config.public_key {
            self.set_endpoint(endpoint)?;
        } else {
            self.tunnel.set_peer(peer(config, endpoint, Vec::new()))?;
            // Whether it answers is asked later.
            self.tunnel.connect(config.public_key, Duration::ZERO)?;
        }
        Ok(Greeting {
            config: config.clone(),
            endpoint,
        })
    }

    async fn has_answered(&self, other: &Greeting) -> Result<bool, InsideError> {
        let mut peers = self.tunnel.counters()?.peers.into_iter();
        let peer = peers.find(|peer| peer.public_key == other.config.public_key);
        Ok(peer.is_some_and(|peer| peer.handshake_age.is_some() && peer.asked_for.is_none()))
    }

    async fn forget(&self, other: Greeting) -> Result<(), InsideError> {
        Ok(self.remove(other.config.public_key)?)
    }

    async fn move_to(&mut self, other: Greeting) -> Result<(), InsideError> {
        let moved = self.lead_to(&other);
        if moved.is_err() {
            self.remove(other.config.public_key)?;
        }
        moved
    }
}

fn network(config: &TunnelConfig, mtu: Mtu) -> Network {
    Network {
        mtu,
        ..Network::from(config)
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
