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

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn one_connection_too_many_waits_until_another_has_ended() {
        let slots = Slots::new();
        let mut taken: Vec<Slot> = (0..CONNECTIONS).filter_map(|_| take(&slots)).collect();
        assert_eq!(taken.len(), CONNECTIONS as usize);

        assert!(take(&slots).is_none());
        taken.pop();

        assert!(take(&slots).is_some());
    }

    #[test]
    fn they_are_in_use_as_long_as_there_is_a_connection() {
        let slots = Slots::new();

        let taken = take(&slots);
        let with = slots.are_in_use();
        drop(taken);

        assert_eq!((with, slots.are_in_use()), (true, false));
    }

    /// A slot, if there is one at once.
    fn take(slots: &Slots) -> Option<Slot> {
        match pin!(slots.take()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(slot) => slot,
            Poll::Pending => None,
        }
    }
}
