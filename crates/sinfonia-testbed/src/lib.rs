//! Starts and stops real programs for tests and for the quickstart: the tiers' binaries on free loopback ports, each with its log kept.

mod binaries;
mod service;

pub use self::binaries::{Binaries, MissingBinary};
pub use self::service::{Service, ServiceError};
