//! One cloudlet as it is at the moment.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sinfonia_core::cloudlet::{Cloudlet, CloudletInfo, Surroundings};
use sinfonia_core::load::{Load, Placed, Thresholds};
use sinfonia_core::ranking::Conditions;
use sinfonia_service::tokens::OwnToken;
use uuid::Uuid;

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
    sides: Sides,
    surroundings: Option<Arc<Surroundings>>,
    load: Load,
    tally: Tally,
}

/// Who speaks of a cloudlet.
#[derive(Debug, Clone, PartialEq)]
enum Sides {
    /// The file alone, which says all there is. Its place in there, and the token that its Tier 2 wants to see.
    File(u32, Option<Arc<OwnToken>>),
    /// A report alone, which says all there is.
    Report(ReportMarks),
    /// The file with a report or measurements.
    Both(Box<(FileSide, Option<Report>)>),
}

impl Known {
    /// How it became known.
    pub const fn origin(&self) -> Origin {
        match &self.sides {
            Sides::File(..) => Origin::File,
            Sides::Report(_) => Origin::Report,
            Sides::Both(both) => match both.1 {
                None => Origin::File,
                Some(_) => Origin::Joined,
            },
        }
    }

    /// Its place in the cloudlet file, from 0; `None` where the file does not name it.
    pub const fn file_place(&self) -> Option<u32> {
        match &self.sides {
            Sides::File(place, _) => Some(*place),
            Sides::Report(_) => None,
            Sides::Both(both) => Some(both.0.place),
        }
    }

    /// The token that its Tier 2 wants to see.
    pub fn token(&self) -> Option<&OwnToken> {
        match &self.sides {
            Sides::File(_, token) => token.as_deref(),
            Sides::Report(_) => None,
            Sides::Both(both) => both.0.token.as_deref(),
        }
    }

    /// Whether an operator wrote down its endpoint, so that requests may go to any address that it leads to.
    pub const fn is_from_file(&self) -> bool {
        !matches!(self.sides, Sides::Report(_))
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
        self.load.conditions(placed, age_s)
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
        let sides = match (parts.file, parts.report) {
            (None, None) => return None,
            (None, Some(report)) => Sides::Report(report.marks),
            (Some(file), None) if file.measured.is_none() => Sides::File(file.place, file.token),
            (Some(file), report) => Sides::Both(Box::new((file, report))),
        };
        Some(Self {
            cloudlet,
            sides,
            surroundings: parts.surroundings,
            load,
            tally: parts.tally,
        })
    }

    /// What it was put together from.
    pub(super) fn parts(&self) -> Parts {
        let (file, report) = match &self.sides {
            Sides::File(place, token) => {
                let file = FileSide {
                    place: *place,
                    token: token.clone(),
                    cloudlet: self.cloudlet.clone(),
                    measured: None,
                };
                (Some(file), None)
            }
            Sides::Report(marks) => {
                let report = Report {
                    marks: *marks,
                    cloudlet: self.cloudlet.clone(),
                };
                (None, Some(report))
            }
            Sides::Both(both) => (Some(both.0.clone()), both.1.clone()),
        };
        Parts {
            file,
            report,
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

    /// The uuid that the file gives it.
    pub(super) fn file_uuid(&self) -> Option<Uuid> {
        match &self.sides {
            Sides::File(..) => Some(self.cloudlet.uuid),
            Sides::Report(_) => None,
            Sides::Both(both) => Some(both.0.cloudlet.uuid),
        }
    }

    /// The uuid that the file gives it, while it goes by another.
    pub(super) fn hidden_uuid(&self) -> Option<Uuid> {
        self.file_uuid().filter(|uuid| *uuid != self.cloudlet.uuid)
    }

    /// When it reported; `None` once that is too long ago, and when it never did.
    fn reports_since(&self) -> Option<Timestamp> {
        self.marks().filter(|marks| !marks.silent)?;
        self.reported()?.last_update
    }

    /// The cloudlet as it was reported.
    fn reported(&self) -> Option<&Cloudlet> {
        match &self.sides {
            Sides::File(..) => None,
            Sides::Report(_) => Some(&self.cloudlet),
            Sides::Both(both) => both.1.as_ref().map(|report| &report.cloudlet),
        }
    }

    /// When it reported or when it was measured, whichever is longer ago and not too long; `None` when neither is so.
    pub(super) fn oldest_news(&self) -> Option<Timestamp> {
        let measured = match &self.sides {
            Sides::Both(both) => both.0.measured_since(),
            Sides::File(..) | Sides::Report(_) => None,
        };
        self.reports_since().into_iter().chain(measured).min()
    }

    fn marks(&self) -> Option<ReportMarks> {
        match &self.sides {
            Sides::File(..) => None,
            Sides::Report(marks) => Some(*marks),
            Sides::Both(both) => both.1.as_ref().map(|report| report.marks),
        }
    }

    /// Whether it reported, is silent now, and did not say before that it drains, as one does that is shut down.
    pub(super) fn is_missed(&self) -> bool {
        let drained = self.reported().is_some_and(|reported| reported.draining);
        self.marks().is_some_and(|marks| marks.silent) && !drained
    }

    /// Whether it was reported with a token, lately or not.
    pub(super) fn belongs_to_token(&self) -> bool {
        self.marks().is_some_and(|marks| marks.with_token)
    }

    /// Whether somebody with a token reports it at the moment.
    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        let is_live = |at: Timestamp| at.duration_until(now) < SILENCE;
        self.belongs_to_token() && self.reports_since().is_some_and(is_live)
    }
}
