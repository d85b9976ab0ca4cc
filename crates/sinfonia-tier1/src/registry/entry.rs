//! One cloudlet: what the file says of it, what it reported, and what becomes of the two.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sinfonia_core::cloudlet::{Cloudlet, CloudletInfo, Resources, Surroundings};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_service::tokens::OwnToken;
use uuid::Uuid;

use super::known::{Known, Origin};

/// Time after which a cloudlet that does not report any more counts as silent. It reports every 15 s.
pub const SILENCE: SignedDuration = SignedDuration::from_mins(5);

/// Time after which measurements count no more where newer ones are told otherwise: three reports.
const STALE: SignedDuration = SignedDuration::from_secs(45);

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
    pub(super) measured: Option<MeasuredSide>,
}

/// What was measured of an entry of the file beside reports.
#[derive(Debug)]
pub(super) struct MeasuredSide {
    pub(super) resources: Resources,
    pub(super) at: Timestamp,
    /// Whether nothing has been measured for too long.
    pub(super) silent: bool,
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

#[derive(Debug)]
pub(super) struct Entry {
    source: Source,
    surroundings: Arc<Surroundings>,
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

    /// What the file says, with what was measured.
    fn info(&self) -> CloudletInfo {
        CloudletInfo {
            resources: self.resources(None),
            last_update: self.measured.as_ref().map(|measured| measured.at),
            ..self.cloudlet.info.clone()
        }
    }

    /// What file and report make together. Placement stays the file's; of an anonymous report only the measurements count.
    fn joined_with(&self, report: &ReportSide) -> CloudletInfo {
        let measured_at = self.measured.as_ref().map(|measured| measured.at);
        let info = CloudletInfo {
            resources: self.resources(Some(report)),
            last_update: measured_at.max(Some(report.at)),
            ..self.cloudlet.info.clone()
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

    /// What is known to be used. Measurements take the place of what the file states. Those that Tier 1 makes itself, as the operator
    /// asks in the file, win over reported ones of the same name; of the two the older ones go when they are stale beside the newer.
    fn resources(&self, report: Option<&ReportSide>) -> Option<Resources> {
        let measured = self.measured.as_ref();
        let newest = report
            .map(|report| report.at)
            .max(measured.map(|measured| measured.at));
        let counts = |at: Timestamp, silent: bool| {
            !silent && newest.is_none_or(|newest| at.duration_until(newest) <= STALE)
        };
        let reported = report.filter(|report| counts(report.at, report.silent));
        let measured = measured.filter(|measured| counts(measured.at, measured.silent));
        let told = reported.and_then(|report| report.info.resources.as_ref());
        let own = measured.map(|measured| &measured.resources);
        if told.is_none() && own.is_none() {
            let is_silent = report.is_some_and(|report| report.silent)
                || self
                    .measured
                    .as_ref()
                    .is_some_and(|measured| measured.silent);
            let stated = || self.cloudlet.info.resources.clone();
            return if is_silent { None } else { stated() };
        }
        let both = told.into_iter().chain(own).flatten();
        Some(both.map(|(name, value)| (name.clone(), *value)).collect())
    }
}

impl MeasuredSide {
    fn is_live(&self, now: Timestamp) -> bool {
        !self.silent && self.at.duration_until(now) < SILENCE
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

    pub(super) fn file_mut(&mut self) -> Option<&mut FileSide> {
        match self {
            Self::File(file) | Self::Joined(file, _) => Some(file),
            Self::Report(_) => None,
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
            Self::File(file) => file.info(),
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

impl Entry {
    pub(super) fn new(source: Source, surroundings: Arc<Surroundings>) -> Self {
        let known = Arc::new(know(&source, &surroundings));
        Self {
            source,
            surroundings,
            known,
        }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
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

    pub(super) fn into_parts(self) -> (Source, Arc<Surroundings>) {
        (self.source, self.surroundings)
    }

    /// Whether it was reported with a token, lately or not.
    pub(super) fn belongs_to_token(&self) -> bool {
        self.source.report().is_some_and(|report| report.with_token)
    }

    /// Whether somebody with a token reports it at the moment.
    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        let report = self.source.report();
        report.is_some_and(|report| report.with_token && report.is_live(now))
    }

    /// Whether nobody has reported it, or measured it, for too long, and that was not noticed yet.
    pub(super) fn is_newly_silent(&self, now: Timestamp) -> bool {
        let measured = self.source.file().and_then(|file| file.measured.as_ref());
        let report = self.source.report();
        report.is_some_and(|report| !report.silent && !report.is_live(now))
            || measured.is_some_and(|measured| !measured.silent && !measured.is_live(now))
    }

    /// Takes from a silent entry what was only good while it reported or was measured.
    pub(super) fn fall_silent(&mut self, now: Timestamp) {
        if let Some(report) = self.source.report_mut() {
            report.silent = !report.is_live(now);
        }
        if let Some(measured) = self
            .source
            .file_mut()
            .and_then(|file| file.measured.as_mut())
        {
            measured.silent = !measured.is_live(now);
        }
        self.known = Arc::new(know(&self.source, &self.surroundings));
    }

    /// Takes over what was measured of an entry of the file, or forgets it; tells whether it is one.
    pub(super) fn set_measured(&mut self, measured: Option<MeasuredSide>) -> bool {
        let Some(file) = self.source.file_mut() else {
            return false;
        };
        file.measured = measured;
        self.known = Arc::new(know(&self.source, &self.surroundings));
        true
    }

    /// Whether its place or its networks have to be found out from its endpoint.
    pub(super) fn wants_surroundings(&self) -> bool {
        let said = match &self.source {
            Source::File(file) | Source::Joined(file, _) => &file.cloudlet.info,
            Source::Report(report) => &report.info,
        };
        said.locations.is_none() || said.local_networks.is_none()
    }

    /// Takes over what was found out; tells whether it is news.
    pub(super) fn set_surroundings(&mut self, surroundings: &Arc<Surroundings>) -> bool {
        if Arc::ptr_eq(&self.surroundings, surroundings) || self.surroundings == *surroundings {
            return false;
        }
        self.surroundings = Arc::clone(surroundings);
        self.known = Arc::new(know(&self.source, &self.surroundings));
        true
    }
}

fn know(source: &Source, surroundings: &Surroundings) -> Known {
    let file = source.file();
    Known {
        cloudlet: Cloudlet::new(source.info(), surroundings),
        origin: source.origin(),
        file_place: file.map(|file| file.place),
        token: file.and_then(|file| file.cloudlet.token.clone()),
    }
}
