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

use std::ffi::OsString;

use serde::Serialize;
use sinfonia_core::deployment::CloudletDeployment;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime;
use tokio::sync::watch;
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
use crate::commands::deploy::{Plan, deploy};
use crate::failure::{Call, CommandError, INTERRUPTED};
use crate::key_cache::KeyPair;
use crate::output;
use crate::renewal::Renewal;
use crate::session::Session;
use crate::talk::Talk;

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
    let outcome = serve_on_threads(session, key, plan, forwarding, doors, deployment);
    if !forwarding.keep {
        release(session, key);
    }
    outcome
}

fn serve_on_threads(
    session: &Session,
    key: &KeyPair,
    plan: &Plan,
    forwarding: &Forwarding,
    doors: Vec<Door>,
    deployment: &CloudletDeployment,
) -> Result<u8, CommandError> {
    // Several threads, so that the tunnel encrypts while others copy.
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CommandError::Runtime)?;
    let work = async {
        let mut signals = Signals::take().map_err(ForwardError::Signals)?;
        let link = tokio::select! {
            link = Link::open(key, &deployment.tunnel_config, forwarding.mtu) => link?,
            // What was deployed is released all the same.
            _ = signals.next() => return Ok(if forwarding.command.is_empty() { 0 } else { INTERRUPTED }),
        };
        tell(session.talk, forwarding, &doors, deployment)?;
        let _renewal = Renewal::start(session, key, plan).map_err(CommandError::Runtime)?;
        // Whoever holds the sender can lead the forwards elsewhere, with the route of another link.
        let (_sender, routes) = watch::channel(link.route());
        let code = serve(
            session.talk,
            forwarding,
            doors,
            Routes::new(routes),
            &mut signals,
            &link,
        )
        .await;
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

/// Serves all ports until the command or a signal ends it.
async fn serve(
    talk: Talk,
    forwarding: &Forwarding,
    doors: Vec<Door>,
    routes: Routes,
    signals: &mut Signals,
    link: &Link,
) -> Result<u8, ForwardError> {
    let slots = Slots::new();
    let mut tasks = JoinSet::new();
    for door in doors {
        serve_door(&mut tasks, door, talk, &routes, &slots)?;
    }
    let end = async {
        if forwarding.command.is_empty() {
            signals.next().await;
            return Ok(0);
        }
        command::run(&forwarding.command, signals).await
    };
    let code = tokio::select! {
        code = end => code?,
        _ = tasks.join_next() => return Err(ForwardError::BrokenDown),
    };
    if !forwarding.command.is_empty() {
        tokio::select! {
            // Without a tunnel there is nothing to carry, and the command has its code all the same.
            _ = carry_the_rest(link, &slots) => {}
            _ = signals.next() => {}
        }
    }
    Ok(code)
}

/// Waits until the connections that a command left behind have carried what it sent.
async fn carry_the_rest(link: &Link, slots: &Slots) -> Result<(), ForwardError> {
    let mut drain = Drain::default();
    while !drain.is_over(slots.are_in_use(), link.traffic().await?) {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
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

/// Gives back what was deployed; where that fails, it ends with its lease.
fn release(session: &Session, key: &KeyPair) {
    let application = session.application;
    let delete = session.tier1.delete(application, &key.public, None);
    if let Err(error) = session.ask(Call::Delete, delete) {
        session.talk.note(&format!(
            "note: {application} could not be deleted, it ends by itself once its lease has passed: {error}"
        ));
    }
}
