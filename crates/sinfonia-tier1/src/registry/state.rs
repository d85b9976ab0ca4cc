//! The registry's content and what may happen to it, without locks and clocks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use sinfonia_core::cloudlet::{CloudletInfo, Surroundings};
use sinfonia_core::endpoint::Endpoint;
use uuid::Uuid;

use super::authority::{self, ReportAuthority, ReportRefusal};
use super::entry::{Entry, FileCloudlet, FileSide, MeasuredSide, ReportSide, Source};
use super::{Expired, Reported};

/// All cloudlets by endpoint. Every uuid belongs to one of them, and those that the file gives stay with their entries.
#[derive(Debug, Default)]
pub(super) struct State {
    entries: BTreeMap<Endpoint, Entry>,
    uuids: HashMap<Uuid, Endpoint>,
    /// The uuids that the file gives, also while an entry goes by that of its report.
    file_uuids: HashMap<Uuid, Endpoint>,
}

impl State {
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(super) fn at(&self, endpoint: &Endpoint) -> Option<&Entry> {
        self.entries.get(endpoint)
    }

    /// The entry that goes by this uuid.
    pub(super) fn holder(&self, uuid: Uuid) -> Option<&Entry> {
        self.at(self.uuids.get(&uuid)?)
    }

    /// The endpoint that the file gives this uuid to.
    pub(super) fn file_owner(&self, uuid: Uuid) -> Option<&Endpoint> {
        self.file_uuids.get(&uuid)
    }

    /// Makes these the cloudlets of the file. What was reported stays, unless the file now gives its uuid to another.
    pub(super) fn replace_file(&mut self, cloudlets: Vec<FileCloudlet>) {
        let mut before = std::mem::take(self);
        for (place, cloudlet) in cloudlets.into_iter().enumerate() {
            let endpoint = cloudlet.info.endpoint.clone();
            let (old, report, surroundings) =
                before
                    .entries
                    .remove(&endpoint)
                    .map_or_else(Default::default, |entry| {
                        let (source, surroundings) = entry.into_parts();
                        let (file, report) = source.into_sides();
                        (file, report, surroundings)
                    });
            let file = Box::new(FileSide {
                place,
                cloudlet,
                measured: old.and_then(|old| old.measured),
            });
            self.file_uuids.insert(file.uuid(), endpoint.clone());
            let entry = Entry::new(join(file, report), surroundings);
            self.entries.insert(endpoint, entry);
        }
        self.settle_file_entries();
        self.keep_reported(before);
    }

    /// Takes a report in.
    pub(super) fn report(
        &mut self,
        info: CloudletInfo,
        authority: &ReportAuthority,
        now: Timestamp,
    ) -> Result<Reported, ReportRefusal> {
        let endpoint = info.endpoint.clone();
        let uuid = info.uuid.unwrap_or_else(|| endpoint.uuid());
        authority::check(self, uuid, &endpoint, authority, now)?;
        let report = ReportSide {
            info,
            with_token: authority.has_token(),
            at: now,
            silent: false,
        };
        let before = self.remove(&endpoint);
        let reported = match &before {
            Some(_) => Reported::Again,
            None => Reported::First,
        };
        let (source, surroundings) = match before.map(Entry::into_parts) {
            None => (Source::Report(report), Arc::default()),
            Some((source, surroundings)) => match source.into_sides().0 {
                None => (Source::Report(report), surroundings),
                Some(file) => (Source::Joined(file, report), surroundings),
            },
        };
        let entry = Entry::new(source, surroundings);
        self.release(entry.uuid());
        self.insert(entry);
        Ok(reported)
    }

    /// Drops what has been silent for too long, and takes the measurements from what outlives that.
    pub(super) fn expire(&mut self, now: Timestamp) -> Expired {
        let mut expired = Expired::default();
        for entry in self.entries.values_mut() {
            if !entry.is_newly_silent(now) {
                continue;
            }
            if entry.source().file().is_none() {
                expired.dropped.push(entry.endpoint().clone());
            } else {
                expired.silent.push(entry.endpoint().clone());
                entry.fall_silent(now);
            }
        }
        for endpoint in &expired.dropped {
            self.remove(endpoint);
        }
        expired
    }

    /// Takes over what was measured of a cloudlet of the file, or forgets it; tells whether it is one.
    pub(super) fn set_measured(
        &mut self,
        endpoint: &Endpoint,
        measured: Option<MeasuredSide>,
    ) -> bool {
        let entry = self.entries.get_mut(endpoint);
        entry.is_some_and(|entry| entry.set_measured(measured))
    }

    /// Takes over what was found out about endpoints; tells whether any of it is news.
    pub(super) fn set_surroundings<'a>(
        &mut self,
        found: impl IntoIterator<Item = (&'a Endpoint, &'a Arc<Surroundings>)>,
    ) -> bool {
        let mut news = false;
        for (endpoint, surroundings) in found {
            if let Some(entry) = self.entries.get_mut(endpoint) {
                news |= entry.set_surroundings(surroundings);
            }
        }
        news
    }

    /// Frees a uuid for a newer bearer. Who had it goes, or goes by the file's again.
    fn release(&mut self, uuid: Uuid) {
        let Some(holder) = self.uuids.get(&uuid).cloned() else {
            return;
        };
        let Some((source, surroundings)) = self.remove(&holder).map(Entry::into_parts) else {
            return;
        };
        if let Some(file) = source.into_sides().0 {
            self.insert(Entry::new(Source::File(file), surroundings));
        }
    }

    /// Lets file entries go by what they joined with, as far as the file does not give that uuid to another.
    fn settle_file_entries(&mut self) {
        let file_uuids = &self.file_uuids;
        for (endpoint, entry) in std::mem::take(&mut self.entries) {
            let owner = file_uuids.get(&entry.uuid());
            let settled = if owner.is_none_or(|owner| *owner == endpoint) {
                entry
            } else {
                let (source, surroundings) = entry.into_parts();
                match source {
                    Source::Joined(file, _) => Entry::new(Source::File(file), surroundings),
                    other => Entry::new(other, surroundings),
                }
            };
            self.uuids.insert(settled.uuid(), endpoint.clone());
            self.entries.insert(endpoint, settled);
        }
    }

    /// Keeps what was reported and is not of the file, those with a token first.
    fn keep_reported(&mut self, before: Self) {
        let mut reports: Vec<_> = before
            .entries
            .into_values()
            .filter_map(|entry| {
                let (source, surroundings) = entry.into_parts();
                let report = source.into_sides().1.filter(|report| !report.silent)?;
                Some((report, surroundings))
            })
            .collect();
        reports.sort_by_key(|(report, _)| !report.with_token);
        for (report, surroundings) in reports {
            let entry = Entry::new(Source::Report(report), surroundings);
            if !self.uuids.contains_key(&entry.uuid())
                && !self.file_uuids.contains_key(&entry.uuid())
            {
                self.insert(entry);
            }
        }
    }

    fn insert(&mut self, entry: Entry) {
        let endpoint = entry.endpoint().clone();
        self.uuids.insert(entry.uuid(), endpoint.clone());
        self.entries.insert(endpoint, entry);
    }

    fn remove(&mut self, endpoint: &Endpoint) -> Option<Entry> {
        let entry = self.entries.remove(endpoint)?;
        self.uuids.remove(&entry.uuid());
        Some(entry)
    }
}

fn join(file: Box<FileSide>, report: Option<ReportSide>) -> Source {
    match report {
        None => Source::File(file),
        Some(report) => Source::Joined(file, report),
    }
}
