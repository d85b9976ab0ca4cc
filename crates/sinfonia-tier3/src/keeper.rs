//! Keeping a tunnel and its deployment while it is used: the lease is extended, the tunnel watched and moved to another cloudlet
//! when it is dead, and both told.

mod holdings;
mod lease;
mod rounds;
mod uplink;
mod work;

use std::io;
use std::thread::{self, JoinHandle};

use sinfonia_core::key::PublicKey;
use tokio::runtime;
use tokio::sync::oneshot;

pub(crate) use self::holdings::Holdings;
use self::rounds::Rounds;
pub(crate) use self::uplink::{Traffic, Uplink};
use crate::application::Application;
use crate::arguments::StatusForm;
use crate::commands::deploy::Plan;
use crate::display::{Display, Screen};
use crate::events::Audience;
use crate::session::Session;
use crate::tier1::Tier1;
use crate::watch::Watch;

/// What is kept, and what is needed for it.
pub(crate) struct Kept<U> {
    /// Who is asked.
    pub(crate) asking: Asking,
    /// What is deployed.
    pub(crate) holdings: Holdings,
    /// The tunnel.
    pub(crate) uplink: U,
    /// When the tunnel is to be taken for dead.
    pub(crate) watch: Watch,
    /// Who hears what happens.
    pub(crate) audience: Audience,
}

/// Who is asked for deployments, and for which.
#[derive(Clone)]
pub(crate) struct Asking {
    /// The Tier 1.
    tier1: Tier1,
    /// The application.
    application: Application,
    /// This device's key.
    key: PublicKey,
    /// Where, and how long that may take.
    plan: Plan,
}

impl Asking {
    /// Whoever is asked in this session, with this key.
    pub(crate) fn new(session: &Session, key: PublicKey, plan: &Plan) -> Self {
        Self {
            tier1: session.tier1.clone(),
            application: session.application,
            key,
            plan: plan.clone(),
        }
    }
}

/// Keeps until it is told to stop, or whoever would tell is gone, and gives back what was kept. It may not be given up before: what is
/// deployed would be forgotten.
pub(crate) async fn keep<U: Uplink>(
    kept: Kept<U>,
    display: Display,
    stopped: oneshot::Receiver<()>,
) -> Kept<U> {
    Rounds::new(kept, display).until(stopped).await
}

/// A thread that keeps.
pub(crate) struct Keeper<U> {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Kept<U>>,
}

impl<U: Uplink + Send + 'static> Keeper<U> {
    /// Starts, and shows the state where that is wanted.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(kept: Kept<U>, form: StatusForm, screen: Screen) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let work = move || {
            let display = Display::new(form, screen);
            let kept = runtime.block_on(keep(kept, display, stopped));
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
    pub(crate) fn stop(self) -> Option<Kept<U>> {
        drop(self.stop);
        self.thread.join().ok()
    }
}
