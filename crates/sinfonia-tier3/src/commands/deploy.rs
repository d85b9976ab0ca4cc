//! `sinfonia-tier3 deploy`.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_core::key::PublicKey;
use sinfonia_service::traces::Undertaking;
use tokio::time::Instant;

use super::inside::{self, Report, Wanted, with_application};
use super::{forward, print};
use crate::application::Application;
use crate::arguments::{DeployArgs, DeployOutput, Output};
use crate::failure::{Call, CommandError};
use crate::key_cache::KeyPair;
use crate::printable::Printable;
use crate::session::{self, Session};
use crate::talk::{Progress, Talk};
use crate::tier1::{AskError, Tier1, Wishes};
use crate::waiting::{WaitError, Waiting};
use crate::{output, probe, wireguard};

/// Longest time that a server may take for an answer, in seconds; Tier 2 takes no more either.
const LONGEST_WAIT: u32 = 60;

/// Shortest time in which Tier 1 tries a cloudlet at all, in seconds.
const SHORTEST_WAIT: u32 = 2;

/// What is to be deployed, and how long that may take.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Where, and on how many cloudlets.
    pub(crate) wishes: Wishes,
    /// Whether to measure round trips to the candidates before.
    pub(crate) probe: bool,
    /// Most time until it runs, in seconds.
    pub(crate) timeout: u32,
    /// Whether to wait until it runs.
    pub(crate) wait: bool,
}

/// Why there is no deployment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObtainError {
    /// Tier 1 does not help.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// It does not come up.
    #[error(transparent)]
    Wait(#[from] WaitError),
}

/// Runs the command.
pub(crate) fn run(args: &DeployArgs) -> Result<u8, CommandError> {
    let result = deploy_and_use(args);
    if args.command.is_empty() && !args.keep {
        return result;
    }
    result.map_err(|error| with_application(error, report_of(args)))
}

const fn report_of(args: &DeployArgs) -> Report {
    match args.output {
        DeployOutput::Json => Report::Events,
        _ => Report::Notes,
    }
}

fn deploy_and_use(args: &DeployArgs) -> Result<u8, CommandError> {
    let DeployArgs {
        application,
        placement,
        no_wait,
        timeout,
        output,
        inside,
        keep,
        forward,
        talk,
        tier1,
        command,
    } = args;
    let plan = Plan {
        wishes: Wishes {
            location: placement.location,
            results: placement.results.map(u32::from),
            ..Wishes::default()
        },
        probe: placement.probe.probe,
        timeout: *timeout,
        wait: !no_wait,
    };
    if forward.is_wanted() {
        let session = Session::open(tier1, *application, *talk)?;
        let command = command.clone();
        return forward::run(&session, &plan, inside, forward, *output, command);
    }
    if !command.is_empty() || *keep {
        let wanted = Wanted {
            command: command.clone(),
            keep: *keep,
            report: report_of(args),
        };
        let session = Session::open(tier1, *application, wanted.report.talk(*talk))?;
        return inside::run(&session, &plan, inside, wanted);
    }
    let session = Session::open(tier1, *application, *talk)?;
    let key = session.key()?;
    let deployments = deploy(&session, &key, &plan)?;
    let form = match output {
        DeployOutput::Table => Output::Table,
        DeployOutput::Json => Output::Json,
        DeployOutput::Yaml => Output::Yaml,
        DeployOutput::Wg => return print_wg(&session, &key, &deployments).map(|()| 0),
    };
    print(form, &deployments, || {
        output::deployments(&deployments, Timestamp::now(), output::width())
    })?;
    Ok(0)
}

/// Deploys, and waits until it runs if that is wanted. An interrupt ends it; what was deployed by then stays.
///
/// # Errors
/// It cannot be deployed, does not come up in time, or the user interrupts.
pub(crate) fn deploy(
    session: &Session,
    key: &KeyPair,
    plan: &Plan,
) -> Result<Vec<CloudletDeployment>, CommandError> {
    let deployments = session::run(unless_interrupted(session, work(session, key, plan)))??;
    for deployment in deployments
        .iter()
        .filter(|deployment| !deployment.is_ready())
    {
        session.talk.note("note: it is not ready yet");
        tell_message(deployment, &session.talk);
    }
    Ok(deployments)
}

/// Tells what a deployment that is not ready says of itself.
pub(crate) fn tell_message(deployment: &CloudletDeployment, talk: &Talk) {
    if let Some(message) = deployment
        .message
        .as_deref()
        .filter(|_| !deployment.is_ready())
    {
        talk.note(&format!("note: {}", Printable::new(message)));
    }
}

async fn work(
    session: &Session,
    key: &KeyPair,
    plan: &Plan,
) -> Result<Vec<CloudletDeployment>, CommandError> {
    let Session {
        tier1, application, ..
    } = session;
    let progress = session
        .talk
        .progress(&format!("deploying {application} through {}", tier1.url()));
    let deployments = obtain(tier1, *application, &key.public, plan, &progress).await;
    deployments.map_err(|error| match error {
        ObtainError::Ask(error) => session.refused(Call::Deploy, error),
        ObtainError::Wait(error) => CommandError::Wait {
            application: *application,
            url: tier1.url().clone(),
            timeout: plan.timeout,
            error,
        },
    })
}

/// Deploys, and waits until it runs if that is wanted.
///
/// # Errors
/// It cannot be deployed, or does not come up in time.
pub(crate) async fn obtain(
    tier1: &Tier1,
    application: Application,
    key: &PublicKey,
    plan: &Plan,
    progress: &Progress,
) -> Result<Vec<CloudletDeployment>, ObtainError> {
    let work = obtain_untraced(tier1, application, key, plan, progress);
    Undertaking::new("deploy", application.uuid())
        .of(work)
        .await
}

async fn obtain_untraced(
    tier1: &Tier1,
    application: Application,
    key: &PublicKey,
    plan: &Plan,
    progress: &Progress,
) -> Result<Vec<CloudletDeployment>, ObtainError> {
    let deadline = Instant::now() + Duration::from_secs(plan.timeout.into());
    let wait = plan.timeout.clamp(SHORTEST_WAIT, LONGEST_WAIT);
    let mut wishes = Wishes {
        wait: plan.wait.then_some(wait),
        ..plan.wishes.clone()
    };
    if plan.probe {
        wishes.round_trips = probe::measure(tier1, application, key, &wishes, progress).await;
    }
    let mut deployments = tier1.deploy(application, key, &wishes).await?;
    if plan.wait {
        let waiting = Waiting::new(tier1, application, key, deployments, progress);
        deployments = waiting.until_ready(deadline).await?;
    }
    probe::add_to_deployments(&mut deployments, &wishes.round_trips);
    Ok(deployments)
}

async fn unless_interrupted<T>(
    session: &Session,
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    tokio::select! {
        done = work => done,
        Ok(()) = tokio::signal::ctrl_c() => Err(CommandError::Interrupted {
            application: session.application,
            url: session.tier1.url().clone(),
        }),
    }
}

/// A tunnel has one other end: of several deployments the best counts.
fn print_wg(
    session: &Session,
    key: &KeyPair,
    deployments: &[CloudletDeployment],
) -> Result<(), CommandError> {
    let Some((best, others)) = deployments.split_first() else {
        return Ok(());
    };
    if !others.is_empty() {
        session
            .talk
            .note("note: the file leads to the first of the cloudlets alone");
    }
    Ok(output::print(wireguard::quick(
        &key.private,
        &best.tunnel_config,
        &[],
    ))?)
}
