//! Options of forwarded ports.

use clap::Args;

use crate::forward::{ForwardSpec, SocksSpec};

/// Which ports of this device lead into the tunnel. Where there are any, no namespaces are made.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Forwarded ports")]
pub(crate) struct ForwardArgs {
    // No list as other options have it: an address in brackets is no JSON.
    /// Forward a port of this device to one of a host in the tunnel, until a signal or the command's end; needs no privilege, works on
    /// any system. ADDRESS is 127.0.0.1 by default; PORT 0 takes any that is free. Repeat it, or separate several by commas. When the
    /// cloudlet is left for another one (--failover-after), new connections go there
    #[arg(
        long,
        env = "SINFONIA_FORWARD",
        value_name = "[ADDRESS:]PORT:HOST:PORT[/tcp|/udp]",
        value_delimiter = ','
    )]
    pub(crate) forward: Vec<ForwardSpec>,
    /// Serve SOCKS5 at a port of this device for all hosts in the tunnel, whose names it resolves there. Whoever reaches the port may use
    /// it
    #[arg(
        long,
        env = "SINFONIA_SOCKS",
        value_name = "[ADDRESS:]PORT",
        value_delimiter = ','
    )]
    pub(crate) socks: Vec<SocksSpec>,
}

impl ForwardArgs {
    /// Whether any port is to be forwarded.
    pub(crate) const fn is_wanted(&self) -> bool {
        !self.forward.is_empty() || !self.socks.is_empty()
    }
}
