//! The way from this process to what was deployed.

mod lookup;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sinfonia_core::resolver::Resolver;
use sinfonia_core::tunnel::TunnelConfig;
use sinfonia_tunnel::userspace::{Stack, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

pub(crate) use self::lookup::NameError;
use super::destination::{Destination, Host};

/// Time in which a host has to take a connection. Three attempts of TCP fit into it.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Addresses of a name that are tried one after the other.
const MOST_ADDRESSES: usize = 4;

/// A stack in the tunnel, and who resolves names there.
#[derive(Debug)]
pub(crate) struct Route {
    stack: Stack,
    /// This device's addresses inside the tunnel.
    own: Vec<IpAddr>,
    resolver: Resolver,
}

/// The route of the moment: whoever holds the other end may lead elsewhere while ports are forwarded. What is open stays where it was.
#[derive(Debug, Clone)]
pub(crate) struct Routes(watch::Receiver<Arc<Route>>);

/// Why a destination is not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Its name leads nowhere.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It has addresses of the family alone that this device lacks.
    #[error("this device has no address in the tunnel of the family that {0} has")]
    OtherFamily(Host),
    /// Nobody answers there.
    #[error("{0} does not answer")]
    NoAnswer(SocketAddr),
    /// It cannot be connected to.
    #[error("cannot connect to {to}")]
    Connect {
        /// Where it is.
        to: SocketAddr,
        /// What was said.
        #[source]
        source: io::Error,
    },
}

impl Routes {
    pub(crate) const fn new(routes: watch::Receiver<Arc<Route>>) -> Self {
        Self(routes)
    }

    pub(super) fn current(&self) -> Arc<Route> {
        Arc::clone(&self.0.borrow())
    }
}

impl Route {
    pub(crate) fn new(stack: Stack, tunnel: &TunnelConfig) -> Self {
        Self {
            stack,
            own: tunnel.address.iter().map(|own| own.address()).collect(),
            resolver: Resolver::from(tunnel),
        }
    }

    /// This device's stack in the tunnel.
    pub(super) const fn stack(&self) -> &Stack {
        &self.stack
    }

    /// This device's address of the same family as another.
    pub(super) fn own_towards(&self, other: IpAddr) -> Option<IpAddr> {
        let same = |own: &&IpAddr| own.is_ipv4() == other.is_ipv4();
        self.own.iter().find(same).copied()
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// The name leads nowhere, or none of its addresses takes a connection; the last one tells.
    pub(super) async fn connect(&self, to: &Destination) -> Result<TcpStream, OpenError> {
        let mut last = None;
        for address in self.addresses(&to.host).await?.iter().take(MOST_ADDRESSES) {
            let to = SocketAddr::new(*address, to.port);
            match timeout(CONNECT_TIME, self.stack.connect(to)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(source)) => last = Some(OpenError::Connect { to, source }),
                Err(_) => last = Some(OpenError::NoAnswer(to)),
            }
        }
        // A name without addresses is none.
        Err(last.unwrap_or(OpenError::Name(NameError::NoServer)))
    }
}

#[cfg(test)]
mod tests;
