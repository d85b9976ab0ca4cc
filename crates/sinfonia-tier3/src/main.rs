//! Tier 3 of Sinfonia.
fn main() {}
