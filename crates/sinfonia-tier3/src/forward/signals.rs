//! Requests to end, which no longer end this process by themselves. SIGHUP is none of them: to hear it would undo `nohup`.

use std::io;

#[cfg(unix)]
pub(super) use unix::{Received, Signals};

#[cfg(not(unix))]
pub(super) use other::{Received, Signals};

#[cfg(unix)]
mod unix {
    use rustix::process::Signal;
    use tokio::signal::unix::{self, SignalKind, signal};

    use super::io;

    /// A signal that came.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in super::super) enum Received {
        Interrupt,
        Terminate,
    }

    /// Takes signals from now on until the process ends.
    #[derive(Debug)]
    pub(in super::super) struct Signals {
        interrupt: unix::Signal,
        terminate: unix::Signal,
    }

    impl Signals {
        pub(in super::super) fn take() -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            })
        }

        /// Waits for the next one.
        pub(in super::super) async fn next(&mut self) -> Received {
            tokio::select! {
                _ = self.interrupt.recv() => Received::Interrupt,
                _ = self.terminate.recv() => Received::Terminate,
            }
        }
    }

    impl Received {
        /// Whether a key of the terminal sends it.
        pub(in super::super) const fn is_from_keyboard(self) -> bool {
            matches!(self, Self::Interrupt)
        }

        pub(in super::super) const fn signal(self) -> Signal {
            match self {
                Self::Interrupt => Signal::INT,
                Self::Terminate => Signal::TERM,
            }
        }
    }
}

#[cfg(not(unix))]
mod other {
    use super::io;

    /// That the user wants to end.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in super::super) struct Received;

    /// Takes requests to end.
    #[derive(Debug)]
    pub(in super::super) struct Signals(());

    impl Signals {
        pub(in super::super) fn take() -> io::Result<Self> {
            Ok(Self(()))
        }

        /// Waits for the next one.
        pub(in super::super) async fn next(&mut self) -> Received {
            if tokio::signal::ctrl_c().await.is_err() {
                // None will ever be heard.
                std::future::pending::<()>().await;
            }
            Received
        }
    }
}
