//! How much of what Tier 1 bears may wait for cloudlets.

use std::sync::Arc;

use sinfonia_service::problem::Problem;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Seconds after which some of the requests that run may be done.
const RETRY_SHED: u64 = 1;
/// Of how many parts all requests are.
const PARTS: usize = 8;
/// Parts that deployments have, which take longest.
const DEPLOYS: usize = 5;
/// Parts that calls to the cloudlets of deployments have. The rest is for what no cloudlet has to work for, such as reports and lists.
const RELAYS: usize = 2;

/// Limits the requests that wait for cloudlets. What finds no place is shed, nothing waits for one. Clones share the places.
///
/// Counting connections would not do: deployments of clients that have gone go on.
#[derive(Debug, Clone)]
pub(super) struct Shares {
    deploys: Arc<Semaphore>,
    relays: Arc<Semaphore>,
}

impl Shares {
    /// Shares of this many requests that may run at once.
    pub(super) fn of(requests: usize) -> Self {
        let share = |parts| Arc::new(Semaphore::new(share(requests, parts)));
        Self {
            deploys: share(DEPLOYS),
            relays: share(RELAYS),
        }
    }

    /// A place for a deployment.
    ///
    /// # Errors
    /// 503: there is none.
    pub(super) fn deploy(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.deploys, "too many deployments are under way")
    }

    /// A place for a call to the cloudlet of a deployment.
    ///
    /// # Errors
    /// 503: there is none.
    pub(super) fn relay(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.relays, "too many calls wait for cloudlets")
    }
}

fn take(places: &Arc<Semaphore>, refusal: &str) -> Result<OwnedSemaphorePermit, Problem> {
    let place = Arc::clone(places).try_acquire_owned();
    place.map_err(|_| Problem::unavailable(refusal, RETRY_SHED))
}

/// Rounded up, so that there is always one.
fn share(requests: usize, parts: usize) -> usize {
    requests
        .saturating_mul(parts)
        .div_ceil(PARTS)
        .clamp(1, Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::usual(1024, 640, 256)]
    #[case::rounded_up(9, 6, 3)]
    #[case::one(1, 1, 1)]
    fn deployments_and_relayed_calls_have_shares(
        #[case] requests: usize,
        #[case] deploys: usize,
        #[case] relays: usize,
    ) {
        let shares = Shares::of(requests);

        let places = |places: &Semaphore| places.available_permits();
        assert_eq!(
            (places(&shares.deploys), places(&shares.relays)),
            (deploys, relays)
        );
    }

    #[test]
    fn what_finds_no_place_is_shed() {
        let shares = Shares::of(1);

        let first = shares.deploy();
        let second = shares.deploy().unwrap_err();

        assert!(first.is_ok());
        let expected = Problem::unavailable("too many deployments are under way", 1);
        assert_eq!(second, expected);
        assert!(shares.relay().is_ok());
    }
}
