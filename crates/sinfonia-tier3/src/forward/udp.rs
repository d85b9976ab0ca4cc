//! Datagrams to a port of this device, carried on from a port inside the tunnel for each sender.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sinfonia_tunnel::userspace::UdpPort;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::destination::Destination;
use super::route::{OpenError, Routes};
use super::troubles::Troubles;

/// Longest datagram.
const DATAGRAM_BYTES: usize = 65_535;

/// Time without a datagram after which a sender is forgotten. NATs keep a flow for as long or longer (RFC 4787 §4.3 asks for 120 s, most
/// give 30 s to 60 s).
const IDLE: Duration = Duration::from_secs(60);

/// Senders at a time; datagrams of further ones are lost. Each holds buffers of 128 KiB in the tunnel's stack.
const SENDERS: usize = 256;

/// Datagrams of a sender that wait, for the name to be resolved above all; further ones are lost.
const WAITING: usize = 64;

/// Time until the next try when the socket gives an error.
const PAUSE: Duration = Duration::from_millis(100);

/// Carries each sender's datagrams to the destination, and what comes back from there to the sender.
pub(super) async fn forward(
    socket: UdpSocket,
    to: Destination,
    routes: Routes,
    troubles: Troubles,
) {
    let (socket, troubles) = (Arc::new(socket), Arc::new(troubles));
    let mut flows = Flows::default();
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let (length, sender) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // Some systems tell here that an answer found nobody.
                tracing::debug!(%error, "datagram not received");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        if let Some(datagrams) = flows.take(sender, &buffer[..length]) {
            let flow = Flow {
                sender,
                socket: Arc::clone(&socket),
                to: to.clone(),
                routes: routes.clone(),
            };
            let troubles = Arc::clone(&troubles);
            tasks.spawn(async move {
                if let Err(error) = flow.run(datagrams).await {
                    troubles.tell(&error);
                }
            });
        }
    }
}

/// The senders, and the way to what carries on their datagrams.
#[derive(Debug, Default)]
struct Flows(HashMap<SocketAddr, mpsc::Sender<Vec<u8>>>);

impl Flows {
    /// Hands a datagram to what carries on those of its sender. For a new sender gives where its datagrams come out; a sender is forgotten
    /// when nothing takes them any more.
    fn take(&mut self, sender: SocketAddr, datagram: &[u8]) -> Option<mpsc::Receiver<Vec<u8>>> {
        if let Some(flow) = self.0.get(&sender).filter(|flow| !flow.is_closed()) {
            // Where too many wait, it is lost as in any network.
            let _ = flow.try_send(datagram.to_vec());
            return None;
        }
        if self.0.len() >= SENDERS {
            self.0.retain(|_, flow| !flow.is_closed());
        }
        if self.0.len() >= SENDERS {
            tracing::debug!(%sender, "datagram lost, there are too many senders");
            return None;
        }
        let (flow, datagrams) = mpsc::channel(WAITING);
        // There is room for the first one.
        let _ = flow.try_send(datagram.to_vec());
        self.0.insert(sender, flow);
        Some(datagrams)
    }
}

/// The datagrams of one sender.
struct Flow {
    sender: SocketAddr,
    socket: Arc<UdpSocket>,
    to: Destination,
    routes: Routes,
}

impl Flow {
    /// Carries datagrams until none has come for a while.
    async fn run(self, mut datagrams: mpsc::Receiver<Vec<u8>>) -> Result<(), OpenError> {
        let (port, to) = self.open().await?;
        let mut buffer = vec![0; DATAGRAM_BYTES];
        let mut until = Instant::now() + IDLE;
        loop {
            tokio::select! {
                datagram = datagrams.recv() => {
                    let Some(datagram) = datagram else { return Ok(()) };
                    port.send(&datagram, to).map_err(|source| OpenError::Connect { to, source })?;
                }
                received = port.receive(&mut buffer) => {
                    // The tunnel leads elsewhere by now, where the next datagram opens another port.
                    let Ok((length, from)) = received else { return Ok(()) };
                    if from != to {
                        continue;
                    }
                    if let Err(error) = self.socket.send_to(&buffer[..length], self.sender).await {
                        tracing::debug!(%error, sender = %self.sender, "datagram not returned");
                    }
                }
                () = sleep_until(until) => return Ok(()),
            }
            until = Instant::now() + IDLE;
        }
    }

    /// Opens a port inside the tunnel, and finds the destination.
    async fn open(&self) -> Result<(UdpPort, SocketAddr), OpenError> {
        let route = self.routes.current();
        let addresses = route.addresses(&self.to.host).await?;
        let reachable = addresses
            .iter()
            .find_map(|address| Some((*address, route.own_towards(*address)?)));
        let Some((address, own)) = reachable else {
            return Err(OpenError::OtherFamily(self.to.host.clone()));
        };
        let to = SocketAddr::new(address, self.to.port);
        let port = route.stack().bind(SocketAddr::new(own, 0));
        Ok((
            port.map_err(|source| OpenError::Connect { to, source })?,
            to,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_its_datagrams_carried_on_in_one_place() {
        let mut flows = Flows::default();

        let mut one = flows.take(sender(1), b"a").unwrap();
        let mut other = flows.take(sender(2), b"b").unwrap();
        assert!(flows.take(sender(1), b"c").is_none());

        assert_eq!(all(&mut one), [b"a", b"c"]);
        assert_eq!(all(&mut other), [b"b"]);
    }

    #[test]
    fn a_sender_whose_flow_has_ended_gets_another_one() {
        let mut flows = Flows::default();
        drop(flows.take(sender(1), b"a"));

        let mut again = flows.take(sender(1), b"b").unwrap();

        assert_eq!(all(&mut again), [b"b"]);
    }

    #[test]
    fn datagrams_that_nobody_takes_do_not_pile_up() {
        let mut flows = Flows::default();
        let mut slow = flows.take(sender(1), b"a").unwrap();

        for _ in 0..2 * WAITING {
            flows.take(sender(1), b"a");
        }

        assert_eq!(all(&mut slow).len(), WAITING);
    }

    #[test]
    fn there_are_so_many_senders_at_a_time_and_an_end_makes_room() {
        let mut flows = Flows::default();
        let mut open: Vec<_> = (0..SENDERS)
            .map(|number| flows.take(sender(number), b"a").unwrap())
            .collect();

        assert!(flows.take(sender(SENDERS), b"a").is_none());
        open.pop();

        assert!(flows.take(sender(SENDERS), b"a").is_some());
    }

    fn sender(number: usize) -> SocketAddr {
        let port = u16::try_from(1000 + number).unwrap();
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn all(datagrams: &mut mpsc::Receiver<Vec<u8>>) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| datagrams.try_recv().ok()).collect()
    }
}
