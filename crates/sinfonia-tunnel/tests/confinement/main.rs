//! Confined applications, as their users see them.
//!
//! The tests need root, because they act as several users and change what the host looks like; they do so in namespaces of their own.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod isolation;
mod lives;
mod resolving;
mod support;
