//! How long things last.

use jiff::{SignedDuration, Timestamp};

/// How long the parts of a deployment's life last; the defaults are the contract's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How long a request or activity on the tunnel keeps a deployment.
    pub lease: SignedDuration,
    /// How long an Expiring deployment can be brought back under its name and address.
    pub grace: SignedDuration,
    /// How long a deployment may take to be ready for the first time.
    pub ready_deadline: SignedDuration,
    /// How long unknown activity keeps a deployment whose lease has passed.
    pub max_unknown: SignedDuration,
    /// How long a deployment may live, however active; none by default.
    pub max_lifetime: Option<SignedDuration>,
    /// How long Failed and Expired records stay, to tell what happened and to hold their address.
    pub retention: SignedDuration,
}

impl Policy {
    /// Five minutes: a tunnel in use shakes hands every 120 s, so two of its handshakes fall into one lease.
    pub const DEFAULT_LEASE: SignedDuration = SignedDuration::from_secs(300);
    /// Five minutes, the time in which a device that lost its network usually comes back.
    pub const DEFAULT_GRACE: SignedDuration = SignedDuration::from_secs(300);
    /// Ten minutes, enough to pull large images over a slow uplink.
    pub const DEFAULT_READY_DEADLINE: SignedDuration = SignedDuration::from_mins(10);
    /// A day, so that an outage of the monitoring overnight ends nobody's lease.
    pub const DEFAULT_MAX_UNKNOWN: SignedDuration = SignedDuration::from_hours(24);
    /// Ten minutes, twice the usual lease, so that no address is reused while a device may still use it.
    pub const DEFAULT_RETENTION: SignedDuration = SignedDuration::from_mins(10);

    /// Whether more than two thirds of the lease are left, so that extending it is not worth a write.
    pub(crate) fn is_fresh(&self, lease_end: Timestamp, now: Timestamp) -> bool {
        let left = lease_end.duration_since(now);
        3 * left.as_nanos() > 2 * self.lease.as_nanos()
    }

    /// When a lease ends that starts now.
    pub(crate) fn lease_from(&self, start: Timestamp) -> Timestamp {
        start.checked_add(self.lease).unwrap_or(Timestamp::MAX)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            lease: Self::DEFAULT_LEASE,
            grace: Self::DEFAULT_GRACE,
            ready_deadline: Self::DEFAULT_READY_DEADLINE,
            max_unknown: Self::DEFAULT_MAX_UNKNOWN,
            max_lifetime: None,
            retention: Self::DEFAULT_RETENTION,
        }
    }
}
