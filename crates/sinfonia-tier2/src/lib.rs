//! Tier 2 of Sinfonia.
