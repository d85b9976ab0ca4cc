//! What can go wrong, how it ends the program, and what to do about it.

mod hint;

use std::error::Error;
use std::io;
use std::path::PathBuf;

use http::StatusCode;
use jiff::Timestamp;
use qrcode::types::QrError;
use sinfonia_service::client::ClientError;
use sinfonia_service::tokens::TokenFileError;
use sinfonia_service::traces::TracesError;
use tracing_subscriber::filter::ParseError;

use crate::application::Application;
#[cfg(target_os = "linux")]
use crate::confined::InsideError;
use crate::discovery::DiscoveryError;
use crate::events::Event;
use crate::forward::ForwardError;
use crate::key_cache::KeyCacheError;
use crate::printable::Printable;
use crate::tier1::AskError;
use crate::tier1_url::{Tier1Url, Tier1UrlError};
use crate::waiting::WaitError;

/// Exit code of what the user can put right.
pub(crate) const FIXABLE: u8 = 1;
/// Exit code of what nobody expected.
const UNEXPECTED: u8 = 2;
/// Exit code where an application was to run, and we failed, as `env` has it.
pub(crate) const NOT_COME_TO_IT: u8 = 125;
/// Exit code after SIGINT, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command failed. It shows what happened, its causes are its sources.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Failure(#[from] CommandError);

impl Failure {
    /// What the user can do next.
    pub fn hint(&self) -> String {
        hint::of(&self.0)
    }

    /// The failure as a line for the program that reads what happens, if one does.
    pub fn event(&self) -> Option<String> {
        let CommandError::AsEvent(error) = &self.0 else {
            return None;
        };
        let error: &dyn Error = &**error;
        let causes = std::iter::successors(Some(error), |error| (*error).source());
        let message: Vec<String> = causes.map(ToString::to_string).collect();
        let event = Event::Error {
            message: message.join(": "),
            hint: self.hint(),
            exit_code: self.exit_code(),
        };
        event.line(Timestamp::now())
    }

    /// What the process exits with: 1 for what the user can put right, 2 for what nobody expected, 130 after an interrupt.
    pub fn exit_code(&self) -> u8 {
        match &self.0 {
            CommandError::Output(_) | CommandError::Runtime(_) => UNEXPECTED,
            CommandError::Keys(KeyCacheError::Entropy(_)) => UNEXPECTED,
            CommandError::Ask { error, .. }
            | CommandError::Wait {
                error: WaitError::Ask(error),
                ..
            } => exit_code_of(error),
            CommandError::Interrupted { .. } => INTERRUPTED,
            CommandError::WithApplication(error) | CommandError::AsEvent(error) => {
                exit_code_with_application(error)
            }
            _ => FIXABLE,
        }
    }
}

/// Why a command failed, by what it was doing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// Nobody said where Tier 1 is.
    #[error("nothing says where Tier 1 is")]
    NoUrl,
    /// What was said is no URL.
    #[error(transparent)]
    Url(#[from] Tier1UrlError),
    /// No cloudlet is found.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// A Tier 1 alone knows that.
    #[error("a cloudlet that is found on the local network (--zeroconf) does not know that")]
    NotOfACloudlet,
    /// The older form lacks an argument.
    #[error("the URL of Tier 1 or the uuid of the application is missing")]
    NoTarget,
    /// The uuid of the older form is malformed.
    #[error("`{0}` is neither the uuid of a recipe nor helloworld")]
    NotAnApplication(Printable),
    /// `RUST_LOG` is malformed.
    #[error("RUST_LOG is no log filter")]
    Log(#[source] ParseError),
    /// Traces cannot be exported.
    #[error("traces cannot be exported")]
    Traces(#[from] TracesError),
    /// The file of the token cannot be read.
    #[error("cannot read the token file {}", path.display())]
    ReadToken {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file holds no token.
    #[error("cannot use the token file {}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: TokenFileError,
    },
    /// The token would be readable on its way.
    #[error("the token would travel to {0} without encryption")]
    TokenInTheClear(Tier1Url),
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The key cannot be had.
    #[error(transparent)]
    Keys(#[from] KeyCacheError),
    /// There is no key, so there is no deployment.
    #[error("{application} was never deployed from here: {} holds no key for it", entry.display())]
    NoKey {
        /// What was asked about.
        application: Application,
        /// Who would be asked.
        url: Tier1Url,
        /// Where the key would be.
        entry: PathBuf,
    },
    /// Tier 1 does not help.
    #[error("{}", told(*call, *application, error))]
    Ask {
        /// What it was asked for.
        call: Call,
        /// What it was asked about.
        application: Application,
        /// Who was asked.
        url: Tier1Url,
        /// Where the key is.
        entry: PathBuf,
        /// Why it does not.
        error: AskError,
    },
    /// The deployment does not come up.
    #[error("{application}: {error}")]
    Wait {
        /// What was deployed.
        application: Application,
        /// Who was asked.
        url: Tier1Url,
        /// How long it had, in seconds.
        timeout: u32,
        /// Why it does not.
        error: WaitError,
    },
    /// The user does not want to wait any longer.
    #[error("interrupted")]
    Interrupted {
        /// What is being deployed.
        application: Application,
        /// Who was asked.
        url: Tier1Url,
    },
    /// An argument that cannot stand in a phone's configuration.
    #[error("`{0}` is no identifier of an Android application")]
    NotAnApplicationId(Printable),
    /// The tunnel's configuration does not fit.
    #[error("the tunnel's configuration cannot be shown as a QR code")]
    QrCode(#[from] QrError),
    /// An application was to run, and did not.
    #[error(transparent)]
    WithApplication(Box<CommandError>),
    /// The same, where a program reads what happens.
    #[error(transparent)]
    AsEvent(Box<CommandError>),
    /// An application does not run inside the tunnel.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Inside(#[from] InsideError),
    /// Ports are not forwarded.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// Commands run inside the tunnel on Linux alone.
    #[cfg(not(target_os = "linux"))]
    #[error("this system has no namespaces in which a command would run inside the tunnel")]
    NoNamespaces {
        /// Who would be asked, if anybody.
        url: Option<Tier1Url>,
        /// What would be deployed.
        application: Application,
    },
    /// Tier 1 answered that all is well, with nothing.
    #[error("Tier 1 deployed on no cloudlet")]
    NothingDeployed,
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The answer cannot be written.
    #[error("cannot write the answer to stdout")]
    Output(#[from] io::Error),
    /// The program cannot wait for anything.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
}

/// What Tier 1 is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Deploy,
    Candidates,
    Explain,
    Status,
    Delete,
    Recipe,
}

fn told(call: Call, application: Application, error: &AskError) -> String {
    if !matches!(error, AskError::Refused(_)) {
        return error.to_string();
    }
    match call {
        Call::Deploy => format!("{application} was not deployed: {error}"),
        Call::Candidates => format!("there are no candidates for {application}: {error}"),
        Call::Explain => format!("nothing is explained of {application}: {error}"),
        Call::Status => format!("the state of {application} is not known: {error}"),
        Call::Delete => format!("{application} was not deleted: {error}"),
        Call::Recipe => format!("the recipe of {application} cannot be shown: {error}"),
    }
}

fn exit_code_with_application(error: &CommandError) -> u8 {
    match error {
        CommandError::Interrupted { .. } => INTERRUPTED,
        #[cfg(target_os = "linux")]
        CommandError::Inside(InsideError::Confinement(error)) => error.exit_code(),
        CommandError::Forward(error) => error.exit_code(),
        _ => NOT_COME_TO_IT,
    }
}

fn exit_code_of(error: &AskError) -> u8 {
    match error {
        AskError::Malformed(_) => UNEXPECTED,
        AskError::Refused(refusal) => match refusal.status {
            StatusCode::BAD_REQUEST => UNEXPECTED,
            StatusCode::INTERNAL_SERVER_ERROR if refusal.class().is_none() => UNEXPECTED,
            _ => FIXABLE,
        },
        _ => FIXABLE,
    }
}
