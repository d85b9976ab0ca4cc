//! Keeping a tunnel and its deployment while an application runs: the lease is extended, the tunnel watched and moved to another cloudlet
//! when it is dead, and both told.

mod holdings;
mod lease;
mod rounds;
mod work;

use std::io;
use std::thread::{self, JoinHandle};

use sinfonia_core::key::PublicKey;
use tokio::runtime;
use tokio::sync::oneshot;

pub(crate) use self::holdings::Holdings;
use self::rounds::Rounds;
use crate::application::Application;
use crate::arguments::StatusForm;
use crate::commands::deploy::Plan;
use crate::display::{Display, Screen};
use crate::events::Audience;
use crate::tier1::Tier1;
use crate::uplink::Uplink;
use crate::watch::Watch;

/// What is kept, and what is needed for it.
pub(crate) struct Kept {
    /// Who is asked.
    pub(crate) asking: Asking,
    /// What is deployed.
    pub(crate) holdings: Holdings,
    /// The tunnel.
    pub(crate) uplink: Uplink,
    /// When the tunnel is to be taken for dead.
    pub(crate) watch: Watch,
    /// Who hears what happens.
    pub(crate) audience: Audience,
}

/// Who is asked for deployments, and for which.
#[derive(Clone)]
pub(crate) struct Asking {
    /// The Tier 1.
    pub(crate) tier1: Tier1,
    /// The application.
    pub(crate) application: Application,
    /// This device's key.
    pub(crate) key: PublicKey,
    /// Where, and how long that may take.
    pub(crate) plan: Plan,
}

/// A thread that keeps.
pub(crate) struct Keeper {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Kept>,
}

impl Keeper {
    /// Starts, and shows the state where that is wanted.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(kept: Kept, form: StatusForm, screen: Screen) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let work = move || {
            let display = Display::new(form, screen);
            let kept = runtime.block_on(Rounds::new(kept, display).until(stopped));
            // A name look-up that nobody waits for any more must not hold the program.
            runtime.shutdown_background();
            kept
        };
        let thread = thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(work)?;
        Ok(Self { stop, thread })
    }

    /// Stops, and gives back what was kept; nothing if it panicked, which the panic has told.
    pub(crate) fn stop(self) -> Option<Kept> {
        drop(self.stop);
        self.thread.join().ok()
    }
}
