//! A tunnel in this process alone: a UDP socket, and a TCP/IP [`Stack`] for each peer, joined by an [`Endpoint`].
//!
//! It needs neither a device, nor a privilege, nor a particular system. One task of tokio does the work of all peers. What
//! peers send reaches their own stack and nothing else, so peers reach neither each other nor the host.

mod stack;
mod task;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sinfonia_core::key::{PrivateKey, PublicKey};
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use self::stack::{Stack, StackConfig, TcpListener, TcpStream, UdpPort};
use self::task::{Command, Task};
use crate::clock;
use crate::endpoint::{Endpoint, MAX_MTU, Moment, PeerConfig, PeerStatus, Pool, Traffic};

/// Buffers that are kept: those of one turn in both directions.
const BUFFERS: usize = 512;

/// Bytes that the system is asked to keep of datagrams until the task takes them: what a few streams send at once. Without privileges many
/// systems give 208 KiB, where a peer that sends faster loses some at times.
const SOCKET_BUFFER: usize = 4 << 20;

/// A tunnel at work. It ends when this is dropped, and with it all streams.
pub struct Tunnel {
    commands: mpsc::UnboundedSender<Command>,
    wake: Arc<Notify>,
    pool: Pool,
    local: SocketAddr,
    mtu: u16,
    /// Ends with the task.
    traffic: watch::Receiver<Traffic>,
    task: JoinHandle<()>,
}

/// What was asked of a tunnel whose task is gone, because its runtime ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tunnel has ended")]
pub struct Ended;

impl Tunnel {
    /// Starts a tunnel without peers on tokio's current runtime. Packets inside have at most `mtu` bytes, itself at most [`MAX_MTU`].
    ///
    /// # Errors
    /// The socket has no address.
    pub fn start(socket: UdpSocket, private_key: &PrivateKey, mtu: u16) -> io::Result<Self> {
        let mtu = mtu.min(MAX_MTU);
        let local = socket.local_addr()?;
        // It works with less.
        let _ = SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER);
        let wake = Arc::new(Notify::new());
        let (commands, receiver) = mpsc::unbounded_channel();
        let (sender, traffic) = watch::channel(Traffic::default());
        let endpoint = Endpoint::new(private_key, mtu, clock::now());
        let pool = Pool::new(BUFFERS);
        let task = Task::new(
            endpoint,
            socket,
            pool.clone(),
            Arc::clone(&wake),
            receiver,
            sender,
        );
        Ok(Self {
            commands,
            wake,
            pool,
            local,
            mtu,
            traffic,
            task: tokio::spawn(task.run()),
        })
    }

    /// Where the tunnel's socket is bound.
    pub const fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Resolves when the tunnel has ended although nobody dropped it, which it does with a defect alone.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut running = self.traffic.clone();
        // No change is ever told.
        async move { while running.changed().await.is_ok() {} }
    }

    /// What went through the tunnel, with all peers that it had. The receiver is told the current values, and of no change.
    pub fn traffic(&self) -> watch::Receiver<Traffic> {
        self.traffic.clone()
    }

    /// A stack for a peer of this tunnel.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn stack(&self, config: &StackConfig) -> io::Result<Stack> {
        Stack::new(config, self.mtu, self.pool.clone(), Arc::clone(&self.wake))
    }

    /// Adds a peer, or changes one while its sessions go on. Packets from its allowed addresses go to this stack, whose packets go to
    /// the peer. The streams of another stack that it had end without a word to the peer.
    ///
    /// # Errors
    /// The tunnel has ended.
    pub fn set_peer(&self, peer: PeerConfig, stack: Stack) -> Result<(), Ended> {
        self.command(Command::SetPeer(Box::new((peer, stack))))
    }

    /// Removes a peer; the streams of its stack end. Does nothing if there is none.
    ///
    /// # Errors
    /// The tunnel has ended.
    pub fn remove_peer(&self, key: PublicKey) -> Result<(), Ended> {
        self.command(Command::RemovePeer(key))
    }

    /// Opens a session with a peer unless there is one, and waits for it; says whether it came about in time.
    ///
    /// # Errors
    /// The tunnel has ended.
    pub async fn connect(&self, key: PublicKey, timeout: Duration) -> Result<bool, Ended> {
        let (done, answer) = oneshot::channel();
        self.command(Command::Connect(key, done))?;
        Ok(matches!(
            tokio::time::timeout(timeout, answer).await,
            Ok(Ok(()))
        ))
    }

    /// The time by the clock that the moments of a [`PeerStatus`] are told by.
    pub fn now() -> Moment {
        clock::now()
    }

    /// What is known of each peer.
    ///
    /// # Errors
    /// The tunnel has ended.
    pub async fn peers(&self) -> Result<Vec<PeerStatus>, Ended> {
        let (sender, answer) = oneshot::channel();
        self.command(Command::Peers(sender))?;
        answer.await.map_err(|_| Ended)
    }

    fn command(&self, command: Command) -> Result<(), Ended> {
        self.commands.send(command).map_err(|_| Ended)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}
