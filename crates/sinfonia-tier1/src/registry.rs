//! The cloudlets that Tier 1 knows, from its file and from reports.
//!
//! Entries are keyed by their normalised endpoint. A report for an entry of the file joins it; all others make entries of their own,
//! which go after [`SILENCE`]. Which report may change what is decided in [`ReportAuthority`]'s module. Time comes in as an argument.

mod authority;
mod entry;
mod known;
mod parts;
mod pools;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use sinfonia_core::cloudlet::{CloudletInfo, Resources, Surroundings};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::fleet::Member;
use sinfonia_core::load::Thresholds;
use sinfonia_service::tokens::OwnToken;
use tokio::sync::Notify;
use uuid::Uuid;

pub use self::authority::{ReportAuthority, ReportRefusal};
pub use self::entry::Entry;
pub use self::known::{FileCloudlet, Known, Origin, SILENCE};
pub use self::state::Roster;
use self::state::State;

/// The cloudlets that are known. Clones share them.
///
/// Readers get the current [`Roster`], which nobody changes, and wait for nobody. What a cloudlet reports goes to its [`Entry`]; only when
/// cloudlets come, go, move or change hands there is another roster, which shares most of the one before.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// The roster of the state when it was last unlocked.
    roster: ArcSwap<Roster>,
    /// Told whenever an entry may have come whose surroundings are not known.
    arrivals: Notify,
}

/// Whether a cloudlet was known before its report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// It was not.
    First,
    /// It was, from the file or from an earlier report.
    Again,
}

/// The cloudlets that fell silent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expired {
    /// Those that are no longer known.
    pub dropped: Vec<Endpoint>,
    /// Those of the file, which lost the measurements that are too old.
    pub silent: Vec<Endpoint>,
}

/// How fresh what is known of the cloudlets is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct News {
    /// Time since the one of which nothing was heard for longest was heard of; zero where none was. Those that are silent do not count.
    pub oldest: SignedDuration,
    /// How many were heard of so long ago that their measurements count no more, but not long enough to be silent.
    pub stale: usize,
    /// How many of the file reported and are silent, without having said that they drain.
    pub silent: usize,
    /// How many were dropped so far, without having said that they drain.
    pub lost: u64,
}

impl Expired {
    /// Whether none did.
    pub fn is_empty(&self) -> bool {
        self.dropped.is_empty() && self.silent.is_empty()
    }
}

impl Registry {
    /// Knows no cloudlet, and has the default thresholds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows no cloudlet, and will take those for overloaded of which a measurement is above its threshold.
    pub fn with_thresholds(thresholds: Thresholds) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State::new(thresholds)),
            ..Shared::default()
        }))
    }

    /// Makes these, in this order, the cloudlets of the file: entries come and go, and what was reported stays.
    pub fn replace_file(&self, cloudlets: Vec<FileCloudlet>) {
        self.change(|state| state.replace_file(cloudlets));
        self.0.arrivals.notify_one();
    }

    /// Takes over the tokens that these cloudlets of the file want to see now; one that the file does not name is passed over.
    pub fn set_tokens(&self, tokens: impl IntoIterator<Item = (Endpoint, OwnToken)>) {
        self.change(|state| state.set_tokens(tokens));
    }

    /// Takes a report in, or refuses it and changes nothing.
    ///
    /// # Errors
    /// The authority does not reach that far.
    pub fn report(
        &self,
        info: CloudletInfo,
        authority: &ReportAuthority,
        now: Timestamp,
    ) -> Result<Reported, ReportRefusal> {
        let reported = self.change(|state| state.report(info, authority, now))?;
        if reported == Reported::First {
            self.0.arrivals.notify_one();
        }
        Ok(reported)
    }

    /// Takes over what was measured of a cloudlet of the file beside its reports; one that the file does not name is passed over.
    pub fn measured(&self, endpoint: &Endpoint, resources: Resources, now: Timestamp) {
        self.change(|state| state.measured(endpoint, resources, now));
    }

    /// Forgets what was measured of a cloudlet of the file beside its reports: nobody measures it any more.
    pub fn unmeasured(&self, endpoint: &Endpoint) {
        self.change(|state| state.unmeasured(endpoint));
    }

    /// Tells whether a report of this uuid from this endpoint would be taken, whatever else it says.
    ///
    /// # Errors
    /// The authority does not reach that far.
    pub fn check_report(
        &self,
        uuid: Uuid,
        endpoint: &Endpoint,
        authority: &ReportAuthority,
        now: Timestamp,
    ) -> Result<(), ReportRefusal> {
        let state = self.state();
        let here = state.at(endpoint);
        authority::check(&state, uuid, endpoint, here.as_deref(), authority, now)
    }

    /// Drops the cloudlets that have been silent for [`SILENCE`]; those of the file stay and lose their measurements.
    pub fn expire(&self, now: Timestamp) -> Expired {
        self.change(|state| state.expire(now))
    }

    /// How fresh what is known is.
    pub fn news(&self, now: Timestamp) -> News {
        self.state().news(now)
    }

    /// The endpoints whose place or networks nobody said, so that their hosts have to be looked up.
    pub fn wanting_surroundings(&self) -> Vec<Endpoint> {
        self.state().wanting().iter().cloned().collect()
    }

    /// Takes over what was found out about endpoints; one that is no longer known is passed over.
    pub fn set_surroundings<'a>(
        &self,
        found: impl IntoIterator<Item = (&'a Endpoint, &'a Arc<Surroundings>)>,
    ) {
        self.change(|state| state.set_surroundings(found));
    }

    /// Waits until an entry may have come whose surroundings are not known.
    pub async fn arrival(&self) {
        self.0.arrivals.notified().await;
    }

    /// All cloudlets at the moment.
    pub fn roster(&self) -> Arc<Roster> {
        self.0.roster.load_full()
    }

    /// All cloudlets as they are at the moment, ordered by endpoint.
    pub fn snapshot(&self) -> Vec<Arc<Known>> {
        self.0.roster.load().snapshot()
    }

    /// The cloudlet that goes by this uuid.
    pub fn get(&self, uuid: Uuid) -> Option<Arc<Known>> {
        let roster = self.0.roster.load();
        roster.cloudlets.of_uuid(uuid).next().map(Member::now)
    }

    /// The cloudlet at this endpoint.
    pub fn at(&self, endpoint: &Endpoint) -> Option<Arc<Known>> {
        let roster = self.0.roster.load();
        roster.cloudlets.at(endpoint).map(Member::now)
    }

    /// Changes the state, and hands out its roster if that is another one now: before the next change, so that no older one comes later.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = change(&mut state);
        if let Some(roster) = state.take_roster() {
            self.0.roster.store(Arc::new(roster));
        }
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
