//! How long connections that a command left behind may carry the rest of what it sent.

use std::time::Duration;

/// Time between two looks at them.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Looks without a connection after which there is none to come: what connected last is accepted by then.
const SETTLED: u32 = 2;

/// Looks without a byte in the tunnel after which no connection carries anything: 2 s, in which a lost segment is sent again.
const QUIET: u32 = 40;

/// Looks in all, whatever goes on: 60 s. It may be somebody else's connection.
const LONGEST: u32 = 1200;

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Drain {
    looks: u32,
    without_connection: u32,
    without_traffic: u32,
    bytes: Option<u64>,
}

impl Drain {
    /// Takes another look: whether there are connections, and all bytes that went through the tunnel so far. Says whether there is
    /// nothing to wait for any more.
    pub(super) fn is_over(&mut self, connections: bool, bytes: u64) -> bool {
        self.looks += 1;
        self.without_connection = if connections {
            0
        } else {
            self.without_connection + 1
        };
        self.without_traffic = if self.bytes.replace(bytes) == Some(bytes) {
            self.without_traffic + 1
        } else {
            0
        };
        self.without_connection >= SETTLED || self.without_traffic >= QUIET || self.looks >= LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_connections_it_is_over_at_the_second_look() {
        assert_eq!(looks(|_| (false, 0)), 2);
    }

    #[test]
    fn a_connection_that_comes_late_is_waited_for() {
        assert_eq!(looks(|look| ((2..=9).contains(&look), 0)), 11);
    }

    #[test]
    fn a_silent_connection_is_waited_for_no_longer_than_a_lost_segment_takes() {
        assert_eq!(looks(|_| (true, 7)), 41);
    }

    #[test]
    fn traffic_prolongs_it() {
        assert_eq!(looks(|look| (true, u64::from(look / 30))), 1200);
        assert_eq!(looks(|look| (true, u64::from(look.min(100)))), 140);
    }

    /// The look at which it is over.
    fn looks(seen: impl Fn(u32) -> (bool, u64)) -> u32 {
        let mut drain = Drain::default();
        let is_over = |look: &u32| {
            let (connections, bytes) = seen(*look);
            drain.is_over(connections, bytes)
        };
        (1..).find(is_over).unwrap()
    }
}
