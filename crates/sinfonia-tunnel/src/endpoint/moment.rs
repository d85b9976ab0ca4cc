//! The endpoint's time: an argument of each of its calls.

use std::ops::Add;
use std::time::Duration;

use mock_instant::thread_local::MockClock;

/// A point in time: the time since an origin that the caller chooses and keeps for the life of the process.
///
/// It never goes back, and it should go on while the machine sleeps (`CLOCK_BOOTTIME`), because keys age in that time as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(Duration);

impl Moment {
    /// The moment that lies this long after the origin.
    pub const fn from_origin(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// The time from an earlier moment to this one, zero if that one is the later of the two.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Makes this the time that the protocol's core reads in the current thread, until the next call.
    ///
    /// The core has no argument for the time. It is built with the feature `mock_instant`, whose clock stands still unless it
    /// is set; a store to a thread-local variable is also cheaper than asking the kernel.
    pub(super) fn enter(self) {
        MockClock::set_time(self.0);
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}
