//! Packet buffers that return to their pool when they are dropped.

use std::ops::{Deref, DerefMut};

use gotatun::packet::{Packet, PacketBufPool};

/// Bytes in a buffer, and so the longest datagram.
pub const BUFFER_BYTES: usize = 4096;

/// Bytes that WireGuard adds to a packet: header and authentication tag.
pub const OVERHEAD: usize = 32;

/// Longest packet that fits a datagram of [`BUFFER_BYTES`].
pub const MAX_MTU: u16 = (BUFFER_BYTES - OVERHEAD) as u16;

/// A packet or a datagram.
pub struct Buffer(pub(super) Packet<[u8]>);

impl Buffer {
    /// A buffer outside any pool with a copy of these bytes.
    pub fn copy_from(bytes: &[u8]) -> Self {
        Self(Packet::copy_from(bytes))
    }

    /// Shortens the buffer to this length; does nothing if it is not longer.
    pub fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.buf_mut()
    }
}

/// A pool of [`Buffer`]s; clones share their buffers.
#[derive(Clone)]
pub struct Pool(PacketBufPool<BUFFER_BYTES>);

impl Pool {
    /// A pool that keeps up to `capacity` buffers.
    pub fn new(capacity: usize) -> Self {
        Self(PacketBufPool::new(capacity))
    }

    /// A buffer of [`BUFFER_BYTES`] with arbitrary content; allocates only if the pool is empty.
    pub fn take(&self) -> Buffer {
        Buffer(self.0.get())
    }
}
