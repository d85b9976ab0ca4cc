//! The thread that follows the Peers and gives signs of life.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sinfonia_core::key::PublicKey;

use super::annotations::Annotations;
use super::device::Device;
use super::lag::Lagging;
use super::log::Log;
use super::mesh::{Mesh, Peers};
use super::peer::{self, Objects};
use super::plan::plan;
use super::{GatewayError, GatewaySettings, Habits};
use crate::Cluster;

/// Time between two looks at the Peers.
const POLL: Duration = Duration::from_millis(200);
/// Time between two signs of life, and between two looks at an interface that is never as it should be.
const REFRESH: Duration = Duration::from_secs(30);
const PEERS: &str = "/apis/kilo.squat.ai/v1alpha1/peers";

/// What follows the Peers.
pub(super) struct Agent {
    cluster: Cluster,
    path: String,
    device: Device,
    annotations: Annotations,
    habits: Arc<Mutex<Habits>>,
    log: Log,
    seen: Lagging<Objects>,
    mesh: Mesh,
    /// What the interface has; nothing while that is unknown.
    present: Option<Peers>,
    begun: Instant,
    /// When the node was annotated last.
    annotated: Option<Instant>,
    rewritten: Instant,
    /// What went wrong in the last round: it is told once.
    trouble: Option<String>,
}

/// An agent's thread. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    pub(super) fn new(
        settings: &GatewaySettings,
        key: PublicKey,
        cluster: Cluster,
        habits: Arc<Mutex<Habits>>,
        log: Log,
    ) -> Self {
        let selector = settings.peers.as_ref();
        let now = Instant::now();
        Self {
            cluster,
            path: selector.map_or_else(
                || PEERS.to_owned(),
                |labels| format!("{PEERS}?labelSelector={labels}"),
            ),
            device: Device::of(&settings.interface),
            annotations: Annotations::new(settings, key),
            habits,
            log,
            seen: Lagging::new(),
            mesh: Mesh::default(),
            present: None,
            begun: now,
            annotated: None,
            rewritten: now,
            trouble: None,
        }
    }

    /// Goes one round, and on in a thread of its own.
    pub(super) fn run(mut self) -> Result<Running, GatewayError> {
        self.round()?;
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("gateway".to_owned())
            .spawn(move || self.go_on(&stopped))
            .map_err(GatewayError::Thread)?;
        Ok(Running {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    fn go_on(mut self, stopped: &Receiver<()>) {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(POLL) {
            let trouble = self.round().err().map(|error| error.to_string());
            if trouble != self.trouble {
                let text = trouble.as_deref().unwrap_or("all is well again");
                self.log.say(text);
                self.trouble = trouble;
            }
        }
    }

    /// Does what is due. An API server that does not answer is asked again in the next round.
    fn round(&mut self) -> Result<(), GatewayError> {
        let habits = *self.habits.lock().unwrap_or_else(PoisonError::into_inner);
        // The one fails without the other: an agent that cannot annotate serves tunnels nevertheless.
        let peers = self.follow_peers(habits);
        let annotated = self.annotate(habits);
        peers.and(annotated)
    }

    fn follow_peers(&mut self, habits: Habits) -> Result<(), GatewayError> {
        let list = self.cluster.get_json(&self.path)?;
        let objects = peer::read(&list);
        let (well_formed, all) = (objects.len(), list["items"].as_array().map_or(0, Vec::len));
        let now = Instant::now();
        if self.seen.see(now, objects) {
            self.log
                .say(format_args!("sees {all} Peers, {well_formed} well-formed"));
        }
        while let Some(objects) = self.seen.take_due(now, habits.lag) {
            self.mesh.follow(objects);
            self.configure(habits)?;
        }
        if self.rewritten.elapsed() >= REFRESH {
            self.rewritten = now;
            self.rewrite(habits);
        }
        // Where an earlier try has failed.
        self.configure(habits)
    }

    fn configure(&mut self, habits: Habits) -> Result<(), GatewayError> {
        let wanted = self.mesh.peers();
        let steps = plan(self.present.as_ref(), wanted, habits.resets_sessions);
        if steps.is_empty() {
            return Ok(());
        }
        self.present = None;
        self.device.change(&steps)?;
        self.present = Some(wanted.clone());
        self.log.say(format_args!(
            "changed the interface in {} steps to {} peers",
            steps.len(),
            wanted.len()
        ));
        Ok(())
    }

    /// A keepalive of 0 never is what Kilo's agent finds on the interface, so it writes all of it anew.
    fn rewrite(&mut self, habits: Habits) {
        let peers = self.mesh.peers();
        if habits.resets_sessions && peers.values().any(|peer| peer.keepalive == 0) {
            self.present = None;
        }
    }

    fn annotate(&mut self, habits: Habits) -> Result<(), GatewayError> {
        let due = match self.annotated {
            Some(last) => last.elapsed() >= REFRESH,
            None => self.begun.elapsed() >= habits.lag,
        };
        if due {
            self.annotations.write(&self.cluster)?;
            if self.annotated.is_none() {
                self.log.say("annotated the node");
            }
            self.annotated = Some(Instant::now());
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // One that panicked has ended, too.
            let _ = thread.join();
        }
    }
}
