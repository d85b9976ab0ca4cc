//! The life of a deployment: what a request, the job runner and the controller of Tier 2 decide, as pure functions over
//! a record.
//!
//! A [`Record`] is the only truth about a deployment; whatever exists in the cluster is made from it and healed from
//! it. Its `spec` says what was asked for and is written by whoever serves the API, its `status` says how far things
//! are and is written by the controller alone.
//!
//! ```text
//!                       start             nothing is missing
//! POST ─▶ (no status) ────────▶ Initializing ────────────▶ Deployed
//!              ▲                 ▲    │    ▲                │  │  │
//!              │                 │    │    └─ release gone ─┘  │  │
//!              │ POST            │    │                        │  │
//!              │ (new name)      │    └───────────┬────────────┘  │
//!              │                 │     failed, or never ready     │ lease passed and idle,
//!              ├── Failed ◀──────┼────────────────┘               │ or longest life reached
//!              │                 │ POST (same name and address)   │
//!              │             Expiring ◀───────────────────────────┘
//!              │                 │ grace passed
//!              └── Expired ◀─────┘
//!
//! Failed, Expired ── retention passed ──┐             reclaimed
//! any of them ─────────── DELETE ───────┴──▶ deleted ──────────▶ (no record)
//! ```
//!
//! | phase | wanted in the cluster | leaves by |
//! | --- | --- | --- |
//! | no status | nothing | [`start`], which gives it a name and an address |
//! | Initializing | Namespace, Peer, release | [`reconcile`] → Deployed; [`fail`] → Failed; [`lease`] → Failed (`timed-out`) at the ready deadline |
//! | Deployed | Namespace, Peer, release | [`lease`] → Expiring, or Failed (`not-ready`) when it never was ready; [`reconcile`] → Initializing when the release is gone, Failed (`not-ready`) when it never was ready and never can be |
//! | Expiring | nothing new: Peer and release go, Namespace, name and address are held | [`reconcile`] → Initializing when a request came; [`lease`] → Expired |
//! | Expired, Failed | nothing; the address is held | [`start`] when a request came and all is reclaimed; [`lease`] → removed |
//! | deleted | nothing | the plan's last step, [`Step::RemoveRecord`] |
//!
//! Who does what:
//! - The API side asks [`deploy`] or [`delete`] and writes the `spec`, or deletes the record. It answers with [`wire`].
//! - The controller asks [`reconcile`] again and again until there is nothing left to do, reports failed installs with [`fail`], and says with [`tell`]
//!   why something does not run yet.
//! - The job runner asks [`lease`] about every record once per round.
//! - Whoever takes the work over asks [`adopt`] about what another program left behind.
//!
//! Three rules make it survive a crash at any point. A name and an address are written into the record before anything
//! bears them, and the record goes last. Plans are made from what is there, never from what was done before. And every
//! write is conditional on the version of the record that the decision has seen; should a store not offer that,
//! [`RecordStatus::renewals_seen`] still catches a request that crossed with the end of its lease.

mod address;
mod adopt;
mod lease;
mod plan;
mod policy;
mod readiness;
mod reconcile;
mod record;
mod request;
mod wire;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

pub use address::{AddressPool, AddressPoolError};
pub use adopt::{Found, adopt};
pub use lease::{Activity, Verdict, activity_of, lease};
pub use plan::{Desired, Namespace, Observed, Peer, PeerState, Release, Step, desired, plan};
pub use policy::Policy;
pub use readiness::{Line, Readiness, tell};
pub use reconcile::{Failure, Next, Placement, PlacementError, fail, place, reconcile, start};
pub use record::{FailureClass, Phase, Record, RecordSpec, RecordStatus, Stage};
pub use request::{DeleteDecision, DeployDecision, Request, delete, deploy};
pub use wire::{TunnelFacts, wire};
