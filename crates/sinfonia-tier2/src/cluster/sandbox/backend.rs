//! What stands in for an installed chart: names, and programs that answer at its ports.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use sinfonia_core::recipe::Recipe;
use sinfonia_core::tunnel::HostPort;
use sinfonia_tunnel::userspace::{Stack, TcpListener, TcpStream, UdpPort};
use tokio::io::copy_bidirectional;
use tokio::task::JoinSet;

use super::names::Names;
use super::page::Page;

/// The port of DNS.
const DNS: u16 = 53;
/// The port of the page.
const HTTP: u16 = 80;

/// The backend of one deployment at work. It ends when this is dropped.
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
        recipe: &Recipe,
        page: Page,
    ) -> io::Result<Self> {
        let mut tasks = JoinSet::new();
        if let Some(names) = Names::new(&page.deployment, address) {
            let port = stack.bind(SocketAddr::new(address, DNS))?;
            tasks.spawn(resolve(port, names));
        }
        let forwards = recipe.sandbox.as_ref().map(|backend| &backend.forward);
        for (port, target) in forwards.into_iter().flatten() {
            let listener = stack.listen(SocketAddr::new(address, port.get()))?;
            tasks.spawn(forward(listener, *port, target.clone()));
        }
        let is_forwarded = |port: u16| {
            let mut ports = forwards.into_iter().flat_map(|forward| forward.keys());
            ports.any(|forwarded| forwarded.get() == port)
        };
        if !is_forwarded(HTTP) {
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

async fn forward(listener: TcpListener, port: NonZeroU16, target: HostPort) {
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
    let mut program = match tokio::net::TcpStream::connect(target.to_string()).await {
        Ok(program) => program,
        Err(error) => {
            tracing::warn!(%error, port, %target, "the program that the recipe's `sandbox` names does not answer");
            stream.reset();
            return;
        }
    };
    // Small messages of interactive applications must not wait for each other.
    let _ = program.set_nodelay(true);
    // Either end may break off at any time.
    let _ = copy_bidirectional(&mut stream, &mut program).await;
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
