//! A running service: its process, its addresses, its log.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Time that a service has to say where it listens, and to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks at whether a process has ended.
const POLL: Duration = Duration::from_millis(10);

/// Why a service does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The program cannot be started.
    #[error("cannot start {name}")]
    Start {
        /// The service.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The program ended, or said nothing, before it listened.
    #[error("{name} did not come up; its log is {}:\n{log_text}", log.display())]
    NotUp {
        /// The service.
        name: String,
        /// Its log file.
        log: PathBuf,
        /// The log's text.
        log_text: String,
    },
    /// The program cannot be stopped.
    #[error("cannot stop {name}")]
    Stop {
        /// The service.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The program went on after it was asked to end.
    #[error("{name} still runs after it was asked to end; its log is {}", log.display())]
    StillRuns {
        /// The service.
        name: String,
        /// Its log file.
        log: PathBuf,
    },
}

/// A service of ours as a child process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Service {
    name: String,
    child: Child,
    log: PathBuf,
    address: SocketAddr,
    admin: SocketAddr,
}

/// What the log tells of a service's sockets.
enum Listening {
    Service(SocketAddr),
    Admin(SocketAddr),
}

impl Service {
    /// Starts a program on free loopback ports and waits until it listens. Its log, JSON lines, goes to `<folder>/<name>.log`.
    ///
    /// # Errors
    /// The program cannot be started, or ends or falls silent before it listens.
    pub fn start(name: &str, command: Command, folder: &Path) -> Result<Self, ServiceError> {
        Self::start_on(0, name, command, folder)
    }

    /// Starts a program as [`Service::start`] does, where so long passes before it listens.
    ///
    /// # Errors
    /// As there.
    pub fn start_within(
        patience: Duration,
        name: &str,
        command: Command,
        folder: &Path,
    ) -> Result<Self, ServiceError> {
        Self::launch(0, patience, name, command, folder)
    }

    /// Starts a program as [`Service::start`] does, but on this port.
    ///
    /// # Errors
    /// As there.
    pub fn start_on(
        port: u16,
        name: &str,
        command: Command,
        folder: &Path,
    ) -> Result<Self, ServiceError> {
        Self::launch(port, PATIENCE, name, command, folder)
    }

    fn launch(
        port: u16,
        patience: Duration,
        name: &str,
        mut command: Command,
        folder: &Path,
    ) -> Result<Self, ServiceError> {
        let failed = |source| ServiceError::Start {
            name: name.to_owned(),
            source,
        };
        let log = folder.join(format!("{name}.log"));
        let mut file = File::create(&log).map_err(failed)?;
        command
            .args(["--listen", "127.0.0.1", "--admin-listen", "127.0.0.1:0"])
            .args(["--log-format", "json", "--port", &port.to_string()]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (sender, listening) = mpsc::channel();
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || copy_log(BufReader::new(stderr), &mut file, &sender));
        }
        let mut starting = Starting(Some(child));
        let (address, admin) =
            wait_until_listening(&listening, patience).ok_or_else(|| ServiceError::NotUp {
                name: name.to_owned(),
                log_text: std::fs::read_to_string(&log).unwrap_or_default(),
                log: log.clone(),
            })?;
        let child = starting
            .0
            .take()
            .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            address,
            admin,
        })
    }

    /// The id of its process.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Where it serves.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its admin port listens.
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The base URL of the service, without trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything it has logged so far.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to end (SIGTERM), without waiting.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn terminate(&self) -> Result<(), ServiceError> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGTERM).map_err(|error| self.cannot_stop(error.into()))
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// It still runs after half a minute.
    pub fn wait(&mut self) -> Result<ExitStatus, ServiceError> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self
                .child
                .try_wait()
                .map_err(|error| self.cannot_stop(error))?
            {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
        Err(ServiceError::StillRuns {
            name: self.name.clone(),
            log: self.log.clone(),
        })
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Errors
    /// It cannot be asked, or still runs after half a minute.
    pub fn stop(mut self) -> Result<ExitStatus, ServiceError> {
        self.terminate()?;
        self.wait()
    }

    /// Ends it at once (SIGKILL), as a crash would.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn kill(mut self) -> Result<ExitStatus, ServiceError> {
        self.child.kill().map_err(|error| self.cannot_stop(error))?;
        self.wait()
    }

    fn cannot_stop(&self, source: io::Error) -> ServiceError {
        ServiceError::Stop {
            name: self.name.clone(),
            source,
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends a process that never came up.
struct Starting(Option<Child>);

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    // Both fail only where the process has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

fn copy_log(log: impl BufRead, file: &mut File, sender: &Sender<Listening>) {
    for line in log.lines().map_while(Result::ok) {
        if let Some(listening) = listening(&line) {
            // Nobody waits any more once both addresses are known.
            let _ = sender.send(listening);
        }
        if writeln!(file, "{line}").is_err() {
            return;
        }
    }
}

fn listening(line: &str) -> Option<Listening> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = line["address"].as_str()?.parse().ok()?;
    match line["message"].as_str()? {
        "listening" => Some(Listening::Service(address)),
        "admin port listening" => Some(Listening::Admin(address)),
        _ => None,
    }
}

fn wait_until_listening(
    listening: &Receiver<Listening>,
    patience: Duration,
) -> Option<(SocketAddr, SocketAddr)> {
    let (mut address, mut admin) = (None, None);
    let deadline = Instant::now() + patience;
    while address.is_none() || admin.is_none() {
        match listening
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .ok()?
        {
            Listening::Service(found) => address = Some(found),
            Listening::Admin(found) => admin = Some(found),
        }
    }
    address.zip(admin)
}
