//! From the kernel's large TCP packets to those that fit the tunnel.

use super::virtio::{
    Segments, TCP_CHECKSUM, VirtioHeader, fold, pseudo_header, read_u16, read_u32, sum,
    write_ip_length, write_u16,
};
use crate::endpoint::{BUFFER_BYTES, Buffer, Pool};

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// Offsets within a TCP header.
const TCP_SEQUENCE: usize = 4;
const TCP_DATA_OFFSET: usize = 12;
const TCP_FLAGS: usize = 13;

/// The packet contradicts its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misfit;

/// Cuts a packet of the kernel's into packets with checksums, each in a buffer of the pool.
pub(super) fn split(
    header: VirtioHeader,
    packet: &mut [u8],
    pool: &Pool,
    mut take: impl FnMut(Buffer),
) -> Result<(), Misfit> {
    if header.segments == Segments::None {
        if header.needs_checksum {
            complete_checksum(header, packet)?;
        }
        take(copy(pool, &[packet])?);
        return Ok(());
    }
    let parts = Parts::find(header, packet)?;
    let (headers, payload) = packet.split_at(parts.headers);
    let segments = payload.len().div_ceil(parts.size);
    for (number, chunk) in payload.chunks(parts.size).enumerate() {
        let mut segment = copy(pool, &[headers, chunk])?;
        parts.amend(&mut segment, number, number + 1 == segments);
        take(segment);
    }
    Ok(())
}

/// Where the headers of a TCP packet end, and how much follows them in a segment.
struct Parts {
    ip: usize,
    headers: usize,
    size: usize,
}

impl Parts {
    fn find(header: VirtioHeader, packet: &[u8]) -> Result<Self, Misfit> {
        // The kernel's own `header_length` is a hint that some devices fill with the length of the whole packet.
        let ip = usize::from(header.checksum_start);
        let (version, shortest) = match header.segments {
            Segments::Tcp4 => (4, 20),
            _ => (6, 40),
        };
        let data_offset = packet.get(ip + TCP_DATA_OFFSET).ok_or(Misfit)?;
        let tcp = 4 * usize::from(data_offset >> 4);
        let parts = Self {
            ip,
            headers: ip + tcp,
            size: usize::from(header.segment_size),
        };
        let fits = packet[0] >> 4 == version
            && ip >= shortest
            && tcp >= 20
            && parts.headers < packet.len()
            && parts.size > 0;
        fits.then_some(parts).ok_or(Misfit)
    }

    /// Makes a segment of a copy of the whole packet's headers.
    fn amend(&self, segment: &mut Buffer, number: usize, last: bool) {
        let length = segment.len();
        if segment[0] >> 4 == 4 {
            let identification = read_u16(segment, 4).wrapping_add(number as u16);
            write_u16(segment, 4, identification);
        }
        write_ip_length(segment, self.ip, length);
        let tcp = self.ip;
        let sequence = read_u32(segment, tcp + TCP_SEQUENCE);
        let sequence = sequence.wrapping_add((number * self.size) as u32);
        segment[tcp + TCP_SEQUENCE..][..4].copy_from_slice(&sequence.to_be_bytes());
        if !last {
            segment[tcp + TCP_FLAGS] &= !(FIN | PSH);
        }
        if number > 0 {
            segment[tcp + TCP_FLAGS] &= !CWR;
        }
        write_u16(segment, tcp + TCP_CHECKSUM, 0);
        let checksum = !fold(pseudo_header(segment, tcp) + sum(&segment[tcp..]));
        write_u16(segment, tcp + TCP_CHECKSUM, checksum);
    }
}

/// Ends the checksum that the kernel has begun with the pseudo header.
fn complete_checksum(header: VirtioHeader, packet: &mut [u8]) -> Result<(), Misfit> {
    let start = usize::from(header.checksum_start);
    let field = start + usize::from(header.checksum_offset);
    if field + 2 > packet.len() {
        return Err(Misfit);
    }
    let checksum = !fold(sum(&packet[start..]));
    // UDP takes zero for "no checksum", and the other form of zero for zero.
    let checksum = if checksum == 0 { 0xffff } else { checksum };
    write_u16(packet, field, checksum);
    Ok(())
}

fn copy(pool: &Pool, parts: &[&[u8]]) -> Result<Buffer, Misfit> {
    let length = parts.iter().map(|part| part.len()).sum();
    if length > BUFFER_BYTES {
        return Err(Misfit);
    }
    let mut buffer = pool.take();
    let mut at = 0;
    for part in parts {
        buffer[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    buffer.truncate(length);
    Ok(buffer)
}
