//! `cargo xtask version`: the versions of the application and of the charts, and the rules that they keep.

pub(crate) mod changelog;
pub(crate) mod chart;
pub(crate) mod history;
pub(crate) mod manifest;
pub(crate) mod rules;
pub(crate) mod tree;

use std::path::Path;

use anstream::{eprintln, println};
use anyhow::bail;
use clap::Args;

use self::history::History;
use self::tree::Tree;
use crate::cargo::workspace;

/// What follows the help.
const EXAMPLES: &str = "\
Examples:
  What is where:
    cargo xtask version

  Whether that keeps the rules, and what to do where it does not:
    cargo xtask version --check

The application's version is a development version, such as 0.2.1-dev, except at the commit of
a release. Each chart has a version of its own, another one whenever anything under its folder
changes. That of charts/sinfonia is never smaller than the application's last release, which its
appVersion names; until there is a release, that names the first one to come.";

/// What to do about versions.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Fails where a rule is broken, and says what to do. Asks git for what was changed; without it, says what was not checked.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let root = workspace();
    let tree = Tree::read(root)?;
    if options.check {
        return check(root, &tree);
    }
    print(&tree);
    Ok(())
}

/// Fails where a rule is broken, after it has told which.
///
/// # Errors
/// A rule is broken, or git cannot be asked.
pub(crate) fn check(root: &Path, tree: &Tree) -> anyhow::Result<()> {
    let history = History::read(root, tree)?;
    for gap in &history.gaps {
        eprintln!("not checked: {gap}");
    }
    let faults = rules::faults(tree, &history);
    for fault in &faults {
        eprintln!("{fault}");
    }
    match faults.len() {
        0 => Ok(()),
        1 => bail!("the versions break a rule"),
        many => bail!("the versions break {many} rules"),
    }
}

fn print(tree: &Tree) {
    let last = tree.last_release.as_ref();
    let last = last.map_or_else(|| "none".to_owned(), ToString::to_string);
    println!("application       {}", tree.application);
    println!("last release      {last}");
    for chart in &tree.charts {
        println!(
            "chart {:<11} {} (appVersion {})",
            chart.name, chart.version, chart.app_version
        );
    }
}
