//! A machine within this one: its own network, mounts, processes and control groups. All of it goes when it is dropped. When this process
//! is killed its processes and mounts go too; its network, which has a name, and its empty control groups go when the next machine starts.

mod control_groups;
mod network;

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use sinfonia_service::process::spawn_bound;

use self::network::Link;

/// Begins the names of machines; the id of the process that has it follows.
const PREFIX: &str = "sinfonia-node-";
/// Tells apart the machines of one process.
static MACHINES: AtomicU32 = AtomicU32::new(0);
/// Far longer than a machine takes to be there, or its processes to be gone.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(20);

/// The first process of a machine: gives it file systems of its own where programs write at fixed places, and takes leave of what nobody
/// else waits for.
const INIT: &str = r#"
set -e
mount --make-rshared /
mkdir -p /var/lib/kubelet /var/lib/cni
for folder in /run /var/log /var/lib/kubelet /var/lib/cni; do
  mount -t tmpfs -o mode=755 tmpfs "$folder"
done
mkdir /run/lock /run/sysctl
# Names of the world outside are refused at once, instead of asked for in vain: there is no way to it.
resolv=$(readlink -m /etc/resolv.conf)
[ -e "$resolv" ] || { mkdir -p "${resolv%/*}"; : > "$resolv"; }
echo nameserver 127.0.0.1 > /run/resolv.conf.node
mount --bind /run/resolv.conf.node "$resolv"
# kubelet sets what no namespace keeps apart; here it finds that done.
while read -r name value; do
  if [ -e "/proc/sys/$name" ]; then
    echo "$value" > "/run/sysctl/${name##*/}"
    mount --bind "/run/sysctl/${name##*/}" "/proc/sys/$name"
  fi
done <<END
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
END
ip link set lo up
: > "$1"
while :; do sleep 3600 & wait; done
"#;

/// Why there is no machine.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// Its namespaces cannot be made or entered.
    #[error("cannot make a machine\nhint: that needs Linux and root, and unshare and ip on PATH")]
    Namespaces(#[source] io::Error),
    /// It did not come up.
    #[error("the machine did not come up: {0}")]
    NotUp(String),
    /// Its network cannot be made.
    #[error("ip {arguments}: {said}")]
    Network {
        /// What `ip` was asked.
        arguments: String,
        /// What it said.
        said: String,
    },
    /// Its control groups cannot be made.
    #[error("cannot make {}", path.display())]
    ControlGroup {
        /// The folder of the group.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A machine within this one.
#[derive(Debug)]
pub struct Machine {
    name: String,
    unshare: Child,
    init: u32,
    link: Link,
}

impl Machine {
    /// Makes a machine with nothing on it but a network to this one. Its log is in this folder.
    ///
    /// # Errors
    /// This process is not root, or the system has no namespaces.
    pub fn start(folder: &Path) -> Result<Self, MachineError> {
        Self::remove_left();
        let number = MACHINES.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", process::id());
        let mut unshare = init(folder).map_err(MachineError::Namespaces)?;
        let init = match wait_until_up(&mut unshare, folder) {
            Ok(init) => init,
            Err(error) => {
                end(&mut unshare);
                return Err(error);
            }
        };
        let link = Link::make(&name, init).inspect_err(|_| end(&mut unshare))?;
        let machine = Self {
            name,
            unshare,
            init,
            link,
        };
        control_groups::make(&machine.name)?;
        Ok(machine)
    }

    /// Removes the names and control groups of machines whose process has ended without doing so.
    pub fn remove_left() {
        for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name
                .strip_prefix(PREFIX)
                .and_then(|rest| rest.split('-').next());
            if let Some(owner) = owner
                && !Path::new("/proc").join(owner).exists()
            {
                // The name is what the groups are found by.
                if control_groups::remove(&name) {
                    network::forget(&name);
                }
            }
        }
    }

    /// The name of its network namespace, as `ip netns` knows it, and of its control groups.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address on the network to this machine.
    pub const fn address(&self) -> Ipv4Addr {
        self.link.machine
    }

    /// The address of this machine on that network.
    pub const fn host(&self) -> Ipv4Addr {
        self.link.host
    }

    /// The id of its first process, by which its namespaces are entered.
    pub const fn init(&self) -> u32 {
        self.init
    }

    /// The ids of the processes in it that run a program of this name.
    pub fn processes(&self, program: &str) -> Vec<u32> {
        let namespace = |id: u32| fs::read_link(format!("/proc/{id}/ns/net")).ok();
        let runs = |id: &u32| {
            let executable = fs::read_link(format!("/proc/{id}/exe")).unwrap_or_default();
            executable.file_name().is_some_and(|name| name == program)
        };
        let cgroups = |id: &u32| {
            let groups = fs::read_to_string(format!("/proc/{id}/cgroup")).unwrap_or_default();
            groups.contains(&self.name)
        };
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter(runs)
            .filter(|id| cgroups(id) || namespace(*id) == namespace(self.init))
            .collect()
    }

    /// A command that runs in its network, but sees the files and processes of this machine.
    pub fn in_network(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name])
            .arg(program.as_ref());
        command
    }

    /// Starts a program on it. It ends with the machine.
    pub(crate) fn spawn(&self, mut command: Command) -> io::Result<Child> {
        let open = |kind: &str| File::open(format!("/proc/{}/ns/{kind}", self.init));
        let processes = open("pid")?;
        let (mounts, network) = (open("mnt")?.into(), open("net")?.into());
        enter_in_child(&mut command, mounts, network);
        // Which process namespace children get is a matter of the thread, and this one is the child's alone.
        let started = thread::spawn(move || {
            setns(processes.as_fd(), CloneFlags::CLONE_NEWPID)?;
            command.spawn()
        });
        started
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that starts it has panicked")))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        end(&mut self.unshare);
        let begun = Instant::now();
        // The groups are in use until the last process is gone.
        while !control_groups::remove(&self.name) && begun.elapsed() < PATIENCE {
            thread::sleep(POLL);
        }
        self.link.remove(&self.name);
    }
}

fn init(folder: &Path) -> io::Result<Child> {
    let ready = folder.join("machine.ready");
    let _ = fs::remove_file(&ready);
    let log = File::create(folder.join("machine.log"))?;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "--propagation", "private"])
        .args(["sh", "-c", INIT, "init"])
        .arg(ready)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // It is not interrupted with what runs in this terminal.
        .process_group(0);
    spawn_bound(command)
}

/// Waits for a machine, and returns the id of its first process.
fn wait_until_up(unshare: &mut Child, folder: &Path) -> Result<u32, MachineError> {
    let begun = Instant::now();
    while !folder.join("machine.ready").exists() {
        let ended = !matches!(unshare.try_wait(), Ok(None));
        if ended || begun.elapsed() > PATIENCE {
            let log = fs::read_to_string(folder.join("machine.log")).unwrap_or_default();
            return Err(MachineError::NotUp(log.trim().to_owned()));
        }
        thread::sleep(POLL);
    }
    let id = unshare.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let first = children.map_err(MachineError::Namespaces)?;
    first
        .trim()
        .parse()
        .map_err(|_| MachineError::NotUp(format!("its first process is `{first}`")))
}

fn enter_in_child(command: &mut Command, mounts: OwnedFd, network: OwnedFd) {
    #[expect(
        unsafe_code,
        reason = "what runs between fork and exec has to be async-signal-safe: setns is"
    )]
    unsafe {
        command.pre_exec(move || {
            setns(&network, CloneFlags::CLONE_NEWNET)?;
            setns(&mounts, CloneFlags::CLONE_NEWNS)?;
            Ok(())
        });
    }
}

fn end(child: &mut Child) {
    // Both fail only where the process has ended already.
    let _ = child.kill();
    let _ = child.wait();
}
