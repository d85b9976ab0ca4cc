//! What the registry tells of a cloudlet.

use jiff::Timestamp;
use sinfonia_core::cloudlet::Cloudlet;
use sinfonia_core::load::Load;
use sinfonia_core::ranking::{Class, Conditions};
use sinfonia_service::tokens::OwnToken;

use crate::tally::Tally;

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

/// A cloudlet as it is at the moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The cloudlet, ready to be ranked.
    pub cloudlet: Cloudlet,
    /// How it became known.
    pub origin: Origin,
    /// Its place in the cloudlet file, from 0; `None` where the file does not name it.
    pub file_place: Option<usize>,
    /// The token that its Tier 2 wants to see.
    pub token: Option<OwnToken>,
    /// How busy it was at its last report.
    pub load: Load,
    /// What counts the placements there.
    pub tally: Tally,
}

impl Known {
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

    /// Whether an operator wrote down its endpoint, so that requests may go to any address that it leads to.
    pub const fn is_from_file(&self) -> bool {
        self.file_place.is_some()
    }
}
