//! One end, and what comes out of it.

use std::net::{IpAddr, SocketAddr};

use sinfonia_core::key::PrivateKey;
use sinfonia_tunnel::endpoint::{Buffer, Endpoint, Moment, Outbox};

use super::Address;

/// Longest packet inside the tunnel.
pub(super) const MTU: u16 = 1420;

#[derive(Default)]
pub(super) struct Out {
    pub(super) datagrams: Vec<(SocketAddr, Vec<u8>)>,
    pub(super) packets: Vec<Vec<u8>>,
}

impl Outbox for Out {
    fn datagram(&mut self, to: SocketAddr, datagram: Buffer) {
        self.datagrams.push((to, datagram.to_vec()));
    }

    fn packet(&mut self, packet: Buffer) {
        self.packets.push(packet.to_vec());
    }
}

/// One end, and what is on its way to it.
pub(super) struct Side {
    pub(super) endpoint: Endpoint,
    pub(super) key: PrivateKey,
    pub(super) address: SocketAddr,
    pub(super) inside: [IpAddr; 2],
    pub(super) under_way: Vec<Vec<u8>>,
    pub(super) records: Vec<Vec<u8>>,
}

impl Side {
    pub(super) fn new(number: u8, now: Moment) -> Self {
        let key = PrivateKey::from_entropy([number; 32]);
        Self {
            endpoint: Endpoint::new(&key, MTU, now),
            key,
            address: Address::V4(number, 51_820).into(),
            inside: [
                [10, 9, 0, number].into(),
                [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(number)].into(),
            ],
            under_way: Vec::new(),
            records: Vec::new(),
        }
    }
}
