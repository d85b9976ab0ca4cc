//! Tier 1 of Sinfonia.
