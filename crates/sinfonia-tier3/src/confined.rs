//! Running an application inside the tunnel of its deployment.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sinfonia_tunnel::confinement::{
    self, Application, Confinement, ConfinementError, Mtu, Signals, Tun, Waiting,
};
use sinfonia_tunnel::driver::TunnelError;

use crate::arguments::StatusForm;
use crate::commands::deploy::{Plan, deploy};
use crate::commands::inside::Report;
use crate::display::Screen;
use crate::events::{Audience, Event};
use crate::failure::CommandError;
use crate::keeper::{Asking, Holdings, Keeper, Kept};
use crate::key_cache::KeyPair;
use crate::session::Session;
use crate::talk::Talk;
use crate::uplink::Uplink;
use crate::watch::Watch;

/// What is run, and how.
#[derive(Debug, Clone)]
pub(crate) struct Inside {
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
    /// Longest packet inside the tunnel.
    pub(crate) mtu: Mtu,
    /// Whether the deployment is given back when the application has ended.
    pub(crate) release: bool,
    /// Silence of the cloudlet after which another one is looked for, if ever.
    pub(crate) failover_after: Option<Duration>,
    /// Where the state is shown.
    pub(crate) status: StatusForm,
    /// How is told what happens.
    pub(crate) report: Report,
}

/// Why an application does not run inside a tunnel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InsideError {
    /// The namespaces cannot be had, or the application cannot be executed.
    #[error(transparent)]
    Confinement(#[from] ConfinementError),
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
    let audience = afterwards(inside.report, session.talk);
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
    let mut words = inside.command.iter();
    let program = words.next().cloned().unwrap_or_default();
    let application = Application::new(program).arguments(words);
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
    let audience = audience(inside.report, session.talk);
    tell_connection(&uplink, audience)?;
    let running = waiting.go()?;
    audience.hear(&Event::Started { pid: running.id() });
    signals
        .pass_on_to(running.handle())
        .map_err(InsideError::Application)?;
    let kept = Kept {
        asking: Asking {
            tier1: session.tier1.clone(),
            application: session.application,
            key: key.public,
            plan: plan.clone(),
        },
        holdings: holdings.clone(),
        uplink,
        watch: Watch::new(inside.failover_after),
        audience,
    };
    let screen = Screen {
        terminal: session.talk.is_on_terminal(),
        quiet: session.talk.is_quiet(),
        application: true,
    };
    let keeper = Keeper::start(kept, inside.status, screen).map_err(InsideError::Application)?;
    let status = running.wait().map_err(InsideError::Application)?;
    let exit_code = confinement::exit_code(status);
    if let Some(kept) = keeper.stop() {
        audience.hear(&Event::Ended { exit_code });
        *holdings = kept.holdings;
        if let Err(error) = kept.uplink.stop() {
            session.talk.note(&format!("note: {error}"));
        }
    }
    Ok(exit_code)
}

fn tell_connection(uplink: &Uplink, audience: Audience) -> Result<(), InsideError> {
    let peer = uplink.traffic()?.peer;
    if let Some(endpoint) = peer.endpoint {
        audience.hear(&Event::Connected {
            endpoint,
            round_trip: peer.round_trip.into(),
        });
    }
    Ok(())
}

/// Who hears what happens while the application runs: what it has on its terminal is not to be spoilt by notes.
const fn audience(report: Report, talk: Talk) -> Audience {
    match report {
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
