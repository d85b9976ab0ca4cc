//! Groups of options that commands share.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use sinfonia_service::settings::{ClientArgs, TraceArgs};

/// Which Tier 1 is asked, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tier 1")]
pub(crate) struct Tier1Args {
    /// URL of Tier 1, such as https://tier1.example
    #[arg(long, env = "SINFONIA_TIER1_URL", value_name = "URL")]
    pub(crate) tier1_url: Option<String>,
    /// Find a cloudlet on the local network (mDNS) instead of asking a Tier 1; no token is shown to it
    #[arg(long, env = "SINFONIA_ZEROCONF", value_parser = BoolishValueParser::new())]
    pub(crate) zeroconf: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// How a Tier 1 is asked.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tier 1")]
pub(crate) struct ConnectionArgs {
    /// File that holds the token to show to Tier 1, for operators
    #[arg(long, env = "SINFONIA_TOKEN", value_name = "FILE")]
    pub(crate) token: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
}

/// What is told on stderr.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct TalkArgs {
    /// Tell nothing but errors on stderr
    #[arg(long, short, env = "SINFONIA_QUIET", value_parser = BoolishValueParser::new())]
    pub(crate) quiet: bool,
    /// Log on stderr what is asked and answered; RUST_LOG says it in detail
    #[arg(long, env = "SINFONIA_DEBUG", value_parser = BoolishValueParser::new())]
    pub(crate) debug: bool,
}

/// Whether round trips are measured.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Placement")]
pub(crate) struct ProbeArgs {
    /// Time connects to the best candidates (at most 16, for 0.3 s in all), so that of cloudlets that are equally good the fastest comes
    /// first. For a Tier 1 elsewhere no loopback, link-local or metadata address is tried; private networks are, since cloudlets are there
    #[arg(long, env = "SINFONIA_PROBE", value_parser = BoolishValueParser::new(), conflicts_with = "zeroconf")]
    pub(crate) probe: bool,
}
