//! What is reached inside the tunnel: a host by name or address, and a port.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use sinfonia_core::tunnel::HostName;

/// A host inside the tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// An address.
    Address(IpAddr),
    /// A name, which the tunnel's name servers know.
    Name(Name),
}

/// The name of a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    /// The name without a dot at its end.
    pub(crate) name: HostName,
    /// Whether it ended with a dot, and so is complete: no search domain is put behind it.
    pub(crate) complete: bool,
}

/// A text that names no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is neither the name of a host nor an address, which for IPv6 stands in brackets",
    .0.escape_default()
)]
pub(crate) struct HostError(pub(crate) String);

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Destination {
    /// The host.
    pub(crate) host: Host,
    /// The port, which is not 0.
    pub(crate) port: u16,
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        let name = text.parse().map_err(|_| HostError(text.to_owned()))?;
        Ok(Self::Name(Name {
            name,
            complete: text.ends_with('.'),
        }))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.complete { "." } else { "" };
        write!(formatter, "{}{dot}", self.name)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Name(name) => name.fmt(formatter),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        match host {
            Host::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]:{port}"),
            host => write!(formatter, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::name("helloworld", "helloworld:80")]
    #[case::complete_name("HelloWorld.default.svc.", "helloworld.default.svc.:80")]
    #[case::ipv4("10.5.0.1", "10.5.0.1:80")]
    #[case::ipv6("FD00::1", "[fd00::1]:80")]
    #[case::ipv4_in_disguise("::ffff:10.5.0.1", "10.5.0.1:80")]
    fn hosts_are_names_or_addresses(#[case] text: &str, #[case] expected: &str) {
        let host = text.parse().unwrap();

        assert_eq!(Destination { host, port: 80 }.to_string(), expected);
    }

    #[rstest]
    #[case::nothing("")]
    #[case::blank("hello world")]
    #[case::not_quite_an_address("10.5.0")]
    #[case::empty_label("hello..world")]
    #[case::line_break("hello\n")]
    fn other_texts_are_not(#[case] text: &str) {
        assert_eq!(text.parse::<Host>(), Err(HostError(text.to_owned())));
    }
}
