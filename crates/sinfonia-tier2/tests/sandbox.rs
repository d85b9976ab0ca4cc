//! Tier 2 from the outside: requests in, answers out, on a cluster in memory whose troubles a test chooses.
//!
//! Time is paused in nearly all of these tests, so an hour passes in no time; the leases' clock follows it.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

#[path = "sandbox/access.rs"]
mod access;
#[path = "sandbox/binary.rs"]
mod binary;
#[path = "sandbox/delete.rs"]
mod delete;
#[path = "sandbox/deploy.rs"]
mod deploy;
#[path = "sandbox/draining.rs"]
mod draining;
#[path = "sandbox/harness.rs"]
mod harness;
#[path = "sandbox/life.rs"]
mod life;
#[path = "sandbox/ready.rs"]
mod ready;
#[path = "sandbox/reports.rs"]
mod reports;
#[path = "sandbox/running.rs"]
mod running;
#[path = "sandbox/settings.rs"]
mod settings;
#[path = "sandbox/troubled_cluster.rs"]
mod troubled_cluster;
#[path = "sandbox/tunnel.rs"]
mod tunnel;
#[path = "sandbox/waiting.rs"]
mod waiting;
