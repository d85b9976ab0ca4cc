//! A TCP/IP stack in this process: packets go in and out by hand, streams are tokio's. The protocols are smoltcp's.

mod device;
mod tcp;
mod udp;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use smoltcp::iface::{
    Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet,
};
use smoltcp::socket::Socket;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use tokio::sync::Notify;

use self::device::Queues;
use self::tcp::Listening;
pub use self::tcp::{TcpListener, TcpStream};
pub use self::udp::UdpPort;
use crate::clock::now;
use crate::endpoint::{Buffer, Moment, Pool};

/// Time that a stream whose owner is gone has to send what is left.
const LINGER: Duration = Duration::from_secs(60);

/// First of the ports that are given to connections and sockets without one of their own, the range that IANA leaves for that.
const FIRST_PORT: u16 = 49152;

/// What a stack is like.
#[derive(Debug, Clone)]
pub struct StackConfig {
    /// Its own addresses, up to eight. Others are reached through the peer.
    pub addresses: Vec<IpNet>,
    /// Bytes in the buffer of each direction of a stream, which bounds what it can carry in a round trip. Somewhat less is used.
    pub stream_buffer: usize,
    /// Streams at a time; another one is refused. Together with the buffers, and one more of them for each listener, this bounds the memory
    /// that a peer can make us use.
    pub streams: usize,
}

/// A stack. Clones are one and the same.
#[derive(Clone)]
pub struct Stack(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Wakes whoever drives the stack.
    wake: Arc<Notify>,
}

struct State {
    config: StackConfig,
    interface: Interface,
    sockets: SocketSet<'static>,
    device: Queues,
    listening: Vec<Listening>,
    /// Streams whose owner is gone, and when they have to be.
    orphans: Vec<(SocketHandle, Instant)>,
    next_port: u16,
    /// Whether there is something to do at once.
    due: bool,
    wakeup: Option<Instant>,
    shut: bool,
}

impl Stack {
    pub(super) fn new(
        config: &StackConfig,
        mtu: u16,
        pool: Pool,
        wake: Arc<Notify>,
    ) -> io::Result<Self> {
        let mut seed = [0; 10];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let [port_high, port_low, seed @ ..] = seed;
        let mut device = Queues::new(usize::from(mtu), pool);
        let mut interface_config = Config::new(HardwareAddress::Ip);
        interface_config.random_seed = u64::from_ne_bytes(seed);
        let mut interface = Interface::new(interface_config, &mut device, instant(now()));
        let addresses = config.addresses.iter().filter(|network| is_usable(network));
        interface.update_ip_addrs(|own| {
            // Those that find no place would not be found by anybody.
            for network in addresses.take(own.capacity()) {
                let _ = own.push(IpCidr::new(network.addr().into(), network.prefix_len()));
            }
        });
        // On a link without neighbours, a route needs some address of the family and no particular one.
        for own in interface.ip_addrs().to_vec() {
            let _ = match own.address() {
                IpAddress::Ipv4(own) => interface.routes_mut().add_default_ipv4_route(own),
                IpAddress::Ipv6(own) => interface.routes_mut().add_default_ipv6_route(own),
            };
        }
        let state = State {
            config: config.clone(),
            interface,
            sockets: SocketSet::new(Vec::new()),
            device,
            listening: Vec::new(),
            orphans: Vec::new(),
            next_port: u16::from_ne_bytes([port_high, port_low]) | FIRST_PORT,
            due: false,
            wakeup: None,
            shut: false,
        };
        Ok(Self(Arc::new(Shared {
            state: Mutex::new(state),
            wake,
        })))
    }

    /// Takes a packet for the next [`Self::advance`].
    pub(super) fn take(&self, packet: Buffer) {
        let mut state = self.state();
        state.device.incoming.push_back(packet);
        state.due = true;
    }

    /// When [`Self::advance`] has something to do.
    pub(super) fn next_wakeup(&self) -> Option<Moment> {
        let state = self.state();
        if state.due {
            return Some(Moment::default());
        }
        let wakeup = state.wakeup?;
        Some(Moment::from_origin(Duration::from_micros(
            u64::try_from(wakeup.total_micros()).unwrap_or(0),
        )))
    }

    /// Does what there is to do, and gives away the packets that come of it.
    pub(super) fn advance(&self, now: Moment, mut send: impl FnMut(Buffer)) {
        let now = instant(now);
        let mut state = self.state();
        if !state.due && state.wakeup.is_none_or(|wakeup| wakeup > now) {
            return;
        }
        state.due = false;
        state.receive(now);
        // One batch in each turn, so that a peer that asks for a flood of small packets gets no more of the time than others.
        while state.send(now) != PollResult::None {
            if state.device.is_full() {
                state.due = true;
                break;
            }
        }
        std::mem::take(&mut state.device.outgoing)
            .into_iter()
            .for_each(&mut send);
        tcp::accept(&mut state);
        state.bury(now);
        let State {
            interface, sockets, ..
        } = &mut *state;
        let wakeup = interface.poll_at(now, sockets);
        let linger = state.orphans.iter().map(|(_, until)| *until).min();
        state.wakeup = wakeup.into_iter().chain(linger).min();
    }

    /// Whether this is the same stack.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Ends all streams and listeners; nothing can be opened any more.
    pub(super) fn shut(&self) {
        let mut state = self.state();
        state.shut = true;
        for (_, socket) in state.sockets.iter_mut() {
            match socket {
                Socket::Tcp(socket) => socket.abort(),
                Socket::Udp(socket) => socket.close(),
            }
        }
        for listening in &mut state.listening {
            listening.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has whoever drives the stack look at it.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        state.due = true;
        drop(state);
        self.0.wake.notify_one();
    }
}

impl State {
    fn receive(&mut self, now: Instant) {
        loop {
            let Self {
                interface,
                sockets,
                device,
                ..
            } = self;
            match interface.poll_ingress_single(now, device, sockets) {
                PollIngressSingleResult::None => return,
                PollIngressSingleResult::PacketProcessed => {}
                // One at a time, because a listener has to be back before the next connection comes.
                PollIngressSingleResult::SocketStateChanged => tcp::accept(self),
            }
        }
    }

    fn send(&mut self, now: Instant) -> PollResult {
        self.interface
            .poll_egress(now, &mut self.device, &mut self.sockets)
    }

    /// Removes the streams that are over and whose owner is gone, which makes room for others.
    fn bury(&mut self, now: Instant) {
        let Self {
            sockets, orphans, ..
        } = self;
        let before = orphans.len();
        orphans.retain(|(handle, until)| {
            let socket = sockets.get::<tcp::Socket<'_>>(*handle);
            let over = matches!(socket.state(), tcp::State::Closed | tcp::State::TimeWait);
            if over || *until <= now {
                sockets.remove(*handle);
            }
            !over && *until > now
        });
        if orphans.len() < before {
            tcp::accept(self);
        }
    }

    /// Whether there may be one more stream. Where several listeners wait, each may bring one beyond the limit.
    fn has_room(&self) -> bool {
        let streams = self.sockets.iter().filter(|(_, socket)| match socket {
            Socket::Tcp(socket) => !socket.is_listening(),
            Socket::Udp(_) => false,
        });
        streams.count() < self.config.streams
    }

    /// A port that neither a connection nor a socket uses.
    fn free_port(&mut self) -> u16 {
        let used: Vec<u16> = self.sockets.iter().filter_map(port).collect();
        // There are far more ports than sockets fit into memory; should they ever run out, one is used twice, towards others.
        for _ in FIRST_PORT..u16::MAX {
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
            if !used.contains(&self.next_port) {
                break;
            }
        }
        self.next_port
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Stack")
            .field("addresses", &self.state().interface.ip_addrs())
            .finish_non_exhaustive()
    }
}

fn port((_, socket): (SocketHandle, &Socket<'static>)) -> Option<u16> {
    match socket {
        Socket::Tcp(socket) => Some(socket.local_endpoint().map(|endpoint| endpoint.port)?),
        Socket::Udp(socket) => Some(socket.endpoint().port),
    }
}

/// Whether a host can have this address.
fn is_usable(network: &IpNet) -> bool {
    let address = network.addr();
    let broadcast = match address {
        IpAddr::V4(address) => address.is_broadcast(),
        IpAddr::V6(_) => false,
    };
    !(address.is_multicast() || address.is_unspecified() || broadcast)
}

fn instant(moment: Moment) -> Instant {
    let elapsed = moment.since(Moment::default());
    Instant::from_micros(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
}

fn shut_down() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the tunnel has ended")
}
