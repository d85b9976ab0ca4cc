//! The older form of the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use sinfonia_core::resolver::Resolver;

use super::deploy::{Plan, deploy};
use super::forward;
use super::inside::{self, Report, Wanted, open_shell, with_application};
use crate::application::Application;
use crate::arguments::{DeployOutput, InsideArgs, OlderForm, QrForm};
use crate::failure::CommandError;
use crate::key_cache::KeyPair;
use crate::printable::Printable;
use crate::private_file::{self, PRIVATE_FILE};
use crate::session::{Place, Session};
use crate::tier1::Wishes;
use crate::{output, qr_code, wireguard};

/// Most time until the application runs, in seconds; the default of `deploy` too.
const TIMEOUT: u32 = 300;

/// Mode of a file that everybody may read.
const PUBLIC_FILE: u32 = 0o644;

/// Runs what the older form asks for.
pub(crate) fn run(form: &OlderForm, arguments: &[OsString]) -> Result<u8, CommandError> {
    if form.config_debug || form.qrcode.is_some() {
        return show_or_write(form, arguments).map(|()| 0);
    }
    let result = run_inside(form, arguments);
    if arguments.is_empty() && form.forward.is_wanted() {
        return result;
    }
    result.map_err(|error| with_application(error, Report::Notes))
}

fn run_inside(form: &OlderForm, arguments: &[OsString]) -> Result<u8, CommandError> {
    let (session, plan) = open(form)?;
    if form.forward.is_wanted() {
        let (inside, output) = (InsideArgs::default(), DeployOutput::default());
        let command = arguments.to_vec();
        return forward::run(&session, &plan, &inside, &form.forward, output, command);
    }
    let command = match arguments {
        [] => open_shell(&session),
        words => words.to_vec(),
    };
    inside::run(
        &session,
        &plan,
        &InsideArgs::default(),
        Wanted::alone(command),
    )
}

fn open(form: &OlderForm) -> Result<(Session, Plan), CommandError> {
    let (place, application) = target(form)?;
    let session = Session::with(place, &form.connection, application, form.talk)?;
    let plan = Plan {
        wishes: Wishes::default(),
        probe: false,
        timeout: TIMEOUT,
        wait: true,
    };
    Ok((session, plan))
}

fn show_or_write(form: &OlderForm, arguments: &[OsString]) -> Result<(), CommandError> {
    let applications = match form.qrcode {
        Some(_) => included(arguments)?,
        None => Vec::new(),
    };
    let (session, plan) = open(form)?;
    let key = session.key()?;
    if let Some(form) = form.qrcode {
        return show(&session, &key, &plan, form, &applications);
    }
    if let Some(deployment) = deploy(&session, &key, &plan)?.first() {
        let tunnel = &deployment.tunnel_config;
        write(
            "wg.conf",
            &wireguard::setconf(&key.private, tunnel),
            PRIVATE_FILE,
        )?;
        write(
            "resolv.conf",
            &Resolver::from(tunnel).to_string(),
            PUBLIC_FILE,
        )?;
        session.talk.note("wrote wg.conf and resolv.conf");
    }
    Ok(())
}

/// Where Tier 1 is, which is left out where none is asked, and what is to be deployed.
fn target(form: &OlderForm) -> Result<(Place, Application), CommandError> {
    let (place, uuid) = match form.target.as_slice() {
        [uuid] if form.zeroconf => (Place::LocalNetwork, uuid),
        [url, uuid] => (Place::Tier1(url.parse()?), uuid),
        _ => return Err(CommandError::NoTarget),
    };
    let application = uuid
        .parse()
        .map_err(|_| CommandError::NotAnApplication(Printable::new(uuid)))?;
    Ok((place, application))
}

/// Shows the tunnel as a QR code, for these applications alone.
fn show(
    session: &Session,
    key: &KeyPair,
    plan: &Plan,
    form: QrForm,
    applications: &[&str],
) -> Result<(), CommandError> {
    let deployments = deploy(session, key, plan)?;
    let Some(deployment) = deployments.first() else {
        return Ok(());
    };
    let file = wireguard::quick(&key.private, &deployment.tunnel_config, applications);
    let lines = qr_code::lines(&file, form)?;
    let columns = qr_code::width(&lines);
    if let Some(width) = output::width().filter(|width| usize::from(*width) < columns) {
        session.talk.note(&format!(
            "note: the code takes {columns} columns, the terminal has {width}"
        ));
    }
    output::print_coloured(&lines)?;
    session
        .talk
        .note("the code holds this device's private key: whoever scans it takes over the tunnel");
    Ok(())
}

/// The applications that a phone sends through the tunnel, all where there are none.
fn included(arguments: &[OsString]) -> Result<Vec<&str>, CommandError> {
    let names = arguments.iter().map(|argument| {
        let name = argument.to_str().filter(|name| is_application_id(name));
        name.ok_or_else(|| {
            CommandError::NotAnApplicationId(Printable::new(&argument.to_string_lossy()))
        })
    });
    names.collect()
}

/// Whether a text may be the identifier of an Android application, and so no other line of a file.
fn is_application_id(text: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_');
    !text.is_empty() && text.chars().all(allowed)
}

fn write(name: &str, text: &str, mode: u32) -> Result<(), CommandError> {
    let path = PathBuf::from(name);
    private_file::write(&path, text, mode).map_err(|source| CommandError::File { path, source })
}
