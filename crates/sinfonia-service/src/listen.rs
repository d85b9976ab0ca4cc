//! The sockets of a service.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::path::App;
use crate::server::{ServerLimits, serve};
use crate::settings::ListenArgs;

/// Connections that may wait for being accepted.
const BACKLOG: i32 = 1024;

/// Time that requests to the admin port get to finish at shutdown; each of them is answered out of memory.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// Why a service cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({option} chooses another)")]
pub struct ListenError {
    /// What was to be listened on.
    pub address: SocketAddr,
    /// The option that says so.
    pub option: &'static str,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// The sockets of a service: its own and the admin port's.
#[derive(Debug)]
pub struct Listeners {
    service: TcpListener,
    address: SocketAddr,
    admin: Option<(TcpListener, SocketAddr)>,
}

impl Listeners {
    /// Listens where the settings say, and tells the log the addresses. Must be called within a runtime.
    ///
    /// # Errors
    /// An address is not this machine's, or its port is taken or not allowed.
    pub fn bind(args: &ListenArgs) -> Result<Self, ListenError> {
        let wanted = SocketAddr::new(
            args.listen.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            args.port,
        );
        let service = if args.listen.is_some() {
            bind(wanted)
        } else {
            bind_all(args.port)
        };
        let option = if args.listen.is_some() {
            "--listen or --port"
        } else {
            "--port"
        };
        let (service, address) = with_address(service).map_err(|source| ListenError {
            address: wanted,
            option,
            source,
        })?;
        tracing::info!(%address, "listening");
        let admin = args
            .admin_address(address.port())
            .map(bind_admin)
            .transpose()?;
        match &admin {
            Some((_, address)) => tracing::info!(%address, "admin port listening"),
            None => tracing::info!("no admin port"),
        }
        Ok(Self {
            service,
            address,
            admin,
        })
    }

    /// Where the service listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the admin port listens, if it does.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, address)| *address)
    }

    /// Serves both until `shutdown` resolves, as [`serve`] does; the admin port answers until the service has finished.
    pub async fn serve(
        self,
        app: App,
        admin: App,
        limits: ServerLimits,
        shutdown: impl Future<Output = ()>,
    ) {
        let finished = CancellationToken::new();
        let service = async {
            serve(self.service, app, limits, shutdown).await;
            finished.cancel();
        };
        let admin = async {
            if let Some((listener, _)) = self.admin {
                let limits = ServerLimits {
                    drain: ADMIN_DRAIN,
                    ..ServerLimits::default()
                };
                serve(listener, admin, limits, finished.cancelled()).await;
            }
        };
        tokio::join!(service, admin);
    }
}

/// Listens on all addresses of both families, of IPv4 alone where the system has no IPv6. Port 0 takes any free one.
///
/// # Errors
/// The port is taken or not allowed.
pub fn bind_all(port: u16) -> io::Result<TcpListener> {
    match bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).map_err(|_| error)
        }
        result => result,
    }
}

/// Listens on one address; the unspecified one of IPv6 takes IPv4 too. Must be called within a runtime.
///
/// # Errors
/// The address is not this machine's, or its port is taken or not allowed.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

fn bind_admin(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ListenError> {
    with_address(bind(address)).map_err(|source| ListenError {
        address,
        option: "--admin-listen",
        source,
    })
}

fn with_address(listener: io::Result<TcpListener>) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = listener?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
