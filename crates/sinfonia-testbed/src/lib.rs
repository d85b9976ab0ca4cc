//! Starts and stops real programs for tests and for the quickstart: the tiers' binaries on free loopback ports, each with its log kept.

mod binaries;
mod folder;
mod port;
mod service;

pub use self::binaries::{Binaries, MissingBinary, command};
pub use self::folder::TestFolder;
pub use self::port::ReservedPort;
pub use self::service::{Service, ServiceError};
