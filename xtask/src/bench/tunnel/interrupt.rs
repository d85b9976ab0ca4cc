//! The user's wish to end, which must not keep what was changed on the machine from being changed back.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::ensure;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Signals belong to the whole process, and so does this.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Notes Ctrl-C and SIGTERM from now on, in place of ending at once.
///
/// # Errors
/// The system does not let signals be caught.
pub(super) fn watch(runtime: &Runtime) -> anyhow::Result<()> {
    let _entered = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals = signal(kind)?;
        runtime.spawn(async move {
            signals.recv().await;
            INTERRUPTED.store(true, Ordering::Relaxed);
        });
    }
    Ok(())
}

/// Fails if the user wants to end.
///
/// # Errors
/// That is what it is for.
pub(super) fn check() -> anyhow::Result<()> {
    ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
    Ok(())
}
