//! Serving routers on sockets: HTTP/1.1 with bounded connections, headers and time, and an end that lets requests finish.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::path::App;
use crate::settings::LimitArgs;

/// Pause after a failed accept, because what makes one fail (no file descriptors left) makes the next one fail too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds of a server's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections open at once; further ones wait to be accepted.
    pub connections: usize,
    /// Longest head of a request, in bytes, at least 8192; a longer one is answered with 431.
    pub header_bytes: usize,
    /// Most header fields of a request; more are answered with 431.
    pub header_count: usize,
    /// Time for the complete head of a request to arrive, from the connection's or the last answer's end on. An idle connection is closed
    /// after it, and so is one whose other end does not take what it is sent.
    pub header_time: Duration,
    /// Time that running requests get to finish at shutdown.
    pub drain: Duration,
}

impl Default for ServerLimits {
    /// 8192 connections, 32 KiB and 100 fields of head within 30 seconds (twice as long as reports are apart, so that these keep their
    /// connection), and 10 seconds to finish at shutdown.
    fn default() -> Self {
        Self {
            connections: 8192,
            header_bytes: 32 * 1024,
            header_count: 100,
            header_time: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

impl From<&LimitArgs> for ServerLimits {
    fn from(args: &LimitArgs) -> Self {
        Self {
            connections: args.max_connections,
            drain: args.drain(),
            ..Self::default()
        }
    }
}

/// Serves an app until `shutdown` resolves: then accepts nothing more, closes idle connections, lets running requests finish within the
/// drain time, cuts what is left, and returns.
///
/// Handlers find the other end's address as [`ConnectInfo<SocketAddr>`], an IPv4-mapped one as IPv4.
pub async fn serve(
    listener: TcpListener,
    app: App,
    limits: ServerLimits,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let stopping = CancellationToken::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, accept(&listener).await)
        };
        tokio::select! {
            (slot, (stream, peer)) = accepted => {
                let connection = connection(stream, peer, app.clone(), limits, stopping.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Some(_) = connections.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    stopping.cancel();
    drain(connections, limits.drain).await;
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    app: App,
    limits: ServerLimits,
    stopping: CancellationToken,
) {
    if let Err(error) = tune(&stream, &limits) {
        tracing::debug!(%error, "connection cannot be tuned");
    }
    let peer = ConnectInfo(SocketAddr::new(peer.ip().to_canonical(), peer.port()));
    let service = service_fn(move |request| answer(app.clone(), peer, request));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_headers(limits.header_count)
        .max_buf_size(limits.header_bytes.max(8192))
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended early");
    }
}

/// Sends small answers at once, and gives up on another end that takes nothing of what it is sent for too long.
fn tune(stream: &TcpStream, limits: &ServerLimits) -> io::Result<()> {
    stream.set_nodelay(true)?;
    bound_stalls(stream, limits.header_time)
}

#[cfg(target_os = "linux")]
fn bound_stalls(stream: &TcpStream, time: Duration) -> io::Result<()> {
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(time))
}

/// Other systems have no such option; their own time-outs are longer.
#[cfg(not(target_os = "linux"))]
fn bound_stalls(_stream: &TcpStream, _time: Duration) -> io::Result<()> {
    Ok(())
}

async fn answer(
    app: App,
    peer: ConnectInfo<SocketAddr>,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    app.oneshot(request).await
}

async fn drain(mut connections: JoinSet<()>, time: Duration) {
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(time, finished).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "requests did not finish in time, cutting them"
        );
        connections.shutdown().await;
    }
}
