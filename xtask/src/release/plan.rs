//! What a release changes, as texts of files.

use std::path::Path;

use anyhow::{Context, ensure};
use jiff::civil::Date;
use semver::Version;

use super::Level;
use crate::version::chart::{Chart, field, with_field};
use crate::version::rules::{
    OURS, development_after, named_by_chart, next_patch, without_pre_release,
};
use crate::version::tree::{CHANGELOG, MANIFEST, Tree, text};
use crate::version::{changelog, manifest};

/// The files that hold the versions of packages, that of the fuzz target too, which is a workspace of its own.
const LOCKS: [&str; 2] = ["Cargo.lock", "crates/sinfonia-tunnel/fuzz/Cargo.lock"];

/// The files that say versions.
#[derive(Debug, Clone)]
pub(super) struct Files {
    manifest: String,
    locks: [String; 2],
    chart: String,
    changelog: String,
}

/// A file that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// Its path from the workspace's folder.
    pub(super) file: String,
    /// What changes, in a line.
    pub(super) what: String,
    /// Its new text.
    pub(super) text: String,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Release {
    /// The files that change.
    pub(super) changes: Vec<Change>,
    /// What its tag says.
    pub(super) message: String,
}

impl Files {
    /// Reads them under a workspace's folder.
    ///
    /// # Errors
    /// One cannot be read.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let [ours, fuzz] = LOCKS;
        Ok(Self {
            manifest: text(root, MANIFEST)?,
            locks: [text(root, ours)?, text(root, fuzz)?],
            chart: text(root, &Chart::file(OURS))?,
            changelog: text(root, CHANGELOG)?,
        })
    }

    /// Another version of the application.
    fn with_application(&self, new: &Version) -> anyhow::Result<Vec<Change>> {
        let old = manifest::version(&self.manifest)?;
        let new = new.to_string();
        let mut changes = vec![Change {
            file: MANIFEST.to_owned(),
            what: changed("version", &old, &new),
            text: manifest::with_version(&self.manifest, &new)?,
        }];
        for (file, lock) in LOCKS.iter().zip(&self.locks) {
            changes.push(Change {
                file: (*file).to_owned(),
                what: changed("versions", &old, &new),
                text: manifest::with_locked_version(lock, &old, &new)?,
            });
        }
        Ok(changes)
    }

    /// The chart that installs this release.
    fn with_chart_of(&self, release: &Version) -> anyhow::Result<Change> {
        let file = Chart::file(OURS);
        let old = Chart::read(OURS, &self.chart);
        let version = Version::parse(&old.version)
            .with_context(|| format!("the version in {file} is not SemVer"))?;
        let version = next_patch(&version).max(release.clone()).to_string();
        let app_version = release.to_string();
        let text = with_field(&self.chart, Chart::VERSION, &version)
            .and_then(|text| with_field(&text, Chart::APP_VERSION, &app_version))
            .with_context(|| format!("cannot change {file}"))?;
        let versions = changed(Chart::VERSION, &old.version, &version);
        let app_versions = changed(Chart::APP_VERSION, &old.app_version, &app_version);
        Ok(Change {
            file,
            what: format!("{versions}, {app_versions}"),
            text,
        })
    }
}

/// The version that is to be released.
///
/// # Errors
/// What is checked out is a release itself.
pub(super) fn release_of(tree: &Tree, level: Option<Level>) -> anyhow::Result<Version> {
    let application = Version::parse(&tree.application).context("Cargo.toml's version")?;
    ensure!(
        !application.pre.is_empty(),
        "{application} is a release already\nhint: `cargo xtask release --next` opens the development that follows it"
    );
    let Some(level) = level else {
        return Ok(without_pre_release(&application));
    };
    let none = Version::new(0, 0, 0);
    let last = tree.last_release.as_ref().unwrap_or(&none);
    let version = match level {
        Level::Patch => Version::new(last.major, last.minor, last.patch + 1),
        Level::Minor => Version::new(last.major, last.minor + 1, 0),
        Level::Major => Version::new(last.major + 1, 0, 0),
    };
    ensure!(
        version > application,
        "{version} is smaller than the development version {application}\nhint: `cargo xtask release` without a level makes {}",
        without_pre_release(&application)
    );
    Ok(version)
}

/// What changes with a release on this day.
///
/// # Errors
/// A file is not as it should be, or there is nothing to release.
pub(super) fn release(files: &Files, version: &Version, date: Date) -> anyhow::Result<Release> {
    let news = changelog::unreleased(&files.changelog).unwrap_or_default();
    let changelog = Change {
        file: CHANGELOG.to_owned(),
        what: format!("what is not released becomes {version}, {date}"),
        text: changelog::released(&files.changelog, version, date)?,
    };
    let mut changes = files.with_application(version)?;
    changes.push(files.with_chart_of(version)?);
    changes.push(changelog);
    Ok(Release {
        changes,
        message: format!("Sinfonia {version}\n\n{news}\n"),
    })
}

/// What changes when the development after a release begins. The chart stays as it was released.
///
/// # Errors
/// The files are not those of a release.
pub(super) fn next(files: &Files) -> anyhow::Result<Vec<Change>> {
    let released = Version::parse(&manifest::version(&files.manifest)?)?;
    ensure!(
        released.pre.is_empty(),
        "{released} is a development version already"
    );
    let last = changelog::last_release(&files.changelog)?;
    let named = field(&files.chart, Chart::APP_VERSION).unwrap_or_default();
    ensure!(
        last.as_ref() == Some(&released)
            && named == named_by_chart(&released, last.as_ref()).to_string(),
        "CHANGELOG.md and charts/{OURS} do not tell of a release {released}\nhint: `cargo xtask version --check` says more"
    );
    let mut changes = files.with_application(&development_after(&released))?;
    changes.push(Change {
        file: CHANGELOG.to_owned(),
        what: "a section for what is not released".to_owned(),
        text: changelog::reopened(&files.changelog),
    });
    Ok(changes)
}

fn changed(what: &str, old: &str, new: &str) -> String {
    format!("{what} {old} → {new}")
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::first_by_default("0.1.0-dev", None, None, "0.1.0")]
    #[case::first_minor("0.1.0-dev", None, Some(Level::Minor), "0.1.0")]
    #[case::what_it_leads_to("0.2.0-dev", Some("0.1.3"), None, "0.2.0")]
    #[case::patch("0.1.4-dev", Some("0.1.3"), Some(Level::Patch), "0.1.4")]
    #[case::minor("0.1.4-dev", Some("0.1.3"), Some(Level::Minor), "0.2.0")]
    #[case::major("0.1.4-dev", Some("0.1.3"), Some(Level::Major), "1.0.0")]
    fn the_release_follows_the_last_one(
        #[case] application: &str,
        #[case] last: Option<&str>,
        #[case] level: Option<Level>,
        #[case] expected: &str,
    ) {
        let tree = tree(application, last);

        assert_eq!(release_of(&tree, level).unwrap().to_string(), expected);
    }

    #[test]
    fn a_release_is_not_released_again() {
        let error = release_of(&tree("0.1.0", Some("0.1.0")), Some(Level::Minor)).unwrap_err();

        insta::assert_snapshot!(error, @r"
        0.1.0 is a release already
        hint: `cargo xtask release --next` opens the development that follows it
        ");
    }

    #[rstest]
    #[case::none_yet("0.1.0-dev", None)]
    #[case::another_level_was_begun("0.2.0-dev", Some("0.1.3"))]
    fn a_release_is_never_behind_the_development(
        #[case] application: &str,
        #[case] last: Option<&str>,
    ) {
        assert!(release_of(&tree(application, last), Some(Level::Patch)).is_err());
    }

    #[test]
    fn a_release_and_the_development_after_it_change_these_files() {
        let files = files();

        let release = release(&files, &Version::new(0, 2, 0), date(2026, 11, 26)).unwrap();
        let released = with(&files, &release.changes);
        let next = next(&released).unwrap();

        let told = [
            told(&release.changes),
            format!("the tag's message:\n{}", release.message),
            told(&next),
        ];
        insta::assert_snapshot!(told.join("\n\n"));
    }

    #[rstest]
    #[case::behind_the_application("0.1.7", "0.2.0", "0.2.0")]
    #[case::equal("0.2.0", "0.2.0", "0.2.1")]
    #[case::ahead("0.2.4", "0.2.0", "0.2.5")]
    #[case::on_its_way("0.3.0-rc.1", "0.2.0", "0.3.0")]
    fn the_charts_version_grows_with_each_release(
        #[case] chart: &str,
        #[case] release: &str,
        #[case] expected: &str,
    ) {
        let mut files = files();
        files.chart = format!("version: {chart}\nappVersion: 0.1.0\n");

        let change = files.with_chart_of(&release.parse().unwrap()).unwrap();

        let version = format!("version: {expected}\nappVersion: {release}\n");
        assert_eq!(change.text, version);
    }

    #[test]
    fn development_follows_a_release_alone() {
        let error = next(&files()).unwrap_err();

        assert_eq!(
            error.to_string(),
            "0.1.1-dev is a development version already"
        );
    }

    #[test]
    fn a_version_that_only_cargo_knows_is_no_release() {
        let mut files = files();
        files.manifest = files.manifest.replace("0.1.1-dev", "0.1.1");

        insta::assert_snapshot!(next(&files).unwrap_err(), @r"
        CHANGELOG.md and charts/sinfonia do not tell of a release 0.1.1
        hint: `cargo xtask version --check` says more
        ");
    }

    fn tree(application: &str, last: Option<&str>) -> Tree {
        Tree {
            application: application.to_owned(),
            last_release: last.map(|last| last.parse().unwrap()),
            has_unreleased: true,
            charts: Vec::new(),
        }
    }

    /// The files between the releases 0.1.0 and 0.2.0.
    fn files() -> Files {
        let lock = |name| format!("[[package]]\nname = \"{name}\"\nversion = \"0.1.1-dev\"\n");
        Files {
            manifest: "[workspace.package]\nversion = \"0.1.1-dev\"\n".to_owned(),
            locks: ["sinfonia-core", "sinfonia-tunnel"].map(lock),
            chart: "name: sinfonia\nversion: 0.1.2\nappVersion: 0.1.0\n".to_owned(),
            changelog:
                "# Changelog\n\n## Unreleased\n\n- A tyre.\n\n## 0.1.0 - 2026-11-01\n\n- A wheel.\n"
                    .to_owned(),
        }
    }

    fn with(files: &Files, changes: &[Change]) -> Files {
        let mut files = files.clone();
        for change in changes {
            let text = change.text.clone();
            match change.file.as_str() {
                MANIFEST => files.manifest = text,
                CHANGELOG => files.changelog = text,
                "charts/sinfonia/Chart.yaml" => files.chart = text,
                lock => files.locks[LOCKS.iter().position(|&name| name == lock).unwrap()] = text,
            }
        }
        files
    }

    fn told(changes: &[Change]) -> String {
        let told = changes
            .iter()
            .map(|Change { file, what, text }| format!("{file}: {what}\n{text}"));
        told.collect::<Vec<_>>().join("\n")
    }
}
