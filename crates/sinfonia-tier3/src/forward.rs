//! Ports of this device that lead into the tunnel of a deployment: what works without namespaces, privileges, and on any system.

mod command;
mod destination;
mod doors;
mod drain;
mod error;
mod link;
mod names;
mod route;
mod signals;
mod slots;
mod socks;
mod spec;
mod tcp;
mod troubles;
mod udp;
mod uplink;

use std::ffi::OsString;
use std::time::Duration;

use serde::Serialize;
use sinfonia_core::deployment::CloudletDeployment;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use self::doors::{Door, Kind, Listing};
use self::drain::{Drain, LOOK};
pub(crate) use self::error::ForwardError;
use self::link::Link;
use self::route::Routes;
use self::signals::Signals;
use self::slots::Slots;
pub(crate) use self::spec::{ForwardSpec, SocksSpec};
use self::troubles::Troubles;
use self::uplink::Uplink;
use crate::commands::deploy::{Plan, deploy};
use crate::display::Display;
use crate::events::Audience;
use crate::failure::{CommandError, INTERRUPTED};
use crate::keeper::{self, Asking, Holdings, Kept, Uplink as _};
use crate::key_cache::KeyPair;
use crate::output;
use crate::session::Session;
use crate::talk::Talk;
use crate::watch::Watch;

/// What is forwarded, and how.
#[derive(Debug, Clone)]
pub(crate) struct Forwarding {
    /// The ports that lead to one of a host each.
    pub(crate) forwards: Vec<ForwardSpec>,
    /// The ports of SOCKS proxies.
    pub(crate) proxies: Vec<SocksSpec>,
    /// The command that runs meanwhile; without one, it goes on until a signal ends it.
    pub(crate) command: Vec<OsString>,
    /// Longest packet inside the tunnel, in bytes.
    pub(crate) mtu: u16,
    /// Silence of the cloudlet after which another one is looked for, if ever.
    pub(crate) failover_after: Option<Duration>,
    /// Whether the deployment stays afterwards.
    pub(crate) keep: bool,
    /// How programs are told on stdout which ports there are, if at all.
    pub(crate) listing: Option<ListingForm>,
}

/// How programs are told which ports there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListingForm {
    /// An object in one line, which can be read while the program runs.
    Json,
    Yaml,
}

/// What programs are told.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    listing: Listing,
    deployment: &'a CloudletDeployment,
}

/// Deploys, forwards ports to the deployment until the command or a signal ends it, and gives the deployment back. Returns what the
/// command exited with.
///
/// # Errors
/// The ports cannot be listened to, which is found out before anything is deployed, or it does not come to forwarding.
pub(crate) fn run(
    session: &Session,
    key: &KeyPair,
    plan: &Plan,
    forwarding: &Forwarding,
) -> Result<u8, CommandError> {
    let doors = doors::open(&forwarding.forwards, &forwarding.proxies)?;
    let deployments = deploy(session, key, plan)?;
    let Some(deployment) = deployments.first() else {
        return Err(CommandError::NothingDeployed);
    };
    let mut holdings = Holdings::new(deployment.clone());
    let outcome = serve_on_threads(session, key, plan, forwarding, doors, &mut holdings);
    if !forwarding.keep {
        holdings.release(session, &key.public, audience(session.talk));
    }
    outcome
}

/// Who hears what happens while ports are forwarded: whoever hears of the troubles with them, as nothing else shows the state.
const fn audience(talk: Talk) -> Audience {
    if talk.is_quiet() {
        Audience::Nobody
    } else {
        Audience::People
    }
}

fn serve_on_threads(
    session: &Session,
    key: &KeyPair,
    plan: &Plan,
    forwarding: &Forwarding,
    doors: Vec<Door>,
    holdings: &mut Holdings,
) -> Result<u8, CommandError> {
    // Several threads, so that the tunnel encrypts while others copy.
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CommandError::Runtime)?;
    let work = async {
        let mut signals = Signals::take().map_err(ForwardError::Signals)?;
        let config = &holdings.in_use().tunnel_config;
        let link = tokio::select! {
            link = Link::open(&key.private, config, forwarding.mtu) => link?,
            // What was deployed is released all the same.
            _ = signals.next() => return Ok(if forwarding.command.is_empty() { 0 } else { INTERRUPTED }),
        };
        tell(session.talk, forwarding, &doors, holdings.in_use())?;
        let (uplink, routes) = Uplink::new(link, key.private.clone(), forwarding.mtu);
        let kept = Kept {
            asking: Asking::new(session, key.public, plan),
            holdings: holdings.clone(),
            uplink,
            watch: Watch::new(forwarding.failover_after),
            audience: audience(session.talk),
        };
        let serving = Serving::begin(doors, session.talk, &routes)?;
        let (kept, code) = serving.keep(kept, forwarding, &mut signals).await;
        *holdings = kept.holdings;
        Ok(code?)
    };
    let outcome = runtime.block_on(work);
    // Nobody waits for what still goes on, such as a name look-up of the system's.
    runtime.shutdown_background();
    outcome
}

/// Tells people, and programs that want it, which ports there are.
fn tell(
    talk: Talk,
    forwarding: &Forwarding,
    doors: &[Door],
    deployment: &CloudletDeployment,
) -> Result<(), CommandError> {
    for door in doors {
        talk.note(&door.to_string());
    }
    let Some(form) = forwarding.listing else {
        return Ok(());
    };
    let told = Told {
        listing: doors::list(doors),
        deployment,
    };
    let text = match form {
        ListingForm::Json => output::json_line(&told)?,
        ListingForm::Yaml => output::yaml(&told)?,
    };
    Ok(output::print(&text)?)
}

/// Ports that are served until this is dropped.
struct Serving {
    tasks: JoinSet<()>,
    slots: Slots,
}

impl Serving {
    fn begin(doors: Vec<Door>, talk: Talk, routes: &Routes) -> Result<Self, ForwardError> {
        let slots = Slots::new();
        let mut tasks = JoinSet::new();
        for door in doors {
            serve_door(&mut tasks, door, talk, routes, &slots)?;
        }
        Ok(Self { tasks, slots })
    }

    /// Serves and keeps what the ports lead to until the command or a signal ends it. Gives back what was kept, and what the command
    /// exited with.
    async fn keep(
        mut self,
        kept: Kept<Uplink>,
        forwarding: &Forwarding,
        signals: &mut Signals,
    ) -> (Kept<Uplink>, Result<u8, ForwardError>) {
        let (stop, stopped) = oneshot::channel();
        let serving = async {
            let code = self.until_end(forwarding, signals).await;
            drop(stop);
            code
        };
        let (kept, code) = tokio::join!(keeper::keep(kept, Display::Off, stopped), serving);
        if code.is_ok() && !forwarding.command.is_empty() {
            // For what is left, no other cloudlet is worth looking for.
            tokio::select! {
                // Without a tunnel there is nothing to carry, and the command has its code all the same.
                _ = carry_the_rest(&kept.uplink, &self.slots) => {}
                _ = signals.next() => {}
            }
        }
        (kept, code)
    }

    async fn until_end(
        &mut self,
        forwarding: &Forwarding,
        signals: &mut Signals,
    ) -> Result<u8, ForwardError> {
        let end = async {
            if forwarding.command.is_empty() {
                signals.next().await;
                return Ok(0);
            }
            command::run(&forwarding.command, signals).await
        };
        tokio::select! {
            code = end => code,
            _ = self.tasks.join_next() => Err(ForwardError::BrokenDown),
        }
    }
}

/// Waits until the connections that a command left behind have carried what it sent.
async fn carry_the_rest(uplink: &Uplink, slots: &Slots) -> Result<(), ForwardError> {
    let mut drain = Drain::default();
    loop {
        let traffic = uplink.traffic().await?;
        let bytes = traffic.sent_bytes + traffic.received_bytes;
        if drain.is_over(slots.are_in_use(), bytes) {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Begins to serve a port, which goes on until the tasks are dropped.
fn serve_door(
    tasks: &mut JoinSet<()>,
    door: Door,
    talk: Talk,
    routes: &Routes,
    slots: &Slots,
) -> Result<(), ForwardError> {
    let troubles = Troubles::new(talk, door.to_string());
    let (routes, slots) = (routes.clone(), slots.clone());
    match door.kind {
        Kind::Tcp(listener, to) => {
            let listener = TcpListener::from_std(listener).map_err(ForwardError::Socket)?;
            tasks.spawn(tcp::forward(listener, to, routes, slots, troubles));
        }
        Kind::Udp(socket, to) => {
            let socket = UdpSocket::from_std(socket).map_err(ForwardError::Socket)?;
            tasks.spawn(udp::forward(socket, to, routes, troubles));
        }
        Kind::Socks(listener) => {
            let listener = TcpListener::from_std(listener).map_err(ForwardError::Socket)?;
            tasks.spawn(socks::serve(listener, routes, slots, troubles));
        }
    }
    Ok(())
}
