//! Build script of the three programs: tells them where it is written from which commit they are built.
//!
//! That is git's own log of what was checked out, `logs/HEAD`. Only a `main.rs` reads it (`sinfonia_service::build!`), when it is compiled, so
//! that after a commit nothing else is compiled anew. Where there is no git, or to say something else, `SINFONIA_COMMIT` holds the commit.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Holds the commit, as 7 hexadecimal digits or more. Where it is empty, or says that nobody knows, git is asked.
const VARIABLE: &str = "SINFONIA_COMMIT";
const UNKNOWN: &str = "unknown";

#[expect(
    clippy::print_stdout,
    reason = "that is how a build script talks to cargo"
)]
fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let mut given = env::var(VARIABLE).unwrap_or_default();
    if given == UNKNOWN {
        given.clear();
    }
    let log = if given.is_empty() { log_of_git() } else { None };
    let log = match log {
        Some(Log { file, lasting }) => {
            println!("cargo::rerun-if-changed={}", lasting.display());
            file
        }
        None => written(&given)?,
    };
    println!("cargo::rustc-env=SINFONIA_COMMITS={}", log.display());
    Ok(())
}

/// What git has written down of a checkout.
struct Log {
    /// A line for each commit that was checked out, the newest last, whose second word is that commit.
    file: PathBuf,
    /// A file that is there as long as the checkout belongs to git, and hardly ever changes.
    lasting: PathBuf,
}

fn log_of_git() -> Option<Log> {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let git = packages.parent()?.join(".git");
    let (folder, lasting) = if git.is_dir() {
        (git.clone(), git.join("config"))
    } else {
        // One of several worktrees names its folder.
        let text = fs::read_to_string(&git).ok()?;
        let folder = text.strip_prefix("gitdir:")?.trim();
        (git.parent()?.join(folder), git)
    };
    let file = folder.join("logs/HEAD");
    file.is_file().then_some(Log { file, lasting })
}

/// A log of this commit alone, or of none.
fn written(commit: &str) -> io::Result<PathBuf> {
    let is_commit = commit.len() >= 7 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !commit.is_empty() && !is_commit {
        return Err(io::Error::other(format!(
            "{VARIABLE} is `{commit}`: expected 7 hexadecimal digits of a commit or more, or nothing"
        )));
    }
    let folder = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo gave no OUT_DIR"))?;
    let file = Path::new(&folder).join("commits");
    fs::write(&file, format!("- {commit}\n"))?;
    Ok(file)
}
