//! Requests that were undone before they came: a `DELETE` may overtake its `POST`.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Time for which a `POST` may be under way after the `DELETE` that undoes it: as long as anybody waits for one.
const MEMORY: Duration = Duration::from_secs(60);
/// Most identities remembered; anybody may send one, so they must not fill the memory.
const CAPACITY: usize = 10_000;

/// Identities of requests that were withdrawn a short while ago.
#[derive(Debug, Default)]
pub(crate) struct Withdrawn(HashMap<String, Instant>);

impl Withdrawn {
    /// Remembers that a request was withdrawn. When too many are known the oldest is forgotten.
    pub(super) fn note(&mut self, id: &str, now: Instant) {
        self.0.retain(|_, since| is_fresh(*since, now));
        if self.0.len() >= CAPACITY {
            let oldest = self.0.iter().min_by_key(|(_, since)| **since);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(id.to_owned(), now);
    }

    /// Whether a request was withdrawn.
    pub(super) fn holds(&self, id: &str, now: Instant) -> bool {
        self.0.get(id).is_some_and(|since| is_fresh(*since, now))
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
        assert_eq!(withdrawn.0.len(), CAPACITY);
    }
}
