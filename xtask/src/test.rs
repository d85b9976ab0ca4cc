//! `cargo xtask test`: everything there is.

use std::env;

use anstream::eprintln;
use anyhow::Context;
use clap::Args;
use sinfonia_testbed::{ControlPlane, Machine, Node, Programs, RunFolder, VARIABLE};

use crate::api;
use crate::cargo::{cargo, cargo_with};
use crate::testbed::build_missing;

/// What the tests need beyond a build for use: a Tier 2 that a test can have crash wherever it wants.
const FEATURES: [&str; 2] = ["--features", "sinfonia-tier2/fail-points"];

/// Tells Rust's test programs how many tests to run at once. Those on the control plane mostly wait, so twice the usual two cores.
const THREADS_VARIABLE: &str = "RUST_TEST_THREADS";
const THREADS: &str = "4";

/// Is part of the names of the tests on a real node, and of no others.
const NODE_TESTS: &str = "on_a_node::";

/// What follows the help.
const EXAMPLES: &str = "\
Examples:
  Everything; what is missing of the test bed is built first:
    cargo xtask test

  Tests that are called so or are in a module of that name:
    cargo xtask test lease

  The same on a control plane that stays, which starts quicker from the second time on:
    eval \"$(cargo xtask testbed up)\"
    cargo xtask test lease";

/// What to test.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Only tests whose name holds this text. Tests that need a control plane start one of their own.
    filter: Option<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let outcome = test(options);
    // The tests share a node, which ends with their process and leaves its name.
    Machine::remove_left();
    outcome
}

fn test(options: &Options) -> anyhow::Result<()> {
    // The end-to-end tests start the programs of the same build.
    cargo(
        &[
            &["build", "--locked", "--workspace", "--bins"],
            &FEATURES[..],
        ]
        .concat(),
    )?;
    // What fails is told together: a run takes long.
    let test = ["test", "--locked", "--workspace", "--no-fail-fast"];
    let mut arguments = [&test[..], &FEATURES[..]].concat();
    if let Some(filter) = &options.filter {
        arguments.push(filter);
        return cargo(&arguments);
    }
    api::check()?;
    let obstacle = Node::obstacle();
    build_missing(obstacle.is_none())?;
    if let Some(obstacle) = obstacle {
        eprintln!("The tests on a real node are left out: {obstacle}.");
        arguments.extend(["--", "--skip", NODE_TESTS]);
    }
    let threads = env::var_os(THREADS_VARIABLE).unwrap_or_else(|| THREADS.into());
    let threads = (THREADS_VARIABLE, threads.as_os_str());
    if env::var_os(VARIABLE).is_some() {
        return cargo_with(&arguments, &[threads]);
    }
    let folder = RunFolder::new().context("cannot make a folder for the control plane")?;
    let control_plane = ControlPlane::start(&Programs::find_or_hint()?, folder.path())?;
    let outcome = cargo_with(
        &arguments,
        &[(VARIABLE, folder.path().as_os_str()), threads],
    );
    drop(control_plane);
    if folder.is_kept() {
        eprintln!(
            "logs of the control plane are kept in {}",
            folder.path().display()
        );
    }
    outcome
}
