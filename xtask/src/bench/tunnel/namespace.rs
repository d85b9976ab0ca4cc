//! Namespaces of the network that last as long as a process in them, so that nothing of them stays however this program ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use super::running::Running;

/// Time that a command which sets something up may take.
const SET_UP: Duration = Duration::from_secs(10);
/// Where wireguard-go puts its sockets; each namespace has a folder of its own there.
const RUN: &str = "/var/run";

/// Whose rights programs in a namespace have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    /// Root's.
    Root,
    /// Those of an ordinary user over namespaces of their own: enough for devices, but not for limits of the host.
    Ordinary,
}

/// A namespace of the network and of mounts.
pub(super) struct Namespace {
    holder: Running,
    user: User,
    /// Where wireguard-go's sockets are, as seen from here.
    sockets: PathBuf,
}

impl Namespace {
    /// Makes one, with the loopback device up.
    ///
    /// # Errors
    /// The system forbids it.
    pub(super) fn new(user: User) -> anyhow::Result<Self> {
        let run = fs::canonicalize(RUN).with_context(|| format!("there is no {RUN}"))?;
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount"]);
        if user == User::Ordinary {
            command.args(["--user", "--map-root-user"]);
        }
        let script =
            r#"mount -t tmpfs tmpfs "$1" && ip link set lo up && echo up && exec sleep infinity"#;
        command.args(["sh", "-c", script, "sh"]).arg(&run);
        let mut holder = Running::start("a namespace", command, "")?;
        holder.first_line()?;
        // Not through `/var/run`, whose link would lead back to the host's folder.
        let inside = run.strip_prefix("/").unwrap_or(&run);
        let root = PathBuf::from(format!("/proc/{}/root", holder.id()));
        Ok(Self {
            sockets: root.join(inside).join("wireguard"),
            holder,
            user,
        })
    }

    /// A command that runs a program in the namespace, on these cores alone if any are named.
    pub(super) fn command(&self, program: impl AsRef<Path>, cores: Option<&str>) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.holder.id().to_string(),
            "--net",
            "--mount",
        ]);
        if self.user == User::Ordinary {
            command.args(["--user", "--preserve-credentials"]);
        }
        if let Some(cores) = cores {
            command.args(["taskset", "--cpu-list", cores]);
        }
        command.arg(program.as_ref());
        command
    }

    /// Runs `ip` in the namespace.
    ///
    /// # Errors
    /// It fails.
    pub(super) fn ip(&self, arguments: &str) -> anyhow::Result<()> {
        let mut command = self.command("ip", None);
        command.args(arguments.split(' '));
        let running = Running::start("ip", command, "")?;
        let output = running.output(SET_UP);
        output.with_context(|| format!("`ip {arguments}` failed"))?;
        Ok(())
    }

    /// Joins it to another one with a pair of devices, which have these addresses.
    ///
    /// # Errors
    /// The kernel has no veth devices, for instance.
    pub(super) fn join(&self, other: &Self, addresses: [impl ToString; 2]) -> anyhow::Result<()> {
        self.cable(other.holder.id())?;
        for (namespace, address) in [self, other].into_iter().zip(addresses) {
            namespace.ip(&format!("address add {}/24 dev veth0", address.to_string()))?;
            namespace.ip("link set veth0 up")?;
        }
        Ok(())
    }

    /// Joins it to the network namespace of a process with a pair of devices named `veth0`, which have no addresses yet.
    ///
    /// # Errors
    /// The kernel has no veth devices, for instance.
    pub(super) fn cable(&self, process: u32) -> anyhow::Result<()> {
        let here = self.holder.id();
        // From outside, because neither may reach into the other.
        let mut command = Command::new("ip");
        let line = format!("link add veth0 netns {here} type veth peer name veth0 netns {process}");
        command.args(line.split(' '));
        Running::start("ip", command, "")?
            .output(SET_UP)
            .context("cannot join namespaces with veth devices")?;
        Ok(())
    }

    /// The folder of wireguard-go's sockets in the namespace, as seen from here.
    pub(super) fn wireguard_sockets(&self) -> &Path {
        &self.sockets
    }
}
