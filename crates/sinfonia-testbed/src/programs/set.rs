//! The programs of others, in sets that are built together from one pinned source.

use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::cache::cache_folder;

/// Programs that are built together, from one Go module or crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramSet {
    /// etcd, kube-apiserver, kube-controller-manager.
    Kubernetes,
    /// helm 4.
    Helm4,
    /// helm 3.
    Helm3,
    /// Prometheus and its promtool.
    Prometheus,
    /// wireguard-go.
    Wireguard,
    /// The exporter of WireGuard's metrics that Kilo's manifests install.
    WireguardExporter,
    /// kubelet, kube-scheduler, kube-proxy.
    Node,
    /// containerd, its shim for runc, and its command line.
    Containerd,
    /// CoreDNS.
    CoreDns,
}

/// What a set is built from.
pub(super) enum Source {
    Go(Module),
    Crate(Crate),
}

pub(super) struct Module {
    pub(super) go_mod: &'static str,
    pub(super) go_sum: &'static str,
}

/// A crate with a program and, by its own lock file, the versions of all that it depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crate {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

macro_rules! module {
    ($name:literal) => {
        Source::Go(Module {
            go_mod: include_str!(concat!("../../programs/", $name, "/go.mod")),
            go_sum: include_str!(concat!("../../programs/", $name, "/go.sum")),
        })
    };
}

impl ProgramSet {
    /// All there are, in the order in which they are built.
    pub const ALL: [Self; 9] = [
        Self::Kubernetes,
        Self::Helm4,
        Self::Helm3,
        Self::Prometheus,
        Self::Wireguard,
        Self::WireguardExporter,
        Self::Node,
        Self::Containerd,
        Self::CoreDns,
    ];

    /// Whether only a node needs it.
    pub const fn is_for_nodes(self) -> bool {
        matches!(self, Self::Node | Self::Containerd | Self::CoreDns)
    }

    /// Its name, as in the names of folders.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Helm4 => "helm4",
            Self::Helm3 => "helm3",
            Self::Prometheus => "prometheus",
            Self::Wireguard => "wireguard",
            Self::Node => "node",
            Self::Containerd => "containerd",
            Self::CoreDns => "coredns",
            Self::WireguardExporter => "wireguard-exporter",
        }
    }

    /// Its programs, as people call them.
    pub const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Kubernetes => &["etcd", "kube-apiserver", "kube-controller-manager"],
            Self::Helm4 => &["helm 4"],
            Self::Helm3 => &["helm 3"],
            Self::Prometheus => &["prometheus", "promtool"],
            Self::Wireguard => &["wireguard-go"],
            Self::Node => &["kubelet", "kube-scheduler", "kube-proxy"],
            Self::Containerd => &["containerd", "containerd-shim-runc-v2", "ctr"],
            Self::CoreDns => &["coredns"],
            Self::WireguardExporter => &["prometheus_wireguard_exporter"],
        }
    }

    /// How long a build takes where nothing was fetched or compiled before, on 2 cores.
    pub const fn usual_time(self) -> Duration {
        match self {
            Self::Kubernetes => Duration::from_secs(11 * 60),
            Self::Helm4 | Self::Helm3 => Duration::from_secs(3 * 60),
            Self::Prometheus => Duration::from_secs(5 * 60),
            Self::Wireguard => Duration::from_secs(60),
            // Most of it was compiled with the control plane.
            Self::Node | Self::Containerd => Duration::from_secs(2 * 60),
            Self::CoreDns => Duration::from_secs(3 * 60),
            Self::WireguardExporter => Duration::from_secs(3 * 60),
        }
    }

    /// Where it is built: a folder of this very version, outside the source tree.
    pub fn folder(self) -> PathBuf {
        let mut hash = Sha256::new();
        match self.source() {
            Source::Go(module) => {
                hash.update(module.go_mod);
                hash.update(module.go_sum);
            }
            Source::Crate(program) => {
                hash.update(program.name);
                hash.update(program.version);
            }
        }
        let hash: String = hash
            .finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        cache_folder().join(format!("{}-{hash}", self.name()))
    }

    /// The names of its files, in the order of [`Self::programs`].
    pub(super) const fn files(self) -> &'static [&'static str] {
        match self {
            // The Go package of etcd's program is called `server`.
            Self::Kubernetes => &["server", "kube-apiserver", "kube-controller-manager"],
            Self::Helm4 | Self::Helm3 => &["helm"],
            Self::Prometheus => &["prometheus", "promtool"],
            // Go calls it as the last part of its module's path.
            Self::Wireguard => &["wireguard"],
            Self::Node | Self::Containerd | Self::CoreDns => self.programs(),
            // As cargo installs it.
            Self::WireguardExporter => &["bin/prometheus_wireguard_exporter"],
        }
    }

    pub(super) const fn source(self) -> Source {
        match self {
            Self::Kubernetes => module!("kubernetes"),
            Self::Helm4 => module!("helm4"),
            Self::Helm3 => module!("helm3"),
            Self::Prometheus => module!("prometheus"),
            Self::Wireguard => module!("wireguard"),
            Self::Node => module!("node"),
            Self::Containerd => module!("containerd"),
            Self::CoreDns => module!("coredns"),
            Self::WireguardExporter => Source::Crate(Crate {
                name: "prometheus_wireguard_exporter",
                version: "3.6.6",
            }),
        }
    }

    /// The arguments of go, up to where it puts the programs of this module.
    pub(super) fn arguments(self, module: &Module) -> Vec<String> {
        let mut linker = "-s -w".to_owned();
        if matches!(self, Self::Kubernetes | Self::Node) {
            // Without it the server reports a version that helm and kubectl cannot parse.
            let version = kubernetes_version(module.go_mod);
            linker += &format!(" -X k8s.io/component-base/version.gitVersion={version}");
        }
        let mut arguments: Vec<_> = ["build", "-v", "-trimpath", "-ldflags"]
            .map(str::to_owned)
            .into();
        arguments.push(linker);
        let tags = match self {
            // Only targets that a file names are scraped.
            Self::Prometheus => Some("remove_all_sd"),
            // Its headers are rarely there.
            Self::Containerd => Some("no_btrfs"),
            _ => None,
        };
        if let Some(tags) = tags {
            arguments.extend(["-tags", tags].map(str::to_owned));
        }
        arguments
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
        let Source::Go(pinned) = ProgramSet::Kubernetes.source() else {
            panic!("Kubernetes is not a crate");
        };
        let pinned = kubernetes_version(pinned.go_mod);
        assert!(pinned.starts_with("v1.") && pinned != "v1.0.0", "{pinned}");
    }
}
