//! One cloudlet: what the file says of it, what it reported, and what becomes of the two.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sinfonia_core::cloudlet::{Cloudlet, CloudletInfo, Surroundings};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::load::{Load, Placed, Thresholds};
use sinfonia_service::tokens::OwnToken;
use uuid::Uuid;

use super::known::{Known, Origin};
use crate::tally::Tally;

/// Time after which a cloudlet that does not report any more counts as silent. It reports every 15 s.
pub const SILENCE: SignedDuration = SignedDuration::from_mins(5);

/// A cloudlet of the cloudlet file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileCloudlet {
    /// What the file says; its `uuid` is that of the file or follows from the endpoint.
    pub info: CloudletInfo,
    /// The token that its Tier 2 wants to see.
    pub token: Option<OwnToken>,
}

/// What the file says of an entry.
#[derive(Debug)]
pub(super) struct FileSide {
    pub(super) place: usize,
    pub(super) cloudlet: FileCloudlet,
}

/// The last report of an entry.
#[derive(Debug)]
pub(super) struct ReportSide {
    pub(super) info: CloudletInfo,
    pub(super) with_token: bool,
    pub(super) at: Timestamp,
    /// Whether it was found to be silent; only an entry of the file outlives that.
    pub(super) silent: bool,
}

#[derive(Debug)]
pub(super) enum Source {
    File(Box<FileSide>),
    Report(ReportSide),
    Joined(Box<FileSide>, ReportSide),
}

/// What an entry is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) source: Source,
    pub(super) surroundings: Arc<Surroundings>,
    pub(super) load: Load,
    pub(super) tally: Tally,
}

#[derive(Debug)]
pub(super) struct Entry {
    parts: Parts,
    known: Arc<Known>,
}

impl FileSide {
    /// The identity that the file gives.
    pub(super) fn uuid(&self) -> Uuid {
        let info = &self.cloudlet.info;
        info.uuid.unwrap_or_else(|| info.endpoint.uuid())
    }

    /// Whether the file says the identity itself, instead of leaving it to the endpoint.
    pub(super) fn names_uuid(&self) -> bool {
        self.uuid() != self.cloudlet.info.endpoint.uuid()
    }

    /// What file and report make together. Placement stays the file's; of an anonymous report only the measurements count.
    fn joined_with(&self, report: &ReportSide) -> CloudletInfo {
        let file = &self.cloudlet.info;
        let measured = || {
            report
                .info
                .resources
                .clone()
                .or_else(|| file.resources.clone())
        };
        let info = CloudletInfo {
            resources: if report.silent { None } else { measured() },
            last_update: Some(report.at),
            ..file.clone()
        };
        if !report.with_token {
            return info;
        }
        CloudletInfo {
            uuid: report.info.uuid,
            labels: report.info.labels.clone().or(info.labels),
            recipes: report.info.recipes.clone(),
            draining: report.info.draining,
            ..info
        }
    }
}

impl ReportSide {
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        !self.silent && self.at.duration_until(now) < SILENCE
    }
}

impl Source {
    pub(super) fn file(&self) -> Option<&FileSide> {
        match self {
            Self::File(file) | Self::Joined(file, _) => Some(file),
            Self::Report(_) => None,
        }
    }

    pub(super) fn report(&self) -> Option<&ReportSide> {
        match self {
            Self::Report(report) | Self::Joined(_, report) => Some(report),
            Self::File(_) => None,
        }
    }

    pub(super) fn report_mut(&mut self) -> Option<&mut ReportSide> {
        match self {
            Self::Report(report) | Self::Joined(_, report) => Some(report),
            Self::File(_) => None,
        }
    }

    pub(super) fn into_sides(self) -> (Option<Box<FileSide>>, Option<ReportSide>) {
        match self {
            Self::File(file) => (Some(file), None),
            Self::Report(report) => (None, Some(report)),
            Self::Joined(file, report) => (Some(file), Some(report)),
        }
    }

    /// What is said of the cloudlet, all in all.
    fn info(&self) -> CloudletInfo {
        match self {
            Self::File(file) => file.cloudlet.info.clone(),
            Self::Report(report) => CloudletInfo {
                last_update: Some(report.at),
                ..report.info.clone()
            },
            Self::Joined(file, report) => file.joined_with(report),
        }
    }

    const fn origin(&self) -> Origin {
        match self {
            Self::File(_) => Origin::File,
            Self::Report(_) => Origin::Report,
            Self::Joined(..) => Origin::Joined,
        }
    }
}

impl Parts {
    /// Those of an entry of which nothing was known.
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            surroundings: Arc::default(),
            load: Load::default(),
            tally: Tally::default(),
        }
    }

    /// Takes over the load of a report, or that which the file states of a cloudlet that does not report.
    #[must_use]
    pub(super) fn measured(self, thresholds: &Thresholds, silence_s: Option<f64>) -> Self {
        let resources = self.source.info().resources.unwrap_or_default();
        let (before, placed) = match self.source.report() {
            Some(_) => (self.load, self.tally.report()),
            None => (Load::default(), Placed::default()),
        };
        Self {
            load: before.reported(thresholds, &resources, placed, silence_s),
            ..self
        }
    }
}

impl Entry {
    pub(super) fn new(parts: Parts) -> Self {
        let known = Arc::new(know(&parts));
        Self { parts, known }
    }

    pub(super) fn source(&self) -> &Source {
        &self.parts.source
    }

    pub(super) fn known(&self) -> &Arc<Known> {
        &self.known
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.known.cloudlet.endpoint
    }

    pub(super) fn uuid(&self) -> Uuid {
        self.known.cloudlet.uuid
    }

    pub(super) fn into_parts(self) -> Parts {
        self.parts
    }

    /// Whether it was reported with a token, lately or not.
    pub(super) fn belongs_to_token(&self) -> bool {
        self.source()
            .report()
            .is_some_and(|report| report.with_token)
    }

    /// Whether somebody with a token reports it at the moment.
    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        let report = self.source().report();
        report.is_some_and(|report| report.with_token && report.is_live(now))
    }

    /// Takes from a silent entry what was only good while it reported.
    pub(super) fn fall_silent(&mut self) {
        if let Some(report) = self.parts.source.report_mut() {
            report.silent = true;
            self.known = Arc::new(know(&self.parts));
        }
    }

    /// Whether its place or its networks have to be found out from its endpoint.
    pub(super) fn wants_surroundings(&self) -> bool {
        let said = match self.source() {
            Source::File(file) | Source::Joined(file, _) => &file.cloudlet.info,
            Source::Report(report) => &report.info,
        };
        said.locations.is_none() || said.local_networks.is_none()
    }

    /// Takes over what was found out; tells whether it is news.
    pub(super) fn set_surroundings(&mut self, surroundings: &Arc<Surroundings>) -> bool {
        let before = &mut self.parts.surroundings;
        if Arc::ptr_eq(before, surroundings) || before == surroundings {
            return false;
        }
        *before = Arc::clone(surroundings);
        self.known = Arc::new(know(&self.parts));
        true
    }
}

fn know(parts: &Parts) -> Known {
    let file = parts.source.file();
    Known {
        cloudlet: Cloudlet::new(parts.source.info(), &parts.surroundings),
        origin: parts.source.origin(),
        file_place: file.map(|file| file.place),
        token: file.and_then(|file| file.cloudlet.token.clone()),
        load: parts.load.clone(),
        tally: parts.tally.clone(),
    }
}
