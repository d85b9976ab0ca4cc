//! Where the programs of a node are: those that the test bed builds, and those that the system's packages bring.

use std::path::{Path, PathBuf};

use super::{MissingProgram, ProgramSet, Programs, in_folder, on_path};

/// Where the system's packages put the plugins of the container network.
const PLUGIN_FOLDERS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];
/// The plugins that a node uses.
const PLUGINS: [&str; 4] = ["bridge", "host-local", "loopback", "portmap"];
/// The packages of Debian that hold what the test bed does not build.
const PACKAGES: &str = "busybox-static conntrack containernetworking-plugins iproute2 nftables iptables nginx-light prometheus-node-exporter runc util-linux wireguard-tools";

/// The programs of others that a node and its cluster need beside the control plane's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePrograms {
    /// kubelet.
    pub kubelet: PathBuf,
    /// kube-scheduler.
    pub kube_scheduler: PathBuf,
    /// kube-proxy.
    pub kube_proxy: PathBuf,
    /// containerd; its shim is beside it.
    pub containerd: PathBuf,
    /// The command line of containerd.
    pub ctr: PathBuf,
    /// CoreDNS.
    pub coredns: PathBuf,
    /// Prometheus' exporter of a node's load.
    pub node_exporter: PathBuf,
    /// nginx.
    pub nginx: PathBuf,
    /// busybox, linked statically.
    pub busybox: PathBuf,
    /// nft.
    pub nft: PathBuf,
    /// The folder of the plugins of the container network.
    pub plugins: PathBuf,
}

/// A program of a node is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MissingNodeProgram {
    /// One that the test bed builds.
    #[error(transparent)]
    Built(#[from] MissingProgram),
    /// One that the system's packages bring.
    #[error("{0} is not installed\nhint: apt-get install {PACKAGES}")]
    Packaged(&'static str),
}

impl NodePrograms {
    /// Finds the programs, as [`Programs::find_or_hint`] does.
    ///
    /// # Errors
    /// One of them is nowhere; the text says what brings it.
    pub fn find_or_hint() -> Result<Self, MissingNodeProgram> {
        let node = ProgramSet::Node.require_several()?;
        let containerd = ProgramSet::Containerd.require_several()?;
        Programs::wireguard_or_hint()?;
        for program in ["runc", "conntrack", "iptables", "wg", "ip", "unshare"] {
            packaged(program)?;
        }
        Ok(Self {
            kubelet: node[0].clone(),
            kube_scheduler: node[1].clone(),
            kube_proxy: node[2].clone(),
            containerd: containerd[0].clone(),
            ctr: containerd[2].clone(),
            coredns: ProgramSet::CoreDns.require_single()?,
            node_exporter: packaged("prometheus-node-exporter")?,
            nginx: packaged("nginx")?,
            busybox: packaged("busybox")?,
            nft: packaged("nft")?,
            plugins: plugins()?,
        })
    }

    /// Finds nft alone.
    ///
    /// # Errors
    /// It is not installed; the text says what brings it.
    pub fn nft_or_hint() -> Result<PathBuf, MissingNodeProgram> {
        packaged("nft")
    }
}

fn packaged(program: &'static str) -> Result<PathBuf, MissingNodeProgram> {
    // Some systems keep what administers from the path of others.
    let found = on_path(program).or_else(|| in_folder(Path::new("/usr/sbin"), program));
    found.ok_or(MissingNodeProgram::Packaged(program))
}

fn plugins() -> Result<PathBuf, MissingNodeProgram> {
    let has_all = |folder: &Path| PLUGINS.iter().all(|plugin| folder.join(plugin).is_file());
    PLUGIN_FOLDERS
        .into_iter()
        .map(PathBuf::from)
        .find(|folder| has_all(folder))
        .ok_or(MissingNodeProgram::Packaged("the bridge plugin of CNI"))
}
