//! One end of a tunnel, with the product's own data path.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use anstream::println;
use anyhow::Context;
use clap::Args;
use ipnet::IpNet;
use sinfonia_core::key::{PrivateKey, PublicKey};
use sinfonia_tunnel::confinement::Tun;
use sinfonia_tunnel::driver::{Tunnel, TunnelParts};
use sinfonia_tunnel::endpoint::PeerConfig;

#[derive(Args)]
pub(crate) struct Options {
    /// Name of the device, which is made.
    #[arg(long)]
    device: String,
    /// Longest packet inside the tunnel, in bytes.
    #[arg(long)]
    mtu: u16,
    /// Where it listens, on all addresses of IPv4.
    #[arg(long)]
    port: u16,
    /// The peer's public key.
    #[arg(long)]
    peer: PublicKey,
    /// Where the peer is.
    #[arg(long)]
    endpoint: Option<SocketAddr>,
    /// What the peer may send from.
    #[arg(long)]
    allowed_ip: Vec<IpNet>,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let Options {
        device,
        mtu,
        port,
        peer,
        endpoint,
        allowed_ip,
    } = options;
    let mut key = String::new();
    std::io::stdin().read_line(&mut key)?;
    let tunnel = Tunnel::start(TunnelParts {
        device: Tun::make(device).context("cannot make a TUN device")?,
        mtu: *mtu,
        socket: UdpSocket::bind((Ipv4Addr::UNSPECIFIED, *port)).context("cannot listen")?,
        private_key: PrivateKey::parse(key.trim_end())?,
    })?;
    tunnel.set_peer(PeerConfig {
        public_key: *peer,
        preshared_key: None,
        endpoint: *endpoint,
        allowed_ips: allowed_ip.clone(),
        persistent_keepalive: None,
    })?;
    println!("up");
    super::until_stdin_ends()?;
    Ok(tunnel.stop()?)
}
