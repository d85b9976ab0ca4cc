//! A path that delays datagrams and loses some.
//!
//! It stands in for netem, which not every kernel has, and which takes a train of up to 64 datagrams between two namespaces for a
//! single one, to be lost as a whole. Both programs get the same path: which datagrams are lost depends on their number alone.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anstream::println;
use anyhow::Context;
use clap::Args;

#[derive(Args)]
pub(crate) struct Options {
    /// Where it listens.
    listen: SocketAddr,
    /// Where it forwards to, and gets the answers from.
    target: SocketAddr,
    /// Milliseconds by which each datagram is late, in each direction.
    #[arg(long, default_value_t = 20)]
    delay: u64,
    /// Datagrams that are lost of each thousand, in each direction.
    #[arg(long, default_value_t = 10)]
    loss: u64,
    /// Which ones they are.
    #[arg(long)]
    seed: u64,
}

/// Longest datagram.
const LENGTH: usize = 65_536;

/// A datagram, and when it goes on.
type Late = (Instant, Vec<u8>);

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let Options {
        listen,
        target,
        delay,
        loss,
        seed,
    } = *options;
    let outer = Arc::new(UdpSocket::bind(listen).context("cannot listen")?);
    let inner = Arc::new(UdpSocket::bind("0.0.0.0:0")?);
    inner.connect(target)?;
    let client = Arc::new(OnceLock::new());
    let delay = Duration::from_millis(delay);
    let mut directions = Vec::new();
    for (from, up) in [(Arc::clone(&outer), true), (Arc::clone(&inner), false)] {
        let (sender, late) = mpsc::channel();
        let known = Arc::clone(&client);
        let to = if up { &inner } else { &outer };
        let (to, client) = (Arc::clone(to), Arc::clone(&client));
        directions.push(thread::spawn(move || {
            take(&from, up.then_some(&known), delay, (loss, seed), &sender);
        }));
        directions.push(thread::spawn(move || {
            hand_on(&late, |bytes| {
                // What is lost here is lost on the path as well.
                let _ = match (up, client.get()) {
                    (true, _) => to.send(bytes),
                    (false, Some(client)) => to.send_to(bytes, client),
                    (false, None) => Ok(0),
                };
            });
        }));
    }
    println!("up");
    super::until_stdin_ends()
}

/// Takes datagrams; all of those to the outer socket come from one client, which is remembered.
fn take(
    from: &UdpSocket,
    client: Option<&Arc<OnceLock<SocketAddr>>>,
    delay: Duration,
    (loss, seed): (u64, u64),
    sender: &Sender<Late>,
) {
    let mut bytes = vec![0; LENGTH];
    let mut number = 0;
    loop {
        // An error is news of a datagram that did not arrive: the server is not up yet.
        let Ok((length, sender_address)) = from.recv_from(&mut bytes) else {
            continue;
        };
        if let Some(client) = client {
            let _ = client.set(sender_address);
        }
        number += 1;
        if is_lost(seed, number, loss) {
            continue;
        }
        if sender
            .send((Instant::now() + delay, bytes[..length].to_vec()))
            .is_err()
        {
            return;
        }
    }
}

fn hand_on(late: &Receiver<Late>, mut send: impl FnMut(&[u8])) {
    for (due, bytes) in late {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        send(&bytes);
    }
}

fn is_lost(seed: u64, number: u64, of_thousand: u64) -> bool {
    mix(mix(seed).wrapping_add(number)) % 1_000 < of_thousand
}

/// A number without visible relation to this one (the output function of splitmix64, of its state after a step).
pub(super) const fn mix(number: u64) -> u64 {
    let mut number = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(seed: u64) -> Vec<u64> {
        (0..100_000)
            .filter(|number| is_lost(seed, *number, 10))
            .collect()
    }

    #[test]
    fn about_one_of_a_hundred_is_lost_and_always_the_same() {
        let count = lost(1).len();

        assert!((900..1_100).contains(&count), "{count}");
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
    }
}
