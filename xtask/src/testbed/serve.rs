//! The process that is the control plane of `cargo xtask testbed up`: its programs die with it, however it ends.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use sinfonia_testbed::{ControlPlane, Programs, cache_folder};
use tokio::signal::unix::{SignalKind, signal};

use crate::cargo::workspace;

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

pub(super) fn serve() -> anyhow::Result<()> {
    let _lock = lock()?;
    let folder = folder();
    remove_folder()?;
    let control_plane = ControlPlane::start(&Programs::find_or_hint()?, &folder)?;
    wait_for_end()?;
    drop(control_plane);
    remove_folder()
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
