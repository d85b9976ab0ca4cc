//! Running an application inside the tunnel of its deployment.

mod uplink;

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sinfonia_tunnel::confinement::{
    self, Application, Confinement, ConfinementError, Mtu, Running, Signals, Tun, Waiting,
};
use sinfonia_tunnel::driver::TunnelError;

use self::uplink::Uplink;
use crate::application::Application as Kind;
use crate::arguments::StatusForm;
use crate::commands::deploy::{Plan, deploy};
use crate::commands::inside::{Report, Wanted};
use crate::display::Screen;
use crate::events::{Audience, Event};
use crate::failure::CommandError;
use crate::keeper::{Asking, Holdings, Keeper, Kept};
use crate::kept::{self, Hold, KeptError};
use crate::key_cache::KeyPair;
use crate::session::Session;
use crate::talk::Talk;
use crate::watch::Watch;

/// What is run, and how.
#[derive(Debug, Clone)]
pub(crate) struct Inside {
    /// The command, and what else is to happen.
    pub(crate) wanted: Wanted,
    /// Longest packet inside the tunnel.
    pub(crate) mtu: Mtu,
    /// Whether the deployment is given back when the application has ended.
    pub(crate) release: bool,
    /// Silence of the cloudlet after which another one is looked for, if ever.
    pub(crate) failover_after: Option<Duration>,
    /// Where the state is shown.
    pub(crate) status: StatusForm,
}

/// Why an application does not run inside a tunnel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InsideError {
    /// The namespaces cannot be had, or the application cannot be executed.
    #[error(transparent)]
    Confinement(#[from] ConfinementError),
    /// The tunnel does not stay for others, or is not found.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// The tunnel does not come about, or broke down.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    /// Nobody knows where the cloudlet is.
    #[error("cannot find {host}, the cloudlet's end of the tunnel")]
    Endpoint {
        /// The host and port in the answer.
        host: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no socket.
    #[error("cannot open a socket for the tunnel")]
    Socket(#[source] io::Error),
    /// The cloudlet does not answer.
    #[error("the cloudlet's end of the tunnel at {0} does not answer")]
    NoAnswer(SocketAddr),
    /// The system does not tell what became of the application.
    #[error("cannot follow the application")]
    Application(#[source] io::Error),
}

/// Deploys, runs an application whose only way out is the tunnel to the deployment, and gives the deployment back after it. Returns what
/// the application exited with.
///
/// # Errors
/// It does not come to run.
pub(crate) fn run(
    session: &Session,
    key: &KeyPair,
    plan: &Plan,
    inside: &Inside,
) -> Result<u8, CommandError> {
    // Nothing is deployed for a device that cannot use it.
    let confined = confine(inside)?;
    let deployments = confined
        .signals
        .let_through(|| deploy(session, key, plan))
        .map_err(InsideError::Application)??;
    let Some(deployment) = deployments.first() else {
        return Err(CommandError::NothingDeployed);
    };
    let audience = afterwards(inside.wanted.report, session.talk);
    audience.hear(&Event::Deployed {
        cloudlet: deployment.cloudlet.as_ref(),
        deployment,
    });
    let mut holdings = Holdings::new(deployment.clone());
    let outcome = connect_and_run(session, key, plan, inside, confined, &mut holdings);
    if inside.release {
        holdings.release(session, &key.public, audience);
    }
    Ok(outcome?)
}

/// Where the application will run.
struct Confined {
    confinement: Confinement,
    tun: Tun,
    waiting: Waiting,
    signals: Signals,
}

fn confine(inside: &Inside) -> Result<Confined, InsideError> {
    // Before there is a thread that would take them.
    let signals = Signals::hold().map_err(InsideError::Application)?;
    let application = application(&inside.wanted.command);
    let (confinement, tun, waiting) = Confinement::make(&application)?;
    Ok(Confined {
        confinement,
        tun,
        waiting,
        signals,
    })
}

fn connect_and_run(
    session: &Session,
    key: &KeyPair,
    plan: &Plan,
    inside: &Inside,
    confined: Confined,
    holdings: &mut Holdings,
) -> Result<u8, InsideError> {
    let Confined {
        confinement,
        tun,
        waiting,
        signals,
    } = confined;
    let config = &holdings.in_use().tunnel_config;
    let uplink = Uplink::connect(confinement, tun, inside.mtu, &key.private, config)?;
    let audience = audience(inside, session.talk);
    tell_connection(&uplink, audience)?;
    let (running, _hold) = occupy(session, inside, waiting, &uplink)?;
    let kept = Kept {
        asking: Asking::new(session, key.public, plan),
        holdings: holdings.clone(),
        uplink,
        watch: Watch::new(inside.failover_after),
        audience,
    };
    let screen = screen(inside, session.talk);
    let keeper = Keeper::start(kept, inside.status, screen).map_err(InsideError::Application)?;
    let exit_code = until_end(session, inside, running, &signals);
    if let Some(kept) = keeper.stop() {
        *holdings = kept.holdings;
        if let Err(error) = kept.uplink.stop() {
            session.talk.note(&format!("note: {error}"));
        }
    }
    exit_code
}

/// Starts the application, if there is one, and holds the namespaces, if they are to be kept.
fn occupy(
    session: &Session,
    inside: &Inside,
    waiting: Waiting,
    uplink: &Uplink,
) -> Result<(Option<Running>, Option<Hold>), InsideError> {
    let Wanted { command, keep, .. } = &inside.wanted;
    if command.is_empty() {
        let hold = Hold::new(session.application, waiting)?;
        tell_kept(session, inside);
        return Ok((None, Some(hold)));
    }
    let hold = if *keep {
        let waiting = uplink.namespaces().start(&application(&[]))?;
        Some(Hold::new(session.application, waiting)?)
    } else {
        None
    };
    Ok((Some(waiting.go()?), hold))
}

/// Waits until the application has ended, and then, if the tunnel is to be kept, until this process is asked to end.
fn until_end(
    session: &Session,
    inside: &Inside,
    running: Option<Running>,
    signals: &Signals,
) -> Result<u8, InsideError> {
    let audience = audience(inside, session.talk);
    let mut exit_code = 0;
    if let Some(running) = running {
        audience.hear(&Event::Started { pid: running.id() });
        exit_code = follow(running, signals)?;
        audience.hear(&Event::Ended { exit_code });
    }
    if !inside.wanted.keep {
        return Ok(exit_code);
    }
    if !inside.wanted.command.is_empty() {
        tell_kept(session, inside);
    }
    signals.wait_for_end().map_err(InsideError::Application)?;
    Ok(0)
}

fn tell_kept(session: &Session, inside: &Inside) {
    audience(inside, session.talk).hear(&Event::Kept);
    session.talk.note(&format!(
        "the tunnel stays until Ctrl-C; run something in it: sinfonia-tier3 exec {} -- COMMAND",
        session.application
    ));
}

/// Passes signals on to the application until it has ended, and tells what it exited with.
fn follow(running: Running, signals: &Signals) -> Result<u8, InsideError> {
    signals
        .pass_on_to(running.handle())
        .map_err(InsideError::Application)?;
    let status = running.wait().map_err(InsideError::Application)?;
    Ok(confinement::exit_code(status))
}

/// Runs one more application in a tunnel that is kept. Returns what it exited with.
///
/// # Errors
/// No tunnel is kept, or the application does not come to run.
pub(crate) fn run_beside(kept: Kind, command: &[OsString]) -> Result<u8, InsideError> {
    // Before there is a thread that would take them.
    let signals = Signals::hold().map_err(InsideError::Application)?;
    let waiting = kept::find(kept)?.start(&application(command))?;
    follow(waiting.go()?, &signals)
}

/// A command as what becomes of a process inside.
fn application(command: &[OsString]) -> Application {
    let mut words = command.iter();
    let program = words.next().cloned().unwrap_or_default();
    Application::new(program).arguments(words)
}

const fn screen(inside: &Inside, talk: Talk) -> Screen {
    Screen {
        terminal: talk.is_on_terminal(),
        quiet: talk.is_quiet(),
        application: !inside.wanted.command.is_empty(),
    }
}

fn tell_connection(uplink: &Uplink, audience: Audience) -> Result<(), InsideError> {
    let peer = uplink.peer()?;
    if let Some(endpoint) = peer.endpoint {
        audience.hear(&Event::Connected {
            endpoint,
            round_trip: peer.round_trip.into(),
        });
    }
    Ok(())
}

/// Who hears what happens while the application runs: what it has on its terminal is not to be spoilt by notes.
const fn audience(inside: &Inside, talk: Talk) -> Audience {
    match inside.wanted.report {
        Report::Notes if talk.is_on_terminal() => Audience::Nobody,
        report => afterwards(report, talk),
    }
}

/// Who hears what happens before the application runs, and when it has ended.
const fn afterwards(report: Report, talk: Talk) -> Audience {
    match report {
        Report::Events => Audience::Program,
        Report::Notes if talk.is_quiet() => Audience::Nobody,
        Report::Notes => Audience::People,
    }
}
