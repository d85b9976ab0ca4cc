//! The older form of the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use super::deploy::{Plan, deploy};
use crate::application::Application;
use crate::arguments::OlderForm;
use crate::failure::CommandError;
use crate::printable::Printable;
use crate::private_file::{self, PRIVATE_FILE};
use crate::session::Session;
use crate::tier1::Wishes;
use crate::tier1_url::Tier1Url;
use crate::wireguard;

/// Most time until the application runs, in seconds; the default of `deploy` too.
const TIMEOUT: u32 = 300;

/// Mode of a file that everybody may read.
const PUBLIC_FILE: u32 = 0o644;

/// Runs what the older form asks for.
pub(crate) fn run(form: &OlderForm, arguments: &[OsString]) -> Result<(), CommandError> {
    let (url, application) = target(form)?;
    if let Some(what) = missing(form, arguments) {
        return Err(CommandError::NotInThisVersion {
            what,
            url,
            application,
        });
    }
    let url = url.ok_or(CommandError::NoTarget)?;
    let session = Session::with(url, &form.connection, application, form.talk)?;
    let key = session.key()?;
    let plan = Plan {
        wishes: Wishes::default(),
        timeout: TIMEOUT,
        wait: true,
    };
    if let Some(deployment) = deploy(&session, &key, &plan)?.first() {
        let tunnel = &deployment.tunnel_config;
        write(
            "wg.conf",
            &wireguard::setconf(&key.private, tunnel),
            PRIVATE_FILE,
        )?;
        write("resolv.conf", &wireguard::resolv_conf(tunnel), PUBLIC_FILE)?;
        session.talk.note("wrote wg.conf and resolv.conf");
    }
    Ok(())
}

/// Where Tier 1 is, which is left out where none is asked, and what is to be deployed.
fn target(form: &OlderForm) -> Result<(Option<Tier1Url>, Application), CommandError> {
    let (url, uuid) = match form.target.as_slice() {
        [url, uuid] => (Some(url.parse()?), uuid),
        [uuid] if form.zeroconf => (None, uuid),
        _ => return Err(CommandError::NoTarget),
    };
    let application = uuid
        .parse()
        .map_err(|_| CommandError::NotAnApplication(Printable::new(uuid)))?;
    Ok((url, application))
}

/// What is asked for that this version does not do.
fn missing(form: &OlderForm, arguments: &[OsString]) -> Option<String> {
    if form.zeroconf {
        return Some("finding a cloudlet on the local network (--zeroconf)".to_owned());
    }
    if form.qrcode.is_some() {
        return Some("showing the tunnel as a QR code (--qrcode)".to_owned());
    }
    if form.config_debug {
        return None;
    }
    let program = arguments
        .first()
        .map(|program| Printable::new(&program.to_string_lossy()));
    Some(match program {
        Some(program) => format!("running an application inside the tunnel (`{program}`)"),
        None => "opening a shell inside the tunnel".to_owned(),
    })
}

fn write(name: &str, text: &str, mode: u32) -> Result<(), CommandError> {
    let path = PathBuf::from(name);
    private_file::write(&path, text, mode).map_err(|source| CommandError::File { path, source })
}
