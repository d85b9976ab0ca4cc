//! What the endpoint reads of an IP packet: its addresses, and its length to cut the padding off.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// The addresses and the length that an IP header claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Bytes of header and payload; at most those of the packet it was read from.
    pub(crate) length: usize,
}

impl Header {
    /// Reads the header, or nothing if the packet is truncated or neither IPv4 nor IPv6.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let header = match packet.first()? >> 4 {
            4 => Self::parse_ipv4(packet)?,
            6 => Self::parse_ipv6(packet)?,
            _ => return None,
        };
        (header.length <= packet.len()).then_some(header)
    }

    fn parse_ipv4(packet: &[u8]) -> Option<Self> {
        let source: [u8; 4] = *packet.get(12..)?.first_chunk()?;
        let destination: [u8; 4] = *packet.get(16..)?.first_chunk()?;
        let header_length = 4 * usize::from(packet[0] & 0xf);
        let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        (header_length >= IPV4_HEADER && length >= header_length).then(|| Self {
            source: Ipv4Addr::from(source).into(),
            destination: Ipv4Addr::from(destination).into(),
            length,
        })
    }

    fn parse_ipv6(packet: &[u8]) -> Option<Self> {
        let source: [u8; 16] = *packet.get(8..)?.first_chunk()?;
        let destination: [u8; 16] = *packet.get(24..)?.first_chunk()?;
        let payload = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
        Some(Self {
            source: Ipv6Addr::from(source).into(),
            destination: Ipv6Addr::from(destination).into(),
            length: IPV6_HEADER + payload,
        })
    }
}
