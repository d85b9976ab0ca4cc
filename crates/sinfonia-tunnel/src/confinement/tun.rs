//! The device that is the application's only way out.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, open};

use super::failure::{At as _, Failed, Step};
use super::raw;

/// The device's name, which the application sees.
pub(super) const NAME: &str = "wg0";

const NODE: &str = "/dev/net/tun";

// Of `linux/if_tun.h`.
const IFF_TUN: u16 = 0x0001;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
const TUN_F_CSUM: usize = 0x01;
const TUN_F_TSO4: usize = 0x02;
const TUN_F_TSO6: usize = 0x04;

/// How packets stand in a read from the device or a write to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One IP packet, finished.
    Plain,
    /// Ten bytes of `struct virtio_net_hdr`, then up to 64 KiB: one packet, or TCP that is still to be cut into packets. Checksums
    /// may still be missing.
    Offload,
}

impl Framing {
    pub(super) fn decode(byte: u8) -> Option<Self> {
        [Self::Plain, Self::Offload]
            .into_iter()
            .find(|framing| *framing as u8 == byte)
    }
}

/// The outer end of the device. What the application sends is read here, what is written here reaches it, as long as the
/// [`Confinement`](super::Confinement) is there.
#[derive(Debug)]
pub struct Tun {
    /// Does not block.
    pub descriptor: OwnedFd,
    /// What a read or write holds.
    pub framing: Framing,
}

impl Tun {
    /// Makes a device in the network namespace of the calling thread, without offload where the kernel refuses that. It has no
    /// address and is down, and it goes when this is dropped.
    ///
    /// # Errors
    /// The thread lacks `CAP_NET_ADMIN` in that namespace, there is no `/dev/net/tun`, or the name is taken.
    pub fn make(name: &str) -> io::Result<Self> {
        either(name).map_err(|failed| failed.errno.into())
    }
}

/// Makes the device in the network namespace of this process, without offload where the kernel refuses that.
pub(super) fn make() -> Result<Tun, Failed> {
    either(NAME)
}

fn either(name: &str) -> Result<Tun, Failed> {
    // The name is free again, because what failed is closed.
    make_framed(name, Framing::Offload).or_else(|_| make_framed(name, Framing::Plain))
}

/// Makes a device in the network namespace of this thread.
pub(crate) fn make_framed(name: &str, framing: Framing) -> Result<Tun, Failed> {
    let header = match framing {
        Framing::Plain => 0,
        Framing::Offload => IFF_VNET_HDR,
    };
    let descriptor = open_node().at(Step::OpenTun)?;
    raw::make_tun(&descriptor, name, IFF_TUN | IFF_NO_PI | header).at(Step::MakeTun)?;
    if framing == Framing::Offload {
        let offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
        raw::set_offload(&descriptor, offload).at(Step::MakeTun)?;
    }
    Ok(Tun {
        descriptor,
        framing,
    })
}

fn open_node() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(open(NODE, flags, Mode::empty())?)
}
