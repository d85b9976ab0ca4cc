//! Tier 1 of Sinfonia: knows the cloudlets, ranks them for a device, and has the best one deploy.

mod aside;
mod background;
mod callers;
pub mod check;
mod circuits;
pub mod cloudlets_file;
mod dashboard;
mod deploy;
mod forward;
pub mod geoip;
mod in_flight;
mod metrics;
pub mod placements;
pub mod policy_file;
pub mod registry;
pub mod report_access;
pub mod routes;
pub mod scrape;
pub mod settings;
pub mod surroundings;
pub mod tally;
mod tier1;

pub use tier1::{StartError, Tier1};
