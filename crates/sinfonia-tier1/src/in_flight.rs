//! How many requests are on their way to each cloudlet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sinfonia_core::endpoint::Endpoint;

/// Seconds after which one of the requests in flight to a cloudlet is usually done.
pub(crate) const RETRY_BUSY: u64 = 1;

/// Bounds the requests that are in flight to each cloudlet, so that one that hangs holds no more than its share of what this Tier 1 bears.
/// Clones share the places.
#[derive(Debug, Clone)]
pub(crate) struct InFlight(Arc<Shared>);

/// A place for one request to one cloudlet; dropping it gives it back.
#[derive(Debug)]
#[must_use]
pub(crate) struct Place {
    in_flight: InFlight,
    endpoint: Endpoint,
}

#[derive(Debug)]
struct Shared {
    most: usize,
    /// The cloudlets to which requests are in flight, and how many.
    taken: Mutex<HashMap<Endpoint, usize>>,
}

impl InFlight {
    /// Lets at most this many requests be in flight to each cloudlet.
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Shared {
            most,
            taken: Mutex::default(),
        }))
    }

    /// Takes a place if there is one.
    pub(crate) fn take(&self, endpoint: &Endpoint) -> Option<Place> {
        let mut taken = self.taken();
        match taken.get_mut(endpoint) {
            Some(count) if *count >= self.0.most => return None,
            Some(count) => *count += 1,
            None => {
                taken.insert(endpoint.clone(), 1);
            }
        }
        Some(Place {
            in_flight: self.clone(),
            endpoint: endpoint.clone(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Endpoint, usize>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.in_flight.taken();
        if let Some(count) = taken.get_mut(&self.endpoint) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.endpoint);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cloudlet_has_its_own_places() {
        let in_flight = InFlight::new(2);
        let (full, other) = (endpoint("full"), endpoint("other"));

        let places = [in_flight.take(&full), in_flight.take(&full)];

        assert!(places.iter().all(Option::is_some));
        assert!(in_flight.take(&full).is_none());
        assert!(in_flight.take(&other).is_some());
    }

    #[test]
    fn a_place_is_given_back() {
        let in_flight = InFlight::new(1);
        let cloudlet = endpoint("cloudlet");

        drop(in_flight.take(&cloudlet));

        assert!(in_flight.take(&cloudlet).is_some());
    }

    #[test]
    fn nothing_is_kept_of_cloudlets_to_which_nothing_is_in_flight() {
        let in_flight = InFlight::new(1);

        for number in 0..100 {
            drop(in_flight.take(&endpoint(&format!("cloudlet-{number}"))));
        }

        assert_eq!(*in_flight.taken(), HashMap::new());
    }

    fn endpoint(host: &str) -> Endpoint {
        format!("http://{host}/api/v1/deploy").parse().unwrap()
    }
}
