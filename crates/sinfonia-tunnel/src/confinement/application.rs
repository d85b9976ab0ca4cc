//! An application on its way into a confinement, and in it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus};

use super::channel::{Channel, Message};
use super::error::ConfinementError;
use super::inner::MARK;
use super::process::{Handle, Process};

/// This program, also after its file was replaced.
const OURSELVES: &str = "/proc/self/exe";

/// What is to be run. It gets this process's stdin, stdout and stderr, and no other descriptor.
#[derive(Debug, Clone)]
pub struct Application {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
}

impl Application {
    /// A program, looked for in `PATH` unless it has a slash, without arguments, with this process's environment.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// With these arguments behind those that it has.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// With a variable in its environment.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), Some(value.into())));
        self
    }

    /// Without a variable that this process has.
    #[must_use]
    pub fn without_variable(mut self, name: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), None));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(OURSELVES);
        if let Some(name) = env::args_os().next() {
            command.arg0(name);
        }
        command.arg(MARK).arg(&self.program).args(&self.arguments);
        for (name, value) in &self.environment {
            set(&mut command, name, value.as_deref());
        }
        command
    }
}

fn set(command: &mut Command, name: &OsStr, value: Option<&OsStr>) {
    match value {
        Some(value) => command.env(name, value),
        None => command.env_remove(name),
    };
}

/// A process that is confined and waits to become the application. It ends when this is dropped.
#[derive(Debug)]
pub struct Waiting {
    process: Process,
    channel: Channel,
    program: OsString,
}

impl Waiting {
    /// Starts the process, and sends it the first order.
    pub(super) fn start(
        application: &Application,
        order: impl FnOnce(&Channel) -> io::Result<()>,
    ) -> Result<Self, ConfinementError> {
        let (channel, theirs) = Channel::pair().map_err(ConfinementError::Start)?;
        let mut command = application.command();
        command.stdin(theirs);
        let process = Process::start(command).map_err(ConfinementError::Start)?;
        order(&channel).map_err(ConfinementError::Gone)?;
        Ok(Self {
            process,
            channel,
            program: application.program.clone(),
        })
    }

    /// Waits for what the process says next, if that is not that it failed.
    pub(super) fn hear(&self) -> Result<Message, ConfinementError> {
        match self.channel.receive().map_err(ConfinementError::Gone)? {
            Message::Failed(failed) => Err(ConfinementError::of(failed, &self.program)),
            message => Ok(message),
        }
    }

    /// The number of the process, which stays that of the application.
    pub fn id(&self) -> u32 {
        self.process.handle().id()
    }

    /// Lets the process become the application: the tunnel is there.
    ///
    /// # Errors
    /// It cannot give up its rights, or there is no such application. See [`ConfinementError::exit_code`].
    pub fn go(self) -> Result<Running, ConfinementError> {
        self.channel.go().map_err(ConfinementError::Gone)?;
        match self.hear()? {
            Message::Closed => Ok(Running(self.process)),
            _ => Err(unexpected()),
        }
    }
}

/// For a message that makes no sense where it came.
pub(super) fn unexpected() -> ConfinementError {
    ConfinementError::Gone(io::ErrorKind::UnexpectedEof.into())
}

/// An application that runs. It is killed when this process ends, however that happens.
#[derive(Debug)]
pub struct Running(Process);

impl Running {
    /// What sends it signals, from any thread.
    pub fn handle(&self) -> Handle {
        self.0.handle()
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.0.handle().id()
    }

    /// Waits until it has ended. Meanwhile this process stops whenever the application does, and has it continue when it does.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn wait(self) -> io::Result<ExitStatus> {
        self.0.wait()
    }
}
