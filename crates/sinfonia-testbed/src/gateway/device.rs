//! wireguard-go and what it is told.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use sinfonia_core::key::{PrivateKey, PublicKey};

use super::plan::{Step, hex};
use super::{GatewayError, network};
use crate::process::Process;

/// Where wireguard-go puts its sockets, whatever its network namespace.
const SOCKETS: &str = "/var/run/wireguard";
/// Time that it has to be there.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time between two looks at whether it is.
const POLL: Duration = Duration::from_millis(10);
/// Longest time for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A network interface of wireguard-go.
#[derive(Debug, Clone)]
pub(super) struct Device {
    interface: String,
    socket: PathBuf,
}

impl Device {
    pub(super) fn of(interface: &str) -> Self {
        Self {
            interface: interface.to_owned(),
            socket: Path::new(SOCKETS).join(format!("{interface}.sock")),
        }
    }

    /// Starts the program in a network namespace and waits until it can be told something.
    pub(super) fn start(
        &self,
        program: &Path,
        namespace: &str,
        folder: &Path,
    ) -> Result<Process, GatewayError> {
        if self.answers() {
            return Err(GatewayError::Taken(self.interface.clone()));
        }
        let mut command = Command::new(program);
        command
            .args(["--foreground", &self.interface])
            .env("LOG_LEVEL", "error");
        let command = network::inside(namespace, &command);
        let mut process = Process::start("wireguard-go", command, folder)?;
        let begun = Instant::now();
        while !self.answers() {
            if !process.runs() || begun.elapsed() > PATIENCE {
                return Err(process.not_up().into());
            }
            thread::sleep(POLL);
        }
        Ok(process)
    }

    pub(super) fn set_identity(&self, key: &PrivateKey, port: u16) -> Result<(), GatewayError> {
        let key = hex(key.as_bytes());
        self.set(&format!("private_key={key}\nlisten_port={port}\n"))
    }

    /// Takes these steps.
    pub(super) fn change(&self, steps: &[Step]) -> Result<(), GatewayError> {
        self.set(&steps.iter().map(Step::to_string).collect::<String>())
    }

    pub(super) fn latest_handshakes(&self) -> Result<BTreeMap<PublicKey, u64>, GatewayError> {
        self.ask("get=1\n\n").map(|answer| read_handshakes(&answer))
    }

    /// Removes the socket that a program leaves when it is killed.
    pub(super) fn remove_socket(&self) {
        // One that is not there need not be removed.
        let _ = fs::remove_file(&self.socket);
    }

    /// Whether a program listens; the socket of one that was killed refuses.
    pub(super) fn answers(&self) -> bool {
        UnixStream::connect(&self.socket).is_ok()
    }

    fn set(&self, settings: &str) -> Result<(), GatewayError> {
        self.ask(&format!("set=1\n{settings}\n")).map(drop)
    }

    /// Sends a request and returns the answer, which has to be good.
    fn ask(&self, request: &str) -> Result<String, GatewayError> {
        let answer = self.exchange(request).map_err(|source| GatewayError::Ask {
            socket: self.socket.clone(),
            source,
        })?;
        let errno = value(&answer, "errno").next().unwrap_or("?");
        if errno == "0" {
            Ok(answer)
        } else {
            Err(GatewayError::Refused(errno.to_owned()))
        }
    }

    fn exchange(&self, request: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.write_all(request.as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// The values of this name in an answer.
fn value<'a>(answer: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    answer
        .lines()
        .filter_map(move |line| line.strip_prefix(name)?.strip_prefix('='))
}

/// The answer lists the peers one after the other, each beginning with its key.
fn read_handshakes(answer: &str) -> BTreeMap<PublicKey, u64> {
    let keys = value(answer, "public_key").filter_map(|key| key.parse().ok());
    let times = value(answer, "last_handshake_time_sec").filter_map(|seconds| seconds.parse().ok());
    keys.zip(times).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_are_those_of_the_key_above_them() {
        let [one, other] = ["01".repeat(32), "02".repeat(32)];
        let answer = format!(
            "private_key={one}\nlisten_port=1\n\
            public_key={one}\nlast_handshake_time_sec=1800000000\nlast_handshake_time_nsec=5\nallowed_ip=10.5.0.1/32\n\
            public_key={other}\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\nerrno=0\n\n"
        );

        let times = [1, 2].map(|byte| PublicKey::from_bytes([byte; 32]));
        assert_eq!(
            read_handshakes(&answer),
            BTreeMap::from([(times[0], 1_800_000_000), (times[1], 0)])
        );
    }
}
