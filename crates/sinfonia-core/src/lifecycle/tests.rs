//! The life of a deployment, told from outside: single decisions as examples, and whole lives as laws.

mod lease;
mod lives;
mod reconcile;
mod request;
mod wire;
mod world;
