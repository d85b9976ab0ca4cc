//! Connections to a port of this device, each joined with one inside the tunnel.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sinfonia_tunnel::userspace;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::destination::Destination;
use super::route::Routes;
use super::slots::Slots;
use super::troubles::Troubles;

/// Bytes that are carried at a time: several segments of the tunnel, so that locks and wake-ups count little.
const CHUNK: usize = 64 * 1024;

/// Time until the next try when the system gives no connection, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Joins each connection with one to the destination.
pub(super) async fn forward(
    listener: TcpListener,
    to: Destination,
    routes: Routes,
    slots: Slots,
    troubles: Troubles,
) {
    let troubles = Arc::new(troubles);
    accept(&listener, &slots, |near| {
        let (to, routes, troubles) = (to.clone(), routes.clone(), Arc::clone(&troubles));
        async move {
            match routes.current().connect(&to).await {
                Ok(far) => join(near, far).await,
                Err(error) => {
                    troubles.tell(&error);
                    reset(&near);
                }
            }
        }
    })
    .await;
}

/// Has each connection served by a task of its own. The tasks end with this future.
pub(super) async fn accept<F>(
    listener: &TcpListener,
    slots: &Slots,
    mut serve: impl FnMut(TcpStream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "connection not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(slot) = slots.take().await else {
            return;
        };
        // Segments are full or urgent already when they come; an error costs latency alone.
        let _ = stream.set_nodelay(true);
        let serving = serve(stream);
        connections.spawn(async move {
            serving.await;
            drop(slot);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Carries bytes both ways until both ends have said that they are done. An end that breaks off breaks off the other.
pub(super) async fn join(mut near: TcpStream, mut far: userspace::TcpStream) {
    match copy_bidirectional_with_sizes(&mut near, &mut far, CHUNK, CHUNK).await {
        Ok((sent, received)) => tracing::debug!(sent, received, "connection done"),
        Err(error) => {
            tracing::debug!(%error, "connection broken off");
            far.reset();
            reset(&near);
        }
    }
}

/// Has the connection end with an error for its peer when it is dropped, so that nobody takes what came for all.
fn reset(near: &TcpStream) {
    // Without it, the peer sees an ordinary end.
    let _ = near.set_zero_linger();
}
