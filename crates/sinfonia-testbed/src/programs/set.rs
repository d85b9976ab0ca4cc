//! Building the programs of others from pinned Go modules.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use sinfonia_service::process::spawn_bound;

use crate::cache::cache_folder;

/// Time between two reports of how far a build is.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Lines of Go's output that are shown when it fails.
const LAST_LINES: usize = 20;

/// Programs that are built together, from one Go module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramSet {
    /// etcd, kube-apiserver, kube-controller-manager.
    Kubernetes,
    /// helm 4.
    Helm4,
    /// helm 3.
    Helm3,
    /// Prometheus.
    Prometheus,
}

/// How far a build is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Time since it began.
    pub elapsed: Duration,
    /// Modules that Go has fetched for it.
    pub downloaded: usize,
    /// Packages that Go has compiled for it.
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
    /// Go gave up.
    #[error("cannot build {set}; go said:\n{output}")]
    Failed {
        /// What was built.
        set: &'static str,
        /// The last lines of Go's output.
        output: String,
    },
}

struct Module {
    go_mod: &'static str,
    go_sum: &'static str,
}

macro_rules! module {
    ($name:literal) => {
        Module {
            go_mod: include_str!(concat!("../../programs/", $name, "/go.mod")),
            go_sum: include_str!(concat!("../../programs/", $name, "/go.sum")),
        }
    };
}

impl ProgramSet {
    /// All there are, in the order in which they are built.
    pub const ALL: [Self; 4] = [Self::Kubernetes, Self::Helm4, Self::Helm3, Self::Prometheus];

    /// Its name, as in the names of folders.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Helm4 => "helm4",
            Self::Helm3 => "helm3",
            Self::Prometheus => "prometheus",
        }
    }

    /// Its programs, as people call them.
    pub const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Kubernetes => &["etcd", "kube-apiserver", "kube-controller-manager"],
            Self::Helm4 => &["helm 4"],
            Self::Helm3 => &["helm 3"],
            Self::Prometheus => &["prometheus"],
        }
    }

    /// How long a build takes where nothing was fetched or compiled before, on 2 cores.
    pub const fn usual_time(self) -> Duration {
        match self {
            Self::Kubernetes => Duration::from_secs(11 * 60),
            Self::Helm4 | Self::Helm3 => Duration::from_secs(3 * 60),
            Self::Prometheus => Duration::from_secs(4 * 60),
        }
    }

    /// Where it is built: a folder of this very version, outside the source tree.
    pub fn folder(self) -> PathBuf {
        let module = self.module();
        let mut hash = Sha256::new();
        hash.update(module.go_mod);
        hash.update(module.go_sum);
        let hash: String = hash
            .finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        cache_folder().join(format!("{}-{hash}", self.name()))
    }

    /// Builds it, unless that was done before. Other builds of the same user wait meanwhile.
    ///
    /// # Errors
    /// Go is not there, or cannot fetch or compile something, or the folder cannot be written.
    pub fn build(self, mut report: impl FnMut(Progress)) -> Result<(), BuildError> {
        let cache = cache_folder();
        create_folder(&cache)?;
        let _lock = lock(&cache.join("build.lock"))?;
        let folder = self.folder();
        if folder.is_dir() {
            return Ok(());
        }
        let unfinished = tempfile::Builder::new()
            .prefix(&format!(".{}-", self.name()))
            .tempdir_in(&cache)
            .map_err(writing(&cache))?;
        let module = unfinished.path().join("module");
        let programs = unfinished.path().join("programs");
        create_folder(&module)?;
        create_folder(&programs)?;
        for (name, text) in [
            ("go.mod", self.module().go_mod),
            ("go.sum", self.module().go_sum),
        ] {
            let path = module.join(name);
            fs::write(&path, text).map_err(writing(&path))?;
        }
        self.run_go(&module, &programs, &mut report)?;
        fs::rename(&programs, &folder).map_err(writing(&folder))
    }

    /// The names of its files, in the order of [`Self::programs`].
    pub(super) const fn files(self) -> &'static [&'static str] {
        match self {
            // The Go package of etcd's program is called `server`.
            Self::Kubernetes => &["server", "kube-apiserver", "kube-controller-manager"],
            Self::Helm4 | Self::Helm3 => &["helm"],
            Self::Prometheus => &["prometheus"],
        }
    }

    const fn module(self) -> Module {
        match self {
            Self::Kubernetes => module!("kubernetes"),
            Self::Helm4 => module!("helm4"),
            Self::Helm3 => module!("helm3"),
            Self::Prometheus => module!("prometheus"),
        }
    }

    fn arguments(self) -> Vec<String> {
        let mut linker = "-s -w".to_owned();
        if self == Self::Kubernetes {
            // Without it the server reports a version that helm and kubectl cannot parse.
            let version = kubernetes_version(self.module().go_mod);
            linker += &format!(" -X k8s.io/component-base/version.gitVersion={version}");
        }
        let mut arguments: Vec<_> = ["build", "-v", "-trimpath", "-ldflags"]
            .map(str::to_owned)
            .into();
        arguments.push(linker);
        if self == Self::Prometheus {
            // Only targets that a file names are scraped.
            arguments.extend(["-tags", "remove_all_sd"].map(str::to_owned));
        }
        arguments
    }

    fn run_go(
        self,
        module: &Path,
        programs: &Path,
        report: &mut impl FnMut(Progress),
    ) -> Result<(), BuildError> {
        let begun = Instant::now();
        let mut command = Command::new("go");
        command
            .args(self.arguments())
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
        let mut go = spawn_bound(command).map_err(BuildError::Go)?;
        let (sender, lines) = std::sync::mpsc::channel();
        if let Some(stderr) = go.stderr.take() {
            thread::spawn(move || send_lines(stderr, &sender));
        }
        let mut output = Vec::new();
        let mut progress = Progress {
            elapsed: Duration::ZERO,
            downloaded: 0,
            compiled: 0,
        };
        let mut next_report = Instant::now();
        loop {
            use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
            match lines.recv_timeout(REPORT_EVERY) {
                Ok(line) => {
                    progress.count(&line);
                    output.push(line);
                }
                Err(Timeout) => {}
                Err(Disconnected) => break,
            }
            if Instant::now() >= next_report {
                next_report = Instant::now() + REPORT_EVERY;
                progress.elapsed = begun.elapsed();
                report(progress);
            }
        }
        if go.wait().map_err(BuildError::Go)?.success() {
            return Ok(());
        }
        let first = output.len().saturating_sub(LAST_LINES);
        Err(BuildError::Failed {
            set: self.name(),
            output: output[first..].join("\n"),
        })
    }
}

impl Progress {
    fn count(&mut self, line: &str) {
        if line.starts_with("go: downloading ") {
            self.downloaded += 1;
        } else if !line.contains(' ') {
            self.compiled += 1;
        }
    }
}

/// The version of `k8s.io/kubernetes` in this module, such as `v1.37.2`.
fn kubernetes_version(go_mod: &str) -> &str {
    go_mod
        .lines()
        .filter_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))
        .find_map(|rest| rest.split(' ').next())
        .unwrap_or("v1.0.0")
}

fn send_lines(output: impl Read, sender: &std::sync::mpsc::Sender<String>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if sender.send(line).is_err() {
            return;
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
    fn each_set_has_a_folder_of_its_own_version() {
        let folders = ProgramSet::ALL.map(ProgramSet::folder);

        for (set, folder) in ProgramSet::ALL.into_iter().zip(&folders) {
            let name = folder.file_name().unwrap().to_str().unwrap();
            let (before, hash) = name.rsplit_once('-').unwrap();
            assert_eq!(before, set.name());
            assert_eq!(hash.len(), 16);
        }
    }

    #[test]
    fn the_api_server_is_told_the_version_of_its_module() {
        let module = "require (\n\tk8s.io/kubectl v0.37.2 // indirect\n\tk8s.io/kubernetes v1.37.2 // indirect\n)";

        assert_eq!(kubernetes_version(module), "v1.37.2");
        let pinned = kubernetes_version(ProgramSet::Kubernetes.module().go_mod);
        assert!(pinned.starts_with("v1.") && pinned != "v1.0.0", "{pinned}");
    }

    #[test]
    fn progress_tells_downloads_from_packages() {
        let mut progress = Progress {
            elapsed: Duration::ZERO,
            downloaded: 0,
            compiled: 0,
        };

        for line in [
            "go: downloading k8s.io/api v0.37.2",
            "k8s.io/api/core/v1",
            "# something went wrong",
        ] {
            progress.count(line);
        }

        assert_eq!((progress.downloaded, progress.compiled), (1, 1));
    }
}
