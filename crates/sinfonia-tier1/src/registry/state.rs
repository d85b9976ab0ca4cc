//! The registry's content and what may happen to it, without locks and clocks.

mod replacement;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sinfonia_core::cloudlet::{CloudletInfo, Resources, Surroundings};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::fleet::{Fleet, Member};
use sinfonia_core::load::Thresholds;
use uuid::Uuid;

use super::authority::{self, ReportAuthority, ReportRefusal};
use super::entry::Entry;
use super::known::{Known, Origin, SILENCE};
use super::parts::{Judging, Parts, STALE};
use super::pools::Pools;
use super::{Expired, News, Reported};

/// Most cloudlets that expire at once: some milliseconds.
pub const MOST_EXPIRED: usize = 1_000;

/// All cloudlets at a time. A clone costs next to nothing.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    /// The cloudlets. What they report is seen in here at once, what changes otherwise in the next roster.
    pub cloudlets: Fleet<Entry>,
    /// How many there are of each origin.
    origins: [usize; 3],
}

/// The current roster and what it takes to keep it. Every uuid belongs to one cloudlet, and those that the file gives stay with it.
#[derive(Debug, Default)]
pub(super) struct State {
    roster: Roster,
    /// Whether the roster is another one than before, in more than what cloudlets report.
    is_new: bool,
    /// The uuids that the file gives to entries which go by that of their report.
    hidden_uuids: HashMap<Uuid, Endpoint>,
    /// Those that report or are measured, the one of which the older of the two is longest ago first.
    reporting: BTreeSet<(Timestamp, Endpoint)>,
    /// Those whose place or networks have to be found out.
    wanting: BTreeSet<Endpoint>,
    /// Above which measurements a cloudlet counts as overloaded.
    thresholds: Thresholds,
    /// How many there may be that the file does not name: each of them is there on a caller's word, and takes memory.
    most_reported: Option<usize>,
    pools: Pools,
    /// How many of the file reported and are missed.
    missed: usize,
    /// How many were dropped that are missed.
    lost: u64,
}

impl Roster {
    /// All cloudlets as they are at the moment, ordered by endpoint.
    pub fn snapshot(&self) -> Vec<Arc<Known>> {
        let mut all: Vec<Arc<Known>> = self.cloudlets.iter().map(Member::now).collect();
        all.sort_unstable_by(|a, b| a.cloudlet.endpoint.cmp(&b.cloudlet.endpoint));
        all
    }

    /// How many cloudlets became known so.
    pub const fn count(&self, origin: Origin) -> usize {
        self.origins[origin as usize]
    }
}

impl State {
    pub(super) fn new(thresholds: Thresholds, most_reported: Option<usize>) -> Self {
        Self {
            thresholds,
            most_reported,
            ..Self::default()
        }
    }

    /// The roster, if it is not the one that was taken before.
    pub(super) fn take_roster(&mut self) -> Option<Roster> {
        std::mem::take(&mut self.is_new).then(|| self.roster.clone())
    }

    pub(super) fn at(&self, endpoint: &Endpoint) -> Option<Arc<Known>> {
        self.roster.cloudlets.at(endpoint).map(Member::now)
    }

    /// The cloudlet that goes by this uuid.
    pub(super) fn holder(&self, uuid: Uuid) -> Option<Arc<Known>> {
        self.roster.cloudlets.of_uuid(uuid).next().map(Member::now)
    }

    /// The endpoint that the file gives this uuid to, of which `holder` is the one that goes by it.
    pub(super) fn file_owner(&self, uuid: Uuid, holder: Option<&Known>) -> Option<Endpoint> {
        let owner = holder.filter(|known| known.file_uuid() == Some(uuid));
        let owner = owner.map(|known| known.cloudlet.endpoint.clone());
        owner.or_else(|| self.hidden_uuids.get(&uuid).cloned())
    }

    pub(super) const fn wanting(&self) -> &BTreeSet<Endpoint> {
        &self.wanting
    }

    /// Takes a report in.
    pub(super) fn report(
        &mut self,
        mut info: CloudletInfo,
        authority: &ReportAuthority,
        now: Timestamp,
    ) -> Result<Reported, ReportRefusal> {
        // Looked up once, for all that follows: reports come all the time.
        let entry = self.roster.cloudlets.at(&info.endpoint).cloned();
        let before = entry.as_ref().map(Member::now);
        let (uuid, here) = (uuid_of(&info), before.as_deref());
        authority::check(self, uuid, &info.endpoint, here, authority, now)?;
        if here.is_none() {
            self.check_room(uuid)?;
        }
        let reported = match &before {
            Some(_) => Reported::Again,
            None => Reported::First,
        };
        if let Some(before) = &before {
            // An equal text that is in memory already.
            info.endpoint = before.cloudlet.endpoint.clone();
        }
        let mut parts = parts_of(before.as_deref());
        let judging = parts.set_report(info, authority.has_token(), now, &mut self.pools);
        if let Some(known) = Known::of(parts, &self.thresholds) {
            let uuid = known.cloudlet.uuid;
            if before.is_none_or(|before| before.cloudlet.uuid != uuid) {
                self.release(uuid, &known.cloudlet.endpoint);
            }
            self.put_judged(entry, known, judging, now);
        }
        Ok(reported)
    }

    /// Takes over what was measured of a cloudlet of the file.
    pub(super) fn measured(&mut self, endpoint: &Endpoint, resources: Resources, now: Timestamp) {
        let entry = self.roster.cloudlets.at(endpoint).cloned();
        let mut parts = parts_of(entry.as_ref().map(Member::now).as_deref());
        let Some(judging) = parts.set_measured(resources, now, &mut self.pools) else {
            return;
        };
        if let Some(known) = Known::of(parts, &self.thresholds) {
            self.put_judged(entry, known, judging, now);
        }
    }

    /// Forgets what was measured of a cloudlet of the file.
    pub(super) fn unmeasured(&mut self, endpoint: &Endpoint) {
        let mut parts = parts_of(self.at(endpoint).as_deref());
        if parts.unset_measured() {
            self.put_parts(parts);
        }
    }

    /// Drops what has been silent for too long, and takes the measurements from what outlives that, of so many at most.
    pub(super) fn expire(&mut self, now: Timestamp) -> Expired {
        let mut expired = Expired::default();
        while expired.len() < MOST_EXPIRED
            && let Some((at, _)) = self.reporting.first()
            && at.duration_until(now) >= SILENCE
            && let Some((_, endpoint)) = self.reporting.pop_first()
        {
            let mut parts = parts_of(self.at(&endpoint).as_deref());
            if parts.file.is_none() {
                let said_farewell = self
                    .remove(&endpoint)
                    .is_some_and(|known| known.cloudlet.draining);
                self.lost += u64::from(!said_farewell);
                expired.dropped.push(endpoint);
                continue;
            }
            parts.fall_silent(now);
            self.put_parts(parts);
            expired.silent.push(endpoint);
        }
        expired
    }

    /// How fresh what is known is.
    pub(super) fn news(&self, now: Timestamp) -> News {
        let age = |at: &Timestamp| at.duration_until(now).max(SignedDuration::ZERO);
        let oldest_first = self.reporting.iter().map(|(at, _)| age(at));
        News {
            oldest: oldest_first.clone().next().unwrap_or_default(),
            stale: oldest_first.take_while(|age| *age > STALE).count(),
            silent: self.missed,
            lost: self.lost,
        }
    }

    /// Takes over what was found out about endpoints.
    pub(super) fn set_surroundings<'a>(
        &mut self,
        found: impl IntoIterator<Item = (&'a Endpoint, &'a Arc<Surroundings>)>,
    ) {
        for (endpoint, surroundings) in found {
            let mut parts = parts_of(self.at(endpoint).as_deref());
            if parts.set_surroundings(surroundings) {
                self.put_parts(parts);
            }
        }
    }

    /// Tells whether there is room for an entry of this uuid. A cloudlet that moves takes the place that it had.
    fn check_room(&self, uuid: Uuid) -> Result<(), ReportRefusal> {
        let reported = self.roster.count(Origin::Report);
        let Some(most) = self.most_reported.filter(|most| reported >= *most) else {
            return Ok(());
        };
        match self.holder(uuid) {
            Some(holder) if !holder.is_from_file() => Ok(()),
            _ => Err(ReportRefusal::NoRoom { most }),
        }
    }

    /// Frees a uuid for its newer bearer at this endpoint. Who had it goes, or goes by the file's again.
    fn release(&mut self, uuid: Uuid, bearer: &Endpoint) {
        let Some(holder) = self.holder(uuid) else {
            return;
        };
        let endpoint = &holder.cloudlet.endpoint;
        if endpoint == bearer {
            return;
        }
        let parts = Parts {
            report: None,
            ..holder.parts()
        };
        if parts.file.is_some() {
            self.put_parts(parts);
        } else {
            self.remove(endpoint);
        }
    }

    fn put_parts(&mut self, parts: Parts) {
        if let Some(known) = Known::of(parts, &self.thresholds) {
            self.put(known);
        }
    }

    /// Makes this what is known of the cloudlet of an entry of which there is news, and looks at its load if that is due.
    fn put_judged(
        &mut self,
        before: Option<Entry>,
        known: Known,
        judging: Judging,
        now: Timestamp,
    ) {
        let known = match judging {
            Judging::Due { last } => known.measured(&self.thresholds, last, now),
            Judging::Early => known,
        };
        self.put_over(before, known);
    }

    /// Makes this what is known of a cloudlet.
    fn put(&mut self, known: Known) {
        let before = self.roster.cloudlets.at(&known.cloudlet.endpoint).cloned();
        self.put_over(before, known);
    }

    /// Makes this what is known of the cloudlet of an entry, or of a new one. Where only what it reports is new, the roster stays as it is.
    fn put_over(&mut self, before: Option<Entry>, known: Known) {
        let origin = before.as_ref().map(|before| {
            let before = before.now();
            self.uncount(&before);
            before.origin()
        });
        self.is_new |= origin != Some(known.origin());
        self.count(&known);
        let refused = match before {
            Some(before) => before.take(known),
            None => Some(known),
        };
        if let Some(known) = refused {
            self.roster.cloudlets.insert(Entry::new(known));
            self.is_new = true;
        }
    }

    fn remove(&mut self, endpoint: &Endpoint) -> Option<Arc<Known>> {
        let known = self.roster.cloudlets.remove(endpoint)?.now();
        self.uncount(&known);
        self.is_new = true;
        Some(known)
    }

    fn count(&mut self, known: &Known) {
        let endpoint = &known.cloudlet.endpoint;
        self.roster.origins[known.origin() as usize] += 1;
        self.missed += usize::from(known.is_missed());
        if let Some(at) = known.oldest_news() {
            self.reporting.insert((at, endpoint.clone()));
        }
        if known.cloudlet.wants_surroundings() {
            self.wanting.insert(endpoint.clone());
        }
        if let Some(uuid) = known.hidden_uuid() {
            self.hidden_uuids.insert(uuid, endpoint.clone());
        }
    }

    fn uncount(&mut self, known: &Known) {
        let endpoint = &known.cloudlet.endpoint;
        self.roster.origins[known.origin() as usize] -= 1;
        self.missed -= usize::from(known.is_missed());
        if let Some(at) = known.oldest_news() {
            self.reporting.remove(&(at, endpoint.clone()));
        }
        self.wanting.remove(endpoint);
        if let Some(uuid) = known.hidden_uuid()
            && self.hidden_uuids.get(&uuid) == Some(endpoint)
        {
            self.hidden_uuids.remove(&uuid);
        }
    }
}

fn parts_of(known: Option<&Known>) -> Parts {
    known.map_or_else(Parts::default, Known::parts)
}

fn uuid_of(info: &CloudletInfo) -> Uuid {
    info.uuid.unwrap_or_else(|| info.endpoint.uuid())
}
