//! The rules that versions keep.
//!
//! The application's version is a development version, such as 0.2.1-dev, except at the very commit of a release. Each chart has a version of
//! its own, which changes whenever anything of the chart does. Sinfonia's chart names the application's last release, and its version is not
//! smaller than that. Until there is a release, that chart names the first one to come.

use std::fmt::{self, Display, Formatter};

use semver::{BuildMetadata, Prerelease, Version};

use super::chart::Chart;
use super::history::{History, Past};
use super::tree::Tree;

/// The chart of this application; those of the others install something else.
pub(crate) const OURS: &str = "sinfonia";
/// Files of one chart that a message names.
const MOST_FILES: usize = 3;

/// A rule that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What is wrong.
    what: String,
    /// What to do about it.
    hint: String,
}

impl Display for Fault {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { what, hint } = self;
        write!(formatter, "error: {what}\nhint: {hint}")
    }
}

/// The rules that are broken, as far as the history tells.
pub(crate) fn faults(tree: &Tree, history: &History) -> Vec<Fault> {
    let Ok(application) = Version::parse(&tree.application) else {
        return vec![Fault {
            what: format!(
                "the application's version `{}` is not SemVer",
                tree.application
            ),
            hint: "set workspace.package.version in Cargo.toml to one such as 0.1.0-dev".to_owned(),
        }];
    };
    let of_application = application_fault(&application, tree, history);
    let of_tags = tag_fault(tree.last_release.as_ref(), &application, history);
    let of_charts = tree.charts.iter().flat_map(|chart| {
        let past = history.charts.get(&chart.name);
        chart_faults(chart, &application, tree.last_release.as_ref(), past)
    });
    of_application
        .into_iter()
        .chain(of_tags)
        .chain(of_charts)
        .collect()
}

/// The version of the development that follows a release: smaller than any release that can come next.
pub(crate) fn development_after(release: &Version) -> Version {
    Version {
        pre: Prerelease::new("dev").unwrap_or(Prerelease::EMPTY),
        ..next_patch(release)
    }
}

/// The release that a version leads to.
pub(crate) fn without_pre_release(version: &Version) -> Version {
    Version::new(version.major, version.minor, version.patch)
}

/// The smallest release that is larger than a version.
pub(crate) fn next_patch(version: &Version) -> Version {
    let mut next = without_pre_release(version);
    if version.pre.is_empty() {
        next.patch += 1;
    }
    next
}

/// The application that the chart of this application has to name.
pub(crate) fn named_by_chart(application: &Version, last_release: Option<&Version>) -> Version {
    let first = || without_pre_release(application);
    last_release.cloned().unwrap_or_else(first)
}

fn application_fault(application: &Version, tree: &Tree, history: &History) -> Option<Fault> {
    let last = tree.last_release.as_ref();
    let next = last.map_or_else(|| development_of(application), development_after);
    let set = |what: String| {
        let hint = format!(
            "set workspace.package.version in Cargo.toml to {next}, or to a larger version of that kind"
        );
        Some(Fault { what, hint })
    };
    if application.build != BuildMetadata::EMPTY {
        return set(format!(
            "the application's version {application} has a `+`, which a container image's tag cannot have"
        ));
    }
    if application.pre.is_empty() {
        return release_fault(application, tree, history, set);
    }
    if let Some(last) = last
        && application <= last
    {
        return set(format!(
            "the application's version {application} is not larger than that of its last release, {last}"
        ));
    }
    (!tree.has_unreleased).then(|| Fault {
        what: "CHANGELOG.md has no section for what is not released yet".to_owned(),
        hint: "add a line `## Unreleased` before the newest release".to_owned(),
    })
}

fn release_fault(
    application: &Version,
    tree: &Tree,
    history: &History,
    set: impl Fn(String) -> Option<Fault>,
) -> Option<Fault> {
    if tree.last_release.as_ref() != Some(application) {
        return set(format!(
            "the application's version {application} is that of a release, of which CHANGELOG.md does not tell"
        ));
    }
    let hint = "`cargo xtask release --next` makes this a development version".to_owned();
    if tree.has_unreleased {
        let what = format!("{application} is released, and CHANGELOG.md has a section for more");
        return Some(Fault { what, hint });
    }
    let other = history.application.other.as_ref()?;
    Some(Fault {
        what: format!(
            "{application} was released with commit {}, and {} changed since",
            other.commit,
            listed(&other.files)
        ),
        hint,
    })
}

/// Where there are tags, the newest one is that of the last release.
fn tag_fault(last: Option<&Version>, application: &Version, history: &History) -> Option<Fault> {
    let newest = history.releases.iter().max()?;
    if last < Some(newest) {
        return Some(Fault {
            what: format!(
                "there is a tag v{newest}, and CHANGELOG.md does not tell of that release"
            ),
            hint: format!("give it a section `## {newest} - <date>`"),
        });
    }
    let last = last.filter(|&last| last != newest && last != application)?;
    Some(Fault {
        what: format!("CHANGELOG.md tells of the release {last}, which has no tag v{last}"),
        hint: "`git fetch --tags`, or tag the commit of that release".to_owned(),
    })
}

fn chart_faults(
    chart: &Chart,
    application: &Version,
    last: Option<&Version>,
    past: Option<&Past>,
) -> Vec<Fault> {
    let Ok(version) = Version::parse(&chart.version) else {
        return vec![Fault {
            what: format!(
                "the version `{}` of the chart {} is not strict SemVer",
                chart.version, chart.name
            ),
            hint: format!(
                "set version in {} to one such as 0.1.0",
                Chart::file(&chart.name)
            ),
        }];
    };
    let of_past = past.and_then(|past| past_fault(chart, &version, past));
    let ours = (chart.name == OURS).then(|| our_faults(chart, &version, application, last));
    of_past
        .into_iter()
        .chain(ours.into_iter().flatten())
        .collect()
}

fn past_fault(chart: &Chart, version: &Version, past: &Past) -> Option<Fault> {
    let name = &chart.name;
    let (largest, commit) = past.largest.as_ref()?;
    let what = if largest > version {
        format!(
            "the version {version} of the chart {name} is smaller than {largest}, which commit {commit} has"
        )
    } else {
        let other = past.other.as_ref()?;
        let files = listed(&other.files);
        format!(
            "the chart {name} has its version {version} since commit {}, and {files} changed since",
            other.commit
        )
    };
    let next = next_patch(largest.max(version));
    let file = Chart::file(name);
    let recipes = if name == OURS {
        ""
    } else {
        ", and in the recipes of examples/recipes that name it"
    };
    Some(Fault {
        what,
        hint: format!("set version in {file} to {next}{recipes}"),
    })
}

fn our_faults(
    chart: &Chart,
    version: &Version,
    application: &Version,
    last: Option<&Version>,
) -> Vec<Fault> {
    let file = Chart::file(&chart.name);
    let mut faults = Vec::new();
    if let Some(last) = last.filter(|&last| version < last) {
        faults.push(Fault {
            what: format!("the version {version} of the chart {OURS} is smaller than the application's last release, {last}"),
            hint: format!("set version in {file} to {last}"),
        });
    }
    let named = named_by_chart(application, last);
    if chart.app_version != named.to_string() {
        let why = if last.is_some() {
            "the last release of the application"
        } else {
            "the first release to come, because there is none yet"
        };
        faults.push(Fault {
            what: format!(
                "the appVersion of the chart {OURS} is `{}`",
                chart.app_version
            ),
            hint: format!("set appVersion in {file} to {named}, {why}"),
        });
    }
    faults
}

/// The development version that leads to the same release.
fn development_of(application: &Version) -> Version {
    Version {
        pre: Prerelease::new("dev").unwrap_or(Prerelease::EMPTY),
        ..without_pre_release(application)
    }
}

/// Some files in words.
fn listed(files: &[String]) -> String {
    let named = files[..files.len().min(MOST_FILES)].join(", ");
    match files.len().saturating_sub(MOST_FILES) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
