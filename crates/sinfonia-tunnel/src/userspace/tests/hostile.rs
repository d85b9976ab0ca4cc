//! A peer that does not keep to the rules of TCP.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

use super::world::{SERVER, Server, address, config};
use crate::clock::now;
use crate::endpoint::Buffer;

#[tokio::test]
async fn more_than_the_window_that_was_told_breaks_nothing() {
    let server = Server::start().await;
    let mut config = config("10.5.0.1/32");
    config.stream_buffer = 256 * 1024;
    let stack = server.tunnel.stack(&config).unwrap();
    let _listener = stack.listen(address(SERVER, 7)).unwrap();
    let mut sent = Vec::new();
    let mut turn = |packets: Vec<Vec<u8>>| {
        for packet in packets {
            stack.take(Buffer::copy_from(&packet));
        }
        stack.advance(now(), |packet| sent.push(packet.to_vec()));
        sent.last().cloned().unwrap()
    };

    let answer = turn(vec![segment(TcpControl::Syn, 100, None, &[])]);
    let sequence = tcp_sequence(&answer);
    // Beyond what the buffer holds, but within twice that.
    let beyond = 101 + 256 * 1024;
    turn(vec![segment(
        TcpControl::None,
        beyond,
        Some(sequence + 1),
        &[7; 1000],
    )]);
    let answer = turn(vec![segment(
        TcpControl::Psh,
        101,
        Some(sequence + 1),
        &[7; 1000],
    )]);

    assert_eq!(tcp_acknowledged(&answer), 1101);
}

/// A segment from 10.5.0.2 to the server's port 7, with a window that is scaled.
fn segment(control: TcpControl, sequence: usize, acknowledge: Option<i32>, data: &[u8]) -> Vec<u8> {
    let (source, destination) = (Ipv4Address::new(10, 5, 0, 2), Ipv4Address::new(10, 5, 0, 1));
    let tcp = TcpRepr {
        src_port: 4711,
        dst_port: 7,
        control,
        seq_number: TcpSeqNumber(i32::try_from(sequence).unwrap()),
        ack_number: acknowledge.map(TcpSeqNumber),
        window_len: 65535,
        window_scale: (control == TcpControl::Syn).then_some(7),
        max_seg_size: (control == TcpControl::Syn).then_some(1380),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: data,
    };
    let ip = Ipv4Repr {
        src_addr: source,
        dst_addr: destination,
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len(),
        hop_limit: 64,
    };
    let mut packet = vec![0; ip.buffer_len() + tcp.buffer_len()];
    let checksums = ChecksumCapabilities::default();
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut packet), &checksums);
    tcp.emit(
        &mut TcpPacket::new_unchecked(&mut packet[ip.buffer_len()..]),
        &source.into(),
        &destination.into(),
        &checksums,
    );
    packet
}

fn tcp_sequence(packet: &[u8]) -> i32 {
    TcpPacket::new_checked(&packet[20..])
        .unwrap()
        .seq_number()
        .0
}

fn tcp_acknowledged(packet: &[u8]) -> i32 {
    TcpPacket::new_checked(&packet[20..])
        .unwrap()
        .ack_number()
        .0
}
