//! What git tells about versions: which were released, and what was changed since a version was set.

mod git;

use std::collections::BTreeMap;
use std::path::Path;

use semver::Version;

pub(crate) use self::git::Git;
use super::chart::Chart;
use super::tree::{CHANGELOG, Tree};
use super::{changelog, chart};

/// What git tells, as far as it can.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct History {
    /// The releases that are tagged and lead to what is checked out.
    pub(crate) releases: Vec<Version>,
    /// The application's version, where that is a release.
    pub(crate) application: Past,
    /// The charts' versions, by name.
    pub(crate) charts: BTreeMap<String, Past>,
    /// What could not be looked at, and why.
    pub(crate) gaps: Vec<String>,
}

/// What became of a version.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Past {
    /// A commit that has the same version with other content.
    pub(crate) other: Option<Other>,
    /// The largest version that there ever was, and the commit that had it.
    pub(crate) largest: Option<(Version, String)>,
}

/// Content that differs from what is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Other {
    /// The commit that has it, shortened.
    pub(crate) commit: String,
    /// The files that differ.
    pub(crate) files: Vec<String>,
}

impl History {
    /// Asks the repository whose top folder this is. Where that is none, or not whole, the gaps say so.
    ///
    /// # Errors
    /// git fails at something that it can do in any repository.
    pub(crate) fn read(root: &Path, tree: &Tree) -> anyhow::Result<Self> {
        let git = match Git::open(root) {
            Ok(git) => git,
            Err(reason) => return Ok(Self::unknown(&reason)),
        };
        let releases = git.releases()?;
        let mut history = Self {
            gaps: gap(&git, &releases)?.into_iter().collect(),
            releases,
            ..Self::default()
        };
        if is_release(&tree.application) {
            history.application = past(&git, CHANGELOG, ".", &tree.application, newly_released)?;
        }
        for chart in &tree.charts {
            let (file, folder) = (Chart::file(&chart.name), Chart::folder(&chart.name));
            let read = |text: &str| chart::field(text, Chart::VERSION).map(str::to_owned);
            let past = past(&git, &file, &folder, &chart.version, read)?;
            history.charts.insert(chart.name.clone(), past);
        }
        Ok(history)
    }

    fn unknown(reason: &str) -> Self {
        let gap = format!(
            "whether charts were changed without another version, and which releases are tagged: {reason}"
        );
        Self {
            gaps: vec![gap],
            ..Self::default()
        }
    }
}

fn gap(git: &Git, releases: &[Version]) -> anyhow::Result<Option<String>> {
    let gap = if git.is_shallow()? {
        "what was before the commits that are here: the clone is shallow; `git fetch --unshallow --tags` brings the rest"
    } else if releases.is_empty() {
        "which releases are tagged: no tag v<version> is here; if there are any, `git fetch --tags` brings them"
    } else {
        return Ok(None);
    };
    Ok(Some(gap.to_owned()))
}

/// Looks through all commits that changed `file`, which says the version, and compares what is in `content` with those of this version.
fn past(
    git: &Git,
    file: &str,
    content: &str,
    version: &str,
    read: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Past> {
    let mut past = Past::default();
    for commit in git.commits(file)? {
        let Some(there) = git.file(&commit, file)?.as_deref().and_then(&read) else {
            continue;
        };
        if let Ok(parsed) = Version::parse(&there)
            && past.largest.as_ref().is_none_or(|(most, _)| *most < parsed)
        {
            past.largest = Some((parsed, git::short(&commit)));
        }
        if there == version && past.other.is_none() {
            let files = git.changed(&commit, content)?;
            past.other = (!files.is_empty()).then(|| Other {
                commit: git::short(&commit),
                files,
            });
        }
    }
    Ok(past)
}

/// The version of a release, if it is the changelog of that release's commit: later ones begin with what is not released.
fn newly_released(changelog: &str) -> Option<String> {
    let released = changelog::last_release(changelog).ok()??;
    let is_new = changelog::unreleased(changelog).is_none();
    is_new.then(|| released.to_string())
}

/// Whether a version is one of a release, not one of the development between two.
fn is_release(version: &str) -> bool {
    Version::parse(version).is_ok_and(|version| version.pre.is_empty())
}

#[cfg(test)]
mod tests;
