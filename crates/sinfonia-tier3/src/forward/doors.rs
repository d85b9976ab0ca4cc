//! The ports of this device through which the tunnel is reached.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use serde::Serialize;

use super::destination::Destination;
use super::error::ForwardError;
use super::spec::{ForwardSpec, Protocol, SocksSpec};

/// A port that is listened to.
#[derive(Debug)]
pub(super) struct Door {
    /// Where it is.
    pub(super) at: SocketAddr,
    pub(super) kind: Kind,
}

/// What a port is for.
#[derive(Debug)]
pub(super) enum Kind {
    Tcp(TcpListener, Destination),
    Udp(UdpSocket, Destination),
    Socks(TcpListener),
}

/// The ports as programs read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Listing {
    forwards: Vec<Listed>,
    socks: Vec<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Listed {
    protocol: Protocol,
    local: SocketAddr,
    host: String,
    port: u16,
}

/// Listens to all ports. What connects waits until somebody serves the port.
///
/// # Errors
/// One of them cannot be listened to.
pub(super) fn open(
    forwards: &[ForwardSpec],
    proxies: &[SocksSpec],
) -> Result<Vec<Door>, ForwardError> {
    let forwards = forwards.iter().map(|spec| {
        let door = match spec.protocol {
            Protocol::Tcp => tcp(spec.local, |listener| Kind::Tcp(listener, spec.to.clone())),
            Protocol::Udp => udp(spec.local, spec.to.clone()),
        };
        let mut instead = spec.clone();
        instead.local.set_port(0);
        door.map_err(failed(spec.local, "--forward", spec, &instead))
    });
    let proxies = proxies.iter().map(|spec| {
        let SocksSpec(at) = *spec;
        let mut instead = *spec;
        instead.0.set_port(0);
        tcp(at, Kind::Socks).map_err(failed(at, "--socks", spec, &instead))
    });
    forwards.chain(proxies).collect()
}

/// The ports as programs read them.
pub(super) fn list(doors: &[Door]) -> Listing {
    let mut listing = Listing {
        forwards: Vec::new(),
        socks: Vec::new(),
    };
    for door in doors {
        let (protocol, to) = match &door.kind {
            Kind::Tcp(_, to) => (Protocol::Tcp, to),
            Kind::Udp(_, to) => (Protocol::Udp, to),
            Kind::Socks(_) => {
                listing.socks.push(door.at);
                continue;
            }
        };
        listing.forwards.push(Listed {
            protocol,
            local: door.at,
            host: to.host.to_string(),
            port: to.port,
        });
    }
    listing
}

impl fmt::Display for Door {
    /// The proxy is shown as programs take it, in `ALL_PROXY` for example.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at;
        match &self.kind {
            Kind::Tcp(_, to) => write!(formatter, "{at} -> {to}"),
            Kind::Udp(_, to) => write!(formatter, "{at} -> {to} (udp)"),
            Kind::Socks(_) => write!(formatter, "socks5h://{at}"),
        }
    }
}

fn tcp(at: SocketAddr, kind: impl FnOnce(TcpListener) -> Kind) -> io::Result<Door> {
    let listener = TcpListener::bind(at)?;
    listener.set_nonblocking(true)?;
    Ok(Door {
        at: listener.local_addr()?,
        kind: kind(listener),
    })
}

fn udp(at: SocketAddr, to: Destination) -> io::Result<Door> {
    let socket = UdpSocket::bind(at)?;
    socket.set_nonblocking(true)?;
    Ok(Door {
        at: socket.local_addr()?,
        kind: Kind::Udp(socket, to),
    })
}

fn failed(
    at: SocketAddr,
    option: &str,
    value: &impl fmt::Display,
    instead: &impl fmt::Display,
) -> impl FnOnce(io::Error) -> ForwardError {
    move |source| ForwardError::Listen {
        at,
        option: format!("{option} {value}"),
        instead: format!("{option} {instead}"),
        source,
    }
}
