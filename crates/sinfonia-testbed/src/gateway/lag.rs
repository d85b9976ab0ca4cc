//! Things that are known and not acted on yet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What was seen, each with the time when it was; what was seen twice in a row is kept once.
#[derive(Debug)]
pub(super) struct Lagging<T> {
    last: Option<T>,
    waiting: VecDeque<(Instant, T)>,
}

impl<T: Clone + PartialEq> Lagging<T> {
    pub(super) const fn new() -> Self {
        Self {
            last: None,
            waiting: VecDeque::new(),
        }
    }

    /// Notes what is seen now, and tells whether it is news.
    pub(super) fn see(&mut self, now: Instant, seen: T) -> bool {
        if self.last.as_ref() == Some(&seen) {
            return false;
        }
        self.last = Some(seen.clone());
        self.waiting.push_back((now, seen));
        true
    }

    /// Takes the oldest of what was seen `lag` ago or earlier.
    pub(super) fn take_due(&mut self, now: Instant, lag: Duration) -> Option<T> {
        let (seen_at, _) = self.waiting.front()?;
        if now.duration_since(*seen_at) < lag {
            return None;
        }
        self.waiting.pop_front().map(|(_, seen)| seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_due_in_its_order_after_the_lag_and_once() {
        let second = Duration::from_secs(1);
        let begin = Instant::now();
        let mut lagging = Lagging::new();

        let news = [
            lagging.see(begin, 'a'),
            lagging.see(begin + second, 'a'),
            lagging.see(begin + second, 'b'),
        ];

        assert_eq!(news, [true, false, true]);
        assert_eq!(lagging.take_due(begin + second, 2 * second), None);
        assert_eq!(lagging.take_due(begin + 2 * second, 2 * second), Some('a'));
        assert_eq!(lagging.take_due(begin + 2 * second, 2 * second), None);
        assert_eq!(lagging.take_due(begin + 3 * second, 2 * second), Some('b'));
    }
}
