//! From packets of the tunnel to the large TCP packets that the kernel likes better.

use std::io::IoSlice;

use super::virtio::{
    Segments, TCP_CHECKSUM, VirtioHeader, fold, pseudo_header, read_u16, read_u32, sum,
    write_ip_length, write_u16,
};
use crate::endpoint::Buffer;

/// Longest packet that is put together; the length field of IP ends at 65,535.
const MAX_BYTES: usize = 65_000;

/// Most packets that are put together.
const MAX_PACKETS: usize = 64;

const TCP: u8 = 6;
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// Packets in the order in which they came, those of a flow that follow each other put together.
#[derive(Default)]
pub(super) struct Coalescer {
    /// Only the first `used` are; the rest keep their memory.
    groups: Vec<Group>,
    used: usize,
}

#[derive(Default)]
struct Group {
    packets: Vec<Buffer>,
    /// What may be appended to it, if anything may.
    open: Option<Open>,
}

/// A segment of TCP that carries data and nothing else of note.
#[derive(Debug, Clone, Copy)]
struct Segment {
    ip: usize,
    headers: usize,
    payload: usize,
    sequence: u32,
    push: bool,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    first: Segment,
    next_sequence: u32,
    bytes: usize,
}

impl Coalescer {
    pub(super) const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Takes a packet whose length is the one in its header.
    pub(super) fn push(&mut self, packet: Buffer, coalesce: bool) {
        let segment = coalesce.then(|| Segment::find(&packet)).flatten();
        for group in &mut self.groups[..self.used] {
            if !group.is_before(&packet) {
                continue;
            }
            match segment {
                Some(segment) if group.takes(&packet, segment) => {
                    group.append(packet, segment);
                    return;
                }
                // What follows in this flow must not overtake this packet.
                _ => group.open = None,
            }
        }
        self.begin(packet, segment);
    }

    /// Hands over all packets, as slices of one after the other, and forgets them.
    pub(super) fn drain(&mut self, mut write: impl FnMut(VirtioHeader, &[IoSlice<'_>])) {
        for group in &mut self.groups[..self.used] {
            group.write(&mut write);
            group.packets.clear();
        }
        self.used = 0;
    }

    fn begin(&mut self, packet: Buffer, segment: Option<Segment>) {
        if self.used == self.groups.len() {
            self.groups.push(Group::default());
        }
        let group = &mut self.groups[self.used];
        self.used += 1;
        group.open = segment.filter(|segment| !segment.push).map(|first| Open {
            first,
            next_sequence: first.sequence.wrapping_add(first.payload as u32),
            bytes: packet.len(),
        });
        group.packets.push(packet);
    }
}

impl Group {
    /// Whether the group is open and of the packet's flow.
    fn is_before(&self, packet: &[u8]) -> bool {
        self.open
            .is_some_and(|open| same_flow(&self.packets[0], packet, open.first.ip))
    }

    fn takes(&self, packet: &[u8], segment: Segment) -> bool {
        let first = &self.packets[0];
        self.open.is_some_and(|open| {
            segment.sequence == open.next_sequence
                && segment.headers == open.first.headers
                && segment.payload <= open.first.payload
                && open.bytes + segment.payload <= MAX_BYTES
                && self.packets.len() < MAX_PACKETS
                && same_headers(first, packet, segment)
        })
    }

    fn append(&mut self, packet: Buffer, segment: Segment) {
        self.packets.push(packet);
        if let Some(open) = &mut self.open {
            open.next_sequence = open.next_sequence.wrapping_add(segment.payload as u32);
            open.bytes += segment.payload;
            // The kernel cuts at equal lengths, so that a shorter segment is the last one.
            if segment.push || segment.payload < open.first.payload {
                self.open = None;
            }
        }
    }

    fn write(&mut self, write: &mut impl FnMut(VirtioHeader, &[IoSlice<'_>])) {
        let header = match self.packets.len() {
            1 => VirtioHeader::PLAIN,
            _ => self.unite(),
        };
        let mut slices = [IoSlice::new(&[]); MAX_PACKETS];
        let headers = usize::from(header.header_length);
        for (number, (slice, packet)) in slices.iter_mut().zip(&self.packets).enumerate() {
            let begin = if number == 0 { 0 } else { headers };
            *slice = IoSlice::new(&packet[begin..]);
        }
        write(header, &slices[..self.packets.len()]);
    }

    /// Makes the first packet's headers those of all.
    fn unite(&mut self) -> VirtioHeader {
        let ip = if self.packets[0][0] >> 4 == 4 { 20 } else { 40 };
        let tcp_length = 4 * usize::from(self.packets[0][ip + 12] >> 4);
        let headers = ip + tcp_length;
        let payload: usize = self
            .packets
            .iter()
            .map(|packet| packet.len() - headers)
            .sum();
        let push = self.packets.last().map_or(0, |last| last[ip + 13] & PSH);
        let first = &mut self.packets[0];
        let segment_size = first.len() - headers;
        write_ip_length(first, ip, headers + payload);
        first[ip + 13] |= push;
        // The sum over the pseudo header, not complemented: the kernel goes on with it if it has to.
        let partial = pseudo_header(first, ip) + (payload - segment_size) as u64;
        write_u16(first, ip + TCP_CHECKSUM, fold(partial));
        VirtioHeader {
            needs_checksum: true,
            segments: if ip == 20 {
                Segments::Tcp4
            } else {
                Segments::Tcp6
            },
            header_length: headers as u16,
            segment_size: segment_size as u16,
            checksum_start: ip as u16,
            checksum_offset: TCP_CHECKSUM as u16,
        }
    }
}

impl Segment {
    /// Reads a packet that may be put together with others: no options of IP, no fragment, no flag but ACK and PSH, and a right
    /// checksum, because nobody looks at it again.
    fn find(packet: &[u8]) -> Option<Self> {
        let ip = match packet.first()? {
            0x45 => 20,
            byte if byte >> 4 == 6 => 40,
            _ => return None,
        };
        if packet.len() < ip + 20 || protocol(packet) != TCP || is_fragment(packet) {
            return None;
        }
        let headers = ip + 4 * usize::from(packet[ip + 12] >> 4);
        let payload = packet
            .len()
            .checked_sub(headers)
            .filter(|length| *length > 0)?;
        let flags = packet[ip + 13];
        let plain = headers >= ip + 20 && flags & !PSH == ACK;
        (plain && fold(pseudo_header(packet, ip) + sum(&packet[ip..])) == 0xffff).then(|| Self {
            ip,
            headers,
            payload,
            sequence: read_u32(packet, ip + 4),
            push: flags & PSH != 0,
        })
    }
}

const fn protocol(packet: &[u8]) -> u8 {
    if packet[0] >> 4 == 4 {
        packet[9]
    } else {
        packet[6]
    }
}

fn is_fragment(packet: &[u8]) -> bool {
    const MORE_FRAGMENTS_AND_OFFSET: u16 = 0x3fff;
    packet[0] >> 4 == 4 && read_u16(packet, 6) & MORE_FRAGMENTS_AND_OFFSET != 0
}

/// Whether a packet has addresses, protocol and ports of another one, whose header has `ip` bytes.
fn same_flow(first: &[u8], packet: &[u8], ip: usize) -> bool {
    let addresses = if ip == 20 { 12..20 } else { 8..40 };
    packet.len() >= ip + 4
        && packet[0] == first[0]
        && protocol(packet) == protocol(first)
        && packet[addresses.clone()] == first[addresses]
        && packet[ip..ip + 4] == first[ip..ip + 4]
}

/// Whether the headers differ in nothing but what differs between segments of one packet: length, identification, sequence
/// number, PSH and checksums.
fn same_headers(first: &[u8], packet: &[u8], segment: Segment) -> bool {
    let ip = segment.ip;
    let equal = |range: std::ops::Range<usize>| first[range.clone()] == packet[range];
    let network = match ip {
        // Service; fragment bits and time to live.
        20 => equal(1..2) && equal(6..9),
        // Traffic class and flow; hop limit.
        _ => equal(0..4) && equal(7..8),
    };
    // Acknowledgement and data offset; window; urgent pointer and options.
    network && equal(ip + 8..ip + 13) && equal(ip + 14..ip + 16) && equal(ip + 18..segment.headers)
}
