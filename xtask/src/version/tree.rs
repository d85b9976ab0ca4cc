//! What the files of a checkout say of versions.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use semver::Version;

use super::chart::Chart;
use super::{changelog, manifest};

/// Files that say versions, from the workspace's folder.
pub(crate) const MANIFEST: &str = "Cargo.toml";
pub(crate) const CHANGELOG: &str = "CHANGELOG.md";
/// Folder of the charts.
const CHARTS: &str = "charts";

/// What the files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    /// The application's version.
    pub(crate) application: String,
    /// The newest release of the changelog.
    pub(crate) last_release: Option<Version>,
    /// Whether the changelog has a section of what is not released yet.
    pub(crate) has_unreleased: bool,
    /// All charts, by name.
    pub(crate) charts: Vec<Chart>,
}

impl Tree {
    /// Reads the files under a workspace's folder.
    ///
    /// # Errors
    /// A file cannot be read, or does not say what it should.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let changelog = text(root, CHANGELOG)?;
        let charts = chart_names(root)?.into_iter().map(|name| {
            let about = text(root, &Chart::file(&name))?;
            Ok(Chart::read(&name, &about))
        });
        Ok(Self {
            application: manifest::version(&text(root, MANIFEST)?)?,
            last_release: changelog::last_release(&changelog)?,
            has_unreleased: changelog::unreleased(&changelog).is_some(),
            charts: charts.collect::<anyhow::Result<_>>()?,
        })
    }
}

/// A file under a workspace's folder.
///
/// # Errors
/// It cannot be read.
pub(crate) fn text(root: &Path, file: &str) -> anyhow::Result<String> {
    fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))
}

fn chart_names(root: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(root.join(CHARTS)).context("cannot read the folder charts")?;
    let folders = entries.filter_map(|entry| {
        let path: PathBuf = entry.ok()?.path();
        let name = path.file_name()?.to_str()?.to_owned();
        path.join("Chart.yaml").is_file().then_some(name)
    });
    let mut names: Vec<String> = folders.collect();
    names.sort();
    Ok(names)
}
