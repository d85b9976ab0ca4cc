//! An endpoint and its peer, with the datagrams between them lost, repeated and changed, and with everybody else's rubbish.
//!
//! Input is a list of steps. Datagrams are recorded as they are sent, so that a fuzzer without any key can repeat, reorder and change
//! real handshakes and real data. What has to hold is asserted in [`world`] and in [`packets::check`].
#![no_main]

#[path = "endpoint/packets.rs"]
mod packets;
#[path = "endpoint/side.rs"]
mod side;
#[path = "endpoint/world.rs"]
mod world;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

use packets::{Change, Plausible};
use world::World;

#[derive(Debug, Arbitrary)]
struct Input {
    preshared: bool,
    keepalive: u8,
    /// Whether there is a session at first.
    connected: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    /// Any bytes from any address.
    Rubbish {
        from: Address,
        bytes: Vec<u8>,
    },
    /// A recorded datagram, perhaps changed, perhaps from elsewhere.
    Record {
        to_peer: bool,
        number: u8,
        from: Option<Address>,
        changes: Vec<Change>,
    },
    /// Any packet into the tunnel, at either end.
    Packet {
        of_peer: bool,
        bytes: Vec<u8>,
    },
    /// A packet of the form that the tunnel carries.
    Plausible {
        of_peer: bool,
        packet: Plausible,
    },
    /// Datagrams that are under way arrive.
    Deliver {
        to_peer: bool,
        count: u8,
    },
    /// Datagrams that are under way are lost.
    Lose {
        to_peer: bool,
        count: u8,
    },
    Connect {
        of_peer: bool,
    },
    /// Time passes: milliseconds, or many seconds.
    Wait {
        milliseconds: u16,
    },
    Rest {
        seconds: u16,
    },
    /// Time steps back, which a caller should not do.
    StepBack {
        milliseconds: u16,
    },
    /// The peer goes and comes back, at the endpoint that is tested.
    Forget,
    Configure {
        endpoint: Option<Address>,
        keepalive: u8,
    },
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Address {
    V4(u8, u16),
    V6(u8, u16),
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        match address {
            Address::V4(last, port) => (Ipv4Addr::new(192, 0, 2, last), port).into(),
            Address::V6(last, port) => (
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()),
                port,
            )
                .into(),
        }
    }
}

fuzz_target!(|input: Input| {
    let mut world = World::new(input.preshared, input.keepalive);
    if input.connected {
        world.connect();
    }
    for step in input.steps {
        world.step(step);
    }
    world.heal();
});
