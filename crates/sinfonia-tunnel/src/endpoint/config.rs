//! What is said to the endpoint about a peer, and what it says.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use ipnet::IpNet;
use sinfonia_core::key::PublicKey;

use super::Moment;

/// A key that both peers share in addition to their key pairs. It has no `Debug`, so that it cannot reach a log by accident.
#[derive(Clone)]
pub struct PresharedKey(pub [u8; 32]);

/// What the endpoint has to know of a peer.
#[derive(Clone)]
pub struct PeerConfig {
    /// The peer's identity.
    pub public_key: PublicKey,
    /// A shared secret, mixed into the handshakes.
    pub preshared_key: Option<PresharedKey>,
    /// Where the peer is; without it, the peer has to speak first.
    pub endpoint: Option<SocketAddr>,
    /// What is routed to the peer, and the source addresses that it may use.
    pub allowed_ips: Vec<IpNet>,
    /// Seconds between keep-alives that hold the way through a NAT open.
    pub persistent_keepalive: Option<NonZeroU16>,
}

/// What is known of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// The peer's identity.
    pub public_key: PublicKey,
    /// Where it was last, or where it was said to be.
    pub endpoint: Option<SocketAddr>,
    /// Bytes of all messages to the peer, as `wg` counts them.
    pub sent_bytes: u64,
    /// Bytes of all authentic messages of the peer, as `wg` counts them.
    pub received_bytes: u64,
    /// When the last handshake came to a good end.
    pub last_handshake: Option<Moment>,
    /// The time from the last initiation of ours that was answered to its answer.
    pub round_trip: Option<Duration>,
    /// The first packet or initiation to the peer since its last authentic message; with an idle peer there is none, because no answer
    /// is due to a keep-alive.
    pub unanswered_since: Option<Moment>,
    /// The first initiation to the peer since its last authentic message: a peer that is there answers it at once.
    pub asked_since: Option<Moment>,
}

/// Where the way to a peer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// There is no such peer, or it is not known where it is.
    Impossible,
    /// A handshake has begun.
    UnderWay,
    /// There is a session that is not due for renewal.
    Open,
}
