//! A SOCKS5 proxy (RFC 1928) whose connections go through the tunnel. It resolves names there too, and asks nobody who he is.

mod message;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use self::message::{
    Greeting, MessageError, Parsed, Reply, Request, parse_greeting, parse_request,
};
use super::route::{NameError, OpenError, Routes};
use super::slots::Slots;
use super::tcp::{accept, join};
use super::troubles::Troubles;

/// Time in which a client has to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time in which a client that was refused has to go.
const FAREWELL: Duration = Duration::from_secs(1);

/// The address in a refusal, which stands for none.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Why a client did not say what it wants.
#[derive(Debug, thiserror::Error)]
enum ClientError {
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("the client accepts no way to go without a password")]
    NoMethod,
    #[error("the client went away")]
    Gone(#[source] io::Error),
}

/// Serves clients for ever.
pub(super) async fn serve(listener: TcpListener, routes: Routes, slots: Slots, troubles: Troubles) {
    let troubles = Arc::new(troubles);
    accept(&listener, &slots, |near| {
        let (routes, troubles) = (routes.clone(), Arc::clone(&troubles));
        async move { serve_client(near, &routes, &troubles).await }
    })
    .await;
}

async fn serve_client(mut near: TcpStream, routes: &Routes, troubles: &Troubles) {
    let request = match timeout(PATIENCE, negotiate(&mut near)).await {
        Ok(Ok(request)) => request,
        Ok(Err(error)) => return tracing::debug!(%error, "no request"),
        Err(_) => return tracing::debug!("no request in time"),
    };
    let to = match request {
        Request::Connect(to) => to,
        Request::Refused(reply) => return refuse(near, reply).await,
    };
    match routes.current().connect(&to).await {
        Ok(far) => {
            let granted = message::reply(Reply::Granted, far.local_address());
            // Where the client is gone, joining finds that out as well.
            let _ = near.write_all(&granted).await;
            join(near, far).await;
        }
        Err(error) => {
            troubles.tell(&error);
            refuse(near, reply_to(&error)).await;
        }
    }
}

async fn negotiate(near: &mut TcpStream) -> Result<Request, ClientError> {
    let greeting = read(near, parse_greeting).await?;
    let answer = message::method(greeting);
    near.write_all(&answer).await.map_err(ClientError::Gone)?;
    match greeting {
        Greeting::WithoutPassword => read(near, parse_request).await,
        Greeting::OtherMethods => Err(ClientError::NoMethod),
    }
}

/// Reads a message and no byte beyond: what follows belongs to the connection.
async fn read<T>(
    near: &mut TcpStream,
    parse: impl Fn(&[u8]) -> Result<Parsed<T>, MessageError>,
) -> Result<T, ClientError> {
    let mut bytes = Vec::new();
    loop {
        match parse(&bytes)? {
            Parsed::Done(message) => return Ok(message),
            Parsed::Needs(length) => {
                let had = bytes.len();
                bytes.resize(length, 0);
                let more = near.read_exact(&mut bytes[had..]).await;
                more.map_err(ClientError::Gone)?;
            }
        }
    }
}

/// Tells a client that it gets no connection.
async fn refuse(mut near: TcpStream, reply: Reply) {
    let refusal = async {
        near.write_all(&message::reply(reply, NOWHERE)).await?;
        near.shutdown().await?;
        // On many systems, what it sent meanwhile would otherwise take the reply back.
        tokio::io::copy(&mut near, &mut tokio::io::sink()).await
    };
    // Whether it heard it is its own affair.
    let _ = timeout(FAREWELL, refusal).await;
}

fn reply_to(error: &OpenError) -> Reply {
    match error {
        OpenError::Name(NameError::Unknown(_) | NameError::NoServer) | OpenError::NoAnswer(_) => {
            Reply::HostUnreachable
        }
        OpenError::Name(_) => Reply::Failed,
        OpenError::OtherFamily(_) => Reply::NetworkUnreachable,
        OpenError::Connect { source, .. } => match source.kind() {
            io::ErrorKind::ConnectionRefused => Reply::Refused,
            io::ErrorKind::NetworkUnreachable => Reply::NetworkUnreachable,
            _ => Reply::Failed,
        },
    }
}
