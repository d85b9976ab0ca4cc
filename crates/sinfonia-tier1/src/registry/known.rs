//! What the registry tells of a cloudlet.

use sinfonia_core::cloudlet::Cloudlet;
use sinfonia_service::tokens::OwnToken;

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
}

impl Known {
    /// Whether an operator wrote down its endpoint, so that requests may go to any address that it leads to.
    pub const fn is_from_file(&self) -> bool {
        self.file_place.is_some()
    }
}
