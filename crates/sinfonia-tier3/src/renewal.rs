//! Keeping a deployment while its application runs.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sinfonia_core::key::PublicKey;
use tokio::runtime;
use tokio::sync::oneshot;

use crate::application::Application;
use crate::commands::deploy::Plan;
use crate::key_cache::KeyPair;
use crate::session::Session;
use crate::tier1::{Tier1, Wishes};

/// Time between two requests, a third of the shortest lease that Tier 2 gives by default.
const INTERVAL: Duration = Duration::from_secs(100);

/// Asks for the deployment again and again, which extends its lease, until this is dropped.
#[derive(Debug)]
pub(crate) struct Renewal {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Renewal {
    /// Starts with the first request after one interval.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(session: &Session, key: &KeyPair, plan: &Plan) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (tier1, application) = (session.tier1.clone(), session.application);
        let (public, wishes) = (key.public, plan.wishes.clone());
        let (stop, stopped) = oneshot::channel();
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = renew(&tier1, application, &public, &wishes) => {}
                    // An error is that the owner is gone, which is the same.
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new()
            .name("renewal".to_owned())
            .spawn(work)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It panicked, which the panic has told.
            let _ = thread.join();
        }
    }
}

async fn renew(tier1: &Tier1, application: Application, key: &PublicKey, wishes: &Wishes) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        match tier1.deploy(application, key, wishes).await {
            Ok(_) => tracing::debug!("lease extended"),
            // The lease outlasts two failures; the tunnel does not need Tier 1.
            Err(error) => tracing::warn!(%error, "lease not extended, another try follows"),
        }
    }
}
