//! The program as its users meet it, against a Tier 1 that says what each test wants.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod backend;
#[cfg(target_os = "linux")]
mod cloudlet;
mod commands;
mod deploying;
mod device;
#[cfg(target_os = "linux")]
mod failing_over;
mod failures;
mod forwarding;
mod help;
#[cfg(target_os = "linux")]
mod inside;
#[cfg(target_os = "linux")]
mod keeping;
#[cfg(target_os = "linux")]
mod leaks;
mod older_form;
mod probing;
mod running;
#[cfg(target_os = "linux")]
mod telling;
mod tls;
mod waiting;
