//! Tier 1 of Sinfonia: knows the cloudlets, ranks them for a device, and has the best one deploy.

pub mod placements;
pub mod registry;
