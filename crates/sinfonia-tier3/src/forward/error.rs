//! What goes wrong with forwarded ports, and what the user can do about it.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use sinfonia_tunnel::userspace::Ended;

use crate::failure::NOT_COME_TO_IT;

/// Exit code for a command that cannot be executed, as shells have it.
const NOT_EXECUTABLE: u8 = 126;
/// Exit code for a command that is not there, as shells have it.
const NOT_FOUND: u8 = 127;

/// Why ports are not forwarded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// A port cannot be listened to.
    #[error("cannot listen at {at} for {option}")]
    Listen {
        /// The port.
        at: SocketAddr,
        /// The option that asks for it.
        option: String,
        /// The same with any free port instead.
        instead: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The answer was asked for in a form that is about another tunnel.
    #[error("--output wg writes a file for a tunnel of wg-quick, not for forwarded ports")]
    Form,
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
    /// The tunnel is gone.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// Something that goes on as long as the program came to an end.
    #[error("a forward broke down")]
    BrokenDown,
    /// The system does not tell of signals.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    /// The command does not start.
    #[error("cannot execute {}", Path::new(program).display())]
    Execute {
        /// The command.
        program: OsString,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system does not tell what became of the command.
    #[error("cannot follow the command")]
    Follow(#[source] io::Error),
}

impl ForwardError {
    /// What the process exits with where a command was to run.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Execute { source, .. } if source.kind() == io::ErrorKind::NotFound => NOT_FOUND,
            Self::Execute { .. } => NOT_EXECUTABLE,
            _ => NOT_COME_TO_IT,
        }
    }

    /// What the user can do next.
    pub(crate) fn hint(&self) -> String {
        let general = match self {
            Self::Listen {
                at,
                source,
                instead,
                ..
            } => return of_listening(*at, source.kind(), instead),
            Self::Form => "leave it out, or take --output json",
            Self::Endpoint { .. } => "check the name, and this device's name servers",
            Self::NoAnswer(_) => {
                "check that UDP to this address is let through; the deployment can be tried by other means with --output wg"
            }
            Self::Execute { .. } => "check its name, its mode and PATH",
            Self::Socket(_) | Self::Signals(_) | Self::Follow(_) => {
                "check the limits of this shell: ulimit -a"
            }
            Self::Ended(_) | Self::BrokenDown => "try it once more; --debug shows each step",
        };
        general.to_owned()
    }
}

fn of_listening(at: SocketAddr, kind: io::ErrorKind, instead: &str) -> String {
    match kind {
        io::ErrorKind::AddrInUse => format!(
            "another program or option has port {}; take another one, or any that is free: {instead}",
            at.port()
        ),
        io::ErrorKind::PermissionDenied => {
            format!(
                "ports below 1024 are root's; take a higher one, or any that is free: {instead}"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            "name an address of this device, or none for 127.0.0.1".to_owned()
        }
        _ => format!("take any port that is free: {instead}"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::in_use(io::ErrorKind::AddrInUse, "another program or option has port 80;")]
    #[case::privileged(io::ErrorKind::PermissionDenied, "ports below 1024 are root's;")]
    #[case::not_ours(io::ErrorKind::AddrNotAvailable, "name an address of this device")]
    #[case::other(io::ErrorKind::OutOfMemory, "take any port that is free: --socks 0")]
    fn a_port_that_cannot_be_had_is_told_with_a_way_out(
        #[case] kind: io::ErrorKind,
        #[case] expected: &str,
    ) {
        let error = ForwardError::Listen {
            at: "127.0.0.1:80".parse().unwrap(),
            option: "--socks 80".to_owned(),
            instead: "--socks 0".to_owned(),
            source: kind.into(),
        };

        assert!(error.hint().starts_with(expected), "{}", error.hint());
    }

    #[rstest]
    #[case::not_there(execute(io::ErrorKind::NotFound), 127)]
    #[case::not_executable(execute(io::ErrorKind::PermissionDenied), 126)]
    #[case::ours(ForwardError::BrokenDown, 125)]
    fn a_command_that_does_not_start_is_told_as_shells_do(
        #[case] error: ForwardError,
        #[case] expected: u8,
    ) {
        assert_eq!(error.exit_code(), expected);
    }

    fn execute(kind: io::ErrorKind) -> ForwardError {
        ForwardError::Execute {
            program: "x".into(),
            source: kind.into(),
        }
    }
}
