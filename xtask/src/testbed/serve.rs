//! The process that is the control plane of `cargo xtask testbed up`: its programs die with it, however it ends.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anstream::eprintln;
use anyhow::{Context, bail};
use sinfonia_testbed::{Binaries, ControlPlane, Machine, Node, Programs, cache_folder};
use tokio::signal::unix::{SignalKind, signal};

use crate::cargo::workspace;

/// Begins a line of its log that tells how far it is.
pub(super) const WAITING_FOR: &str = "waiting for ";

/// The folder of its control plane. Each checkout has its own, so that none stops another's.
pub(super) fn folder() -> PathBuf {
    let mut hash = DefaultHasher::new();
    workspace().hash(&mut hash);
    cache_folder().join(format!("up-{:016x}", hash.finish()))
}

/// The file that it locks while it runs, and that holds its process id.
pub(super) fn lock_file() -> PathBuf {
    folder().with_extension("lock")
}

pub(super) fn serve(with_node: bool) -> anyhow::Result<()> {
    let _lock = lock()?;
    let folder = folder();
    remove_folder()?;
    if with_node {
        serve_node(&folder)?;
    } else {
        let control_plane = ControlPlane::start(&Programs::find_or_hint()?, &folder)?;
        fs::write(ready_file(), "")?;
        wait_for_end()?;
        drop(control_plane);
    }
    remove_folder()
}

fn serve_node(folder: &Path) -> anyhow::Result<()> {
    let node = Node::start(folder, |what| eprintln!("{WAITING_FOR}{what}"))?;
    eprintln!("{WAITING_FOR}Sinfonia's image");
    node.import_sinfonia(&Binaries::of_this_build()?)?;
    fs::write(ready_file(), exports(node.machine()))?;
    wait_for_end()
}

/// What a shell is told about the node's machine.
fn exports(machine: &Machine) -> String {
    let (name, node, host) = (machine.name(), machine.address(), machine.host());
    format!(
        "# The node's network: ip netns exec {name} …\n\
         # The node's address, and that of this machine as the node sees it:\n\
         export TESTBED_NODE={node} TESTBED_HOST={host}\n"
    )
}

/// The file that is there once everything runs. It holds what a shell is told about the node's machine, if there is one.
pub(super) fn ready_file() -> PathBuf {
    folder().join("ready")
}

/// Removes the control plane's files, if there are any.
pub(super) fn remove_folder() -> anyhow::Result<()> {
    let folder = folder();
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn lock() -> anyhow::Result<File> {
    let path = lock_file();
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!("a control plane runs already\nhint: cargo xtask testbed down");
    }
    file.set_len(0)?;
    write!(file, "{}", std::process::id())?;
    Ok(file)
}

fn wait_for_end() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}
