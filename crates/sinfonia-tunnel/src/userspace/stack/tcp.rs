//! Streams and listeners.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{CongestionControl, RecvError, SocketBuffer};
pub(super) use smoltcp::socket::tcp::{Socket, State};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{LINGER, Stack, instant, shut_down};
use crate::clock::now;

/// Time after which a peer that says nothing is given up.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Time between two questions to a silent peer whether it is still there, so that a stream may be quiet for as long as it likes.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The largest window that TCP tells without scaling it.
const UNSCALED_WINDOW: usize = 65535;

/// A TCP connection. When it is dropped, what was written is still sent within a minute, unless something was left unread: then the other
/// end sees an error.
#[derive(Debug)]
pub struct TcpStream {
    stack: Stack,
    handle: SocketHandle,
    local: SocketAddr,
    peer: SocketAddr,
}

/// Takes connections. When it is dropped, further ones are refused.
#[derive(Debug)]
pub struct TcpListener {
    stack: Stack,
    at: SocketAddr,
}

/// A listener as the stack sees it.
pub(super) struct Listening {
    at: SocketAddr,
    /// The socket that takes the next connection, unless there are too many streams.
    next: Option<SocketHandle>,
    /// Connections that are not established yet.
    opening: Vec<SocketHandle>,
    /// Connections that wait to be accepted.
    open: VecDeque<SocketHandle>,
    waker: Option<Waker>,
}

impl Stack {
    /// Connects to an address through the tunnel.
    ///
    /// # Errors
    /// Nobody listens there, nobody answers, or the tunnel has ended.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let stream = self.begin_to_connect(to)?;
        poll_fn(|context| stream.poll_connected(context)).await?;
        Ok(stream)
    }

    fn begin_to_connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let mut state = self.state();
        if state.shut {
            return Err(shut_down());
        }
        if !state.has_room() {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let port = state.free_port();
        let mut socket = socket(state.config.stream_buffer);
        socket
            .connect(state.interface.context(), to, port)
            .map_err(|_| io::ErrorKind::NetworkUnreachable)?;
        let local = socket.local_endpoint().map(SocketAddr::from);
        let handle = state.sockets.add(socket);
        self.wake(state);
        Ok(TcpStream {
            stack: self.clone(),
            handle,
            local: local.ok_or(io::ErrorKind::NetworkUnreachable)?,
            peer: to,
        })
    }

    /// Listens at an address of the stack.
    ///
    /// # Errors
    /// Somebody listens there already, the port is 0, or the tunnel has ended.
    pub fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        let mut state = self.state();
        if state.shut {
            return Err(shut_down());
        }
        if at.port() == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if state.listening.iter().any(|listening| listening.at == at) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.listening.push(Listening {
            at,
            next: None,
            opening: Vec::new(),
            open: VecDeque::new(),
            waker: None,
        });
        accept(&mut state);
        Ok(TcpListener {
            stack: self.clone(),
            at,
        })
    }
}

/// Brings connections a step nearer to who accepts them, and has every listener ready for the next.
pub(super) fn accept(state: &mut super::State) {
    for index in 0..state.listening.len() {
        let super::State {
            sockets, listening, ..
        } = state;
        let listening = &mut listening[index];
        listening.sort(sockets);
        let at = listening.at;
        // Those that nobody has accepted yet are streams as well.
        if listening.next.is_none() && state.has_room() {
            let mut socket = socket(state.config.stream_buffer);
            if socket.listen(at).is_ok() {
                state.listening[index].next = Some(state.sockets.add(socket));
            }
        }
    }
}

impl Listening {
    /// Puts each socket where it belongs by now.
    fn sort(&mut self, sockets: &mut SocketSet<'static>) {
        let taken = self.next.take_if(|next| {
            let socket = sockets.get::<Socket<'_>>(*next);
            socket.state() != State::Listen
        });
        self.opening.extend(taken);
        let Self { opening, open, .. } = self;
        opening.retain(|handle| {
            match sockets.get::<Socket<'_>>(*handle).state() {
                State::SynReceived => return true,
                // The peer thought better of it.
                State::Closed | State::Listen => drop(sockets.remove(*handle)),
                _ => open.push_back(*handle),
            }
            false
        });
        if !self.open.is_empty() {
            self.wake();
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl TcpListener {
    /// Where it listens.
    pub const fn local_address(&self) -> SocketAddr {
        self.at
    }

    /// Waits for the next connection; its peer's address is [`TcpStream::peer_address`].
    ///
    /// # Errors
    /// The tunnel has ended.
    pub async fn accept(&mut self) -> io::Result<TcpStream> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    fn poll_accept(&self, context: &Context<'_>) -> Poll<io::Result<TcpStream>> {
        let mut state = self.stack.state();
        if state.shut {
            return Poll::Ready(Err(shut_down()));
        }
        let mut listening = state.listening.iter_mut();
        let Some(listening) = listening.find(|listening| listening.at == self.at) else {
            return Poll::Ready(Err(shut_down()));
        };
        let Some(handle) = listening.open.pop_front() else {
            listening.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        // There may be room for the next one again.
        accept(&mut state);
        let peer = state.sockets.get::<Socket<'_>>(handle).remote_endpoint();
        Poll::Ready(Ok(TcpStream {
            stack: self.stack.clone(),
            handle,
            local: self.at,
            // A connection that was reset meanwhile has none any more; its stream says so.
            peer: peer.map_or(self.at, SocketAddr::from),
        }))
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        let mut state = self.stack.state();
        let Some(place) = state
            .listening
            .iter()
            .position(|listening| listening.at == self.at)
        else {
            return;
        };
        let Listening {
            next,
            opening,
            open,
            ..
        } = state.listening.swap_remove(place);
        let until = instant(now() + LINGER);
        for handle in next.into_iter().chain(opening).chain(open) {
            state.sockets.get_mut::<Socket<'_>>(handle).abort();
            state.orphans.push((handle, until));
        }
        self.stack.wake(state);
    }
}

impl TcpStream {
    /// Our end of the connection.
    pub const fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// The other end of the connection.
    pub const fn peer_address(&self) -> SocketAddr {
        self.peer
    }

    /// Ends the connection at once, so that the other end sees an error and not an end.
    pub fn reset(self) {
        let mut state = self.stack.state();
        state.sockets.get_mut::<Socket<'_>>(self.handle).abort();
        // What is left is done when `self` is dropped, after the lock.
        drop(state);
    }

    fn poll_connected(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.stack.state();
        if state.shut {
            return Poll::Ready(Err(shut_down()));
        }
        let socket = state.sockets.get_mut::<Socket<'_>>(self.handle);
        match socket.state() {
            State::SynSent | State::SynReceived => {
                socket.register_send_waker(context.waker());
                Poll::Pending
            }
            State::Closed => Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.stack.state();
        let socket = state.sockets.get_mut::<Socket<'_>>(self.handle);
        if !socket.can_recv() {
            if socket.may_recv() {
                socket.register_recv_waker(context.waker());
                return Poll::Pending;
            }
            return Poll::Ready(match socket.recv(|_| (0, ())) {
                Err(RecvError::InvalidState) => Err(io::ErrorKind::ConnectionReset.into()),
                Ok(()) | Err(RecvError::Finished) => Ok(()),
            });
        }
        // The buffer is a ring, so there may be a second piece.
        for _ in 0..2 {
            let read = socket.recv(|bytes| {
                let length = bytes.len().min(buffer.remaining());
                buffer.put_slice(&bytes[..length]);
                (length, length)
            });
            if buffer.remaining() == 0 || read.is_ok_and(|length| length == 0) {
                break;
            }
        }
        // The peer may send more now.
        self.stack.wake(state);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.stack.state();
        let socket = state.sockets.get_mut::<Socket<'_>>(self.handle);
        if !socket.may_send() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if !socket.can_send() {
            socket.register_send_waker(context.waker());
            return Poll::Pending;
        }
        let written = socket.send_slice(bytes);
        self.stack.wake(state);
        Poll::Ready(written.map_err(|_| io::ErrorKind::BrokenPipe.into()))
    }

    /// What was written is on its way by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.stack.state();
        state.sockets.get_mut::<Socket<'_>>(self.handle).close();
        self.stack.wake(state);
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let mut state = self.stack.state();
        let socket = state.sockets.get_mut::<Socket<'_>>(self.handle);
        if socket.recv_queue() > 0 {
            // As any system does: the peer has to know that what it sent was not read.
            socket.abort();
        } else {
            socket.close();
        }
        state.orphans.push((self.handle, instant(now() + LINGER)));
        self.stack.wake(state);
    }
}

/// A socket with buffers of at most so many bytes.
fn socket(buffer: usize) -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; capacity(buffer)]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_congestion_control(CongestionControl::Cubic);
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(None);
    socket.set_timeout(Some(TIMEOUT.into()));
    socket.set_keep_alive(Some(KEEP_ALIVE.into()));
    socket
}

/// The largest capacity up to this one whose window is told exactly. The first answer of a connection tells its window without scaling,
/// and smoltcp then takes what fits the scaled one; of a buffer of 2ⁿ bytes that is twice what it holds, and a peer that sends so much
/// breaks it.
fn capacity(bytes: usize) -> usize {
    let mut capacity = bytes.min(UNSCALED_WINDOW);
    while capacity >= UNSCALED_WINDOW && capacity * 2 <= bytes {
        capacity *= 2;
    }
    capacity
}
