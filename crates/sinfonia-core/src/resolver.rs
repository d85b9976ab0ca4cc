//! How names are resolved inside a tunnel.

use std::fmt;
use std::net::IpAddr;

use crate::tunnel::{HostName, TunnelConfig};

/// Dots that a name needs to be looked up as it is before the search domains are tried; that of Pods in a cluster.
pub const NDOTS: u8 = 5;

/// What is asked for names. It is shown as a `resolv.conf`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolver {
    /// The name servers, in order.
    pub servers: Vec<IpAddr>,
    /// What is tried behind short names, in order.
    pub search: Vec<HostName>,
}

impl From<&TunnelConfig> for Resolver {
    fn from(tunnel: &TunnelConfig) -> Self {
        Self {
            servers: tunnel.name_servers().collect(),
            search: tunnel.search_domains().cloned().collect(),
        }
    }
}

impl fmt::Display for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for server in &self.servers {
            writeln!(formatter, "nameserver {server}")?;
        }
        let search: Vec<&str> = self.search.iter().map(HostName::as_str).collect();
        if !search.is_empty() {
            writeln!(formatter, "search {}", search.join(" "))?;
        }
        writeln!(formatter, "options ndots:{NDOTS}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_come_first_then_the_search_domains_in_order() {
        let resolver = resolver(&["10.43.0.10", "fd00::a"], &["a.svc", "svc"]);

        assert_eq!(
            resolver.to_string(),
            "nameserver 10.43.0.10\nnameserver fd00::a\nsearch a.svc svc\noptions ndots:5\n"
        );
    }

    #[test]
    fn without_search_domains_there_is_no_such_line() {
        assert_eq!(
            resolver(&["10.43.0.10"], &[]).to_string(),
            "nameserver 10.43.0.10\noptions ndots:5\n"
        );
    }

    #[test]
    fn without_anything_the_options_are_left() {
        assert_eq!(Resolver::default().to_string(), "options ndots:5\n");
    }

    fn resolver(servers: &[&str], search: &[&str]) -> Resolver {
        Resolver {
            servers: servers
                .iter()
                .map(|server| server.parse().unwrap())
                .collect(),
            search: search.iter().map(|name| name.parse().unwrap()).collect(),
        }
    }
}
