//! `cargo xtask release`: makes of a development version a release, and of that the next development version.

mod plan;

use std::fs;
use std::path::Path;

use anstream::{eprintln, println};
use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use jiff::Zoned;
use jiff::tz::TimeZone;
use semver::Version;

use self::plan::{Change, Files};
use crate::cargo::{target, workspace};
use crate::version::check;
use crate::version::history::Git;
use crate::version::rules::development_after;
use crate::version::tree::Tree;

/// What follows the help.
const EXAMPLES: &str = "\
Examples:
  See what a release of what is here would change:
    cargo xtask release minor --dry-run

  Release it. Nothing is committed or pushed; the commands for that are printed:
    cargo xtask release minor

  After the commit of the release, open the next development version:
    cargo xtask release --next

Changed are the version in Cargo.toml and the Cargo.lock files, version and appVersion of
charts/sinfonia, and CHANGELOG.md, whose section of what is not released becomes the release's.";

/// Which release to make.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// What grows of the last release's version [default: the release that the development version leads to]
    #[arg(value_enum)]
    level: Option<Level>,
    /// Opens the development that follows the release that is checked out
    #[arg(long, conflicts_with = "level")]
    next: bool,
    /// Says what would change, and changes nothing
    #[arg(long)]
    dry_run: bool,
}

/// A part of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// What uses it goes on as it did
    Patch,
    /// There is more in it
    Minor,
    /// What uses it may have to change
    Major,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let root = workspace();
    let tree = Tree::read(root)?;
    let files = Files::read(root)?;
    if options.next {
        let next = plan::next(&files)?;
        return carry_out(root, &next, options.dry_run);
    }
    check(root, &tree)?;
    let version = plan::release_of(&tree, options.level)?;
    let date = Zoned::now().with_time_zone(TimeZone::UTC).date();
    let release = plan::release(&files, &version, date)?;
    if !options.dry_run {
        ready_to_release(root, &version)?;
    }
    carry_out(root, &release.changes, options.dry_run)?;
    tell_commands(&version, &release.message, options.dry_run)
}

/// What is not committed would become part of the release, and a tag can be there once.
fn ready_to_release(root: &Path, version: &Version) -> anyhow::Result<()> {
    let git = match Git::open(root) {
        Ok(git) => git,
        Err(reason) => bail!("a release is made in a git repository: {reason}"),
    };
    let uncommitted = git.uncommitted()?;
    ensure!(
        uncommitted.is_empty(),
        "there are changes that are not committed ({})\nhint: commit them first, or `git stash --include-untracked`",
        uncommitted.join(", ")
    );
    ensure!(
        !git.has_tag(version)?,
        "there is a tag v{version} already\nhint: `git tag --delete v{version}`, if it was never pushed"
    );
    Ok(())
}

fn carry_out(root: &Path, changes: &[Change], dry_run: bool) -> anyhow::Result<()> {
    for Change { file, what, text } in changes {
        if !dry_run {
            fs::write(root.join(file), text).with_context(|| format!("cannot write {file}"))?;
        }
        println!("{file}: {what}");
    }
    Ok(())
}

fn tell_commands(version: &Version, message: &str, dry_run: bool) -> anyhow::Result<()> {
    if dry_run {
        println!("\nThe tag v{version} would say:\n\n{message}");
        return Ok(());
    }
    let file = target().join(format!("v{version}.md"));
    fs::create_dir_all(target())
        .and_then(|()| fs::write(&file, message))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let next = development_after(version);
    eprintln!("\nNext, after a look at `git diff`:");
    println!("git commit --all --message 'Release {version}'");
    println!(
        "git tag --annotate v{version} --cleanup whitespace --file '{}'",
        file.display()
    );
    println!("cargo xtask release --next");
    println!("git commit --all --message 'Begin {next}'");
    println!("git push --atomic origin HEAD v{version}");
    Ok(())
}
