//! The tunnel configuration in a deployment's answer, parsed field by field: nothing of it is kept as a loose string, so that
//! nothing of it can break a line of a WireGuard or resolver file.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::PublicKey;
use crate::text;

/// Longest host name without its trailing dot (RFC 1035 §2.3.4).
const MAX_HOST_NAME: usize = 253;
/// Longest label of a host name (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// Why a part of a tunnel configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TunnelError {
    /// Not an address with an optional prefix length.
    #[error(
        "`{0}` is not an interface address: expected something like 10.5.17.4, 10.5.17.4/32 or fd00::4/64"
    )]
    Interface(String),
    /// Not a host name.
    #[error("`{0}` is not a host name")]
    HostName(String),
    /// Not `host:port`.
    #[error(
        "`{0}` is not host:port: expected something like 203.0.113.7:51820, [2001:db8::7]:51820 or gateway.example:51820"
    )]
    HostPort(String),
}

/// What a device needs to open its tunnel; the five fields of `TunnelConfig` on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TunnelConfig {
    /// The cloudlet's public key.
    #[serde(rename = "publicKey")]
    pub public_key: PublicKey,
    /// What is routed into the tunnel.
    #[serde(rename = "allowedIPs")]
    pub allowed_ips: Vec<Interface>,
    /// Where the cloudlet listens, UDP.
    pub endpoint: HostPort,
    /// The device's own addresses inside the tunnel.
    pub address: Vec<Interface>,
    /// Name servers and search domains, mixed.
    pub dns: Vec<DnsEntry>,
}

impl TunnelConfig {
    /// The name servers, in order.
    pub fn name_servers(&self) -> impl Iterator<Item = IpAddr> {
        self.dns.iter().filter_map(|entry| match entry {
            DnsEntry::Server(address) => Some(*address),
            DnsEntry::SearchDomain(_) => None,
        })
    }

    /// The search domains, in order.
    pub fn search_domains(&self) -> impl Iterator<Item = &HostName> {
        self.dns.iter().filter_map(|entry| match entry {
            DnsEntry::Server(_) => None,
            DnsEntry::SearchDomain(name) => Some(name),
        })
    }
}

/// An address with or without a prefix length, host bits kept and spelled as it came: `10.5.17.4` or `10.5.17.4/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    address: IpAddr,
    prefix: Option<u8>,
}

text::written_as!(Interface, "Interface", {
    "type": "string",
    "description": "An address with or without a prefix length.",
    "examples": ["10.5.17.4", "0.0.0.0/0"],
});

text::written_as!(HostPort, "HostPort", {
    "type": "string",
    "description": "An address or a name, a colon, and a port.",
    "pattern": "^(\\[[0-9a-fA-F:.]+\\]|[A-Za-z0-9_.-]+):0*[1-9][0-9]*$",
    "examples": ["203.0.113.7:51820", "[2001:db8::7]:51820"],
});

text::written_as!(DnsEntry, "DnsEntry", {
    "type": "string",
    "description": "The address of a name server, or a search domain.",
    "examples": ["10.43.0.10", "svc.cluster.local"],
});

impl Interface {
    /// The address alone.
    pub const fn host(address: IpAddr) -> Self {
        Self {
            address,
            prefix: None,
        }
    }

    /// The address, host bits included.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The prefix length in bits; without one on the wire, that of a single host (32 or 128).
    pub const fn prefix_length(&self) -> u8 {
        match (self.prefix, self.address) {
            (Some(prefix), _) => prefix,
            (None, IpAddr::V4(_)) => 32,
            (None, IpAddr::V6(_)) => 128,
        }
    }
}

impl FromStr for Interface {
    type Err = TunnelError;

    fn from_str(text: &str) -> Result<Self, TunnelError> {
        let error = || TunnelError::Interface(shorten(text));
        if text.contains('/') {
            let net: IpNet = text.parse().map_err(|_| error())?;
            return Ok(Self {
                address: net.addr(),
                prefix: Some(net.prefix_len()),
            });
        }
        text.parse().map(Self::host).map_err(|_| error())
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            Some(prefix) => write!(formatter, "{}/{prefix}", self.address),
            None => self.address.fmt(formatter),
        }
    }
}

/// A host name: labels of letters, digits, `-` and `_`, at most 63 characters each and 253 in all. Kept in lower case without trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName(String);

impl HostName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = TunnelError;

    fn from_str(text: &str) -> Result<Self, TunnelError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let all_digits = name
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        if name.len() > MAX_HOST_NAME || all_digits || !name.split('.').all(is_label) {
            return Err(TunnelError::HostName(shorten(text)));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The host of a [`HostPort`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A name to be resolved outside the tunnel.
    Name(HostName),
}

/// `host:port`, IPv6 addresses in brackets; the port is not 0.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Name or address.
    pub host: Host,
    /// UDP or TCP port, 1 to 65535.
    pub port: u16,
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: Host::Address(address.ip()),
            port: address.port(),
        }
    }
}

impl FromStr for HostPort {
    type Err = TunnelError;

    fn from_str(text: &str) -> Result<Self, TunnelError> {
        let error = || TunnelError::HostPort(shorten(text));
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port
            .parse()
            .ok()
            .filter(|port| digits && *port != 0)
            .ok_or_else(error)?;
        let host = match host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
        {
            Some(address) => Host::Address(IpAddr::V6(address.parse().map_err(|_| error())?)),
            None => match host.parse() {
                Ok(IpAddr::V4(address)) => Host::Address(IpAddr::V4(address)),
                Ok(IpAddr::V6(_)) => return Err(error()),
                Err(_) => Host::Name(host.parse().map_err(|_| error())?),
            },
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(formatter),
            Host::Name(name) => write!(formatter, "{name}:{}", self.port),
        }
    }
}

/// An entry of `dns`: an address is a name server, anything else a search domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsEntry {
    /// A name server, reached through the tunnel.
    Server(IpAddr),
    /// A domain that is tried for short names.
    SearchDomain(HostName),
}

impl FromStr for DnsEntry {
    type Err = TunnelError;

    fn from_str(text: &str) -> Result<Self, TunnelError> {
        match text.parse() {
            Ok(address) => Ok(Self::Server(address)),
            Err(_) => text.parse().map(Self::SearchDomain),
        }
    }
}

impl fmt::Display for DnsEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(address) => address.fmt(formatter),
            Self::SearchDomain(name) => name.fmt(formatter),
        }
    }
}

macro_rules! serde_as_text {
    ($($type:ty: $expecting:literal),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                text::deserialize(deserializer, $expecting)
            }
        }
    )+};
}

serde_as_text!(Interface: "an address as text", HostName: "a host name as text", HostPort: "host:port as text", DnsEntry: "an address or a domain as text");

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn shorten(text: &str) -> String {
    text.escape_default().take(80).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("203.0.113.7:51820", "203.0.113.7:51820")]
    #[case("[2001:DB8::7]:51820", "[2001:db8::7]:51820")]
    #[case("Gateway.Example.:51820", "gateway.example:51820")]
    #[case("localhost:1", "localhost:1")]
    fn endpoints_are_host_and_port(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(text.parse::<HostPort>().unwrap().to_string(), expected);
    }

    #[rstest]
    #[case::empty("")]
    #[case::no_port("203.0.113.7")]
    #[case::port_zero("203.0.113.7:0")]
    #[case::port_too_large("203.0.113.7:65536")]
    #[case::signed_port("203.0.113.7:+51820")]
    #[case::ipv6_without_brackets("2001:db8::7:51820")]
    #[case::no_host(":51820")]
    #[case::not_an_address("203.0.113.777:51820")]
    #[case::line_break("gateway\n:51820")]
    fn what_is_no_endpoint_is_refused(#[case] text: &str) {
        assert!(matches!(
            text.parse::<HostPort>(),
            Err(TunnelError::HostPort(_))
        ));
    }

    #[rstest]
    #[case("10.5.17.4", "10.5.17.4", 32)]
    #[case("10.5.17.4/16", "10.5.17.4/16", 16)]
    #[case("0.0.0.0/0", "0.0.0.0/0", 0)]
    #[case("FD00::4", "fd00::4", 128)]
    fn interfaces_keep_their_host_bits_and_spelling(
        #[case] text: &str,
        #[case] expected: &str,
        #[case] prefix: u8,
    ) {
        let interface: Interface = text.parse().unwrap();

        assert_eq!(
            (interface.to_string().as_str(), interface.prefix_length()),
            (expected, prefix)
        );
    }

    #[rstest]
    #[case("10.5.17.4/33")]
    #[case("10.5.17")]
    #[case("10.5.17.4\nPostUp = id")]
    fn what_is_no_interface_is_refused(#[case] text: &str) {
        assert!(matches!(
            text.parse::<Interface>(),
            Err(TunnelError::Interface(_))
        ));
    }

    #[test]
    fn dns_mixes_servers_and_search_domains() {
        let config: TunnelConfig = serde_json::from_value(serde_json::json!({
            "publicKey": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "allowedIPs": ["0.0.0.0/0"],
            "endpoint": "203.0.113.7:51820",
            "address": ["10.5.17.4"],
            "dns": ["10.43.0.10", "brave-otter-x7k2p.svc.cluster.local", "svc.cluster.local"],
        }))
        .unwrap();

        assert_eq!(
            config.name_servers().collect::<Vec<_>>(),
            ["10.43.0.10".parse::<IpAddr>().unwrap()]
        );
        let domains: Vec<&str> = config.search_domains().map(HostName::as_str).collect();
        assert_eq!(
            domains,
            ["brave-otter-x7k2p.svc.cluster.local", "svc.cluster.local"]
        );
    }

    #[rstest]
    #[case("cluster.local\nnameserver 192.0.2.1")]
    #[case("-cluster.local")]
    #[case("cluster..local")]
    #[case("10.43.0.999")]
    #[case("")]
    fn a_search_domain_cannot_smuggle_anything_in(#[case] text: &str) {
        assert!(matches!(
            text.parse::<DnsEntry>(),
            Err(TunnelError::HostName(_))
        ));
    }

    proptest! {
        #[test]
        fn every_socket_address_survives_as_an_endpoint(address: IpAddr, port in 1u16..) {
            let endpoint = HostPort::from(SocketAddr::new(address, port));

            prop_assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
        }

        #[test]
        fn what_parses_holds_no_line_break(text in "[a-z0-9.:/\\[\\]\n\r -]{0,40}") {
            for printed in [
                text.parse::<HostPort>().map(|value| value.to_string()),
                text.parse::<Interface>().map(|value| value.to_string()),
                text.parse::<DnsEntry>().map(|value| value.to_string()),
            ].into_iter().flatten() {
                prop_assert!(!printed.contains(char::is_whitespace));
            }
        }
    }
}
