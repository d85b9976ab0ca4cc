//! Telling of an outage once.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cluster::kubernetes::mirror::Turn;

/// Whether something that is done again and again fails at the moment.
#[derive(Debug, Default)]
pub(super) struct Outage(AtomicBool);

impl Outage {
    /// Logs the first failure, with its consequence, and the first success after failures.
    pub(super) fn note<E: Error + 'static>(&self, error: Option<&E>, consequence: &'static str) {
        let turn = self.turn(error.is_some());
        let error = error.map(|error| error as &dyn Error);
        match turn {
            Turn::None => {}
            Turn::Fails => tracing::warn!(error, consequence, "Prometheus cannot be asked"),
            Turn::Recovers => tracing::info!("Prometheus answers again"),
        }
    }

    fn turn(&self, fails: bool) -> Turn {
        let failed = self.0.swap(fails, Ordering::Relaxed);
        match (failed, fails) {
            (false, true) => Turn::Fails,
            (true, false) => Turn::Recovers,
            (false, false) | (true, true) => Turn::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_of_once_and_so_is_its_end() {
        let outage = Outage::default();

        let turns = [false, true, true, false, false, true].map(|fails| outage.turn(fails));

        let expected = [
            Turn::None,
            Turn::Fails,
            Turn::None,
            Turn::Recovers,
            Turn::None,
            Turn::Fails,
        ];
        assert_eq!(turns, expected);
    }
}
