//! Tier 1 over real sockets, with stand-ins for Tier 2.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that meets an error has failed"
)]

#[path = "deploy/answers.rs"]
mod answers;
#[path = "deploy/circuits.rs"]
mod circuits;
#[path = "deploy/dashboard.rs"]
mod dashboard;
#[path = "deploy/deployments.rs"]
mod deployments;
#[path = "deploy/explain.rs"]
mod explain;
#[path = "deploy/fall_over.rs"]
mod fall_over;
#[path = "deploy/load.rs"]
mod load;
#[path = "deploy/overload.rs"]
mod overload;
#[path = "deploy/policy.rs"]
mod policy;
#[path = "deploy/program.rs"]
mod program;
#[path = "deploy/release.rs"]
mod release;
#[path = "deploy/safety.rs"]
mod safety;
#[path = "deploy/sticky.rs"]
mod sticky;
#[path = "deploy/tier1.rs"]
mod tier1;
#[path = "deploy/tier2.rs"]
mod tier2;
