//! Where the sandbox listens for WireGuard.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::SandboxError;

/// The port where nothing else is said, the one that WireGuard's own documents use.
const PORT: u16 = 51820;

/// An address that is nobody's (RFC 5737), and a port.
const SOMEBODY_ELSE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// A socket for the tunnels of all devices.
#[derive(Debug)]
pub struct TunnelSocket {
    pub(super) socket: UdpSocket,
    pub(super) address: SocketAddr,
}

impl TunnelSocket {
    /// Listens at this address; without one, at the usual port of all addresses of both families. Has to be called within a runtime.
    ///
    /// # Errors
    /// The address is not this machine's, or the port is taken or not allowed.
    pub fn bind(wanted: Option<SocketAddr>) -> Result<Self, SandboxError> {
        let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
        let address = wanted.unwrap_or(everywhere);
        let bound = bind(address).or_else(|error| {
            // A machine may have no IPv6 at all.
            if wanted.is_none() && error.kind() != io::ErrorKind::AddrInUse {
                bind((Ipv4Addr::UNSPECIFIED, PORT).into())
            } else {
                Err(error)
            }
        });
        let listening = bound.and_then(|socket| Ok((socket.local_addr()?, socket)));
        let (address, socket) =
            listening.map_err(|source| SandboxError::Listen { address, source })?;
        tracing::info!(%address, "listening for WireGuard");
        Ok(Self { socket, address })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The address by which others on the local network reach this machine: where its way to everybody else begins, else any, IPv4 first; none,
/// if it is on no network.
pub fn local_address() -> Option<IpAddr> {
    way_out().or_else(any_address)
}

/// Where the way to an address of documentation begins, to which nothing is sent.
fn way_out() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(SOMEBODY_ELSE).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}

fn any_address() -> Option<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    let addresses = interfaces
        .into_iter()
        .filter(|interface| !interface.is_loopback() && !interface.is_link_local());
    addresses
        .map(|interface| interface.ip())
        .min_by_key(|address| address.is_ipv6())
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_addresses_include_those_of_ipv4() {
        let socket = TunnelSocket::bind(Some("[::]:0".parse().unwrap())).unwrap();
        let device = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.address().port();

        device.send_to(b"hello", ("127.0.0.1", port)).await.unwrap();

        let (length, _) = socket.socket.recv_from(&mut [0; 10]).await.unwrap();
        assert_eq!(length, 5);
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_told_with_the_option_that_helps() {
        let first = TunnelSocket::bind(Some("127.0.0.1:0".parse().unwrap())).unwrap();

        let error = TunnelSocket::bind(Some(first.address())).unwrap_err();

        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen for WireGuard on UDP {} (--tunnel-listen chooses another)",
                first.address()
            )
        );
    }
}
