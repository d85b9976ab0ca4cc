//! The clock of everything that drives an endpoint.

use crate::endpoint::Moment;

/// The time since the machine was started, sleep included: keys age while a laptop is shut.
#[cfg(target_os = "linux")]
pub(crate) fn now() -> Moment {
    use std::time::Duration;

    use nix::time::{ClockId, clock_gettime};

    let time = clock_gettime(ClockId::CLOCK_BOOTTIME);
    Moment::from_origin(time.map_or(Duration::ZERO, Duration::from))
}

/// The time since it was asked for first. Whether it goes on while the machine sleeps depends on the system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn now() -> Moment {
    use std::sync::LazyLock;
    use std::time::Instant;
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    Moment::from_origin(ORIGIN.elapsed())
}
