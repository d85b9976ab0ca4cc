//! Tier 3 of Sinfonia.
