//! A tunnel on Linux: a TUN device and a UDP socket, joined by an [`Endpoint`] in a thread of its own.
//!
//! One thread does all, because handing packets from thread to thread costs more than they do. Most of the rest is saved by
//! calling the kernel seldom: it hands over and takes TCP packets of up to 64 KiB at the device (TSO and GRO), and trains of up
//! to 64 datagrams at the socket (UDP_SEGMENT and UDP_GRO). Where it refuses one of these, the tunnel goes on without it.

mod coalesce;
mod split;
mod thread;
mod tun;
mod udp;
mod virtio;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::eventfd::{EfdFlags, EventFd};
use sinfonia_core::key::{PrivateKey, PublicKey};

use crate::clock::now;
use crate::confinement::Tun;
use crate::endpoint::{Drops, Endpoint, MAX_MTU, PeerConfig};
use thread::{Command, Links, Worker};
use tun::Device;
use udp::Udp;

/// How long the thread may take for an answer; it is busy for milliseconds at most.
const ANSWER: Duration = Duration::from_secs(5);

/// Why a tunnel does not work, or no longer does.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The MTU is beyond what the buffers hold.
    #[error("an MTU of {0} is beyond the tunnel's {MAX_MTU}")]
    Mtu(u16),
    /// The device cannot be used without blocking.
    #[error("cannot prepare the TUN device")]
    Device(#[source] Errno),
    /// The socket cannot be used without blocking.
    #[error("cannot prepare the UDP socket")]
    Socket(#[source] io::Error),
    /// There is nothing to wait with.
    #[error("cannot prepare to wait for packets")]
    Poll(#[source] Errno),
    /// There is no thread.
    #[error("cannot start the tunnel's thread")]
    Thread(#[source] io::Error),
    /// The thread ended, most likely because the device is gone.
    #[error("the tunnel broke down")]
    Broken(#[source] Errno),
    /// The thread does not answer.
    #[error("the tunnel does not answer")]
    Silent,
}

/// What a tunnel is made of.
pub struct TunnelParts {
    /// An open TUN device.
    pub device: Tun,
    /// The MTU of the device, in bytes.
    pub mtu: u16,
    /// A bound socket; one of IPv6 reaches IPv4 as well, unless it was told not to.
    pub socket: UdpSocket,
    /// Our own key.
    pub private_key: PrivateKey,
}

/// What a tunnel has done so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// One entry for each peer.
    pub peers: Vec<PeerCounters>,
    /// What the endpoint dropped.
    pub drops: Drops,
    /// System calls that sent datagrams, many at once if the kernel cuts them.
    pub sends: u64,
    /// System calls that wrote packets to the device, many at once if they could be put together.
    pub writes: u64,
    /// Datagrams that the socket did not take.
    pub failed_sends: u64,
    /// Writes that the device did not take.
    pub failed_writes: u64,
}

/// What a tunnel has done for a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCounters {
    /// The peer's identity.
    pub public_key: PublicKey,
    /// Where it was last, or where it was said to be.
    pub endpoint: Option<SocketAddr>,
    /// Bytes to the peer, as `wg` counts them.
    pub sent_bytes: u64,
    /// Bytes from the peer, as `wg` counts them.
    pub received_bytes: u64,
    /// How long ago the last handshake came to a good end.
    pub handshake_age: Option<Duration>,
    /// The time from the last initiation of ours that was answered to its answer.
    pub round_trip: Option<Duration>,
    /// For how long a packet or an initiation to the peer has been without any authentic message in return.
    pub unanswered_for: Option<Duration>,
    /// For how long an initiation to the peer has been without any authentic message in return. A peer that is there answers at once.
    pub asked_for: Option<Duration>,
}

/// A running tunnel. It stops when it is dropped.
pub struct Tunnel {
    commands: Option<Sender<Command>>,
    wake: Arc<EventFd>,
    thread: Option<JoinHandle<nix::Result<()>>>,
}

impl Tunnel {
    /// Starts a tunnel without peers.
    ///
    /// # Errors
    /// The MTU is too large, or the kernel refuses what the thread needs.
    pub fn start(parts: TunnelParts) -> Result<Self, TunnelError> {
        if parts.mtu > MAX_MTU {
            return Err(TunnelError::Mtu(parts.mtu));
        }
        set_nonblocking(&parts.device.descriptor).map_err(TunnelError::Device)?;
        let links = Links {
            tun: Device::new(parts.device),
            udp: Udp::new(parts.socket).map_err(TunnelError::Socket)?,
        };
        let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC);
        let wake = Arc::new(wake.map_err(TunnelError::Poll)?);
        let (commands, receiver) = mpsc::channel();
        let endpoint = Endpoint::new(&parts.private_key, parts.mtu, now());
        let worker = Worker::new(endpoint, links, Arc::clone(&wake), receiver);
        let worker = worker.map_err(TunnelError::Poll)?;
        let thread = std::thread::Builder::new()
            .name("sinfonia-tunnel".to_owned())
            .spawn(|| worker.run())
            .map_err(TunnelError::Thread)?;
        Ok(Self {
            commands: Some(commands),
            wake,
            thread: Some(thread),
        })
    }

    /// Adds a peer, or changes one while its sessions go on.
    ///
    /// # Errors
    /// The tunnel broke down.
    pub fn set_peer(&self, config: PeerConfig) -> Result<(), TunnelError> {
        self.command(Command::SetPeer(Box::new(config)))
    }

    /// Removes a peer; says whether there was one.
    ///
    /// # Errors
    /// The tunnel broke down.
    pub fn remove_peer(&self, public_key: PublicKey) -> Result<bool, TunnelError> {
        self.ask(|answer| Command::RemovePeer(public_key, answer))
    }

    /// Opens a session with a peer unless there is one, and waits for it; says whether it came about in time.
    ///
    /// # Errors
    /// The tunnel broke down.
    pub fn connect(&self, public_key: PublicKey, timeout: Duration) -> Result<bool, TunnelError> {
        let (done, answer) = mpsc::sync_channel(1);
        self.command(Command::Connect(public_key, done))?;
        Ok(answer.recv_timeout(timeout).is_ok())
    }

    /// What was done so far.
    ///
    /// # Errors
    /// The tunnel broke down.
    pub fn counters(&self) -> Result<Counters, TunnelError> {
        self.ask(Command::Counters)
    }

    /// Stops the tunnel. The device and the socket are closed when this returns.
    ///
    /// # Errors
    /// It broke down before.
    pub fn stop(mut self) -> Result<(), TunnelError> {
        self.end()
    }

    fn ask<T>(&self, command: impl FnOnce(SyncSender<T>) -> Command) -> Result<T, TunnelError> {
        let (sender, answer) = mpsc::sync_channel(1);
        self.command(command(sender))?;
        answer.recv_timeout(ANSWER).map_err(|error| match error {
            RecvTimeoutError::Timeout => TunnelError::Silent,
            RecvTimeoutError::Disconnected => TunnelError::Broken(Errno::EPIPE),
        })
    }

    fn command(&self, command: Command) -> Result<(), TunnelError> {
        let broken = || TunnelError::Broken(Errno::EPIPE);
        let commands = self.commands.as_ref().ok_or_else(broken)?;
        commands.send(command).map_err(|_| broken())?;
        self.wake.write(1).map_err(TunnelError::Broken)?;
        Ok(())
    }

    fn end(&mut self) -> Result<(), TunnelError> {
        self.commands = None;
        // The thread sees that the channel is closed; if it is gone already, nobody has to wake up.
        let _ = self.wake.write(1);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result.map_err(TunnelError::Broken),
            Some(Err(_)) => Err(TunnelError::Silent),
            None => Ok(()),
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "a tunnel had broken down before it was stopped");
        }
    }
}

fn set_nonblocking(device: &OwnedFd) -> nix::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(device, FcntlArg::F_GETFL)?);
    fcntl(device, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}
