//! Addresses, routes and translation in the gateway's network namespace.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Stdio};

use super::{GatewayError, GatewaySettings};

/// The table of what leaves the cluster.
const TABLE: &str = "sinfonia_testbed_gateway";

/// Gives the interface its address and routes, and lets the namespace forward what comes through it.
pub(super) fn set_up(settings: &GatewaySettings) -> Result<(), GatewayError> {
    let interface = settings.interface.as_str();
    let ip = |line: &str| {
        let mut command = Command::new("ip");
        command.args(["-netns", &settings.namespace]);
        run("ip", command.args(line.split(' ')), "")
    };
    ip(&format!(
        "address add {} dev {interface}",
        settings.wireguard_ip
    ))?;
    ip(&format!("link set {interface} up"))?;
    ip(&format!(
        "route replace {} dev {interface}",
        settings.client_network
    ))?;
    let forward = ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"];
    run("ip", &mut exec(&settings.namespace, forward), "")?;
    let nft = ["nft", "--file", "-"];
    run(
        "ip",
        &mut exec(&settings.namespace, nft),
        &translation(settings),
    )
}

/// Removes what [`set_up`] made and what does not go with the interface.
pub(super) fn clean_up(namespace: &str) {
    // Nothing is left where the namespace has gone.
    let _ = run(
        "ip",
        &mut exec(namespace, ["nft", "--file", "-"]),
        &removal(),
    );
}

/// The same command, run in a network namespace.
pub(crate) fn inside(namespace: &str, command: &Command) -> Command {
    let mut inside = exec(namespace, [command.get_program()]);
    inside.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        inside.current_dir(folder);
    }
    inside
}

/// Clients appear with the node's address beyond the cluster, and with their own inside.
fn translation(settings: &GatewaySettings) -> String {
    let networks: Vec<_> = settings
        .cluster_networks
        .iter()
        .map(ToString::to_string)
        .collect();
    format!(
        "{}table ip {TABLE} {{\n\
         chain internet {{\n\
         type nat hook postrouting priority srcnat; policy accept;\n\
         ip saddr {} ip daddr != {{ {} }} masquerade\n\
         }}\n}}\n",
        removal(),
        settings.client_network,
        networks.join(", ")
    )
}

/// Removes the table, be it there or not.
fn removal() -> String {
    format!("table ip {TABLE}\ndelete table ip {TABLE}\n")
}

fn exec<S: AsRef<OsStr>>(namespace: &str, words: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).args(words);
    command
}

/// Runs a command to its end, which has to be good.
fn run(program: &'static str, command: &mut Command, input: &str) -> Result<(), GatewayError> {
    let failed = |source| GatewayError::Run { program, source };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read fails for a reason of its own, told below.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    Err(GatewayError::Command {
        command: words
            .map(OsStr::to_string_lossy)
            .collect::<Vec<_>>()
            .join(" "),
        message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_keeps_its_arguments_and_variables_inside() {
        let mut command = Command::new("program");
        command.args(["--flag", "value"]).env("NAME", "value");

        let inside = inside("netns", &command);

        let arguments: Vec<_> = inside.get_args().collect();
        assert_eq!(inside.get_program(), "ip");
        assert_eq!(
            arguments,
            ["netns", "exec", "netns", "program", "--flag", "value"]
        );
        assert_eq!(inside.get_envs().count(), 1);
    }
}
