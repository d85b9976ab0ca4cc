//! Arguments of what runs inside the tunnel.

use std::ffi::OsString;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use sinfonia_core::location::Location;

use super::{TalkArgs, Tier1Args};
use crate::application::Application;

/// What WireGuard leaves of an Ethernet frame, in bytes.
const DEFAULT_MTU: u16 = 1420;

/// Silence that is no passing trouble of the network any more, in seconds.
const DEFAULT_FAILOVER: u32 = 15;

#[derive(Debug, Args)]
pub(crate) struct ShellArgs {
    /// Uuid of the application's recipe, or helloworld
    #[arg(value_name = "UUID|ALIAS")]
    pub(crate) application: Application,
    /// Where this device is, in degrees [default: what its address says]
    #[arg(
        long,
        env = "SINFONIA_LOCATION",
        value_name = "LAT,LON",
        allow_hyphen_values = true,
        help_heading = "Placement"
    )]
    pub(crate) location: Option<Location>,
    /// Most time until the application runs, in seconds
    #[arg(long, env = "SINFONIA_TIMEOUT", value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Waiting")]
    pub(crate) timeout: u32,
    #[command(flatten)]
    pub(crate) inside: InsideArgs,
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
    #[command(flatten)]
    pub(crate) tier1: Tier1Args,
}

#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// Uuid of the application's recipe, or helloworld
    #[arg(value_name = "UUID|ALIAS")]
    pub(crate) application: Application,
    /// What to run inside the tunnel; its exit code is ours (Linux)
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
}

/// How something runs inside the tunnel.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Inside the tunnel")]
pub(crate) struct InsideArgs {
    /// Use a key of its own for this run, and so a deployment of its own beside others of this application
    #[arg(long, env = "SINFONIA_NEW_KEY", value_parser = BoolishValueParser::new())]
    pub(crate) new_key: bool,
    /// Leave what was deployed to its lease when the command has ended
    #[arg(long, env = "SINFONIA_NO_RELEASE", value_parser = BoolishValueParser::new())]
    pub(crate) no_release: bool,
    /// Longest packet inside the tunnel, in bytes, 1280 to 4064
    #[arg(long, env = "SINFONIA_MTU", value_name = "BYTES", default_value_t = DEFAULT_MTU, value_parser = clap::value_parser!(u16).range(1280..=4064))]
    pub(crate) mtu: u16,
    /// Time without an answer after which another cloudlet is looked for, in seconds; 0 never leaves this one
    #[arg(long, env = "SINFONIA_FAILOVER_AFTER", value_name = "SECONDS", default_value_t = DEFAULT_FAILOVER)]
    pub(crate) failover_after: u32,
    /// Where the state of the tunnel is shown, if stderr is a terminal
    #[arg(
        long,
        env = "SINFONIA_STATUS",
        value_name = "PLACE",
        value_enum,
        default_value_t
    )]
    pub(crate) status: StatusForm,
}

/// Where the state of the tunnel is shown on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum StatusForm {
    /// In the title while a command has the terminal, else in a line
    #[default]
    Auto,
    /// In the title of the window, which leaves the screen to the command
    Title,
    /// In a line that is written again and again, for commands that write nothing
    Line,
    /// Nowhere
    Off,
}

impl InsideArgs {
    /// Silence of a cloudlet after which another one is looked for, if ever.
    pub(crate) fn longest_silence(&self) -> Option<Duration> {
        let seconds = self.failover_after;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }
}

impl Default for InsideArgs {
    /// What the options are by default, for the older form.
    fn default() -> Self {
        Self {
            new_key: false,
            no_release: false,
            mtu: DEFAULT_MTU,
            failover_after: DEFAULT_FAILOVER,
            status: StatusForm::Auto,
        }
    }
}
