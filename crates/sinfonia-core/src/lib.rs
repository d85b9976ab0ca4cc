//! The domain of Sinfonia, pure: cloudlets, clients, recipes, deployments and their life, keys, ranking and wire types.
//!
//! Nothing in here opens a socket or a file, asks a clock, draws a random number, reads the environment or resolves a name: time, entropy
//! and snapshots come in as arguments, decisions go out as values. That is what makes every decision of the three tiers testable in
//! milliseconds and explainable afterwards.

pub mod check;
pub mod circuit;
pub mod client;
pub mod cloudlet;
pub mod cloudlet_file;
pub mod deployment;
pub mod diagnostic;
pub mod discovery;
pub mod endpoint;
pub mod fleet;
pub mod isolation;
pub mod key;
pub mod lifecycle;
pub mod load;
pub mod location;
pub mod metrics;
pub mod network;
pub mod policy;
pub mod quantity;
pub mod ranking;
pub mod recipe;
pub mod resolver;
pub mod round_trip;
pub mod schema;
mod text;
pub mod time;
pub mod tunnel;
pub mod yaml;
