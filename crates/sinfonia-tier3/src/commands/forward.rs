//! Commands that forward ports of this device.

use std::ffi::OsString;

use super::deploy::Plan;
use super::inside::choose_key;
use crate::arguments::{DeployOutput, ForwardArgs, InsideArgs};
use crate::failure::CommandError;
use crate::forward::{self, ForwardError, Forwarding, ListingForm};
use crate::session::Session;

/// Deploys and forwards ports, while a command runs or until a signal comes. Returns what the command exited with.
///
/// # Errors
/// It does not come to that.
pub(crate) fn run(
    session: &Session,
    plan: &Plan,
    args: &InsideArgs,
    ports: &ForwardArgs,
    output: DeployOutput,
    command: Vec<OsString>,
) -> Result<u8, CommandError> {
    let InsideArgs {
        new_key,
        no_release,
        mtu,
        failover_after: _,
        // The ports themselves are told, and what happens to them.
        status: _,
    } = args;
    let ForwardArgs { forward, socks } = ports;
    let listing = match output {
        DeployOutput::Wg => return Err(ForwardError::Form.into()),
        // What the command writes is not mixed with what we do.
        _ if !command.is_empty() => None,
        DeployOutput::Table => None,
        DeployOutput::Json => Some(ListingForm::Json),
        DeployOutput::Yaml => Some(ListingForm::Yaml),
    };
    let (key, _in_use) = choose_key(session, *new_key)?;
    let forwarding = Forwarding {
        forwards: forward.clone(),
        proxies: socks.clone(),
        command,
        mtu: *mtu,
        failover_after: args.longest_silence(),
        keep: *no_release,
        listing,
    };
    forward::run(session, &key, plan, &forwarding)
}
