//! The few requests to the kernel's routing tables that a confinement needs (`rtnetlink(7)`).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};
use sinfonia_core::tunnel::Interface;

// Of `linux/netlink.h`.
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const HEADER: usize = 16;
const NLA_F_NESTED: u16 = 0x8000;

// Of `linux/rtnetlink.h`.
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTA_OIF: u16 = 4;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RTN_UNICAST: u8 = 1;

// Of `linux/if_link.h`, `linux/if_addr.h` and `linux/if.h`.
const IFLA_MTU: u16 = 4;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_F_NODAD: u8 = 0x02;
const IFF_UP: u32 = 1;

const AF_UNSPEC: u8 = 0;
/// Room for an answer: an error with the request that it is about.
const ANSWER: usize = 1024;

/// The family of addresses that something is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// `AF_INET` and `AF_INET6`.
    const fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }
}

/// Opens a socket that speaks of this process's network namespace, wherever it is used later.
pub(super) fn open() -> io::Result<OwnedFd> {
    Ok(socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // Number 0, routing.
        None,
    )?)
}

/// A request to the kernel.
#[derive(Debug)]
pub(super) struct Request(Vec<u8>);

impl Request {
    /// Takes a device into service.
    pub(super) fn up(device: u32) -> Self {
        Self::link(device, IFF_UP)
    }

    /// Sets the longest packet of a device, in bytes.
    pub(super) fn mtu(device: u32, mtu: u16) -> Self {
        Self::link(device, 0).attribute(IFLA_MTU, &u32::from(mtu).to_ne_bytes())
    }

    /// Keeps the kernel from giving a device a link-local address, for which it would send packets of its own.
    pub(super) fn no_link_local_address(device: u32) -> Self {
        let mode = attribute(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
        let family = attribute(Family::V6.number().into(), &mode);
        Self::link(device, 0).attribute(IFLA_AF_SPEC | NLA_F_NESTED, &family)
    }

    /// Gives a device an address.
    pub(super) fn add_address(device: u32, address: Interface) -> Self {
        Self::address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, device, address)
    }

    /// Takes an address from a device.
    pub(super) fn remove_address(device: u32, address: Interface) -> Self {
        Self::address(RTM_DELADDR, 0, device, address)
    }

    /// Sends whatever has no better route through a device.
    pub(super) fn add_default_route(device: u32, family: Family) -> Self {
        Self::default_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, device, family)
    }

    /// Undoes [`Self::add_default_route`].
    pub(super) fn remove_default_route(device: u32, family: Family) -> Self {
        Self::default_route(RTM_DELROUTE, 0, device, family)
    }

    /// Asks, and waits for the kernel's answer.
    pub(super) fn send(self, socket: impl AsFd) -> io::Result<()> {
        let mut bytes = self.0;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_ne_bytes();
        bytes.splice(..length.len(), length);
        send(&socket, &bytes, SendFlags::empty())?;
        let mut answer = [0; ANSWER];
        let (_, length) =
            rustix::io::retry_on_intr(|| recv(&socket, &mut answer, RecvFlags::TRUNC))?;
        acknowledged(answer.get(..length.min(ANSWER)).unwrap_or_default())
    }

    fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; HEADER];
        let flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        bytes.splice(4..6, kind.to_ne_bytes());
        bytes.splice(6..8, flags.to_ne_bytes());
        Self(bytes)
    }

    /// With a `struct ifinfomsg`.
    fn link(device: u32, flags: u32) -> Self {
        Self::new(RTM_NEWLINK, 0)
            .bytes(&[AF_UNSPEC, 0, 0, 0])
            .bytes(&device.to_ne_bytes())
            .bytes(&flags.to_ne_bytes())
            // Which flags the request is about.
            .bytes(&flags.to_ne_bytes())
    }

    /// With a `struct ifaddrmsg`.
    fn address(kind: u16, flags: u16, device: u32, address: Interface) -> Self {
        let family = Family::of(address.address()).number();
        let octets = match address.address() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        Self::new(kind, flags)
            .bytes(&[
                family,
                address.prefix_length(),
                IFA_F_NODAD,
                RT_SCOPE_UNIVERSE,
            ])
            .bytes(&device.to_ne_bytes())
            .attribute(IFA_LOCAL, &octets)
            .attribute(IFA_ADDRESS, &octets)
    }

    /// With a `struct rtmsg`.
    fn default_route(kind: u16, flags: u16, device: u32, family: Family) -> Self {
        let (destination, source, service) = (0, 0, 0);
        Self::new(kind, flags)
            .bytes(&[family.number(), destination, source, service])
            .bytes(&[RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_UNIVERSE, RTN_UNICAST])
            .bytes(&[0; 4])
            .attribute(RTA_OIF, &device.to_ne_bytes())
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn attribute(self, kind: u16, value: &[u8]) -> Self {
        self.bytes(&attribute(kind, value))
    }
}

/// Length, kind, value, and up to three bytes to the next multiple of four.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len();
    let mut bytes = Vec::with_capacity(length.next_multiple_of(4));
    bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}

/// An acknowledgement is an error with number 0.
fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let kind = answer.get(4..6).ok_or_else(malformed)?;
    let code = answer.get(HEADER..).and_then(<[u8]>::first_chunk::<4>);
    match (code, kind == NLMSG_ERROR.to_ne_bytes()) {
        (Some(code), true) => match i32::from_ne_bytes(*code) {
            0 => Ok(()),
            code => Err(Errno::from_raw(code.wrapping_neg()).into()),
        },
        _ => Err(malformed()),
    }
}
