//! The command line, in its two forms.

mod form;
mod forward;
mod groups;
mod inside;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use sinfonia_core::location::Location;
use uuid::Uuid;

pub(crate) use self::form::{Form, split};
pub(crate) use self::forward::ForwardArgs;
pub(crate) use self::groups::{ConnectionArgs, ProbeArgs, TalkArgs, Tier1Args};
pub(crate) use self::inside::{ExecArgs, InsideArgs, ShellArgs, StatusForm};
use crate::application::Application;

const EXAMPLES: &str = "\
Examples:
  export SINFONIA_TIER1_URL=https://tier1.example
  sinfonia-tier3 candidates helloworld              which cloudlets would serve this device
  sinfonia-tier3 deploy helloworld                  deploy, wait until it runs, tell how to connect
  sinfonia-tier3 deploy helloworld -- curl http://helloworld/
                                                    run a command inside the tunnel, then give everything back
  sinfonia-tier3 deploy helloworld --keep           hold a tunnel open, for exec
  sinfonia-tier3 deploy helloworld --forward 8080:helloworld:80
                                                    lead a port of this device there, on any system
  sinfonia-tier3 deploy helloworld -o wg >w.conf    a file for wg-quick
  sinfonia-tier3 delete helloworld                  give everything back

The older form, options first:
  sinfonia-tier3 [--config-debug] [--debug] <TIER1_URL> <UUID> [APPLICATION ARGS]...
      --config-debug    Deploy, write wg.conf (for wg setconf) and resolv.conf here, and stop

Exit codes: 0 done, 1 something that you can put right, 2 something unexpected, 130 interrupted.
With a command: its own; 126 or 127 if it cannot be executed or found, 125 if it did not come to that.";

const DEPLOY_EXAMPLES: &str = "\
Examples:
  sinfonia-tier3 deploy helloworld --tier1-url https://tier1.example
  sinfonia-tier3 deploy helloworld -- curl http://helloworld/
  sinfonia-tier3 deploy helloworld --forward 8080:helloworld:80
  sinfonia-tier3 deploy helloworld --forward 8080:helloworld:80 -- curl http://localhost:8080/
  sinfonia-tier3 deploy helloworld --socks 1080     then: ALL_PROXY=socks5h://localhost:1080 curl http://helloworld/
  sinfonia-tier3 deploy helloworld --probe          on the fastest of cloudlets that are equally good
  sinfonia-tier3 deploy 755c2e1d-9f8a-4a1b-8a43-a8f0e7c5b1f2 --location 40.44,-79.94 --output json
  (umask 077; sinfonia-tier3 deploy helloworld --output wg >sinfonia.conf)
  sudo wg-quick up ./sinfonia.conf";

const SHELL_EXAMPLES: &str = "\
Example:
  sinfonia-tier3 shell helloworld --tier1-url https://tier1.example
  curl http://helloworld/";

const EXEC_EXAMPLES: &str = "\
Example:
  sinfonia-tier3 deploy helloworld --keep           in one shell
  sinfonia-tier3 exec helloworld -- curl http://helloworld/
                                                    in another, as the same user";

const CANDIDATES_EXAMPLES: &str = "\
Examples:
  sinfonia-tier3 candidates helloworld --location 40.44,-79.94
  sinfonia-tier3 candidates helloworld --probe      with round trips, in the order that they make
  sinfonia-tier3 candidates helloworld --explain    what decided each place, and why others are left out
  sinfonia-tier3 candidates helloworld --output json | jq -r '.[0].endpoint'
  sinfonia-tier3 candidates helloworld --explain --output json | jq '.excluded[] | {name: .cloudlet.name, reason}'";

const STATUS_EXAMPLES: &str = "\
Examples:
  sinfonia-tier3 status helloworld
  sinfonia-tier3 status helloworld --output json | jq .Ready";

const DELETE_EXAMPLES: &str = "\
Example:
  sinfonia-tier3 delete helloworld";

const RECIPE_EXAMPLES: &str = "\
Example:
  sinfonia-tier3 recipe helloworld --output yaml";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  sinfonia-tier3 completions bash >~/.local/share/bash-completion/completions/sinfonia-tier3
  sinfonia-tier3 completions zsh >~/.zfunc/_sinfonia-tier3
  sinfonia-tier3 completions fish >~/.config/fish/completions/sinfonia-tier3.fish";

/// Deploys an application's backend on a nearby cloudlet and tells how to connect to it
#[derive(Debug, Parser)]
#[command(name = "sinfonia-tier3", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Deploy an application on the best cloudlet, wait until it runs, and tell how to connect, or run a command inside the tunnel
    #[command(after_help = DEPLOY_EXAMPLES)]
    Deploy(DeployArgs),
    /// Deploy an application, and open a shell whose only way out is the tunnel to it
    #[command(after_help = SHELL_EXAMPLES)]
    Shell(ShellArgs),
    /// Run one more command inside a tunnel that deploy --keep holds open
    #[command(after_help = EXEC_EXAMPLES)]
    Exec(ExecArgs),
    /// Tell which cloudlets would be tried, best first, and why; deploys nothing
    #[command(after_help = CANDIDATES_EXAMPLES)]
    Candidates(CandidatesArgs),
    /// Tell how far this device's deployment is
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Delete this device's deployment with all it holds
    #[command(after_help = DELETE_EXAMPLES)]
    Delete(DeleteArgs),
    /// Tell what an application's backend is made of
    #[command(after_help = RECIPE_EXAMPLES)]
    Recipe(RecipeArgs),
    /// Write a completion script for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages, for packages
    #[command(hide = true)]
    Man {
        /// Folder to write them into
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// Uuid of the application's recipe, or helloworld
    #[arg(value_name = "UUID|ALIAS")]
    pub(crate) application: Application,
    #[command(flatten)]
    pub(crate) placement: PlacementArgs,
    /// Take the first answer instead of waiting until the application runs
    #[arg(long, env = "SINFONIA_NO_WAIT", value_parser = clap::builder::BoolishValueParser::new(), conflicts_with_all = ["forward", "socks"], help_heading = "Waiting")]
    pub(crate) no_wait: bool,
    /// Most time until the application runs, in seconds
    #[arg(long, env = "SINFONIA_TIMEOUT", value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Waiting")]
    pub(crate) timeout: u32,
    /// Form of the answer on stdout; with a command, json tells what happens in lines on stderr, beside what the command writes there
    #[arg(
        long,
        short,
        env = "SINFONIA_OUTPUT",
        value_name = "FORM",
        value_enum,
        default_value_t,
        help_heading = "Output"
    )]
    pub(crate) output: DeployOutput,
    #[command(flatten)]
    pub(crate) inside: InsideArgs,
    /// Keep the tunnel when the command has ended, or without one, until SIGINT or SIGTERM, for `sinfonia-tier3 exec`
    #[arg(long, env = "SINFONIA_KEEP", value_parser = clap::builder::BoolishValueParser::new(), conflicts_with_all = ["no_wait", "results", "new_key", "forward", "socks"], help_heading = "Inside the tunnel")]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) forward: ForwardArgs,
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
    #[command(flatten)]
    pub(crate) tier1: Tier1Args,
    /// What to run inside the tunnel (Linux), or beside forwarded ports; its exit code is ours, and what was deployed is deleted when it
    /// ends
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["no_wait", "results"])]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Placement")]
pub(crate) struct PlacementArgs {
    /// Where this device is, in degrees [default: what its address says]
    #[arg(
        long,
        env = "SINFONIA_LOCATION",
        value_name = "LAT,LON",
        allow_hyphen_values = true
    )]
    pub(crate) location: Option<Location>,
    /// Cloudlets to deploy on at once, 1 to 3 [default: 1]
    #[arg(long, env = "SINFONIA_RESULTS", value_name = "N", value_parser = clap::value_parser!(u8).range(1..=3), conflicts_with_all = ["forward", "socks"])]
    pub(crate) results: Option<u8>,
    #[command(flatten)]
    pub(crate) probe: ProbeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CandidatesArgs {
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
    /// Most cloudlets to tell [default: all; with --explain 64]
    #[arg(long, env = "SINFONIA_RESULTS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Placement")]
    pub(crate) results: Option<u32>,
    #[command(flatten)]
    pub(crate) probe: ProbeArgs,
    /// Tell what decided each place, and who is left out and why; for operators, unless Tier 1 explains to everyone
    #[arg(long, env = "SINFONIA_EXPLAIN", value_parser = clap::builder::BoolishValueParser::new(), help_heading = "Output")]
    pub(crate) explain: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
    #[command(flatten)]
    pub(crate) tier1: Tier1Args,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Uuid of the application's recipe, or helloworld
    #[arg(value_name = "UUID|ALIAS")]
    pub(crate) application: Application,
    #[command(flatten)]
    pub(crate) cloudlet: CloudletArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
    #[command(flatten)]
    pub(crate) tier1: Tier1Args,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Uuid of the application's recipe, or helloworld
    #[arg(value_name = "UUID|ALIAS")]
    pub(crate) application: Application,
    #[command(flatten)]
    pub(crate) cloudlet: CloudletArgs,
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
    #[command(flatten)]
    pub(crate) tier1: Tier1Args,
}

#[derive(Debug, Args)]
pub(crate) struct RecipeArgs {
    /// Uuid of the recipe, or helloworld
    #[arg(value_name = "UUID|ALIAS")]
    pub(crate) application: Application,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
    #[command(flatten)]
    pub(crate) tier1: Tier1Args,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Placement")]
pub(crate) struct CloudletArgs {
    /// Uuid of the cloudlet that holds the deployment [default: the one that Tier 1 remembers]
    #[arg(long, env = "SINFONIA_CLOUDLET", value_name = "UUID")]
    pub(crate) cloudlet: Option<Uuid>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Form of the answer on stdout
    #[arg(
        long,
        short,
        env = "SINFONIA_OUTPUT",
        value_name = "FORM",
        value_enum,
        default_value_t
    )]
    pub(crate) output: Output,
}

/// Form of an answer on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// A table for people
    #[default]
    Table,
    /// The answer as JSON
    Json,
    /// The answer as YAML
    Yaml,
}

/// Form of a deployment on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum DeployOutput {
    /// A table for people
    #[default]
    Table,
    /// The answer as JSON
    Json,
    /// The answer as YAML
    Yaml,
    /// A file for wg-quick, which holds this device's private key
    Wg,
}

/// The older form: options, then Tier 1, the application, and what is to run inside the tunnel.
#[derive(Debug, Parser)]
#[command(
    name = "sinfonia-tier3",
    version,
    override_usage = "sinfonia-tier3 [OPTIONS] <TIER1_URL> <UUID> [APPLICATION ARGS]..."
)]
pub(crate) struct OlderForm {
    /// Deploy, write wg.conf (for wg setconf) and resolv.conf here, and stop
    #[arg(long, env = "SINFONIA_CONFIG_DEBUG", value_parser = clap::builder::BoolishValueParser::new(), conflicts_with_all = ["forward", "socks"])]
    pub(crate) config_debug: bool,
    /// Deploy, show the tunnel as a QR code for the WireGuard application of a phone, and stop
    #[arg(long, env = "SINFONIA_QRCODE", value_name = "FORM", value_enum, conflicts_with_all = ["forward", "socks"])]
    pub(crate) qrcode: Option<QrForm>,
    /// Find a cloudlet on the local network instead of asking a Tier 1
    #[arg(long, env = "SINFONIA_ZEROCONF", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) zeroconf: bool,
    #[command(flatten)]
    pub(crate) forward: ForwardArgs,
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// URL of Tier 1, left out with --zeroconf, and uuid of the application's recipe
    #[arg(value_names = ["TIER1_URL", "UUID"], num_args = 0..=2)]
    pub(crate) target: Vec<String>,
}

/// Form of a QR code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QrForm {
    /// Half blocks, which take the least room
    Compact,
    /// Full blocks, for fonts whose half blocks do not meet
    Alt,
}
