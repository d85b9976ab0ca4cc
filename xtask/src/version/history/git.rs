//! Asking git.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use semver::Version;

/// What git's own commands tell those that they start, such as hooks, about another repository.
const VARIABLES: [&str; 4] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
];
/// Precedes the version in the tag of a release.
const TAG: &str = "v";

/// A repository.
#[derive(Debug)]
pub(crate) struct Git {
    root: PathBuf,
}

impl Git {
    /// The repository whose top folder this is; else why there is none to ask.
    pub(crate) fn open(root: &Path) -> Result<Self, String> {
        let git = Self {
            root: root.to_owned(),
        };
        let ran = git
            .command(&["rev-parse", "--show-prefix", "HEAD"])
            .output()
            .map_err(|error| format!("git cannot be run ({error})"))?;
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr);
            let line = said.lines().next().unwrap_or_default();
            return Err(format!("git says `{line}`"));
        }
        // An exported tree may lie inside of a repository of something else.
        if ran.stdout.first() != Some(&b'\n') {
            return Err("this folder is not the top of a git repository".to_owned());
        }
        Ok(git)
    }

    /// Whether older commits are left out here.
    pub(crate) fn is_shallow(&self) -> anyhow::Result<bool> {
        let told = self.ask(&["rev-parse", "--is-shallow-repository"])?;
        Ok(told.trim() == "true")
    }

    /// The commit that is checked out.
    pub(crate) fn head(&self) -> anyhow::Result<String> {
        Ok(self.ask(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// The files that are not as they were committed, those that git ignores left out.
    pub(crate) fn uncommitted(&self) -> anyhow::Result<Vec<String>> {
        let told = self.ask(&["status", "--porcelain"])?;
        let files = told.lines().filter_map(|line| line.get(3..));
        Ok(files.map(str::to_owned).collect())
    }

    /// The releases that are tagged and that what is checked out descends from.
    pub(crate) fn releases(&self) -> anyhow::Result<Vec<Version>> {
        let told = self.ask(&["tag", "--merged", "HEAD", "--list", &format!("{TAG}*")])?;
        let versions = told.lines().filter_map(|tag| tag.strip_prefix(TAG));
        Ok(versions
            .filter_map(|version| Version::parse(version).ok())
            .collect())
    }

    /// Whether a release is tagged anywhere.
    pub(crate) fn has_tag(&self, version: &Version) -> anyhow::Result<bool> {
        let told = self.ask(&["tag", "--list", &format!("{TAG}{version}")])?;
        Ok(!told.is_empty())
    }

    /// All commits that changed something there, newest first.
    pub(crate) fn commits(&self, path: &str) -> anyhow::Result<Vec<String>> {
        let told = self.ask(&["log", "--full-history", "--format=%H", "--", path])?;
        Ok(told.lines().map(str::to_owned).collect())
    }

    /// A file as it was at a commit; none where it was not there.
    pub(crate) fn file(&self, commit: &str, path: &str) -> anyhow::Result<Option<String>> {
        let object = format!("{commit}:{path}");
        let ran = self.command(&["show", &object]).output();
        let ran = ran.context("cannot run git")?;
        Ok(ran
            .status
            .success()
            .then(|| String::from_utf8_lossy(&ran.stdout).into_owned()))
    }

    /// The files there that differ between a commit and what lies in the folder now.
    pub(crate) fn changed(&self, commit: &str, path: &str) -> anyhow::Result<Vec<String>> {
        let differing = self.ask(&["diff", "--name-only", "--no-renames", commit, "--", path])?;
        let new = ["ls-files", "--others", "--exclude-standard", "--", path];
        let new = self.ask(&new)?;
        let files = differing.lines().chain(new.lines());
        Ok(files.map(str::to_owned).collect())
    }

    fn ask(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let ran = self.command(arguments).output().context("cannot run git")?;
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr);
            bail!("git {}: {}", arguments.join(" "), said.trim());
        }
        Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        command
            .env("LC_ALL", "C")
            .arg("-C")
            .arg(&self.root)
            .args(arguments);
        command
    }
}

/// A commit as people write it.
pub(super) fn short(commit: &str) -> String {
    commit.chars().take(7).collect()
}
