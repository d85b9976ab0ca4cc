//! The header that a TUN device puts before each packet, and the Internet checksum that it leaves to us.

/// Bytes of [`VirtioHeader`] on the wire.
pub(super) const VIRTIO_BYTES: usize = 10;

/// Bytes from the start of a TCP header to its checksum.
pub(super) const TCP_CHECKSUM: usize = 16;

const NEEDS_CHECKSUM: u8 = 1;
const ECN: u8 = 0x80;

/// What the kernel left undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segments {
    /// The packet is one.
    None,
    /// TCP in IPv4 or IPv6, to be cut into segments.
    Tcp4,
    Tcp6,
}

/// `struct virtio_net_hdr`, in the byte order of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VirtioHeader {
    /// Whether the checksum field holds the sum over the pseudo header alone.
    pub(super) needs_checksum: bool,
    pub(super) segments: Segments,
    pub(super) header_length: u16,
    pub(super) segment_size: u16,
    pub(super) checksum_start: u16,
    pub(super) checksum_offset: u16,
}

impl VirtioHeader {
    /// A complete packet.
    pub(super) const PLAIN: Self = Self {
        needs_checksum: false,
        segments: Segments::None,
        header_length: 0,
        segment_size: 0,
        checksum_start: 0,
        checksum_offset: 0,
    };

    /// Reads a header; nothing if it asks for something that we did not offer.
    pub(super) fn parse(bytes: [u8; VIRTIO_BYTES]) -> Option<Self> {
        let word = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let segments = match bytes[1] & !ECN {
            0 => Segments::None,
            1 => Segments::Tcp4,
            4 => Segments::Tcp6,
            _ => return None,
        };
        Some(Self {
            needs_checksum: bytes[0] & NEEDS_CHECKSUM != 0,
            segments,
            header_length: word(2),
            segment_size: word(4),
            checksum_start: word(6),
            checksum_offset: word(8),
        })
    }

    pub(super) fn to_bytes(self) -> [u8; VIRTIO_BYTES] {
        let segments = match self.segments {
            Segments::None => 0,
            Segments::Tcp4 => 1,
            Segments::Tcp6 => 4,
        };
        let mut bytes = [0; VIRTIO_BYTES];
        bytes[0] = if self.needs_checksum {
            NEEDS_CHECKSUM
        } else {
            0
        };
        bytes[1] = segments;
        let words = [
            self.header_length,
            self.segment_size,
            self.checksum_start,
            self.checksum_offset,
        ];
        for (to, word) in bytes[2..].chunks_exact_mut(2).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

/// The sum of big-endian 16-bit words, not complemented (RFC 1071).
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let mut chunks = bytes.chunks_exact(4);
    let word = |chunk: [u8; 4]| u64::from(u32::from_ne_bytes(chunk));
    let mut sum: u64 = chunks
        .by_ref()
        .map(|chunk| word([chunk[0], chunk[1], chunk[2], chunk[3]]))
        .sum();
    let mut rest = [0; 4];
    rest[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    sum += word(rest);
    // In the machine's own order up to here, which takes less than half the time: the sum of swapped words is the swapped sum (§2 B there).
    u64::from(u16::from_be(fold(sum)))
}

/// Folds a sum to 16 bits; the checksum is its complement.
pub(super) const fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The sum over the pseudo header of TCP in an IP packet whose header has `ip` bytes (RFC 9293 §3.1).
pub(super) fn pseudo_header(packet: &[u8], ip: usize) -> u64 {
    const TCP: u64 = 6;
    let addresses = if packet[0] >> 4 == 4 { 12..20 } else { 8..40 };
    sum(&packet[addresses]) + TCP + (packet.len() - ip) as u64
}

pub(super) fn read_u16(packet: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([packet[at], packet[at + 1]])
}

pub(super) fn write_u16(packet: &mut [u8], at: usize, value: u16) {
    packet[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

pub(super) fn read_u32(packet: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]])
}

/// Writes the length into an IP header, and the header's checksum where there is one.
pub(super) fn write_ip_length(packet: &mut [u8], ip: usize, length: usize) {
    if packet[0] >> 4 == 6 {
        write_u16(packet, 4, (length - ip) as u16);
        return;
    }
    write_u16(packet, 2, length as u16);
    write_u16(packet, 10, 0);
    let checksum = !fold(sum(&packet[..ip]));
    write_u16(packet, 10, checksum);
}
