//! Where the workspace's programs are.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The three tiers' programs of one build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// `sinfonia-tier1`.
    pub tier1: PathBuf,
    /// `sinfonia-tier2`.
    pub tier2: PathBuf,
    /// `sinfonia-tier3`.
    pub tier3: PathBuf,
}

/// Why the programs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MissingBinary {
    /// A program was not built.
    #[error("{} was not built\nhint: cargo build --workspace --bins", .0.display())]
    NotBuilt(PathBuf),
    /// The running program does not know where it is.
    #[error("cannot tell where the running program is")]
    CurrentProgram(#[source] io::Error),
}

impl Binaries {
    /// The programs in this folder, such as `target/debug`.
    ///
    /// # Errors
    /// One of them was not built.
    pub fn in_folder(folder: &Path) -> Result<Self, MissingBinary> {
        let find = |name: &str| {
            let path = folder.join(name);
            if path.is_file() {
                Ok(path)
            } else {
                Err(MissingBinary::NotBuilt(path))
            }
        };
        Ok(Self {
            tier1: find("sinfonia-tier1")?,
            tier2: find("sinfonia-tier2")?,
            tier3: find("sinfonia-tier3")?,
        })
    }

    /// The programs of the build that the running test or program belongs to.
    ///
    /// # Errors
    /// One of them was not built.
    pub fn of_this_build() -> Result<Self, MissingBinary> {
        let program = std::env::current_exe().map_err(MissingBinary::CurrentProgram)?;
        // Tests live in target/<profile>/deps, programs in target/<profile>.
        let mut folder = program.parent().unwrap_or(Path::new("."));
        if folder.ends_with("deps") {
            folder = folder.parent().unwrap_or(folder);
        }
        Self::in_folder(folder)
    }
}

/// A command that runs a program of ours without what the environment says to others of its kind: settings, what to log, where traces go.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_setting = text.starts_with("SINFONIA_") || text.starts_with("OTEL_");
        if is_setting || text == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestFolder;

    #[test]
    fn a_program_that_was_not_built_is_told_with_the_command_that_builds_it() {
        let folder = TestFolder::new().unwrap();

        let missing = Binaries::in_folder(folder.path()).unwrap_err();

        let path = folder.path().join("sinfonia-tier1");
        let expected = format!(
            "{} was not built\nhint: cargo build --workspace --bins",
            path.display()
        );
        assert_eq!(missing.to_string(), expected);
    }
}
