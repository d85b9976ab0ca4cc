//! Packets and datagrams that are nearly right.

use std::net::{IpAddr, Ipv6Addr};

use arbitrary::Arbitrary;

/// A packet between the two ends; its addresses may be wrong, and so may be the length that it claims.
#[derive(Debug, Arbitrary)]
pub(super) struct Plausible {
    ipv6: bool,
    source: u8,
    destination: u8,
    payload: u16,
    wrong: i8,
}

/// What happens to a datagram on its way.
#[derive(Debug, Arbitrary)]
pub(super) enum Change {
    Set { at: u16, to: u8 },
    Cut { to: u16 },
    Add { bytes: Vec<u8> },
    Kind { to: u8 },
}

/// A packet that left the tunnel has the length that it claims, and a source that its peer may use.
pub(super) fn check(packet: &[u8], allowed: [IpAddr; 2]) {
    let (length, source): (usize, IpAddr) = match packet[0] >> 4 {
        4 => {
            let source: [u8; 4] = packet[12..16].try_into().unwrap();
            (
                u16::from_be_bytes([packet[2], packet[3]]).into(),
                source.into(),
            )
        }
        6 => {
            let source: [u8; 16] = packet[8..24].try_into().unwrap();
            (
                40 + usize::from(u16::from_be_bytes([packet[4], packet[5]])),
                source.into(),
            )
        }
        version => panic!("a packet of version {version}"),
    };
    assert_eq!(packet.len(), length, "the header claims another length");
    assert!(allowed.contains(&source), "{source} is not allowed");
}

impl Plausible {
    /// A packet of IPv4 that nothing is wrong with.
    pub(super) fn right(source: [IpAddr; 2], destination: [IpAddr; 2]) -> Vec<u8> {
        let last = |address| match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        };
        let packet = Self {
            ipv6: false,
            source: last(source[0]),
            destination: last(destination[0]),
            payload: 1,
            wrong: 0,
        };
        packet.bytes()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let payload = usize::from(self.payload % 2_048);
        let claimed = payload.saturating_add_signed(self.wrong.into());
        let mut packet = if self.ipv6 {
            let mut packet = vec![0x60, 0, 0, 0, 0, 0, 17, 64];
            packet[4..6].copy_from_slice(&(claimed as u16).to_be_bytes());
            for last in [self.source, self.destination] {
                let last = u16::from(last % 4);
                packet.extend(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).octets());
            }
            packet
        } else {
            let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
            packet[2..4].copy_from_slice(&(20 + claimed as u16).to_be_bytes());
            for last in [self.source, self.destination] {
                packet.extend([10, 9, 0, last % 4]);
            }
            packet
        };
        packet.resize(packet.len() + payload, 0xa5);
        packet
    }
}

impl Change {
    pub(super) fn apply(&self, datagram: &mut Vec<u8>) {
        match self {
            Self::Set { at, to } => {
                let length = datagram.len().max(1);
                if let Some(byte) = datagram.get_mut(usize::from(*at) % length) {
                    *byte = *to;
                }
            }
            Self::Cut { to } => datagram.truncate(usize::from(*to)),
            Self::Add { bytes } => datagram.extend(bytes),
            Self::Kind { to } => {
                if let Some(byte) = datagram.first_mut() {
                    *byte = to % 6;
                }
            }
        }
    }
}
