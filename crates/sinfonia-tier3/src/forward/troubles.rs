//! Telling what does not work through a forward.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::talk::Talk;

/// Tells the first trouble of a forward to the user, and further ones to the log alone: programs try again and again.
#[derive(Debug)]
pub(super) struct Troubles {
    talk: Talk,
    /// The forward, as it is told.
    of: String,
    told: AtomicBool,
}

impl Troubles {
    pub(super) const fn new(talk: Talk, of: String) -> Self {
        Self {
            talk,
            of,
            told: AtomicBool::new(false),
        }
    }

    pub(super) fn tell(&self, error: &dyn Error) {
        let of = &self.of;
        let message = with_causes(error);
        if self.told.swap(true, Ordering::Relaxed) {
            tracing::debug!(forward = of, error = message, "not forwarded");
        } else {
            self.talk.note(&format!("note: {of}: {message}"));
        }
    }
}

fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let messages: Vec<String> = causes.map(ToString::to_string).collect();
    messages.join(": ")
}
