//! The places of those who look at the page: few, so that nobody may hold them all, and none for ever.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sinfonia_service::limits::ClientKey;
use tokio::time::Instant;

/// Most who look at once; each costs a few MiB at most where there are very many cloudlets.
const MOST: usize = 64;
/// Most of those that one address may have.
const MOST_OF_ONE: usize = 8;

/// The places. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    places: Vec<Taker>,
    numbers: u64,
}

#[derive(Debug)]
struct Taker {
    number: u64,
    client: ClientKey,
    until: Instant,
}

/// A place, until this is dropped or its time is up. Who takes nothing of what is sent never asks for more, and would keep it for ever.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    places: Places,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPlace {
    /// One address has as many as it may have.
    #[error(
        "{MOST_OF_ONE} from this address look at the dashboard already: close one of its pages"
    )]
    OfOne,
    /// All are taken.
    #[error("too many look at the dashboard")]
    OfAll,
}

impl Places {
    /// Takes a place for a caller at this address.
    ///
    /// # Errors
    /// There is none for it.
    pub(super) fn take(
        &self,
        caller: IpAddr,
        now: Instant,
        until: Instant,
    ) -> Result<Place, NoPlace> {
        let client = ClientKey::of(caller);
        let mut taken = self.taken();
        taken.places.retain(|taker| taker.until > now);
        let own = taken.places.iter().filter(|taker| taker.client == client);
        if own.count() >= MOST_OF_ONE {
            return Err(NoPlace::OfOne);
        }
        if taken.places.len() >= MOST {
            return Err(NoPlace::OfAll);
        }
        taken.numbers += 1;
        let number = taken.numbers;
        taken.places.push(Taker {
            number,
            client,
            until,
        });
        Ok(Place {
            number,
            places: self.clone(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let number = self.number;
        self.places
            .taken()
            .places
            .retain(|taker| taker.number != number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_address_gets_all_places() {
        let (places, now) = (Places::default(), Instant::now());
        let mut held = Vec::new();

        let refused: Vec<_> = (1..=9)
            .map(|address| (0..9).find_map(|_| take(&places, address, now, &mut held).err()))
            .collect();
        let mut expected = [Some(NoPlace::OfOne); 9];
        expected[8] = Some(NoPlace::OfAll);
        assert_eq!(refused, expected);
        assert_eq!(held.len(), MOST);
    }

    #[test]
    fn who_goes_makes_room() {
        let (places, now) = (Places::default(), Instant::now());
        let mut held = Vec::new();
        for _ in 0..MOST_OF_ONE {
            take(&places, 1, now, &mut held).unwrap();
        }

        held.pop();

        assert_eq!(take(&places, 1, now, &mut held), Ok(()));
        assert_eq!(take(&places, 1, now, &mut held), Err(NoPlace::OfOne));
    }

    #[test]
    fn who_never_goes_has_no_place_once_the_time_is_up() {
        let (places, now) = (Places::default(), Instant::now());
        let mut held = Vec::new();
        for _ in 0..MOST_OF_ONE {
            take(&places, 1, now, &mut held).unwrap();
        }

        let before = take(&places, 1, now + TIME - Duration::from_nanos(1), &mut held);
        let then = take(&places, 1, now + TIME, &mut held);

        assert_eq!((before, then), (Err(NoPlace::OfOne), Ok(())));
        drop(held.drain(..MOST_OF_ONE));
        assert_eq!(places.taken().places.len(), 1);
    }

    const TIME: Duration = Duration::from_secs(60);

    fn take(
        places: &Places,
        address: u8,
        now: Instant,
        held: &mut Vec<Place>,
    ) -> Result<(), NoPlace> {
        let address = IpAddr::from([192, 0, 2, address]);
        held.push(places.take(address, now, now + TIME)?);
        Ok(())
    }
}
