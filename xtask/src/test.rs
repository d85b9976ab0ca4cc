//! `cargo xtask test`: everything there is.

use clap::Args;

use crate::cargo::cargo;

/// What to test.
#[derive(Args)]
pub(crate) struct Options {
    /// Only tests whose name holds this text.
    filter: Option<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    // The end-to-end tests start the programs of the same build.
    cargo(&["build", "--locked", "--workspace", "--bins"])?;
    let mut arguments = vec!["test", "--locked", "--workspace"];
    arguments.extend(options.filter.as_deref());
    cargo(&arguments)
}
