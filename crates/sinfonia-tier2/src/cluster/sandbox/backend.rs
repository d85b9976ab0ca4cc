//! What stands in for an installed chart: names, and programs that answer at its ports.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use sinfonia_core::recipe::SandboxBackend;
use sinfonia_core::tunnel::HostPort;
use sinfonia_tunnel::userspace::{Stack, TcpListener, TcpStream, UdpPort};
use socket2::SockRef;
use tokio::io::copy_bidirectional;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::names::Names;
use super::page::Page;

/// The port of DNS.
const DNS: u16 = 53;
/// The port of the page.
const HTTP: u16 = 80;

/// Time that a program of this machine has to take a connection.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// The backend of one deployment at work. It takes no further connection when this is dropped; those that there are end with the stack.
pub(super) struct Backend {
    _tasks: JoinSet<()>,
}

impl Backend {
    /// Starts to answer at this address of a stack.
    ///
    /// # Errors
    /// The device has gone meanwhile.
    pub(super) fn start(
        stack: &Stack,
        address: IpAddr,
        recipe: &SandboxBackend,
        page: Page,
    ) -> io::Result<Self> {
        let mut tasks = JoinSet::new();
        if let Some(names) = Names::new(&page.deployment, address) {
            let port = stack.bind(SocketAddr::new(address, DNS))?;
            tasks.spawn(resolve(port, names));
        }
        for (port, target) in &recipe.forward {
            let listener = stack.listen(SocketAddr::new(address, port.get()))?;
            tasks.spawn(forward(listener, *port, target.clone()));
        }
        if !recipe.forward.keys().any(|port| port.get() == HTTP) {
            let listener = Web(stack.listen(SocketAddr::new(address, HTTP))?);
            tasks.spawn(async move {
                // It only ends with the tunnel.
                let _ = axum::serve(listener, page.router()).await;
            });
        }
        Ok(Self { _tasks: tasks })
    }
}

async fn resolve(port: UdpPort, names: Names) {
    let mut query = [0; 1500];
    while let Ok((length, from)) = port.receive(&mut query).await {
        if let Some(answer) = names.answer(&query[..length])
            && let Err(error) = port.send(&answer, from)
        {
            tracing::debug!(%error, "a name was asked for, and the answer is not sent");
        }
    }
}

async fn forward(mut listener: TcpListener, port: NonZeroU16, target: HostPort) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(stream) => drop(connections.spawn(pass_on(stream, port, target.clone()))),
                Err(_) => return,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass_on(mut stream: TcpStream, port: NonZeroU16, target: HostPort) {
    let connecting = tokio::net::TcpStream::connect(target.to_string());
    let connected = timeout(CONNECT_TIME, connecting).await;
    let mut program = match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(program) => program,
        Err(error) => {
            tracing::warn!(%error, port, %target, "the program that the recipe's `sandbox` names does not answer");
            stream.reset();
            return;
        }
    };
    // Small messages of interactive applications must not wait for each other.
    let _ = program.set_nodelay(true);
    if copy_bidirectional(&mut stream, &mut program).await.is_err() {
        // What broke off at one end must not look complete at the other.
        stream.reset();
        let _ = SockRef::from(&program).set_linger(Some(Duration::ZERO));
    }
}

/// A listener as axum wants it.
struct Web(TcpListener);

impl axum::serve::Listener for Web {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        match self.0.accept().await {
            Ok(stream) => {
                let peer = stream.peer_address();
                (stream, peer)
            }
            // The device is gone, and whoever owns this ends it.
            Err(_) => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.local_address())
    }
}
