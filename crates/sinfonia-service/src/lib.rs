//! What the HTTP services of Sinfonia share.
//!
//! [`settings`] reads the command line and the environment, [`telemetry`] writes logs, [`traces`] exports traces, [`shutdown`] waits for
//! signals, [`client`] asks other services, [`version`] tells what a program was built from. With the feature `server`, on by default, the
//! rest answers requests: [`front`] stands before every router and bounds, names, measures and logs each request, [`server`] runs it on
//! sockets, [`admin`] tells how the service does. With the feature `process`, [`process`] starts programs that end with the service; with
//! `prometheus`, [`prometheus`] asks for measurements.

#[cfg(feature = "server")]
pub mod admin;
pub mod client;
#[cfg(feature = "server")]
pub mod deploy_path;
#[cfg(feature = "server")]
pub mod front;
#[cfg(feature = "server")]
pub mod json;
#[cfg(feature = "server")]
pub mod limits;
#[cfg(feature = "server")]
pub mod listen;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod openapi;
pub mod outbound_guard;
#[cfg(feature = "server")]
pub mod path;
#[cfg(feature = "server")]
pub mod problem;
#[cfg(feature = "process")]
pub mod process;
#[cfg(feature = "prometheus")]
pub mod prometheus;
#[cfg(feature = "server")]
pub mod proxies;
#[cfg(feature = "server")]
pub mod readiness;
pub mod recipes;
pub mod reload;
#[cfg(feature = "server")]
pub mod request_id;
#[cfg(feature = "server")]
pub mod server;
pub mod settings;
#[cfg(unix)]
pub mod shutdown;
pub mod telemetry;
pub mod tokens;
pub mod trace_parent;
pub mod traces;
pub mod version;
