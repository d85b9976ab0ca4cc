//! Cutting packets and putting them together, without a kernel.

use proptest::prelude::*;
use rstest::rstest;

use crate::driver::coalesce::Coalescer;
use crate::driver::split::{Misfit, split};
use crate::driver::virtio::{
    Segments, TCP_CHECKSUM, VIRTIO_BYTES, VirtioHeader, fold, pseudo_header, read_u16, sum,
    write_ip_length, write_u16,
};
use crate::endpoint::{Buffer, Pool};

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
const FIN: u8 = 0x01;

#[derive(Debug, Clone)]
struct Tcp {
    ipv6: bool,
    port: u16,
    sequence: u32,
    flags: u8,
    options: usize,
    option: u8,
    hops: u8,
    acknowledgement: u8,
    window: u8,
    payload: Vec<u8>,
}

impl Tcp {
    fn new(payload: &[u8]) -> Self {
        Self {
            ipv6: false,
            port: 1,
            sequence: u32::MAX - 10,
            flags: ACK,
            options: 12,
            option: 1,
            hops: 64,
            acknowledgement: 9,
            window: 1,
            payload: payload.to_vec(),
        }
    }

    fn ip(&self) -> usize {
        if self.ipv6 { 40 } else { 20 }
    }

    fn without_checksum(&self) -> Vec<u8> {
        let mut packet = if self.ipv6 {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, 6, self.hops];
            header.extend([1; 16]);
            header.extend([2; 16]);
            header
        } else {
            vec![
                0x45, 0, 0, 0, 0, 7, 0x40, 0, self.hops, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
            ]
        };
        packet.extend(self.port.to_be_bytes());
        packet.extend([0, 80]);
        packet.extend(self.sequence.to_be_bytes());
        let data_offset = ((20 + self.options) as u8 / 4) << 4;
        packet.extend([0, 0, 0, self.acknowledgement]);
        packet.extend([data_offset, self.flags, self.window, 0, 0, 0, 0, 0]);
        packet.extend(vec![self.option; self.options]);
        packet.extend(&self.payload);
        let length = packet.len();
        write_ip_length(&mut packet, self.ip(), length);
        packet
    }

    fn packet(&self) -> Vec<u8> {
        let ip = self.ip();
        let mut packet = self.without_checksum();
        let checksum = !fold(pseudo_header(&packet, ip) + sum(&packet[ip..]));
        write_u16(&mut packet, ip + TCP_CHECKSUM, checksum);
        packet
    }

    /// As the kernel hands it over: not cut, its checksum begun.
    fn large(&self, segment_size: u16) -> (VirtioHeader, Vec<u8>) {
        let ip = self.ip();
        let mut packet = self.without_checksum();
        let begun = fold(pseudo_header(&packet, ip));
        write_u16(&mut packet, ip + TCP_CHECKSUM, begun);
        let header = VirtioHeader {
            needs_checksum: true,
            segments: if self.ipv6 {
                Segments::Tcp6
            } else {
                Segments::Tcp4
            },
            header_length: (ip + 20 + self.options) as u16,
            segment_size,
            checksum_start: ip as u16,
            checksum_offset: TCP_CHECKSUM as u16,
        };
        (header, packet)
    }
}

fn pieces(header: VirtioHeader, packet: &mut [u8]) -> Result<Vec<Vec<u8>>, Misfit> {
    let mut pieces = Vec::new();
    split(header, packet, &Pool::new(1), |piece| {
        pieces.push(piece.to_vec());
    })?;
    Ok(pieces)
}

fn coalesce(packets: &[Vec<u8>]) -> Vec<(VirtioHeader, Vec<u8>)> {
    let mut coalescer = Coalescer::default();
    for packet in packets {
        coalescer.push(Buffer::copy_from(packet), true);
    }
    let mut written = Vec::new();
    coalescer.drain(|header, slices| {
        written.push((
            header,
            slices.iter().flat_map(|slice| slice.to_vec()).collect(),
        ));
    });
    written
}

fn has_right_checksums(packet: &[u8]) -> bool {
    let ip = if packet[0] >> 4 == 4 { 20 } else { 40 };
    let network = ip == 40 || fold(sum(&packet[..ip])) == 0xffff;
    network && fold(pseudo_header(packet, ip) + sum(&packet[ip..])) == 0xffff
}

#[test]
fn the_checksum_is_that_of_rfc_1071() {
    assert_eq!(
        fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])),
        0xddf2
    );
    assert_eq!(fold(sum(&[0x00, 0x01, 0xf2])), 0xf201);
}

proptest! {
    #[test]
    fn the_sum_is_that_of_its_words(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let words = bytes.chunks(2).map(|word| match word {
            [high, low] => u64::from(u16::from_be_bytes([*high, *low])),
            _ => u64::from(word[0]) << 8,
        });

        prop_assert_eq!(fold(sum(&bytes)), fold(words.sum()));
    }
}

#[test]
fn only_the_last_segment_ends_a_stream() {
    let mut tcp = Tcp::new(&[7; 250]);
    tcp.flags = ACK | PSH | FIN;
    let (header, mut packet) = tcp.large(100);

    let pieces = pieces(header, &mut packet).unwrap();

    let flags: Vec<u8> = pieces.iter().map(|piece| piece[20 + 13]).collect();
    assert_eq!(flags, [ACK, ACK, ACK | PSH | FIN]);
    let numbers: Vec<u16> = pieces.iter().map(|piece| read_u16(piece, 4)).collect();
    assert_eq!(numbers, [7, 8, 9], "identification of IPv4");
}

#[rstest]
#[case::no_room_for_headers(|header: &mut VirtioHeader| header.checksum_start = 1000)]
#[case::no_segment_size(|header: &mut VirtioHeader| header.segment_size = 0)]
#[case::other_family(|header: &mut VirtioHeader| header.segments = Segments::Tcp6)]
#[case::start_within_the_ip_header(|header: &mut VirtioHeader| header.checksum_start = 8)]
#[case::segments_beyond_the_buffers(|header: &mut VirtioHeader| header.segment_size = 5_000)]
fn a_header_that_contradicts_its_packet_is_refused(#[case] edit: fn(&mut VirtioHeader)) {
    let (mut header, mut packet) = Tcp::new(&[7; 6_000]).large(1_000);
    edit(&mut header);

    assert_eq!(pieces(header, &mut packet), Err(Misfit));
}

#[rstest]
#[case::gap(|tcp: &mut Tcp| tcp.sequence += 1)]
#[case::other_port(|tcp: &mut Tcp| tcp.port = 2)]
#[case::other_options(|tcp: &mut Tcp| tcp.options = 16)]
#[case::other_value_of_an_option(|tcp: &mut Tcp| tcp.option = 0)]
#[case::other_acknowledgement(|tcp: &mut Tcp| tcp.acknowledgement = 10)]
#[case::other_window(|tcp: &mut Tcp| tcp.window = 2)]
#[case::other_hops(|tcp: &mut Tcp| tcp.hops = 63)]
#[case::end_of_the_stream(|tcp: &mut Tcp| tcp.flags = ACK | FIN)]
#[case::longer(|tcp: &mut Tcp| tcp.payload = vec![1; 101])]
#[case::no_payload(|tcp: &mut Tcp| tcp.payload.clear())]
#[case::other_family(|tcp: &mut Tcp| tcp.ipv6 = true)]
fn packets_that_do_not_follow_each_other_stay_apart(#[case] edit: fn(&mut Tcp)) {
    let first = Tcp::new(&[1; 100]);
    let mut second = first.clone();
    second.sequence = second.sequence.wrapping_add(100);
    let together = coalesce(&[first.packet(), second.packet()]);
    assert_eq!(together.len(), 1, "they do without the difference");

    edit(&mut second);
    let apart = coalesce(&[first.packet(), second.packet()]);

    let plain = |packet: Vec<u8>| (VirtioHeader::PLAIN, packet);
    assert_eq!(apart, [plain(first.packet()), plain(second.packet())]);
}

#[test]
fn a_packet_with_a_wrong_checksum_goes_on_as_it_is() {
    let first = Tcp::new(&[1; 100]);
    let mut second = first.clone();
    second.sequence = second.sequence.wrapping_add(100);
    let mut wrong = second.packet();
    *wrong.last_mut().unwrap() ^= 1;

    let written = coalesce(&[first.packet(), wrong.clone()]);

    assert_eq!(written[1], (VirtioHeader::PLAIN, wrong));
}

#[test]
fn a_shorter_segment_is_the_last_one() {
    let mut packets = Vec::new();
    let mut tcp = Tcp::new(&[]);
    for length in [100, 50, 100] {
        tcp.payload = vec![1; length];
        packets.push(tcp.packet());
        tcp.sequence = tcp.sequence.wrapping_add(length as u32);
    }

    let lengths: Vec<usize> = coalesce(&packets)
        .iter()
        .map(|(_, packet)| packet.len())
        .collect();

    assert_eq!(lengths, [20 + 32 + 150, 20 + 32 + 100]);
}

#[test]
fn nothing_overtakes_a_packet_of_its_flow() {
    let mut tcp = Tcp::new(&[1; 100]);
    let first = tcp.packet();
    let mut reset = tcp.clone();
    reset.flags = 0x04;
    tcp.sequence = tcp.sequence.wrapping_add(100);

    let written = coalesce(&[first.clone(), reset.packet(), tcp.packet()]);

    let packets: Vec<Vec<u8>> = written.into_iter().map(|(_, packet)| packet).collect();
    assert_eq!(packets, [first, reset.packet(), tcp.packet()]);
}

#[test]
fn flows_that_interleave_are_put_together_each_for_itself() {
    let mut packets = Vec::new();
    for number in 0..10_u32 {
        for port in 1..4 {
            let mut tcp = Tcp::new(&[number as u8; 100]);
            tcp.port = port;
            tcp.sequence = tcp.sequence.wrapping_add(100 * number);
            packets.push(tcp.packet());
        }
    }

    let lengths: Vec<usize> = coalesce(&packets)
        .iter()
        .map(|(_, packet)| packet.len())
        .collect();

    assert_eq!(lengths, [20 + 32 + 1_000; 3]);
}

proptest! {
    #[test]
    fn what_is_cut_has_right_checksums_and_is_the_same_when_put_together_again(
        payload in prop::collection::vec(any::<u8>(), 2..20_000),
        size in 1u16..1_400,
        ipv6: bool,
        push: bool,
    ) {
        // As many pieces as are put together at most.
        let size = size.max(payload.len().div_ceil(60) as u16).min(payload.len() as u16 - 1);
        let mut tcp = Tcp::new(&payload);
        tcp.ipv6 = ipv6;
        tcp.flags = if push { ACK | PSH } else { ACK };
        let (header, packet) = tcp.large(size);

        let pieces = pieces(header, &mut packet.clone()).unwrap();
        prop_assert!(pieces.iter().all(|piece| has_right_checksums(piece)));
        prop_assert_eq!(pieces.len(), payload.len().div_ceil(size.into()));

        let written = coalesce(&pieces);
        prop_assert_eq!(written, [(header, packet)]);
    }

    #[test]
    fn a_checksum_that_the_kernel_began_is_ended(payload in prop::collection::vec(any::<u8>(), 0..1_400), ipv6: bool) {
        let mut tcp = Tcp::new(&payload);
        tcp.ipv6 = ipv6;
        let (header, mut packet) = tcp.large(0);
        let header = VirtioHeader { segments: Segments::None, ..header };

        prop_assert_eq!(pieces(header, &mut packet).unwrap(), [tcp.packet()]);
    }

    #[test]
    fn no_header_of_the_kernel_does_harm(bytes: [u8; VIRTIO_BYTES], packet in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(header) = VirtioHeader::parse(bytes) {
            let mut packet = packet;
            let _ = pieces(header, &mut packet);
        }
    }

    #[test]
    fn no_packet_of_a_peer_does_harm(
        packets in prop::collection::vec(
            prop::collection::vec(any::<u8>(), 1..100).prop_map(|mut packet| {
                // Mostly TCP at first sight.
                let starts: [&[u8]; 2] = [&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6], &[0x60, 0, 0, 0, 0, 0, 6]];
                let start = starts[usize::from(packet[0]) % 2];
                let length = start.len().min(packet.len());
                packet[..length].copy_from_slice(&start[..length]);
                packet
            }),
            1..10,
        ),
    ) {
        prop_assert_eq!(coalesce(&packets).len(), packets.len());
    }
}
