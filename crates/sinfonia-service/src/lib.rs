//! What the programs of Sinfonia share.
//!
//! As a program, each has [`settings`] of the command line and the environment and a [`version`], prints answers to [`stdout`], writes its
//! [`manual`] and its [`telemetry`], and waits for signals ([`shutdown`]).
//!
//! To ask others, there is a [`client`] whose [`outbound_guard`] keeps it out of where it has no business, [`trace_parent`] for what belongs
//! together across programs and [`traces`] for whoever wants to see that, [`tokens`], [`recipes`] from a folder or the web, and [`reload`]
//! for files that change; with the feature `prometheus`, [`prometheus`] asks for measurements, and with `process`, [`process`] starts
//! programs that end with the service.
//!
//! With the feature `server`, on by default, the rest answers requests. [`listen`] and [`server`] run a router on sockets, and [`front`]
//! stands before it and bounds, names ([`request_id`]), measures ([`metrics`]) and logs each request. What handlers read and answer is in
//! [`path`], [`deploy_path`], [`json`] and [`problem`]; who asks, and how often, in [`proxies`] and [`limits`]. [`openapi`] describes all
//! that to people and programs, [`admin`] and [`readiness`] tell operators how the service does.

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
pub mod manual;
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
pub mod stdout;
pub mod telemetry;
pub mod tokens;
pub mod trace_parent;
pub mod traces;
pub mod version;
