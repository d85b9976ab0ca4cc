//! What becomes of the registry's content when the cloudlet file, or one that it names, is read again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::fleet::Member;
use sinfonia_service::tokens::OwnToken;
use uuid::Uuid;

use super::{State, parts_of, uuid_of};
use crate::registry::known::{FileCloudlet, Known};
use crate::registry::parts::{Parts, Report};

/// The uuids that a file gives, and to whom.
type Owners = HashMap<Uuid, Endpoint>;

impl State {
    /// Makes these the cloudlets of the file. What was reported stays, unless the file now gives its uuid to another.
    pub(in crate::registry) fn replace_file(&mut self, cloudlets: Vec<FileCloudlet>) {
        let given = |file: &FileCloudlet| (uuid_of(&file.info), file.info.endpoint.clone());
        let owners: Owners = cloudlets.iter().map(given).collect();
        let left = self.let_go(&cloudlets);
        for (place, file) in (0..).zip(cloudlets) {
            self.put_file_cloudlet(place, file, &owners);
        }
        self.take_uuids(&owners);
        for known in left {
            let uuid = known.cloudlet.uuid;
            if !owners.contains_key(&uuid) && self.holder(uuid).is_none() {
                self.put(known);
            }
        }
    }

    /// Takes over the tokens of cloudlets of the file.
    pub(in crate::registry) fn set_tokens(
        &mut self,
        tokens: impl IntoIterator<Item = (Endpoint, OwnToken)>,
    ) {
        for (endpoint, token) in tokens {
            let mut parts = parts_of(self.at(&endpoint).as_deref());
            if let Some(file) = &mut parts.file {
                file.token = Some(Arc::new(token));
                self.put_parts(parts);
            }
        }
    }

    /// Takes out the cloudlets that the file no longer names, and gives what is left of them, with a token first.
    fn let_go(&mut self, file: &[FileCloudlet]) -> Vec<Known> {
        let named: HashSet<&Endpoint> = file.iter().map(|file| &file.info.endpoint).collect();
        let entries = self.roster.cloudlets.iter();
        let gone = entries.filter(|entry| {
            !named.contains(&entry.placement().endpoint) && entry.now().is_from_file()
        });
        let gone: Vec<Endpoint> = gone
            .map(|entry| entry.placement().endpoint.clone())
            .collect();
        let reported = gone.into_iter().filter_map(|endpoint| {
            let parts = self.remove(&endpoint)?.parts();
            let report = parts.report.filter(|report| !report.marks.silent)?;
            let parts = Parts {
                file: None,
                report: Some(report),
                ..parts
            };
            Known::of(parts, &self.thresholds)
        });
        let mut left: Vec<Known> = reported.collect();
        left.sort_by(|a, b| {
            let tokens = b.belongs_to_token().cmp(&a.belongs_to_token());
            tokens.then_with(|| a.cloudlet.endpoint.cmp(&b.cloudlet.endpoint))
        });
        left
    }

    fn put_file_cloudlet(&mut self, place: u32, mut file: FileCloudlet, owners: &Owners) {
        let before = self.at(&file.info.endpoint);
        if let Some(before) = &before {
            // An equal text that is in memory already.
            file.info.endpoint = before.cloudlet.endpoint.clone();
        }
        let endpoint = file.info.endpoint.clone();
        let mut parts = parts_of(before.as_deref());
        parts.set_file(place, file, &mut self.pools);
        let is_robbed = |report: &Report| {
            let owner = owners.get(&report.cloudlet.uuid);
            report.marks.with_token && owner.is_some_and(|owner| *owner != endpoint)
        };
        if parts.report.as_ref().is_some_and(is_robbed) {
            parts.report = None;
        }
        let known = Known::of(parts, &self.thresholds);
        if before.as_deref() != known.as_ref()
            && let Some(known) = known
        {
            self.put(known);
        }
    }

    /// Drops the cloudlets that reported a uuid which the file gives to another.
    fn take_uuids(&mut self, owners: &Owners) {
        let cloudlets = &self.roster.cloudlets;
        let robbed = owners.iter().flat_map(|(uuid, owner)| {
            let bearers = cloudlets.of_uuid(*uuid);
            let endpoints = bearers.map(|entry| entry.placement().endpoint.clone());
            endpoints.filter(move |endpoint| endpoint != owner)
        });
        for endpoint in robbed.collect::<Vec<_>>() {
            self.remove(&endpoint);
        }
    }
}
