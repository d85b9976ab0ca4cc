//! The stack's side of the tunnel, as smoltcp wants it.

use std::collections::VecDeque;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use crate::endpoint::{Buffer, Pool};

/// Packets that the sockets may bring forth in one turn.
const OUTGOING: usize = 256;

/// Packets on their way in and out.
pub(super) struct Queues {
    pub(super) incoming: VecDeque<Buffer>,
    pub(super) outgoing: Vec<Buffer>,
    pool: Pool,
    mtu: usize,
}

impl Queues {
    pub(super) const fn new(mtu: usize, pool: Pool) -> Self {
        Self {
            incoming: VecDeque::new(),
            outgoing: Vec::new(),
            pool,
            mtu,
        }
    }

    /// Whether a batch is complete.
    pub(super) const fn is_full(&self) -> bool {
        self.outgoing.len() >= OUTGOING
    }
}

impl Device for Queues {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let packet = self.incoming.pop_front()?;
        Some((Received(packet), Sending(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        (!self.is_full()).then_some(Sending(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

pub(super) struct Received(Buffer);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

pub(super) struct Sending<'a>(&'a mut Queues);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut packet = self.0.pool.take();
        packet.truncate(length);
        let result = write(&mut packet);
        self.0.outgoing.push(packet);
        result
    }
}
