//! Tier 2 as a program on a real control plane, with exactly the rights of `deploy/tier2/rbac.yaml`: a real API server, a real helm, and
//! nobody who runs pods unless a test plays that part.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that meets an error has failed"
)]

mod adoption;
mod crash;
mod draining;
mod examples;
mod failing;
mod faults;
mod gateway;
mod harness;
mod healing;
mod isolation;
mod lease;
mod life;
mod metrics;
mod objects;
mod outage;
mod prometheus;
mod pull_secrets;
mod quota;
mod readiness;
mod records;
mod replicas;
mod rights;
mod unready;
