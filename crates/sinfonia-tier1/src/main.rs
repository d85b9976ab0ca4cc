//! Tier 1 of Sinfonia.
fn main() {}
