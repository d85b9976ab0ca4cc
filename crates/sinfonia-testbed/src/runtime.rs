//! The runtime that serves and asks for tests, whatever runtime they have themselves.

use std::io;
use std::sync::{LazyLock, mpsc};

use tokio::runtime::{Builder, Handle, Runtime};

/// It never ends, so that connections outlive the test that first needed it.
static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("testbed")
        .enable_all()
        .build()
});

pub(crate) fn runtime() -> io::Result<&'static Handle> {
    match RUNTIME.as_ref() {
        Ok(runtime) => Ok(runtime.handle()),
        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
    }
}

/// Runs a future to its end. The caller's thread waits, be it one of another runtime or not.
pub(crate) fn wait_for<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> io::Result<T> {
    let (sender, result) = mpsc::sync_channel(1);
    runtime()?.spawn(async move {
        // The receiver waits below.
        let _ = sender.send(future.await);
    });
    result
        .recv()
        .map_err(|_| io::Error::other("a task of the test bed has ended early"))
}
