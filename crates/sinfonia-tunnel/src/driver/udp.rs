//! The UDP socket.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg,
    sendmsg, setsockopt, sockopt,
};

use crate::endpoint::{BUFFER_BYTES, Buffer, Pool};

/// Receives of one system call, each of up to 64 datagrams that the kernel has put together.
const RECEIVES: usize = 8;

/// Bytes of one receive: the longest UDP payload, and a little.
const RECEIVE_BYTES: usize = 65_536;

/// Most datagrams that the kernel cuts out of one send (UDP_MAX_SEGMENTS).
const MAX_SEGMENTS: usize = 64;

/// Most bytes of one send; the length field of UDP ends at 65,535.
const MAX_SEND: usize = 65_000;

/// Size that is asked for the socket's buffers; the kernel grants what it likes.
const SOCKET_BUFFER: usize = 4 << 20;

/// Milliseconds for which a full send buffer may hold up everything else.
const SEND_WAIT: u8 = 100;

pub(super) struct Udp {
    socket: UdpSocket,
    segments: bool,
    input: Box<[u8]>,
    output: Vec<(SocketAddr, Buffer)>,
    sends: u64,
    failed_sends: u64,
}

impl Udp {
    pub(super) fn new(socket: UdpSocket) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        for result in [
            setsockopt(&socket, sockopt::RcvBuf, &SOCKET_BUFFER),
            setsockopt(&socket, sockopt::SndBuf, &SOCKET_BUFFER),
            setsockopt(&socket, sockopt::UdpGroSegment, &true),
        ] {
            if let Err(error) = result {
                tracing::debug!(%error, "the UDP socket goes on without an option");
            }
        }
        Ok(Self {
            socket,
            segments: true,
            input: vec![0; RECEIVES * RECEIVE_BYTES].into_boxed_slice(),
            output: Vec::new(),
            sends: 0,
            failed_sends: 0,
        })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Receives once and hands over the datagrams. Says whether there may be more.
    pub(super) fn receive(
        &mut self,
        pool: &Pool,
        mut take: impl FnMut(SocketAddr, Buffer),
    ) -> nix::Result<bool> {
        // Made anew for each call, because the kernel shortens its lengths to what it has used.
        let mut headers =
            MultiHeaders::<SockaddrStorage>::preallocate(RECEIVES, Some(nix::cmsg_space!(i32)));
        let mut chunks = self.input.chunks_exact_mut(RECEIVE_BYTES);
        let mut slices: [_; RECEIVES] =
            std::array::from_fn(|_| [IoSliceMut::new(chunks.next().unwrap_or_default())]);
        let descriptor = self.socket.as_raw_fd();
        let received = recvmmsg(
            descriptor,
            &mut headers,
            &mut slices,
            MsgFlags::empty(),
            None,
        );
        let received = match received {
            Ok(received) => received,
            // Nothing there, or news of an earlier datagram that did not arrive.
            Err(Errno::EBADF | Errno::ENOTSOCK) => return Err(Errno::EBADF),
            Err(_) => return Ok(false),
        };
        let mut count = 0;
        for message in received {
            count += 1;
            let Some(from) = message.address.and_then(address) else {
                continue;
            };
            let size = message
                .cmsgs()
                .ok()
                .and_then(|mut all| all.find_map(|message| segment_size(&message)));
            for bytes in message.iovs() {
                for datagram in bytes.chunks(size.unwrap_or(bytes.len()).max(1)) {
                    if let Some(datagram) = copy(pool, datagram) {
                        take(from, datagram);
                    }
                }
            }
        }
        Ok(count == RECEIVES)
    }

    /// Keeps a datagram for [`Self::flush`].
    pub(super) fn queue(&mut self, to: SocketAddr, datagram: Buffer) {
        self.output.push((to, datagram));
    }

    /// Sends all datagrams that are kept.
    pub(super) fn flush(&mut self) {
        let mut begin = 0;
        while begin < self.output.len() {
            let end = begin + self.run(begin);
            self.sends += 1;
            if self.send(begin, end).is_err() {
                self.failed_sends += (end - begin) as u64;
            }
            begin = end;
        }
        self.output.clear();
    }

    /// Calls of the kernel, each for as many datagrams as it takes.
    pub(super) const fn sends(&self) -> u64 {
        self.sends
    }

    /// Datagrams that the kernel did not take.
    pub(super) const fn failed_sends(&self) -> u64 {
        self.failed_sends
    }

    /// How many datagrams from here on go to one address and have one length, the last of them perhaps a shorter one.
    fn run(&self, begin: usize) -> usize {
        let (to, first) = &self.output[begin];
        let most = if self.segments {
            MAX_SEGMENTS.min(MAX_SEND / first.len().max(1))
        } else {
            1
        };
        let rest = self.output[begin..].iter().take(most.max(1));
        let mut shorter = false;
        let fits = |(address, datagram): &&(SocketAddr, Buffer)| {
            let fits = address == to && !shorter && datagram.len() <= first.len();
            shorter = datagram.len() < first.len();
            fits
        };
        rest.take_while(fits).count()
    }

    fn send(&mut self, begin: usize, end: usize) -> nix::Result<()> {
        let result = self.send_run(begin, end);
        match result {
            // The kernel or the device cannot cut; wireguard-go gives up on it at the same answers.
            Err(Errno::EIO | Errno::EINVAL | Errno::EMSGSIZE | Errno::EOPNOTSUPP)
                if end - begin > 1 =>
            {
                tracing::debug!("datagrams are sent one by one from now on");
                self.segments = false;
                self.sends += (end - begin) as u64;
                (begin..end).try_for_each(|number| self.send_run(number, number + 1))
            }
            _ => result,
        }
    }

    fn send_run(&self, begin: usize, end: usize) -> nix::Result<()> {
        let run = &self.output[begin..end];
        let mut slices = [IoSlice::new(&[]); MAX_SEGMENTS];
        for (slice, (_, datagram)) in slices.iter_mut().zip(run) {
            *slice = IoSlice::new(datagram);
        }
        let size = run[0].1.len() as u16;
        let segments = [ControlMessage::UdpGsoSegments(&size)];
        let control = if run.len() > 1 { &segments[..] } else { &[] };
        let to = SockaddrStorage::from(run[0].0);
        let send = || {
            let descriptor = self.socket.as_raw_fd();
            sendmsg(
                descriptor,
                &slices[..run.len()],
                control,
                MsgFlags::empty(),
                Some(&to),
            )
        };
        match send() {
            Err(Errno::EAGAIN) => {
                let mut wait = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
                poll(&mut wait, PollTimeout::from(SEND_WAIT))?;
                send().map(drop)
            }
            result => result.map(drop),
        }
    }
}

/// The sender's address, that of IPv4 as such even if the socket speaks IPv6; Linux takes it in this form as well.
fn address(address: SockaddrStorage) -> Option<SocketAddr> {
    if let Some(ipv4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(IpAddr::V4(ipv4.ip()), ipv4.port()));
    }
    let ipv6 = address.as_sockaddr_in6()?;
    let ip: Ipv6Addr = ipv6.ip();
    Some(match ip.to_ipv4_mapped() {
        Some(ipv4) => SocketAddr::new(IpAddr::V4(ipv4), ipv6.port()),
        None => std::net::SocketAddrV6::new(ip, ipv6.port(), 0, ipv6.scope_id()).into(),
    })
}

fn segment_size(message: &ControlMessageOwned) -> Option<usize> {
    match message {
        ControlMessageOwned::UdpGroSegments(size) => usize::try_from(*size).ok(),
        _ => None,
    }
}

fn copy(pool: &Pool, datagram: &[u8]) -> Option<Buffer> {
    if datagram.len() > BUFFER_BYTES {
        return None;
    }
    let mut buffer = pool.take();
    buffer[..datagram.len()].copy_from_slice(datagram);
    buffer.truncate(datagram.len());
    Some(buffer)
}
