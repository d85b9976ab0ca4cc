//! The TUN device.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::uio::{readv, writev};

use super::coalesce::Coalescer;
use super::split::split;
use super::virtio::{VIRTIO_BYTES, VirtioHeader};
use crate::confinement::{Framing, Tun};
use crate::endpoint::{Buffer, Pool};

/// Longest packet that the kernel hands over, and a little.
const MAX_READ: usize = 65_536;

/// Slices of a write: the virtio header and as many packets as are ever put together.
const MAX_SLICES: usize = 65;

/// A TUN device with what it is able to do.
pub(super) struct Device {
    device: OwnedFd,
    /// Whether a virtio header precedes each packet.
    virtio_headers: bool,
    /// Whether the device takes packets that are put together.
    coalesce: bool,
    input: Box<[u8]>,
    output: Coalescer,
    writes: u64,
    failed_writes: u64,
}

impl Device {
    pub(super) fn new(tun: Tun) -> Self {
        let virtio_headers = tun.framing == Framing::Offload;
        Self {
            device: tun.descriptor,
            virtio_headers,
            coalesce: virtio_headers,
            input: vec![0; MAX_READ].into_boxed_slice(),
            output: Coalescer::default(),
            writes: 0,
            failed_writes: 0,
        }
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }

    /// Reads one packet of the kernel's and hands it over in pieces. Says whether there was one.
    pub(super) fn read(&mut self, pool: &Pool, take: impl FnMut(Buffer)) -> nix::Result<bool> {
        let mut bytes = VirtioHeader::PLAIN.to_bytes();
        let result = if self.virtio_headers {
            let mut slices = [
                IoSliceMut::new(&mut bytes),
                IoSliceMut::new(&mut self.input),
            ];
            readv(&self.device, &mut slices)
        } else {
            nix::unistd::read(&self.device, &mut self.input)
        };
        let length = match result {
            Ok(length) => length,
            Err(Errno::EAGAIN) => return Ok(false),
            // The device is down, or the call was interrupted.
            Err(Errno::EIO | Errno::EINTR) => return Ok(false),
            Err(error) => return Err(error),
        };
        let length = if self.virtio_headers {
            length.saturating_sub(VIRTIO_BYTES)
        } else {
            length
        };
        let packet = &mut self.input[..length];
        let pieces = VirtioHeader::parse(bytes).map(|header| split(header, packet, pool, take));
        if !matches!(pieces, Some(Ok(()))) {
            tracing::trace!(length, "a packet of the TUN device contradicts its header");
        }
        Ok(true)
    }

    /// Keeps a packet for [`Self::flush`].
    pub(super) fn queue(&mut self, packet: Buffer) {
        self.output.push(packet, self.coalesce);
    }

    /// Writes all packets that are kept.
    pub(super) fn flush(&mut self) -> nix::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let mut fatal = Ok(());
        let Self {
            device,
            virtio_headers,
            coalesce,
            writes,
            failed_writes,
            ..
        } = self;
        self.output.drain(|header, packets| {
            *writes += 1;
            match write(device, *virtio_headers, header, packets) {
                Ok(_) => {}
                // Without the packets, which TCP sends again.
                Err(Errno::EINVAL) if header != VirtioHeader::PLAIN => *coalesce = false,
                Err(error @ (Errno::EBADF | Errno::EBADFD | Errno::ENODEV)) => fatal = Err(error),
                Err(_) => *failed_writes += 1,
            }
        });
        fatal
    }

    /// Calls of the kernel, each for as many packets as could be put together.
    pub(super) const fn writes(&self) -> u64 {
        self.writes
    }

    /// Writes that the device did not take.
    pub(super) const fn failed_writes(&self) -> u64 {
        self.failed_writes
    }
}

fn write(
    device: &OwnedFd,
    virtio_headers: bool,
    header: VirtioHeader,
    packets: &[IoSlice<'_>],
) -> nix::Result<usize> {
    if !virtio_headers {
        return writev(device, packets);
    }
    let header = header.to_bytes();
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    slices[0] = IoSlice::new(&header);
    slices[1..=packets.len()].copy_from_slice(packets);
    writev(device, &slices[..=packets.len()])
}
