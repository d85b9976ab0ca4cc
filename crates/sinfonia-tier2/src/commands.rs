//! What an operator does to a Tier 2 that runs. Each command does one thing, says what came of it, and ends.

mod drain;
mod ready;

pub use self::drain::{DrainError, drain, undrain};
pub use self::ready::{ReadyError, ready};

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The cloudlet is drained no more and no less than before.
    #[error(transparent)]
    Drain(#[from] DrainError),
    /// Tier 2 is not ready.
    #[error(transparent)]
    Ready(#[from] ReadyError),
}

impl CommandError {
    /// What the user can do about it.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Drain(error) => error.hint(),
            Self::Ready(error) => error.hint(),
        }
    }
}
