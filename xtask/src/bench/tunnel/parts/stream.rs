//! A stream of small datagrams to an echo, which tells when it hears something of it.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anstream::println;
use anyhow::Context;

/// Time between two datagrams: what somebody who controls something from afar sends.
const PERIOD: Duration = Duration::from_millis(20);
/// Bytes of a datagram.
const LENGTH: usize = 32;

/// Sends without end, and prints for each datagram that comes back the time, in seconds since 1970.
pub(super) fn run(address: SocketAddr) -> anyhow::Result<()> {
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?);
    socket.connect(address).context("there is no way there")?;
    let sender = Arc::clone(&socket);
    thread::spawn(move || {
        loop {
            // What is lost is not sent again: the next one is due soon.
            let _ = sender.send(&[0; LENGTH]);
            thread::sleep(PERIOD);
        }
    });
    let mut bytes = [0; LENGTH];
    loop {
        // A way that is interrupted for a while may be told as an error.
        if socket.recv(&mut bytes).is_ok() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
            println!("{:.6}", now.as_secs_f64());
        }
    }
}
