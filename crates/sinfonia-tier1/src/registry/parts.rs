//! What is said of one cloudlet, by whom, and what becomes of it all in all.

use std::sync::Arc;

use jiff::Timestamp;
use sinfonia_core::cloudlet::{Cloudlet, CloudletInfo, Measurements, Surroundings};
use sinfonia_core::load::Load;
use sinfonia_service::tokens::OwnToken;
use uuid::Uuid;

use super::known::FileCloudlet;
use super::pools::Pools;
use crate::tally::Tally;

/// What a cloudlet is made of; of one that nobody names or reports nothing is left.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Parts {
    pub(super) file: Option<Arc<FileSide>>,
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
    pub(super) place: usize,
    pub(super) token: Option<Box<OwnToken>>,
    /// The cloudlet as it would be without reports.
    pub(super) cloudlet: Cloudlet,
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
    pub(super) fn set_file(&mut self, place: usize, file: FileCloudlet, pools: &mut Pools) {
        let mut cloudlet = self.resolve(file.info, pools);
        let before = self.file.as_ref();
        if let Some(same) = before
            .map(|before| &before.cloudlet.placement)
            .filter(|before| **before == cloudlet.placement)
        {
            cloudlet.placement = Arc::clone(same);
        }
        self.file = Some(Arc::new(FileSide {
            place,
            token: file.token.map(Box::new),
            cloudlet,
        }));
    }

    /// Takes over a report.
    pub(super) fn set_report(
        &mut self,
        info: CloudletInfo,
        with_token: bool,
        now: Timestamp,
        pools: &mut Pools,
    ) {
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
    }

    /// Takes over what was found out about the endpoint's host; tells whether it is news.
    pub(super) fn set_surroundings(&mut self, surroundings: &Arc<Surroundings>) -> bool {
        let before = self.surroundings.as_ref();
        if before.is_some_and(|before| Arc::ptr_eq(before, surroundings) || before == surroundings)
        {
            return false;
        }
        if let Some(file) = &mut self.file {
            place(&mut Arc::make_mut(file).cloudlet, surroundings);
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
            (Some(file), None) => Some(file.cloudlet.clone()),
            (None, Some(report)) => Some(report.cloudlet.clone()),
            (Some(file), Some(report)) => Some(file.joined_with(report)),
        }
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
    /// The identity that the file gives.
    pub(super) const fn uuid(&self) -> Uuid {
        self.cloudlet.uuid
    }

    /// Whether the file says the identity itself, instead of leaving it to the endpoint.
    pub(super) fn names_uuid(&self) -> bool {
        self.uuid() != self.cloudlet.endpoint.uuid()
    }

    /// What file and report make together. Placement stays the file's; of an anonymous report only the measurements count.
    fn joined_with(&self, report: &Report) -> Cloudlet {
        let (marks, said) = (report.marks, &report.cloudlet);
        let of_file = &self.cloudlet;
        let resources = match marks {
            ReportMarks { silent: true, .. } => Measurements::default(),
            ReportMarks {
                says_resources: true,
                ..
            } => said.resources.clone(),
            _ => of_file.resources.clone(),
        };
        let cloudlet = Cloudlet {
            resources,
            last_update: said.last_update,
            ..of_file.clone()
        };
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
}

fn place(cloudlet: &mut Cloudlet, surroundings: &Surroundings) {
    if cloudlet.placement.wants_surroundings() {
        let placement = (*cloudlet.placement).clone();
        cloudlet.placement = Arc::new(placement.within(surroundings));
    }
}
