//! The control groups of a machine: one of its name in each hierarchy, version 1 or 2.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::MachineError;

const ROOT: &str = "/sys/fs/cgroup";
/// What groups of version 2 can limit, as far as Pods need it.
const CONTROLLERS: &str = "+cpu +cpuset +memory +pids";
/// What a group of `cpuset` has to be told before it can hold a process.
const CPU_SETS: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// Makes the groups.
pub(super) fn make(name: &str) -> Result<(), MachineError> {
    for hierarchy in hierarchies() {
        let path = hierarchy.join(name);
        make_one(&hierarchy, &path).map_err(|source| MachineError::ControlGroup {
            path: path.clone(),
            source,
        })?;
    }
    Ok(())
}

/// Removes the groups and all below them; whether that is done. Groups with processes cannot be removed.
pub(super) fn remove(name: &str) -> bool {
    // One that is in use keeps none of the others.
    let left = hierarchies()
        .into_iter()
        .filter(|hierarchy| remove_all(&hierarchy.join(name)).is_err());
    left.count() == 0
}

fn make_one(hierarchy: &Path, path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    if is_version_2() {
        // What is above may have done it already, or be in use and unable to.
        let _ = fs::write(hierarchy.join("cgroup.subtree_control"), CONTROLLERS);
        return fs::write(path.join("cgroup.subtree_control"), CONTROLLERS);
    }
    for file in CPU_SETS {
        if path.join(file).exists() {
            fs::write(path.join(file), fs::read(hierarchy.join(file))?)?;
        }
    }
    Ok(())
}

fn remove_all(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries.flatten() {
        if entry.file_type()?.is_dir() {
            remove_all(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

fn is_version_2() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

fn hierarchies() -> Vec<PathBuf> {
    if is_version_2() {
        return vec![ROOT.into()];
    }
    let entries = fs::read_dir(ROOT).into_iter().flatten().flatten();
    entries
        // Links stand for hierarchies that have several controllers.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
