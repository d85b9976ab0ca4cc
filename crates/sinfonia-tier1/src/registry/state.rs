//! The registry's content and what may happen to it, without locks and clocks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use sinfonia_core::cloudlet::{CloudletInfo, Surroundings};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::load::Thresholds;
use uuid::Uuid;

use super::authority::{self, ReportAuthority, ReportRefusal};
use super::entry::{Entry, FileCloudlet, FileSide, Parts, ReportSide, Source};
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
    pub(super) fn replace_file(&mut self, cloudlets: Vec<FileCloudlet>, thresholds: &Thresholds) {
        let mut before = std::mem::take(self);
        for (place, cloudlet) in cloudlets.into_iter().enumerate() {
            let endpoint = cloudlet.info.endpoint.clone();
            let file = Box::new(FileSide { place, cloudlet });
            self.file_uuids.insert(file.uuid(), endpoint.clone());
            let parts = match before.entries.remove(&endpoint).map(Entry::into_parts) {
                None => Parts::new(Source::File(file)),
                Some(parts) => Parts {
                    source: join(file, parts.source.into_sides().1),
                    ..parts
                },
            };
            let parts = match &parts.source {
                Source::File(_) => parts.measured(thresholds, None),
                Source::Joined(..) | Source::Report(_) => parts,
            };
            self.entries.insert(endpoint, Entry::new(parts));
        }
        self.settle_file_entries();
        self.keep_reported(before);
    }

    /// Takes a report in.
    pub(super) fn report(
        &mut self,
        info: CloudletInfo,
        authority: &ReportAuthority,
        thresholds: &Thresholds,
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
        let last = before.as_ref().and_then(|entry| entry.source().report());
        let silence_s = last.map(|last| last.at.duration_until(now).as_secs_f64());
        let parts = match before.map(Entry::into_parts) {
            None => Parts::new(Source::Report(report)),
            Some(parts) => Parts {
                source: match parts.source.into_sides().0 {
                    None => Source::Report(report),
                    Some(file) => Source::Joined(file, report),
                },
                ..parts
            },
        };
        let entry = Entry::new(parts.measured(thresholds, silence_s));
        self.release(entry.uuid());
        self.insert(entry);
        Ok(reported)
    }

    /// Drops what has been silent for too long, and takes the measurements from what outlives that.
    pub(super) fn expire(&mut self, now: Timestamp) -> Expired {
        let mut expired = Expired::default();
        for entry in self.entries.values_mut() {
            let source = entry.source();
            let Some(report) = source.report().filter(|report| !report.silent) else {
                continue;
            };
            if report.is_live(now) {
                continue;
            }
            if source.file().is_none() {
                expired.dropped.push(entry.endpoint().clone());
            } else {
                expired.silent.push(entry.endpoint().clone());
                entry.fall_silent();
            }
        }
        for endpoint in &expired.dropped {
            self.remove(endpoint);
        }
        expired
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
        let Some(parts) = self.remove(&holder).map(Entry::into_parts) else {
            return;
        };
        if let Some(file) = parts.source.into_sides().0 {
            let source = Source::File(file);
            self.insert(Entry::new(Parts { source, ..parts }));
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
                let parts = entry.into_parts();
                let source = match parts.source {
                    Source::Joined(file, _) => Source::File(file),
                    other => other,
                };
                Entry::new(Parts { source, ..parts })
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
                let parts = entry.into_parts();
                let report = parts
                    .source
                    .into_sides()
                    .1
                    .filter(|report| !report.silent)?;
                let with_token = report.with_token;
                let source = Source::Report(report);
                Some((with_token, Parts { source, ..parts }))
            })
            .collect();
        reports.sort_by_key(|(with_token, _)| !with_token);
        for (_, parts) in reports {
            let entry = Entry::new(parts);
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
