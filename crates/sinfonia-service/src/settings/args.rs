//! Groups of options that the programs share.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use sinfonia_core::network::Network;

use super::{List, flatten};
use crate::traces::OtlpEndpoint;

/// The help of `--otlp-endpoint`. Its URL would be a malformed link in a comment.
const OTLP_ENDPOINT: &str = "\
OpenTelemetry collector to which traces go (OTLP, protobuf over HTTP), such as http://collector.example:4318 \
[default: what OTEL_EXPORTER_OTLP_ENDPOINT says; without either, no traces are made]";

/// Where a service listens.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Listening")]
pub struct ListenArgs {
    /// Port to serve on; 0 takes any free one, which the log names
    #[arg(
        long,
        env = "SINFONIA_PORT",
        value_name = "PORT",
        default_value_t = 5000
    )]
    pub port: u16,
    /// Address to serve on [default: all, IPv4 and IPv6]
    #[arg(long, env = "SINFONIA_LISTEN", value_name = "ADDR")]
    pub listen: Option<IpAddr>,
    /// Where to tell about health and metrics, read-only: ADDR:PORT, ADDR, or "off" [default: loopback, the port after --port]
    #[arg(
        long,
        env = "SINFONIA_ADMIN_LISTEN",
        value_name = "ADDR[:PORT]",
        default_value = "127.0.0.1",
        hide_default_value = true
    )]
    pub admin_listen: AdminListen,
}

/// Where the admin port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminListen {
    /// Nowhere.
    Off,
    /// At this address, on the port after the service's; any free one if the service takes any free one.
    NextPort(IpAddr),
    /// At this address and port.
    At(SocketAddr),
}

/// A text that says neither where the admin port is nor that there is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an address, an address and a port such as 127.0.0.1:5001, or off")]
pub struct AdminListenError;

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// Form of the log on stderr; RUST_LOG says what is logged, for example "info,sinfonia_tier1=debug"
    #[arg(long, env = "SINFONIA_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// Traces.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Traces")]
pub struct TraceArgs {
    /// The collector to which traces go.
    #[arg(long, env = "SINFONIA_OTLP_ENDPOINT", value_name = "URL", help = OTLP_ENDPOINT)]
    pub otlp_endpoint: Option<OtlpEndpoint>,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// Whose word about a client's address counts.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Callers")]
pub struct ProxyArgs {
    /// Networks of the proxies that may state a client's address (X-Forwarded-For, X-ClientIP); repeatable, [] trusts none
    #[arg(
        long,
        env = "SINFONIA_TRUSTED_PROXIES",
        value_name = "CIDR",
        default_value = "127.0.0.0/8,::1/128"
    )]
    pub trusted_proxies: Vec<List<Network>>,
}

/// Bounds of a service.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Connections open at once; further ones wait
    #[arg(long, env = "SINFONIA_MAX_CONNECTIONS", value_name = "N", default_value_t = 8192, value_parser = at_least_one)]
    pub max_connections: usize,
    /// Requests running at once; further ones are answered with 503
    #[arg(long, env = "SINFONIA_MAX_REQUESTS", value_name = "N", default_value_t = 1024, value_parser = at_least_one)]
    pub max_requests: usize,
    /// Time for running requests to finish after SIGTERM, in seconds
    #[arg(
        long,
        env = "SINFONIA_SHUTDOWN_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 10
    )]
    pub shutdown_timeout: u64,
}

/// How other services are asked.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Outgoing connections")]
pub struct ClientArgs {
    /// Certificates (PEM) to trust beside the system's
    #[arg(long, env = "SINFONIA_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Send tokens over plain http to other hosts as well
    #[arg(long, env = "SINFONIA_INSECURE_HTTP", value_parser = BoolishValueParser::new())]
    pub insecure_http: bool,
}

impl ListenArgs {
    /// Loopback and any free ports, for tests.
    pub fn any_free_port() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            port: 0,
            listen: Some(loopback),
            admin_listen: AdminListen::NextPort(loopback),
        }
    }

    /// Where the admin port is, given the port that the service really has; nothing where it is off or no port follows.
    pub fn admin_address(&self, service_port: u16) -> Option<SocketAddr> {
        match self.admin_listen {
            AdminListen::Off => None,
            AdminListen::At(address) => Some(address),
            AdminListen::NextPort(address) if self.port == 0 => Some(SocketAddr::new(address, 0)),
            AdminListen::NextPort(address) => {
                Some(SocketAddr::new(address, service_port.checked_add(1)?))
            }
        }
    }
}

impl ProxyArgs {
    /// Networks of the trusted proxies.
    pub fn trusted(&self) -> Vec<Network> {
        flatten(&self.trusted_proxies)
    }
}

impl LimitArgs {
    /// Time for running requests to finish at shutdown.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.shutdown_timeout)
    }
}

impl FromStr for AdminListen {
    type Err = AdminListenError;

    fn from_str(text: &str) -> Result<Self, AdminListenError> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let next_port = || text.parse().map(Self::NextPort);
        text.parse()
            .map(Self::At)
            .or_else(|_| next_port())
            .map_err(|_| AdminListenError)
    }
}

/// Reads a number from 1 on, for `value_parser`.
///
/// # Errors
/// It is no number, or 0.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}
