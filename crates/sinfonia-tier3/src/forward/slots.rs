//! How many connections there are at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at a time. Each may take twice [`super::link::STREAM_BUFFER`], so all of them half a GiB at the worst; further ones wait in
/// the system's queue until one has ended.
pub(super) const CONNECTIONS: u32 = 256;

/// Room for connections; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Semaphore>);

/// The room of one connection, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Slot(
    #[expect(dead_code, reason = "dropping it is what it is for")] OwnedSemaphorePermit,
);

impl Slots {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(CONNECTIONS as usize)))
    }

    /// Waits for room; nothing comes only if there is none ever again.
    pub(super) async fn take(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.0).acquire_owned().await;
        permit.ok().map(Slot)
    }

    /// Whether there are connections.
    pub(super) fn are_in_use(&self) -> bool {
        self.0.available_permits() < CONNECTIONS as usize
    }
}
