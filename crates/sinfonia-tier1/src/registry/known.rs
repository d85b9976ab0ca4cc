//! One cloudlet as it is at the moment.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sinfonia_core::cloudlet::{Cloudlet, CloudletInfo, Surroundings};
use sinfonia_core::load::{Load, Placed, Thresholds};
use sinfonia_core::ranking::{Class, Conditions};
use sinfonia_service::tokens::OwnToken;

use super::parts::{FileSide, Parts, Report, ReportMarks};
use crate::tally::Tally;

/// Time after which a cloudlet that does not report any more counts as silent. It reports every 15 s.
pub const SILENCE: SignedDuration = SignedDuration::from_mins(5);

/// How a cloudlet became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The cloudlet file names it, and it never reported.
    File,
    /// It reported, and the cloudlet file does not name it. What it says of itself is not to be trusted further than that.
    Report,
    /// The cloudlet file names it, and it reported.
    Joined,
}

/// A cloudlet of the cloudlet file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileCloudlet {
    /// What the file says; its `uuid` is that of the file or follows from the endpoint.
    pub info: CloudletInfo,
    /// The token that its Tier 2 wants to see.
    pub token: Option<OwnToken>,
}

/// A cloudlet as it is at the moment.
///
/// This is what `Parts` make, kept small: a million of them are in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The cloudlet, ready to be ranked.
    pub cloudlet: Cloudlet,
    file: Option<Arc<FileSide>>,
    report: Option<ReportMarks>,
    /// The reported cloudlet, where the file makes another one of it.
    reported: Option<Box<Cloudlet>>,
    surroundings: Option<Arc<Surroundings>>,
    load: Load,
    tally: Tally,
}

impl Known {
    /// How it became known.
    pub const fn origin(&self) -> Origin {
        match (&self.file, &self.report) {
            (None, _) => Origin::Report,
            (Some(_), None) => Origin::File,
            (Some(_), Some(_)) => Origin::Joined,
        }
    }

    /// Its place in the cloudlet file, from 0; `None` where the file does not name it.
    pub fn file_place(&self) -> Option<usize> {
        self.file.as_ref().map(|file| file.place)
    }

    /// The token that its Tier 2 wants to see.
    pub fn token(&self) -> Option<&OwnToken> {
        self.file.as_ref()?.token.as_deref()
    }

    /// Whether an operator wrote down its endpoint, so that requests may go to any address that it leads to.
    pub const fn is_from_file(&self) -> bool {
        self.file.is_some()
    }

    /// What counts the placements there.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How it is for a client that measured nothing.
    pub fn conditions(&self, now: Timestamp) -> Conditions {
        let age = self
            .cloudlet
            .last_update
            .map(|reported| reported.duration_until(now));
        // A clock that was set back must not make a report one of the future.
        let age_s = age.map(|age| age.as_secs_f64().max(0.0));
        let placed = self.tally.placed().since_report;
        let is_overloaded = self.load.is_overloaded(placed, age_s);
        Conditions {
            class: if is_overloaded {
                Class::Overloaded
            } else {
                Class::Normal
            },
            rtt_ms: None,
            deployments: age_s.map(|_| f64::from(placed)),
            age_s,
        }
    }

    /// Puts a cloudlet together; `None` when nothing is said of it. The load of one that neither reports nor is measured is what the file
    /// states.
    pub(super) fn of(parts: Parts, thresholds: &Thresholds) -> Option<Self> {
        let cloudlet = parts.cloudlet()?;
        let load = if parts.is_measured() {
            parts.load
        } else {
            Load::default().reported(thresholds, &cloudlet.resources, Placed::default(), None)
        };
        let is_joined = parts.file.is_some();
        let marks = parts.report.as_ref().map(|report| report.marks);
        let reported = parts.report.filter(|_| is_joined);
        Some(Self {
            cloudlet,
            file: parts.file,
            report: marks,
            reported: reported.map(|report| Box::new(report.cloudlet)),
            surroundings: parts.surroundings,
            load,
            tally: parts.tally,
        })
    }

    /// What it was put together from.
    pub(super) fn parts(&self) -> Parts {
        let reported = self.reported.as_deref().unwrap_or(&self.cloudlet);
        Parts {
            file: self.file.clone(),
            report: self.report.map(|marks| Report {
                marks,
                cloudlet: reported.clone(),
            }),
            surroundings: self.surroundings.clone(),
            load: self.load.clone(),
            tally: self.tally.clone(),
        }
    }

    /// Takes over the load of what it has just measured. `last` is when it was measured before.
    #[must_use]
    pub(super) fn measured(
        self,
        thresholds: &Thresholds,
        last: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let silence_s = last.map(|last| last.duration_until(now).as_secs_f64());
        let (resources, placed) = (&self.cloudlet.resources, self.tally.report());
        let load = self.load.reported(thresholds, resources, placed, silence_s);
        Self { load, ..self }
    }

    pub(super) const fn file(&self) -> Option<&Arc<FileSide>> {
        self.file.as_ref()
    }

    /// When it reported; `None` once that is too long ago, and when it never did.
    fn reports_since(&self) -> Option<Timestamp> {
        self.report.filter(|report| !report.silent)?;
        let said = self.reported.as_deref().unwrap_or(&self.cloudlet);
        said.last_update
    }

    /// When it reported or when it was measured, whichever is longer ago and not too long; `None` when neither is so.
    pub(super) fn oldest_news(&self) -> Option<Timestamp> {
        let measured = self.file.as_ref().and_then(|file| file.measured_since());
        self.reports_since().into_iter().chain(measured).min()
    }

    /// Whether it reported, is silent now, and did not say before that it drains, as one does that is shut down.
    pub(super) fn is_missed(&self) -> bool {
        let said = self.reported.as_deref().unwrap_or(&self.cloudlet);
        self.report.is_some_and(|report| report.silent) && !said.draining
    }

    /// Whether it was reported with a token, lately or not.
    pub(super) fn belongs_to_token(&self) -> bool {
        self.report.is_some_and(|report| report.with_token)
    }

    /// Whether somebody with a token reports it at the moment.
    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        let is_live = |at: Timestamp| at.duration_until(now) < SILENCE;
        self.belongs_to_token() && self.reports_since().is_some_and(is_live)
    }
}
