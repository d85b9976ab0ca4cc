//! Why packets and datagrams were dropped, counted.

use gotatun::noise::errors::WireGuardError;

/// Why a packet or a datagram went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The datagram has neither type nor length of a WireGuard message.
    Malformed,
    /// The first MAC of a handshake message is wrong: it is not meant for our key.
    Mac,
    /// A valid handshake of a key that is no peer's.
    UnknownPeer,
    /// No session and no handshake has the receiver index: it has ended, or it never was.
    UnknownSession,
    /// Too many handshakes of one address: the sender got a cookie instead, and may try again with it.
    Load,
    /// A message did not decrypt.
    Authentication,
    /// The message was seen before, or it is older than the replay window.
    Replay,
    /// A handshake message that the state of its handshake does not expect.
    Unexpected,
    /// A packet, from either side, that is neither IPv4 nor IPv6, or shorter than it says.
    Packet,
    /// A packet that is longer than the tunnel's MTU.
    TooLong,
    /// The sender may not use the source address of its packet.
    Source,
    /// No peer owns the destination of a packet.
    NoRoute,
    /// It is not known where the peer is.
    NoEndpoint,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::Mac,
        Self::UnknownPeer,
        Self::UnknownSession,
        Self::Load,
        Self::Authentication,
        Self::Replay,
        Self::Unexpected,
        Self::Packet,
        Self::TooLong,
        Self::Source,
        Self::NoRoute,
        Self::NoEndpoint,
    ];
}

impl From<WireGuardError> for DropReason {
    fn from(error: WireGuardError) -> Self {
        use WireGuardError as E;
        match error {
            E::DestinationBufferTooSmall
            | E::IncorrectPacketLength
            | E::WrongPacketType
            | E::InvalidPacket
            | E::LockFailed => Self::Malformed,
            E::InvalidMac => Self::Mac,
            E::WrongKey => Self::UnknownPeer,
            E::WrongIndex | E::NoCurrentSession | E::ConnectionExpired => Self::UnknownSession,
            E::InvalidAeadTag | E::InvalidTai64nTimestamp => Self::Authentication,
            E::WrongTai64nTimestamp | E::InvalidCounter | E::DuplicateCounter => Self::Replay,
            E::UnexpectedPacket => Self::Unexpected,
        }
    }
}

/// How often each [`DropReason`] occurred.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    /// How often this reason occurred.
    pub const fn count(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// How much was dropped in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(super) const fn add(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }
}
