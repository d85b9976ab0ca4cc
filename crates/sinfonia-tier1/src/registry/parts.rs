//! What is said of one cloudlet, by whom, and what becomes of it all in all.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sinfonia_core::cloudlet::{Cloudlet, CloudletInfo, Measurements, Resources, Surroundings};
use sinfonia_core::load::Load;
use sinfonia_service::tokens::OwnToken;

use super::known::{FileCloudlet, SILENCE};
use super::pools::Pools;
use crate::tally::Tally;

/// Time after which measurements count no more where newer ones are told otherwise: three reports.
pub(super) const STALE: SignedDuration = SignedDuration::from_secs(45);
/// Time between two looks at the load of a cloudlet at least, where it is measured more often than it would report: what is placed there
/// counts until so many looks later, because measurements are means of a minute.
const LOOKS_APART: SignedDuration = SignedDuration::from_secs(12);

/// What a cloudlet is made of; of one that nobody names or reports nothing is left.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Parts {
    pub(super) file: Option<FileSide>,
    pub(super) report: Option<Report>,
    /// What was found out about its endpoint's host; `None` as long as nothing was.
    pub(super) surroundings: Option<Arc<Surroundings>>,
    /// How busy it was when it was measured last.
    pub(super) load: Load,
    /// What counts the placements there.
    pub(super) tally: Tally,
}

/// What the file says of a cloudlet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FileSide {
    pub(super) place: u32,
    pub(super) token: Option<Arc<OwnToken>>,
    /// The cloudlet as it would be without reports and measurements.
    pub(super) cloudlet: Cloudlet,
    pub(super) measured: Option<Measured>,
}

/// What was measured of a cloudlet of the file beside its reports.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    resources: Measurements,
    at: Timestamp,
    /// When its load was looked at for the last time.
    judged_at: Timestamp,
    /// Whether it was found to be too old.
    silent: bool,
}

/// Whether news of a cloudlet makes its load due to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judging {
    /// It is due.
    Due {
        /// When it was looked at before.
        last: Option<Timestamp>,
    },
    /// It was looked at only just.
    Early,
}

/// The last report of a cloudlet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Report {
    pub(super) marks: ReportMarks,
    /// The cloudlet as it would be without the file.
    pub(super) cloudlet: Cloudlet,
}

/// What is to be known of a report beside what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReportMarks {
    pub(super) with_token: bool,
    says_resources: bool,
    says_labels: bool,
    /// Whether it was found to be too old; only an entry of the file outlives that.
    pub(super) silent: bool,
}

impl Parts {
    /// Takes over what the file says. What it said before is kept in memory where it is the same.
    pub(super) fn set_file(&mut self, place: u32, file: FileCloudlet, pools: &mut Pools) {
        let mut cloudlet = self.resolve(file.info, pools);
        let before = self.file.as_ref();
        if let Some(same) = before
            .map(|before| &before.cloudlet.placement)
            .filter(|before| **before == cloudlet.placement)
        {
            cloudlet.placement = Arc::clone(same);
        }
        let measured = before.and_then(|before| before.measured.clone());
        self.file = Some(FileSide {
            place,
            token: file.token.map(Arc::new),
            cloudlet,
            measured,
        });
    }

    /// Takes over what was measured, if the file names the cloudlet.
    pub(super) fn set_measured(
        &mut self,
        resources: Resources,
        now: Timestamp,
        pools: &mut Pools,
    ) -> Option<Judging> {
        let judging = self.judging(now);
        let file = self.file.as_mut()?;
        let judged_at = file.measured.as_ref().map(|measured| measured.judged_at);
        let mut resources = Measurements::from(resources);
        pools.share_names(&mut resources);
        file.measured = Some(Measured {
            resources,
            at: now,
            judged_at: judged_at.unwrap_or(now),
            silent: false,
        });
        Some(judging)
    }

    /// Forgets what was measured; tells whether anything was.
    pub(super) fn unset_measured(&mut self) -> bool {
        let file = self.file.as_mut();
        file.is_some_and(|file| file.measured.take().is_some())
    }

    /// Whether it ever reported, or is measured.
    pub(super) fn is_measured(&self) -> bool {
        let file = self.file.as_ref();
        self.report.is_some() || file.is_some_and(|file| file.measured.is_some())
    }

    /// Marks what is too old.
    pub(super) fn fall_silent(&mut self, now: Timestamp) {
        let is_old = |at: Timestamp| at.duration_until(now) >= SILENCE;
        if let Some(report) = &mut self.report {
            report.marks.silent |= report.at().is_none_or(is_old);
        }
        let file = self.file.as_mut();
        if let Some(measured) = file.and_then(|file| file.measured.as_mut()) {
            measured.silent |= is_old(measured.at);
        }
    }

    /// Takes over a report.
    pub(super) fn set_report(
        &mut self,
        info: CloudletInfo,
        with_token: bool,
        now: Timestamp,
        pools: &mut Pools,
    ) -> Judging {
        let judging = self.judging(now);
        let marks = ReportMarks {
            with_token,
            says_resources: info.resources.is_some(),
            says_labels: info.labels.is_some(),
            silent: false,
        };
        let info = CloudletInfo {
            last_update: Some(now),
            ..info
        };
        let cloudlet = self.resolve(info, pools);
        self.report = Some(Report { marks, cloudlet });
        judging
    }

    /// Takes over what was found out about the endpoint's host; tells whether it is news.
    pub(super) fn set_surroundings(&mut self, surroundings: &Arc<Surroundings>) -> bool {
        let before = self.surroundings.as_ref();
        if before.is_some_and(|before| Arc::ptr_eq(before, surroundings) || before == surroundings)
        {
            return false;
        }
        if let Some(file) = &mut self.file {
            place(&mut file.cloudlet, surroundings);
        }
        if let Some(report) = &mut self.report {
            place(&mut report.cloudlet, surroundings);
        }
        self.surroundings = Some(Arc::clone(surroundings));
        true
    }

    /// The cloudlet all in all; `None` when nobody says anything of it. Placement is the file's where that names the cloudlet.
    pub(super) fn cloudlet(&self) -> Option<Cloudlet> {
        match (&self.file, &self.report) {
            (None, None) => None,
            (Some(file), None) => Some(file.measured_with(None)),
            (None, Some(report)) => Some(report.cloudlet.clone()),
            (Some(file), Some(report)) => Some(file.joined_with(report)),
        }
    }

    /// Whether the load is due to be looked at, which is noted. Reports alone are far enough apart; where measurements come between them, both
    /// together must not count as more.
    fn judging(&mut self, now: Timestamp) -> Judging {
        let reported_at = self.report.as_ref().and_then(Report::at);
        let file = self.file.as_mut();
        let Some(measured) = file.and_then(|file| file.measured.as_mut()) else {
            return Judging::Due { last: reported_at };
        };
        let last = measured.judged_at;
        // A clock that was set back must not make the last look one of the future.
        if (SignedDuration::ZERO..LOOKS_APART).contains(&last.duration_until(now)) {
            return Judging::Early;
        }
        measured.judged_at = now;
        Judging::Due { last: Some(last) }
    }

    fn resolve(&self, info: CloudletInfo, pools: &mut Pools) -> Cloudlet {
        let mut cloudlet = match &self.surroundings {
            Some(surroundings) => Cloudlet::new(info, surroundings),
            None => Cloudlet::new(info, &Surroundings::default()),
        };
        pools.share(&mut cloudlet);
        cloudlet
    }
}

impl FileSide {
    /// When it was measured; `None` once that is too long ago, and when it never was.
    pub(super) fn measured_since(&self) -> Option<Timestamp> {
        let measured = self.measured.as_ref()?;
        (!measured.silent).then_some(measured.at)
    }

    /// What file and report make together. Placement stays the file's; of an anonymous report only the measurements count.
    fn joined_with(&self, report: &Report) -> Cloudlet {
        let (marks, said) = (report.marks, &report.cloudlet);
        let of_file = &self.cloudlet;
        let cloudlet = self.measured_with(Some(report));
        if !marks.with_token {
            return cloudlet;
        }
        let labelled = if marks.says_labels { said } else { of_file };
        Cloudlet {
            uuid: said.uuid,
            labels: Arc::clone(&labelled.labels),
            recipes: said.recipes.clone(),
            draining: said.draining,
            ..cloudlet
        }
    }

    /// What the file says, with what was reported and measured.
    fn measured_with(&self, report: Option<&Report>) -> Cloudlet {
        let measured_at = self.measured.as_ref().map(|measured| measured.at);
        let newest = measured_at.max(report.and_then(Report::at));
        Cloudlet {
            resources: self.resources(report, newest),
            last_update: newest,
            ..self.cloudlet.clone()
        }
    }

    /// What is known to be used. Measurements take the place of what the file states. Those that Tier 1 makes itself, as the operator
    /// asks in the file, win over reported ones of the same name; of the two the older ones go when they are stale beside the newer.
    fn resources(&self, report: Option<&Report>, newest: Option<Timestamp>) -> Measurements {
        let measured = self.measured.as_ref();
        let counts = |at: Option<Timestamp>, is_silent: bool| {
            let age = at.zip(newest).map(|(at, newest)| at.duration_until(newest));
            !is_silent && age.is_none_or(|age| age <= STALE)
        };
        let told = report.filter(|report| {
            report.marks.says_resources && counts(report.at(), report.marks.silent)
        });
        let own = measured.filter(|measured| counts(Some(measured.at), measured.silent));
        match (told, own) {
            (Some(told), None) => told.cloudlet.resources.clone(),
            (None, Some(own)) => own.resources.clone(),
            (Some(told), Some(own)) => {
                let both = told.cloudlet.resources.iter().chain(own.resources.iter());
                both.map(|(name, value)| (name.to_owned(), value)).collect()
            }
            (None, None) => {
                let is_silent = report.is_some_and(|report| report.marks.silent)
                    || measured.is_some_and(|measured| measured.silent);
                if is_silent {
                    Measurements::default()
                } else {
                    self.cloudlet.resources.clone()
                }
            }
        }
    }
}

impl Report {
    /// When it came.
    const fn at(&self) -> Option<Timestamp> {
        self.cloudlet.last_update
    }
}

fn place(cloudlet: &mut Cloudlet, surroundings: &Surroundings) {
    if cloudlet.placement.wants_surroundings() {
        let placement = (*cloudlet.placement).clone();
        cloudlet.placement = Arc::new(placement.within(surroundings));
    }
}
