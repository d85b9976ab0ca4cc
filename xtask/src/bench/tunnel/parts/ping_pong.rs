//! Round trips of small datagrams.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anstream::println;
use anyhow::{Context, ensure};
use hdrhistogram::Histogram;

/// Bytes of a datagram.
const LENGTH: usize = 32;
/// Round trips before the first that counts.
const WARM_UP: usize = 200;
/// Time after which an echo is lost, and how many may be.
const WAIT: Duration = Duration::from_secs(1);
const MAY_BE_LOST: usize = 10;

pub(super) fn echo(address: SocketAddr) -> anyhow::Result<()> {
    let socket = UdpSocket::bind(address).context("cannot listen")?;
    println!("up");
    let mut bytes = [0; LENGTH];
    loop {
        let (length, from) = socket.recv_from(&mut bytes)?;
        socket.send_to(&bytes[..length], from)?;
    }
}

pub(super) fn ping(address: SocketAddr, count: usize) -> anyhow::Result<()> {
    let any: IpAddr = if address.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(WAIT))?;
    let mut times = Histogram::<u64>::new(3)?;
    let mut lost = 0;
    for number in 0..(WARM_UP + count) as u64 {
        match round_trip(&socket, number)? {
            Some(time) if number >= WARM_UP as u64 => {
                times.record(u64::try_from(time.as_nanos())?)?;
            }
            Some(_) => {}
            None => lost += 1,
        }
        ensure!(
            lost <= MAY_BE_LOST,
            "more than {MAY_BE_LOST} echoes are lost"
        );
    }
    let [p50, p99] = [0.5, 0.99].map(|quantile| times.value_at_quantile(quantile) as f64 / 1000.0);
    println!("{p50} {p99}");
    Ok(())
}

/// The time until the echo of this number came back, or nothing if it did not.
fn round_trip(socket: &UdpSocket, number: u64) -> anyhow::Result<Option<Duration>> {
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    let begun = Instant::now();
    socket.send(&bytes)?;
    let mut answer = [0; LENGTH];
    while begun.elapsed() < WAIT {
        match socket.recv(&mut answer) {
            // Not an earlier one that was late.
            Ok(_) if answer == bytes => return Ok(Some(begun.elapsed())),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Ok(None)
}
