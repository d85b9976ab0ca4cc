//! The cloudlets that Tier 1 knows, from its file and from reports.
//!
//! Entries are keyed by their normalised endpoint. A report for an entry of the file joins it; all others make entries of their own,
//! which go after [`SILENCE`]. Which report may change what is decided in [`ReportAuthority`]'s module. Time comes in as an argument.

mod authority;
mod entry;
mod known;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use sinfonia_core::cloudlet::{CloudletInfo, Surroundings};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::load::Thresholds;
use tokio::sync::Notify;
use uuid::Uuid;

pub use self::authority::{ReportAuthority, ReportRefusal};
pub use self::entry::{FileCloudlet, SILENCE};
pub use self::known::{Known, Origin};
use self::state::State;

/// The cloudlets that are known. Clones share them.
///
/// Readers get a snapshot, which is made anew only after a change. A reader that needs a new one waits for no more than the change of
/// one entry, or for a new cloudlet file to be laid over the old one.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Above which measurements a cloudlet counts as overloaded.
    thresholds: Thresholds,
    /// All cloudlets as they are; `None` after a change until somebody asks.
    snapshot: ArcSwapOption<Vec<Arc<Known>>>,
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
    /// Those of the file, which lost their measurements.
    pub silent: Vec<Endpoint>,
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
            thresholds,
            ..Shared::default()
        }))
    }

    /// Makes these, in this order, the cloudlets of the file: entries come and go, and what was reported stays.
    pub fn replace_file(&self, cloudlets: Vec<FileCloudlet>) {
        let mut state = self.state();
        state.replace_file(cloudlets, &self.0.thresholds);
        self.changed();
        drop(state);
        self.0.arrivals.notify_one();
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
        let mut state = self.state();
        let reported = state.report(info, authority, &self.0.thresholds, now)?;
        self.changed();
        drop(state);
        if reported == Reported::First {
            self.0.arrivals.notify_one();
        }
        Ok(reported)
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
        authority::check(&self.state(), uuid, endpoint, authority, now)
    }

    /// Drops the cloudlets that have been silent for [`SILENCE`]; those of the file stay and lose their measurements.
    pub fn expire(&self, now: Timestamp) -> Expired {
        let mut state = self.state();
        let expired = state.expire(now);
        if !expired.is_empty() {
            self.changed();
        }
        expired
    }

    /// The endpoints whose place or networks nobody said, so that their hosts have to be looked up.
    pub fn wanting_surroundings(&self) -> Vec<Endpoint> {
        let state = self.state();
        let wanting = state.entries().filter(|entry| entry.wants_surroundings());
        wanting.map(|entry| entry.endpoint().clone()).collect()
    }

    /// Takes over what was found out about endpoints; one that is no longer known is passed over.
    pub fn set_surroundings<'a>(
        &self,
        found: impl IntoIterator<Item = (&'a Endpoint, &'a Arc<Surroundings>)>,
    ) {
        let mut state = self.state();
        if state.set_surroundings(found) {
            self.changed();
        }
    }

    /// Waits until an entry may have come whose surroundings are not known.
    pub async fn arrival(&self) {
        self.0.arrivals.notified().await;
    }

    /// All cloudlets, ordered by endpoint.
    pub fn snapshot(&self) -> Arc<Vec<Arc<Known>>> {
        if let Some(snapshot) = self.0.snapshot.load_full() {
            return snapshot;
        }
        let state = self.state();
        let snapshot = Arc::new(
            state
                .entries()
                .map(|entry| Arc::clone(entry.known()))
                .collect(),
        );
        self.0.snapshot.store(Some(Arc::clone(&snapshot)));
        snapshot
    }

    /// The cloudlet that goes by this uuid.
    pub fn get(&self, uuid: Uuid) -> Option<Arc<Known>> {
        self.state()
            .holder(uuid)
            .map(|entry| Arc::clone(entry.known()))
    }

    /// The cloudlet at this endpoint.
    pub fn at(&self, endpoint: &Endpoint) -> Option<Arc<Known>> {
        self.state()
            .at(endpoint)
            .map(|entry| Arc::clone(entry.known()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the next reader make a new snapshot. Called while the state is locked, so that no old one is stored afterwards.
    fn changed(&self) {
        self.0.snapshot.store(None);
    }
}

#[cfg(test)]
mod tests;
