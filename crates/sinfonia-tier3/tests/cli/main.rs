//! The program as its users meet it, against a Tier 1 that says what each test wants.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod backend;
#[cfg(target_os = "linux")]
mod cloudlet;
mod commands;
mod deploying;
mod device;
mod failures;
mod forwarding;
mod help;
#[cfg(target_os = "linux")]
mod inside;
mod older_form;
mod running;
mod tls;
mod waiting;
