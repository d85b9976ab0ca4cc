//! Tier 2 of Sinfonia: one per cloudlet. It takes deploy requests, keeps a record of each deployment, makes the cluster what the records
//! want, and reports to Tier 1.
//!
//! A request ([`settings`] says which are taken) goes from `api` to `deployments`, which writes a record into `records` and waits. The
//! `controller` takes each record up and works on the [`cluster`] until that is what the record wants; the `job_runner` ends leases. What
//! each of them decides is in `sinfonia_core::lifecycle`; here it is only carried out. The [`guard`] is a program of its own, on each node.

mod access;
mod announcement;
mod api;
pub mod clock;
pub mod cluster;
pub mod commands;
mod controller;
pub mod crd;
mod deployments;
#[cfg(feature = "fail-points")]
mod fail_points;
pub mod guard;
mod job_runner;
mod leading;
mod metrics;
mod records;
mod reports;
pub mod service;
pub mod settings;

#[cfg(all(feature = "fail-points", not(debug_assertions)))]
compile_error!("fail points are for tests; a release build must have none");

pub use announcement::AnnouncementError;
pub use api::description;
pub use guard::GuardError;
pub use reports::ReportTokenError;
pub use service::{RunError, run, run_on};
