//! Tier 2 of Sinfonia.
fn main() {}
