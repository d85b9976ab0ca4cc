//! What runs in processes of its own, in release mode: an end of a tunnel, and what stands around it.

mod cloudlet;
mod end;
mod ping_pong;
mod relay;
mod stream;
mod transfer;

use std::io::Read;
use std::net::SocketAddr;

use clap::Subcommand;
use sinfonia_core::key::PublicKey;

/// Each says with a line on stdout that it is up, or its result.
#[derive(Subcommand)]
pub(crate) enum Part {
    /// A tunnel with one peer; its private key comes on stdin, and it ends with that.
    End(end::Options),
    /// Forwards datagrams of one client late, and some of them never.
    Relay(relay::Options),
    /// Returns datagrams to where they came from.
    Echo {
        /// Where it listens.
        address: SocketAddr,
    },
    /// Sends datagrams to an echo, and prints quantiles of the round trips: p50 and p99 in microseconds.
    Ping {
        /// Where the echo listens.
        address: SocketAddr,
        /// How many round trips.
        count: usize,
    },
    /// Sends datagrams to an echo without end, and prints when it hears of one, in seconds since 1970.
    Stream {
        /// Where the echo listens.
        address: SocketAddr,
    },
    /// Takes a file of one TCP connection, and prints its SHA-256 and length.
    Receive {
        /// Where it listens.
        address: SocketAddr,
    },
    /// Sends a file that has never been before, and prints its SHA-256 and length.
    Send {
        /// Where to.
        address: SocketAddr,
        /// How many bytes.
        length: u64,
    },
    /// Is a Tier 1 that answers at once, and the end of the tunnel that it tells of.
    Cloudlet {
        /// The public key of the device.
        device: PublicKey,
    },
}

pub(crate) fn run(part: &Part) -> anyhow::Result<()> {
    match part {
        Part::End(options) => end::run(options),
        Part::Relay(options) => relay::run(options),
        Part::Echo { address } => ping_pong::echo(*address),
        Part::Ping { address, count } => ping_pong::ping(*address, *count),
        Part::Stream { address } => stream::run(*address),
        Part::Receive { address } => transfer::receive(*address),
        Part::Send { address, length } => transfer::send(*address, *length),
        Part::Cloudlet { device } => cloudlet::run(*device),
    }
}

/// Waits until whoever started this program is gone or done with it.
fn until_stdin_ends() -> anyhow::Result<()> {
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
