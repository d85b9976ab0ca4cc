//! One cloudlet as it is at the moment: what the file says of it, what it reported, and what becomes of the two.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sinfonia_core::cloudlet::{Cloudlet, CloudletInfo, Measurements, Surroundings};
use sinfonia_service::tokens::OwnToken;
use uuid::Uuid;

use super::pools::Pools;

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
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The cloudlet, ready to be ranked.
    pub cloudlet: Cloudlet,
    sides: Sides,
    /// What was found out about its endpoint's host; `None` as long as nothing was.
    surroundings: Option<Arc<Surroundings>>,
}

/// Where what is known comes from.
#[derive(Debug, Clone, PartialEq)]
enum Sides {
    File(Arc<FileSide>),
    Report(ReportSide),
    /// The last one is what the report says by itself, to be used when the file no longer names the cloudlet.
    Joined(Arc<FileSide>, ReportSide, Box<Cloudlet>),
}

/// What the file says of a cloudlet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FileSide {
    place: usize,
    cloudlet: Cloudlet,
    token: Option<OwnToken>,
}

/// What is to be remembered of a report beside what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReportSide {
    with_token: bool,
    says_resources: bool,
    says_labels: bool,
    /// Whether it was found to be silent; only an entry of the file outlives that.
    silent: bool,
}

impl Known {
    /// How it became known.
    pub const fn origin(&self) -> Origin {
        match self.sides {
            Sides::File(_) => Origin::File,
            Sides::Report(_) => Origin::Report,
            Sides::Joined(..) => Origin::Joined,
        }
    }

    /// Its place in the cloudlet file, from 0; `None` where the file does not name it.
    pub fn file_place(&self) -> Option<usize> {
        self.file().map(|file| file.place)
    }

    /// The token that its Tier 2 wants to see.
    pub fn token(&self) -> Option<&OwnToken> {
        self.file()?.token.as_ref()
    }

    /// Whether an operator wrote down its endpoint, so that requests may go to any address that it leads to.
    pub fn is_from_file(&self) -> bool {
        self.file().is_some()
    }

    /// What an entry of the file makes of a cloudlet of which this was known before, or nothing. What it reported stays, unless its report
    /// says a uuid that `is_free` denies it.
    pub(super) fn of_file(
        place: usize,
        file: FileCloudlet,
        before: Option<&Self>,
        is_free: impl Fn(Uuid) -> bool,
        pools: &mut Pools,
    ) -> Self {
        let surroundings = before.and_then(|before| before.surroundings.clone());
        let mut cloudlet = resolve(file.info, surroundings.as_deref(), pools);
        let same = before
            .and_then(Self::file)
            .map(|file| &file.cloudlet.placement);
        if let Some(same) = same.filter(|same| **same == cloudlet.placement) {
            cloudlet.placement = Arc::clone(same);
        }
        let token = file.token;
        let file = Arc::new(FileSide {
            place,
            cloudlet,
            token,
        });
        let stays =
            |(report, alone): &(ReportSide, &Cloudlet)| !report.with_token || is_free(alone.uuid);
        match before.and_then(Self::reported).filter(stays) {
            None => Self::from_file(file, surroundings),
            Some((report, alone)) => Self::joined(file, report, alone.clone(), surroundings),
        }
    }

    /// What a report, of which this was known before or nothing, makes of a cloudlet.
    pub(super) fn of_report(
        info: CloudletInfo,
        with_token: bool,
        now: Timestamp,
        before: Option<&Self>,
        pools: &mut Pools,
    ) -> Self {
        let surroundings = before.and_then(|before| before.surroundings.clone());
        let report = ReportSide {
            with_token,
            says_resources: info.resources.is_some(),
            says_labels: info.labels.is_some(),
            silent: false,
        };
        let info = CloudletInfo {
            last_update: Some(now),
            ..info
        };
        let alone = resolve(info, surroundings.as_deref(), pools);
        match before.and_then(Self::file) {
            None => Self {
                cloudlet: alone,
                sides: Sides::Report(report),
                surroundings,
            },
            Some(file) => Self::joined(Arc::clone(file), report, alone, surroundings),
        }
    }

    /// What is left of it when its report no longer counts.
    pub(super) fn without_report(&self) -> Option<Self> {
        let file = Arc::clone(self.file()?);
        Some(Self::from_file(file, self.surroundings.clone()))
    }

    /// What is left of it when the file no longer names it.
    pub(super) fn without_file(&self) -> Option<Self> {
        let (report, alone) = self.reported().filter(|(report, _)| !report.silent)?;
        Some(Self {
            cloudlet: alone.clone(),
            sides: Sides::Report(report),
            surroundings: self.surroundings.clone(),
        })
    }

    /// What becomes of it when it has been silent for too long: it loses what was only good while it reported.
    pub(super) fn silenced(&self) -> Option<Self> {
        let file = Arc::clone(self.file()?);
        let (report, alone) = self.reported()?;
        let report = ReportSide {
            silent: true,
            ..report
        };
        let surroundings = self.surroundings.clone();
        Some(Self::joined(file, report, alone.clone(), surroundings))
    }

    /// The same in other surroundings; `None` when they are no news.
    pub(super) fn within(&self, surroundings: &Arc<Surroundings>) -> Option<Self> {
        let before = self.surroundings.as_ref();
        if before.is_some_and(|before| Arc::ptr_eq(before, surroundings) || before == surroundings)
        {
            return None;
        }
        let moved = |cloudlet: &Cloudlet| {
            let placement = (*cloudlet.placement).clone().within(surroundings);
            Cloudlet {
                placement: Arc::new(placement),
                ..cloudlet.clone()
            }
        };
        let moved_file = |file: &FileSide| {
            Arc::new(FileSide {
                cloudlet: moved(&file.cloudlet),
                ..file.clone()
            })
        };
        let found = Some(Arc::clone(surroundings));
        Some(match &self.sides {
            Sides::File(file) => Self::from_file(moved_file(file), found),
            Sides::Joined(file, report, alone) => {
                Self::joined(moved_file(file), *report, moved(alone), found)
            }
            Sides::Report(report) => Self {
                cloudlet: moved(&self.cloudlet),
                sides: Sides::Report(*report),
                surroundings: found,
            },
        })
    }

    pub(super) const fn file(&self) -> Option<&Arc<FileSide>> {
        match &self.sides {
            Sides::File(file) | Sides::Joined(file, ..) => Some(file),
            Sides::Report(_) => None,
        }
    }

    /// When it reported last; `None` once that is too long ago, and when it never did.
    pub(super) fn reports_since(&self) -> Option<Timestamp> {
        let (report, alone) = self.reported()?;
        alone.last_update.filter(|_| !report.silent)
    }

    /// Whether it was reported with a token, lately or not.
    pub(super) fn belongs_to_token(&self) -> bool {
        self.reported().is_some_and(|(report, _)| report.with_token)
    }

    /// Whether somebody with a token reports it at the moment.
    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        let is_live = |at: Timestamp| at.duration_until(now) < SILENCE;
        self.belongs_to_token() && self.reports_since().is_some_and(is_live)
    }

    /// What was reported, as it would be without the file.
    fn reported(&self) -> Option<(ReportSide, &Cloudlet)> {
        match &self.sides {
            Sides::File(_) => None,
            Sides::Report(report) => Some((*report, &self.cloudlet)),
            Sides::Joined(_, report, alone) => Some((*report, alone)),
        }
    }

    fn from_file(file: Arc<FileSide>, surroundings: Option<Arc<Surroundings>>) -> Self {
        Self {
            cloudlet: file.cloudlet.clone(),
            sides: Sides::File(file),
            surroundings,
        }
    }

    /// What file and report make together. Placement stays the file's; of an anonymous report only the measurements count.
    fn joined(
        file: Arc<FileSide>,
        report: ReportSide,
        alone: Cloudlet,
        surroundings: Option<Arc<Surroundings>>,
    ) -> Self {
        let measured = if report.says_resources {
            &alone
        } else {
            &file.cloudlet
        };
        let mut cloudlet = Cloudlet {
            resources: measured.resources.clone(),
            last_update: alone.last_update,
            ..file.cloudlet.clone()
        };
        if report.silent {
            cloudlet.resources = Measurements::default();
        }
        if report.with_token {
            cloudlet.uuid = alone.uuid;
            cloudlet.recipes.clone_from(&alone.recipes);
            cloudlet.draining = alone.draining;
            if report.says_labels {
                cloudlet.labels = Arc::clone(&alone.labels);
            }
        }
        Self {
            cloudlet,
            sides: Sides::Joined(file, report, Box::new(alone)),
            surroundings,
        }
    }
}

impl FileSide {
    /// The identity that the file gives.
    pub(super) const fn uuid(&self) -> Uuid {
        self.cloudlet.uuid
    }

    /// Whether the file says the identity itself, instead of leaving it to the endpoint.
    pub(super) fn names_uuid(&self) -> bool {
        self.uuid() != self.cloudlet.endpoint.uuid()
    }
}

fn resolve(info: CloudletInfo, surroundings: Option<&Surroundings>, pools: &mut Pools) -> Cloudlet {
    let mut cloudlet = match surroundings {
        Some(surroundings) => Cloudlet::new(info, surroundings),
        None => Cloudlet::new(info, &Surroundings::default()),
    };
    pools.share(&mut cloudlet);
    cloudlet
}
