//! Datagrams inside the tunnel.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp::{BindError, PacketBuffer, PacketMetadata, RecvError, SendError, Socket};

use super::{Stack, shut_down};

/// Datagrams that wait in each direction; further ones are lost.
const DATAGRAMS: usize = 64;
const BYTES: usize = 64 * 1024;

/// A UDP port of a stack.
#[derive(Debug)]
pub struct UdpPort {
    stack: Stack,
    handle: SocketHandle,
}

impl Stack {
    /// Opens a UDP port at an address of the stack; port 0 stands for any that is free.
    ///
    /// # Errors
    /// The port is in use, or the tunnel has ended.
    pub fn bind(&self, mut at: SocketAddr) -> io::Result<UdpPort> {
        let mut state = self.state();
        if state.shut {
            return Err(shut_down());
        }
        if at.port() == 0 {
            at.set_port(state.free_port());
        } else if state.sockets.iter().any(|(_, socket)| match socket {
            smoltcp::socket::Socket::Udp(socket) => socket.endpoint() == at.into(),
            smoltcp::socket::Socket::Tcp(_) => false,
        }) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let mut socket = Socket::new(buffer(), buffer());
        socket.bind(at).map_err(|error| match error {
            BindError::InvalidState => io::ErrorKind::AddrInUse,
            BindError::Unaddressable => io::ErrorKind::InvalidInput,
        })?;
        let handle = state.sockets.add(socket);
        drop(state);
        Ok(UdpPort {
            stack: self.clone(),
            handle,
        })
    }
}

impl UdpPort {
    /// Waits for a datagram; what does not fit is cut off. Gives its length and its sender.
    ///
    /// # Errors
    /// The tunnel has ended.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        poll_fn(|context| self.poll_receive(context, buffer)).await
    }

    /// Sends a datagram. Where too many wait already, it is lost.
    ///
    /// # Errors
    /// It is too long, its address is none, or the tunnel has ended.
    pub fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        let mut state = self.stack.state();
        if state.shut {
            return Err(shut_down());
        }
        let socket = state.sockets.get_mut::<Socket<'_>>(self.handle);
        match socket.send_slice(datagram, to) {
            Ok(()) => {
                self.stack.wake(state);
                Ok(())
            }
            Err(SendError::BufferFull) if datagram.len() <= BYTES => Ok(()),
            Err(SendError::BufferFull | SendError::Unaddressable) => {
                Err(io::ErrorKind::InvalidInput.into())
            }
        }
    }

    fn poll_receive(
        &self,
        context: &Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut state = self.stack.state();
        if state.shut {
            return Poll::Ready(Err(shut_down()));
        }
        let socket = state.sockets.get_mut::<Socket<'_>>(self.handle);
        match socket.recv() {
            Ok((datagram, metadata)) => {
                let length = datagram.len().min(buffer.len());
                buffer[..length].copy_from_slice(&datagram[..length]);
                Poll::Ready(Ok((length, metadata.endpoint.into())))
            }
            Err(RecvError::Exhausted | RecvError::Truncated) => {
                socket.register_recv_waker(context.waker());
                Poll::Pending
            }
        }
    }
}

impl Drop for UdpPort {
    fn drop(&mut self) {
        self.stack.state().sockets.remove(self.handle);
    }
}

fn buffer() -> PacketBuffer<'static> {
    PacketBuffer::new(vec![PacketMetadata::EMPTY; DATAGRAMS], vec![0; BYTES])
}
