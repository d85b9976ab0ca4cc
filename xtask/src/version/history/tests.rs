//! Examples in repositories of their own.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::super::rules::{Fault, faults};
use super::*;

#[test]
fn a_chart_that_changes_has_to_change_its_version() {
    let repository = Repository::new();
    repository.write("charts/sinfonia/values.yaml", "replicas: 2\n");
    repository.commit("Change the chart");

    assert_eq!(
        repository.faults(),
        [format!(
            "error: the chart sinfonia has its version 0.1.0 since commit {}, and charts/sinfonia/values.yaml changed since\n\
             hint: set version in charts/sinfonia/Chart.yaml to 0.1.1",
            repository.commit_of("HEAD~1")
        )]
    );

    repository.set_chart("0.1.1");
    assert_eq!(repository.faults(), [""; 0]);
    repository.commit("Give the chart another version");
    assert_eq!(repository.faults(), [""; 0]);
}

#[test]
fn files_that_are_not_committed_are_changes_too() {
    let repository = Repository::new();
    repository.write("charts/sinfonia/templates/new.yaml", "");

    let faults = repository.faults();

    let [fault] = &faults[..] else {
        panic!("{faults:?}")
    };
    assert!(
        fault.contains("charts/sinfonia/templates/new.yaml changed since"),
        "{fault}"
    );
}

#[test]
fn branches_that_give_a_chart_the_same_version_are_told_apart() {
    let repository = Repository::new();
    repository.git(&["switch", "--quiet", "--create", "other"]);
    repository.write("charts/sinfonia/other.yaml", "");
    repository.set_chart("0.1.1");
    repository.commit("Change the chart one way");
    repository.git(&["switch", "--quiet", "main"]);
    repository.write("charts/sinfonia/values.yaml", "replicas: 2\n");
    repository.set_chart("0.1.1");
    repository.commit("Change the chart another way");
    repository.git(&["merge", "--quiet", "--no-edit", "other"]);

    let faults = repository.faults();

    let [fault] = &faults[..] else {
        panic!("{faults:?}")
    };
    assert!(
        fault.ends_with("set version in charts/sinfonia/Chart.yaml to 0.1.2"),
        "{fault}"
    );
}

#[test]
fn a_chart_that_is_new_has_no_past() {
    let repository = Repository::new();
    repository.write("charts/new/Chart.yaml", "name: new\nversion: 0.1.0\n");

    assert_eq!(repository.faults(), [""; 0]);
}

#[test]
fn a_version_that_goes_back_is_told() {
    let repository = Repository::new();
    repository.set_chart("0.2.0");
    repository.commit("Change the chart");
    repository.set_chart("0.1.1");
    repository.commit("Go back");

    assert_eq!(
        repository.faults(),
        [format!(
            "error: the version 0.1.1 of the chart sinfonia is smaller than 0.2.0, which commit {} has\n\
             hint: set version in charts/sinfonia/Chart.yaml to 0.2.1",
            repository.commit_of("HEAD~1")
        )]
    );
}

#[test]
fn what_follows_a_release_is_development() {
    let repository = Repository::new();
    repository.set_application("0.1.0", "## 0.1.0 - 2026-11-26\n\n- All.\n");
    repository.commit("Release 0.1.0");
    repository.git(&["tag", "v0.1.0"]);
    assert_eq!(repository.faults(), [""; 0]);

    repository.write("README.md", "More.\n");
    repository.commit("Tell more");
    assert_eq!(
        repository.faults(),
        [format!(
            "error: 0.1.0 was released with commit {}, and README.md changed since\n\
             hint: `cargo xtask release --next` makes this a development version",
            repository.commit_of("HEAD~1")
        )]
    );

    let changelog = "## Unreleased\n\n## 0.1.0 - 2026-11-26\n\n- All.\n";
    repository.set_application("0.1.1-dev", changelog);
    assert_eq!(repository.faults(), [""; 0]);
}

#[test]
fn a_version_that_was_there_before_its_release_is_not_released_twice() {
    let repository = Repository::new();
    repository.set_application("0.1.0", "## Unreleased\n");
    repository.commit("Name the first version");
    repository.write("README.md", "More.\n");
    repository.commit("Tell more");

    repository.set_application("0.1.0", "## 0.1.0 - 2026-11-26\n\n- All.\n");
    repository.commit("Release 0.1.0");

    assert_eq!(repository.faults(), [""; 0]);
}

#[test]
fn tags_of_what_is_checked_out_are_releases() {
    let repository = Repository::new();
    for tag in ["v0.0.1", "v0.0.2", "1.0.0", "vacation"] {
        repository.git(&["tag", tag]);
    }

    let expected = [Version::new(0, 0, 1), Version::new(0, 0, 2)];
    assert_eq!(repository.history().releases, expected);
    assert_eq!(repository.history().gaps, [""; 0]);
}

#[test]
fn without_tags_it_says_that_releases_were_not_checked() {
    let gaps = Repository::new().history().gaps;

    insta::assert_snapshot!(gaps.join("\n"), @"which releases are tagged: no tag v<version> is here; if there are any, `git fetch --tags` brings them");
}

#[test]
fn in_a_shallow_clone_it_says_what_was_not_checked() {
    let repository = Repository::new();
    repository.write("README.md", "More.\n");
    repository.commit("Tell more");
    let clone = TempDir::new().unwrap();
    let origin = format!("file://{}", repository.path().display());
    let arguments = ["clone", "--quiet", "--depth", "1", &origin, "."];
    git(clone.path(), &arguments);

    let history = History::read(clone.path(), &Tree::read(clone.path()).unwrap()).unwrap();

    insta::assert_snapshot!(history.gaps.join("\n"), @"what was before the commits that are here: the clone is shallow; `git fetch --unshallow --tags` brings the rest");
}

#[test]
fn in_an_exported_tree_it_says_what_was_not_checked() {
    let repository = Repository::new();
    fs::remove_dir_all(repository.path().join(".git")).unwrap();

    insta::assert_snapshot!(repository.history().gaps.join("\n"), @"whether charts were changed without another version, and which releases are tagged: git says `fatal: not a git repository (or any of the parent directories): .git`");
}

#[test]
fn the_repository_of_something_else_around_it_is_not_asked() {
    let repository = Repository::new();
    let inner = repository.path().join("vendor");
    fs::create_dir(&inner).unwrap();

    let error = Git::open(&inner).unwrap_err();

    assert_eq!(error, "this folder is not the top of a git repository");
}

/// A repository with one commit.
struct Repository(TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(TempDir::new().unwrap());
        repository.git(&["init", "--quiet", "--initial-branch", "main"]);
        repository.set_application("0.1.0-dev", "## Unreleased\n");
        repository.write("charts/sinfonia/values.yaml", "replicas: 1\n");
        repository.set_chart("0.1.0");
        repository.commit("Begin");
        repository
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn set_application(&self, version: &str, changelog: &str) {
        let manifest = format!("[workspace.package]\nversion = \"{version}\"\n");
        self.write("Cargo.toml", &manifest);
        self.write("CHANGELOG.md", changelog);
    }

    fn set_chart(&self, version: &str) {
        let about = format!("name: sinfonia\nversion: {version}\nappVersion: 0.1.0\n");
        self.write("charts/sinfonia/Chart.yaml", &about);
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }

    fn commit_of(&self, revision: &str) -> String {
        let commit = git(self.path(), &["rev-parse", revision]);
        git::short(&commit)
    }

    fn git(&self, arguments: &[&str]) {
        git(self.path(), arguments);
    }

    fn history(&self) -> History {
        let tree = Tree::read(self.path()).unwrap();
        History::read(self.path(), &tree).unwrap()
    }

    fn faults(&self) -> Vec<String> {
        let tree = Tree::read(self.path()).unwrap();
        let history = self.history();
        faults(&tree, &history)
            .iter()
            .map(Fault::to_string)
            .collect()
    }
}

/// Runs git as somebody whose configuration does not matter.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let ran = Command::new("git")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=A", "-c", "user.email=a@example.org"])
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}
