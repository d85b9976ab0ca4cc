//! Where the programs of others are that the test bed starts.

mod build;
mod node;
mod set;

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use self::build::{BuildError, Progress};
pub use self::node::{MissingNodeProgram, NodePrograms};
pub use self::set::ProgramSet;

/// The folder of Kubernetes' programs, as other test suites know it.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// Checks rules and tests them.
const PROMTOOL: &str = "promtool";

/// The programs of others that the test bed starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// etcd.
    pub etcd: PathBuf,
    /// kube-apiserver.
    pub kube_apiserver: PathBuf,
    /// kube-controller-manager.
    pub kube_controller_manager: PathBuf,
    /// helm 4.
    pub helm4: PathBuf,
    /// helm 3.
    pub helm3: PathBuf,
    /// Prometheus.
    pub prometheus: PathBuf,
}

/// A program is nowhere.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{program} is neither in {ASSETS}, nor on PATH, nor in {}\nhint: cargo xtask testbed build",
    folder.display()
)]
pub struct MissingProgram {
    /// Its name.
    pub program: &'static str,
    /// Where the test bed would have built it.
    pub folder: PathBuf,
}

impl fmt::Debug for MissingProgram {
    /// The text with the hint: it is what a test shows that unwraps.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl Programs {
    /// Finds the programs: in `KUBEBUILDER_ASSETS`, on PATH, or where `cargo xtask testbed build` puts them, the first that has them.
    ///
    /// # Errors
    /// One of them is nowhere; the text says what builds it.
    pub fn find_or_hint() -> Result<Self, MissingProgram> {
        let kubernetes = control_plane().ok_or_else(|| ProgramSet::Kubernetes.missing())?;
        let [etcd, kube_apiserver, kube_controller_manager] = kubernetes;
        Ok(Self {
            etcd,
            kube_apiserver,
            kube_controller_manager,
            helm4: ProgramSet::Helm4.require_single()?,
            helm3: ProgramSet::Helm3.require_single()?,
            prometheus: ProgramSet::Prometheus.require_single()?,
        })
    }

    /// Finds helm 4 alone: on PATH, or where `cargo xtask testbed build` puts it.
    ///
    /// # Errors
    /// It is nowhere; the text says what builds it.
    pub fn helm_or_hint() -> Result<PathBuf, MissingProgram> {
        ProgramSet::Helm4.require_single()
    }

    /// Finds promtool, which only the tests of alert rules start: on PATH, or where `cargo xtask testbed build` puts it.
    ///
    /// # Errors
    /// It is nowhere; the text says what builds it.
    pub fn promtool_or_hint() -> Result<PathBuf, MissingProgram> {
        promtool().ok_or_else(|| MissingProgram {
            program: PROMTOOL,
            folder: ProgramSet::Prometheus.folder(),
        })
    }

    /// Finds wireguard-go, which only the tests of the tunnel start: on PATH, or where `cargo xtask testbed build` puts it.
    ///
    /// # Errors
    /// It is nowhere; the text says what builds it.
    pub fn wireguard_or_hint() -> Result<PathBuf, MissingProgram> {
        ProgramSet::Wireguard.require_single()
    }

    /// Finds the exporter of WireGuard's metrics: on PATH, or where `cargo xtask testbed build` puts it.
    ///
    /// # Errors
    /// It is nowhere; the text says what builds it.
    pub fn wireguard_exporter_or_hint() -> Result<PathBuf, MissingProgram> {
        ProgramSet::WireguardExporter.require_single()
    }
}

impl ProgramSet {
    /// Whether its programs are there, built by the test bed or not.
    pub fn is_there(self) -> bool {
        match self {
            Self::Kubernetes => control_plane().is_some(),
            Self::Prometheus => self.single().is_some() && promtool().is_some(),
            Self::Helm4
            | Self::Helm3
            | Self::Wireguard
            | Self::WireguardExporter
            | Self::CoreDns => self.single().is_some(),
            Self::Node | Self::Containerd => self.several().is_some(),
        }
    }

    fn missing(self) -> MissingProgram {
        MissingProgram {
            program: self.programs()[0],
            folder: self.folder(),
        }
    }

    fn require_single(self) -> Result<PathBuf, MissingProgram> {
        self.single().ok_or_else(|| self.missing())
    }

    /// The program of a set that has only one, or its first.
    fn single(self) -> Option<PathBuf> {
        let built = || Some(self.folder().join(self.files()[0])).filter(|path| path.is_file());
        match self {
            Self::Helm4 => helm_on_path("v4.").or_else(built),
            Self::Helm3 => helm_on_path("v3.").or_else(built),
            _ => on_path(self.programs()[0]).or_else(built),
        }
    }

    fn require_several(self) -> Result<Vec<PathBuf>, MissingProgram> {
        self.several().ok_or_else(|| self.missing())
    }

    /// The programs of a set, all from one place, so that their versions fit.
    fn several(self) -> Option<Vec<PathBuf>> {
        let folder = self.folder();
        let on_path = self.programs().iter().map(|program| on_path(program));
        let built = self.files().iter().map(|file| in_folder(&folder, file));
        on_path.collect::<Option<_>>().or_else(|| built.collect())
    }
}

/// Where programs may be, in the order in which they are taken.
#[derive(Debug, Clone, Copy)]
enum Place {
    Assets,
    Path,
    Built,
}

impl Place {
    const ALL: [Self; 3] = [Self::Assets, Self::Path, Self::Built];

    /// Finds a program of the control plane here.
    fn find(self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Assets => in_folder(&PathBuf::from(env::var_os(ASSETS)?), name),
            Self::Path => on_path(name),
            Self::Built => {
                let set = ProgramSet::Kubernetes;
                let index = set.programs().iter().position(|program| *program == name)?;
                in_folder(&set.folder(), set.files()[index])
            }
        }
    }
}

/// etcd, the API server and the controller manager. The first two are taken from one place, so that their versions fit; the third may be
/// missing there, as it is among the programs that others fetch for their tests.
fn control_plane() -> Option<[PathBuf; 3]> {
    let (place, etcd, api_server) = Place::ALL
        .into_iter()
        .find_map(|place| Some((place, place.find("etcd")?, place.find("kube-apiserver")?)))?;
    let manager = [place]
        .into_iter()
        .chain(Place::ALL)
        .find_map(|place| place.find("kube-controller-manager"))?;
    Some([etcd, api_server, manager])
}

fn promtool() -> Option<PathBuf> {
    let folder = ProgramSet::Prometheus.folder();
    on_path(PROMTOOL).or_else(|| in_folder(&folder, PROMTOOL))
}

fn helm_on_path(version: &str) -> Option<PathBuf> {
    ["helm", "helm4", "helm3"]
        .into_iter()
        .filter_map(on_path)
        .find(|helm| helm_version(helm).is_some_and(|found| found.starts_with(version)))
}

fn helm_version(helm: &Path) -> Option<String> {
    let output = Command::new(helm)
        .args(["version", "--short"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).find_map(|folder| in_folder(&folder, name))
}

fn in_folder(folder: &Path, name: &str) -> Option<PathBuf> {
    Some(folder.join(name)).filter(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_told_with_the_command_that_builds_it() {
        let missing = format!("{:?}", ProgramSet::Helm4.missing());

        assert!(missing.starts_with("helm 4 is neither in KUBEBUILDER_ASSETS, nor on PATH"));
        assert!(missing.ends_with("\nhint: cargo xtask testbed build"));
    }
}
