//! Requests that were undone before they came: a `DELETE` may overtake its `POST`.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// Time for which a `POST` may be under way after the `DELETE` that undoes it: as long as anybody waits for one.
const MEMORY: Duration = Duration::from_secs(60);
/// Most identities remembered; anybody may send one, so they must not fill the memory.
const CAPACITY: usize = 10_000;

/// Identities of requests that were withdrawn a short while ago.
#[derive(Debug, Default)]
pub(crate) struct Withdrawn {
    since: HashMap<String, Instant>,
    /// The same, the oldest first.
    order: VecDeque<(Instant, String)>,
}

impl Withdrawn {
    /// Remembers that a request was withdrawn. When too many are known the oldest is forgotten.
    pub(super) fn note(&mut self, id: &str, now: Instant) {
        while let Some((since, oldest)) = self.order.front()
            && (self.order.len() >= CAPACITY || !is_fresh(*since, now))
        {
            // It may have been noted again since.
            if self.since.get(oldest) == Some(since) {
                self.since.remove(oldest);
            }
            self.order.pop_front();
        }
        self.since.insert(id.to_owned(), now);
        self.order.push_back((now, id.to_owned()));
    }

    /// Whether a request was withdrawn.
    pub(super) fn holds(&self, id: &str, now: Instant) -> bool {
        self.since
            .get(id)
            .is_some_and(|since| is_fresh(*since, now))
    }
}

fn is_fresh(since: Instant, now: Instant) -> bool {
    now.duration_since(since) < MEMORY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withdrawal_is_remembered_for_a_minute() {
        let mut withdrawn = Withdrawn::default();
        let noted = Instant::now();

        withdrawn.note("early", noted);

        let later = |seconds| noted + Duration::from_secs(seconds);
        assert!(withdrawn.holds("early", later(59)));
        assert!(!withdrawn.holds("early", later(60)));
        assert!(!withdrawn.holds("other", noted));
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_the_oldest() {
        let mut withdrawn = Withdrawn::default();
        let start = Instant::now();

        for number in 0..=CAPACITY as u64 {
            withdrawn.note(&number.to_string(), start + Duration::from_micros(number));
        }

        let now = start + Duration::from_secs(1);
        assert!(!withdrawn.holds("0", now));
        assert!(withdrawn.holds("1", now));
        assert_eq!(withdrawn.since.len(), CAPACITY);
    }

    #[test]
    fn what_is_withdrawn_again_is_remembered_from_then_on() {
        let mut withdrawn = Withdrawn::default();
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);

        withdrawn.note("twice", start);
        withdrawn.note("twice", later(30));
        withdrawn.note("other", later(70));

        assert!(withdrawn.holds("twice", later(89)));
        assert!(!withdrawn.holds("twice", later(90)));
        assert_eq!((withdrawn.since.len(), withdrawn.order.len()), (2, 2));
    }
}
