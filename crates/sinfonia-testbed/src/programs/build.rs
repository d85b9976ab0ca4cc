//! Building the programs of others from pinned sources.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use sinfonia_service::process::spawn_bound;

use super::ProgramSet;
use super::set::{Crate, Module, Source};
use crate::cache::cache_folder;

/// Time between two reports of how far a build is.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Lines of the output that are shown when it fails.
const LAST_LINES: usize = 20;

/// How far a build is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Time since it began.
    pub elapsed: Duration,
    /// Modules or crates that were fetched for it.
    pub downloaded: usize,
    /// Packages that were compiled for it.
    pub compiled: usize,
}

/// Why programs cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Files cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Go is not there.
    #[error("cannot run go\nhint: install Go 1.26 or newer, then cargo xtask testbed build")]
    Go(#[source] io::Error),
    /// Cargo is not there.
    #[error("cannot run cargo")]
    Cargo(#[source] io::Error),
    /// Go or cargo gave up.
    #[error("cannot build {set}; this is what was said last:\n{output}")]
    Failed {
        /// What was built.
        set: &'static str,
        /// The last lines of the output.
        output: String,
    },
}

impl ProgramSet {
    /// Builds it, unless that was done before. Other builds of the same user wait meanwhile.
    ///
    /// # Errors
    /// Go or cargo is not there, or cannot fetch or compile something, or the folder cannot be written.
    pub fn build(self, mut report: impl FnMut(Progress)) -> Result<(), BuildError> {
        let cache = cache_folder();
        create_folder(&cache)?;
        let _lock = lock(&cache.join("build.lock"))?;
        let folder = self.folder();
        let is_there = |name: &&str| folder.join(name).is_file();
        if self.files().iter().all(is_there) {
            return Ok(());
        }
        remove_unfinished(&cache);
        let unfinished = tempfile::Builder::new()
            .prefix(&format!(".{}-", self.name()))
            .tempdir_in(&cache)
            .map_err(writing(&cache))?;
        let module = unfinished.path().join("module");
        let programs = unfinished.path().join("programs");
        create_folder(&module)?;
        create_folder(&programs)?;
        match self.source() {
            Source::Go(source) => {
                for (name, text) in [("go.mod", source.go_mod), ("go.sum", source.go_sum)] {
                    let path = module.join(name);
                    fs::write(&path, text).map_err(writing(&path))?;
                }
                let go = self.go(&source, &module, &programs);
                self.run(go, BuildError::Go, &mut report)?;
            }
            Source::Crate(source) => {
                let cargo = cargo(source, &module, &programs);
                self.run(cargo, BuildError::Cargo, &mut report)?;
            }
        }
        // One that lacks a program is in the way.
        let _ = fs::remove_dir_all(&folder);
        fs::rename(&programs, &folder).map_err(writing(&folder))
    }

    fn run(
        self,
        builder: Command,
        not_there: fn(io::Error) -> BuildError,
        report: &mut impl FnMut(Progress),
    ) -> Result<(), BuildError> {
        let mut builder = spawn_bound(builder).map_err(not_there)?;
        let output = follow(&lines_of(&mut builder), report);
        if builder.wait().map_err(not_there)?.success() {
            return Ok(());
        }
        let first = output.len().saturating_sub(LAST_LINES);
        Err(BuildError::Failed {
            set: self.name(),
            output: output[first..].join("\n"),
        })
    }

    fn go(self, source: &Module, module: &Path, programs: &Path) -> Command {
        let mut command = Command::new("go");
        command
            .args(self.arguments(source))
            .arg("-o")
            // The slash makes it a folder.
            .arg(programs.join(""))
            .arg("tool")
            .current_dir(module)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .env("GOFLAGS", "-mod=readonly")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }
}

/// What installs a crate's program; what it compiles on the way stays in the folder `target`, which goes.
fn cargo(source: Crate, target: &Path, programs: &Path) -> Command {
    // Cargo tells those that it runs which one it is.
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["install", "--locked", "--version", source.version])
        .arg("--root")
        .arg(programs)
        .arg("--target-dir")
        .arg(target)
        .arg(source.name)
        // Settings of a workspace around are not those of this crate.
        .current_dir(target)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Reads what a build says, tells how far it is, and returns all of it.
fn follow(lines: &Receiver<String>, report: &mut impl FnMut(Progress)) -> Vec<String> {
    let begun = Instant::now();
    let mut next_report = begun;
    let mut output = Vec::new();
    let mut progress = Progress::default();
    loop {
        match lines.recv_timeout(REPORT_EVERY) {
            Ok(line) => {
                progress.count(&line);
                output.push(line);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return output,
        }
        if Instant::now() >= next_report {
            next_report = Instant::now() + REPORT_EVERY;
            progress.elapsed = begun.elapsed();
            report(progress);
        }
    }
}

fn lines_of(builder: &mut Child) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    if let Some(stderr) = builder.stderr.take() {
        thread::spawn(move || send_lines(stderr, &sender));
    }
    lines
}

impl Progress {
    fn count(&mut self, line: &str) {
        let line = line.trim_start();
        if line.starts_with("go: downloading ") || line.starts_with("Downloaded ") {
            self.downloaded += 1;
        } else if line.starts_with("Compiling ") || !line.contains(' ') {
            self.compiled += 1;
        }
    }
}

fn send_lines(output: impl Read, sender: &Sender<String>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if sender.send(line).is_err() {
            return;
        }
    }
}

/// Removes what builds left that were interrupted. None runs now, as this one holds the lock.
fn remove_unfinished(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            // It is no more than in the way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn lock(path: &Path) -> Result<File, BuildError> {
    let file = File::create(path).map_err(writing(path))?;
    file.lock().map_err(writing(path))?;
    Ok(file)
}

fn create_folder(path: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(path).map_err(writing(path))
}

fn writing(path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::Write { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_downloads_from_packages() {
        let mut progress = Progress::default();

        for line in [
            "go: downloading k8s.io/api v0.37.2",
            "k8s.io/api/core/v1",
            "# something went wrong",
            "  Downloaded clap v4.0.27",
            "   Compiling clap v4.0.27",
            "  Installing bin/program",
        ] {
            progress.count(line);
        }

        assert_eq!((progress.downloaded, progress.compiled), (2, 2));
    }
}
