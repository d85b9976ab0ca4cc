//! The programs that the benchmark starts.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use nix::unistd::geteuid;
use sinfonia_testbed::{ProgramSet, Programs};

use super::ends::wireguard_go_version;
use super::namespace::Namespace;
use crate::cargo::{DISTRIBUTION, build_for_measurements, programs};
use crate::testbed::build_missing;

/// Programs of others, with the packages of Debian that have them.
const NEEDED: [(&str, &str); 5] = [
    ("ip", "iproute2"),
    ("iperf3", "iperf3"),
    ("nsenter", "util-linux"),
    ("taskset", "util-linux"),
    ("unshare", "util-linux"),
];
const NEEDED_FOR_RESETS: [(&str, &str); 4] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
];

/// Where the programs are.
pub(super) struct Tools {
    pub(super) wireguard_go: PathBuf,
    /// This program as it is built for distribution, for the parts that are measured or measure.
    pub(super) xtask: PathBuf,
    pub(super) tier1: PathBuf,
    pub(super) tier2: PathBuf,
    pub(super) tier3: PathBuf,
}

impl Tools {
    /// Finds the programs, or builds them.
    ///
    /// # Errors
    /// One is nowhere, or this user may not make namespaces.
    pub(super) fn prepare() -> anyhow::Result<Self> {
        Self::find("bench tunnel", &NEEDED)
    }

    /// The same, for the benchmark of resets, which needs all tiers and a control plane.
    ///
    /// # Errors
    /// As above.
    pub(super) fn prepare_for_resets() -> anyhow::Result<Self> {
        let tools = Self::find("bench resets", &NEEDED_FOR_RESETS)?;
        build_missing(false)?;
        Ok(tools)
    }

    fn find(task: &str, needed: &[(&str, &str)]) -> anyhow::Result<Self> {
        ensure!(
            geteuid().is_root(),
            "this benchmark makes network namespaces and devices in them, for which it needs root\nhint: run it as root; `cargo xtask {task} --help` says what it changes on the host"
        );
        for (program, package) in needed {
            ensure!(
                is_there(program),
                "{program} is not on PATH\nhint: apt install {package}"
            );
        }
        if !ProgramSet::Wireguard.is_there() {
            anstream::eprintln!("building wireguard-go from its pinned Go module…");
            ProgramSet::Wireguard.build(|_| ())?;
        }
        build_for_measurements()?;
        let folder = programs(DISTRIBUTION);
        let program = |name| folder.join(name);
        Ok(Self {
            wireguard_go: Programs::wireguard_or_hint()?,
            xtask: program("xtask"),
            tier1: program("sinfonia-tier1"),
            tier2: program("sinfonia-tier2"),
            tier3: program("sinfonia-tier3"),
        })
    }

    /// A command that runs one of the parts in a namespace.
    pub(super) fn part(&self, namespace: &Namespace, cores: Option<&str>) -> Command {
        let mut command = namespace.command(&self.xtask, cores);
        command.args(["bench", "tunnel-part"]);
        command
    }

    /// What the figures depend on besides our own programs, for people.
    ///
    /// # Errors
    /// A program does not tell.
    pub(super) fn versions(&self) -> anyhow::Result<String> {
        let iperf3 = first_line("iperf3", "--version")?;
        Ok(format!("{}, {iperf3}", self.own_versions()?))
    }

    /// The same, without what only a benchmark of throughput uses.
    ///
    /// # Errors
    /// A program does not tell.
    pub(super) fn own_versions(&self) -> anyhow::Result<String> {
        let kernel = first_line("uname", "--kernel-release")?;
        let wireguard_go = wireguard_go_version(&self.wireguard_go);
        let wireguard_go = wireguard_go.unwrap_or_else(|| "of unknown version".to_owned());
        Ok(format!("Linux {kernel}, wireguard-go {wireguard_go}"))
    }
}

/// Whether a program can be started: all of these have the option.
fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    let status = quiet.stdin(Stdio::null()).arg("--version").status();
    status.is_ok()
}

fn first_line(program: impl AsRef<Path>, option: &str) -> anyhow::Result<String> {
    let program = program.as_ref();
    let output = Command::new(program).arg(option).output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default();
    // iperf3 adds what it was built with.
    Ok(line.split(" (").next().unwrap_or_default().to_owned())
}
