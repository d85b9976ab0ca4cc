//! Which cloudlets serve a device already: it is sent there again before anywhere else.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::key::PublicKey;
use uuid::Uuid;

use crate::tally::Counted;

/// Most cloudlets that are remembered for one recipe and key: as many as one request can ask for.
const MOST_CLOUDLETS: usize = 3;
/// Time by which the clock has to be behind for it to have been set back: requests are slower or faster than others by less.
const SET_BACK: SignedDuration = SignedDuration::from_secs(5);

/// Remembers for one lease which cloudlets serve a recipe and key. Bounded: beyond its capacity the one goes that was renewed longest ago.
///
/// Cloudlets are remembered by endpoint, because that is what makes an entry of the registry: a cloudlet that restarts may report a new
/// uuid and still serve.
#[derive(Debug)]
pub struct Placements {
    lease: SignedDuration,
    capacity: usize,
    records: Mutex<Records>,
}

/// Whose placement it is: the recipe and the device's key.
type Holder = (Uuid, PublicKey);

#[derive(Debug, Default)]
struct Records {
    by_holder: HashMap<Holder, Record>,
    /// The holders by the number of their last renewal.
    by_renewal: BTreeMap<u64, Holder>,
    renewals: u64,
    /// When something was remembered or expired for the last time.
    latest: Timestamp,
}

#[derive(Debug)]
struct Record {
    renewal: u64,
    placements: Vec<Placement>,
}

#[derive(Debug)]
struct Placement {
    endpoint: Endpoint,
    renewed: Timestamp,
    /// Counts for as long as it is remembered.
    _counted: Counted,
}

impl Placements {
    /// Remembers for this long, and for at most this many pairs of recipe and key.
    pub fn new(lease: SignedDuration, capacity: usize) -> Self {
        Self {
            lease,
            capacity,
            records: Mutex::default(),
        }
    }

    /// Remembers that these cloudlets, best first, have just agreed to serve. Others that served before stay until their lease ends, at
    /// most three in all.
    pub fn remember(
        &self,
        recipe: Uuid,
        key: &PublicKey,
        served: impl IntoIterator<Item = (Endpoint, Counted)>,
        now: Timestamp,
    ) {
        let holder = (recipe, *key);
        let mut records = self.records();
        records.follow_clock(now);
        let earlier = records.remove(&holder).unwrap_or_default();
        let mut placements: Vec<Placement> = Vec::with_capacity(MOST_CLOUDLETS);
        let new = served.into_iter().map(|(endpoint, counted)| Placement {
            endpoint,
            renewed: now,
            _counted: counted,
        });
        let current = earlier
            .into_iter()
            .filter(|earlier| self.is_current(earlier, now));
        for placement in new.chain(current) {
            let is_there = placements
                .iter()
                .any(|there| there.endpoint == placement.endpoint);
            if !is_there && placements.len() < MOST_CLOUDLETS {
                placements.push(placement);
            }
        }
        if !placements.is_empty() {
            records.insert(holder, placements);
            records.shrink_to(self.capacity);
        }
    }

    /// The cloudlets that serve, the one renewed last first.
    pub fn remembered(&self, recipe: Uuid, key: &PublicKey, now: Timestamp) -> Vec<Endpoint> {
        let records = self.records();
        let record = records.by_holder.get(&(recipe, *key));
        let placements = record.into_iter().flat_map(|record| &record.placements);
        placements
            .filter(|placement| self.is_current(placement, now))
            .map(|placement| placement.endpoint.clone())
            .collect()
    }

    /// Forgets that a cloudlet serves.
    pub fn forget(&self, recipe: Uuid, key: &PublicKey, endpoint: &Endpoint) {
        let mut records = self.records();
        let Some(record) = records.by_holder.get_mut(&(recipe, *key)) else {
            return;
        };
        record
            .placements
            .retain(|placement| placement.endpoint != *endpoint);
        if record.placements.is_empty() {
            records.remove(&(recipe, *key));
        }
    }

    /// Forgets what nobody has renewed for a lease, so that it counts no more.
    pub fn expire(&self, now: Timestamp) {
        let mut records = self.records();
        records.follow_clock(now);
        let is_over = |record: &Record| {
            !record
                .placements
                .iter()
                .any(|placement| self.is_current(placement, now))
        };
        while let Some(holder) = records
            .oldest()
            .filter(|(_, oldest)| is_over(oldest))
            .map(|(holder, _)| *holder)
        {
            records.remove(&holder);
        }
    }

    fn is_current(&self, placement: &Placement, now: Timestamp) -> bool {
        placement.renewed.duration_until(now) < self.lease
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    /// A clock that is set back must not make placements outlive their lease: they count as renewed now.
    fn follow_clock(&mut self, now: Timestamp) {
        if now.duration_until(self.latest) > SET_BACK {
            let records = self.by_holder.values_mut();
            for placement in records.flat_map(|record| &mut record.placements) {
                placement.renewed = placement.renewed.min(now);
            }
            self.latest = now;
        }
        self.latest = self.latest.max(now);
    }

    fn insert(&mut self, holder: Holder, placements: Vec<Placement>) {
        self.renewals += 1;
        let renewal = self.renewals;
        self.by_renewal.insert(renewal, holder);
        let record = Record {
            renewal,
            placements,
        };
        self.by_holder.insert(holder, record);
    }

    fn remove(&mut self, holder: &Holder) -> Option<Vec<Placement>> {
        let record = self.by_holder.remove(holder)?;
        self.by_renewal.remove(&record.renewal);
        Some(record.placements)
    }

    /// The record that was renewed longest ago, and whose it is.
    fn oldest(&self) -> Option<(&Holder, &Record)> {
        self.by_holder
            .get_key_value(self.by_renewal.values().next()?)
    }

    fn shrink_to(&mut self, capacity: usize) {
        while self.by_holder.len() > capacity {
            let Some((_, oldest)) = self.by_renewal.pop_first() else {
                return;
            };
            self.by_holder.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
