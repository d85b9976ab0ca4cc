//! Shared service parts.
