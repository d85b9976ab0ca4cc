//! What `--forward` and `--socks` ask for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::Serialize;

use super::destination::{Destination, HostError};

/// Where a forward listens unless it is told: what only this device reaches.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How a forward is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

/// A port of this device that leads to one inside the tunnel: `[ADDRESS:]PORT:HOST:PORT[/tcp|/udp]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForwardSpec {
    /// Where it listens; port 0 stands for any that is free.
    pub(crate) local: SocketAddr,
    /// Where it leads.
    pub(crate) to: Destination,
    /// How.
    pub(crate) protocol: Protocol,
}

/// Where a SOCKS proxy listens: `[ADDRESS:]PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocksSpec(pub(crate) SocketAddr);

/// Why a text is no [`ForwardSpec`] or [`SocksSpec`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpecError {
    /// It has too few parts, or too many.
    #[error(
        "expected [ADDRESS:]PORT:HOST:PORT[/tcp|/udp], such as 8080:helloworld:80 or [::1]:5353:10.43.0.10:53/udp"
    )]
    Forward,
    /// It has too many parts.
    #[error("expected [ADDRESS:]PORT, such as 1080 or [::1]:1080")]
    Socks,
    /// The address to listen at is none.
    #[error("`{}` is no address to listen at; 127.0.0.1 is this device alone, 0.0.0.0 is open to others", .0.escape_default())]
    Address(String),
    /// The port to listen at is none.
    #[error("`{}` is no port to listen at: 1 to 65535, or 0 for any that is free", .0.escape_default())]
    LocalPort(String),
    /// The host inside the tunnel is none.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The port inside the tunnel is none.
    #[error("`{}` is no port of a host: 1 to 65535", .0.escape_default())]
    Port(String),
    /// The protocol is not known.
    #[error("`{}` cannot be forwarded, only tcp and udp", .0.escape_default())]
    Protocol(String),
}

impl FromStr for ForwardSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (ends, protocol) = match text.rsplit_once('/') {
            None => (text, Protocol::Tcp),
            Some((ends, "tcp")) => (ends, Protocol::Tcp),
            Some((ends, "udp")) => (ends, Protocol::Udp),
            Some((_, other)) => return Err(SpecError::Protocol(other.to_owned())),
        };
        let parts = parts(ends).ok_or(SpecError::Forward)?;
        let (address, local_port, host, port) = match parts.as_slice() {
            [local_port, host, port] => (HERE, local_port, host, port),
            [address, local_port, host, port] => (local_address(address)?, local_port, host, port),
            _ => return Err(SpecError::Forward),
        };
        Ok(Self {
            local: SocketAddr::new(address, parse_local_port(local_port)?),
            to: Destination {
                host: host.parse()?,
                port: parse_port(port)
                    .filter(|port| *port != 0)
                    .ok_or_else(|| SpecError::Port((*port).to_owned()))?,
            },
            protocol,
        })
    }
}

impl FromStr for SocksSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let parts = parts(text).ok_or(SpecError::Socks)?;
        let (address, port) = match parts.as_slice() {
            [port] => (HERE, port),
            [address, port] => (local_address(address)?, port),
            _ => return Err(SpecError::Socks),
        };
        Ok(Self(SocketAddr::new(address, parse_local_port(port)?)))
    }
}

impl fmt::Display for ForwardSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            local,
            to,
            protocol,
        } = self;
        let suffix = match protocol {
            Protocol::Tcp => "",
            Protocol::Udp => "/udp",
        };
        write!(formatter, "{}:{to}{suffix}", Shown(*local))
    }
}

impl fmt::Display for SocksSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(self.0).fmt(formatter)
    }
}

/// An address and a port as the options take them.
struct Shown(SocketAddr);

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.ip() == HERE {
            return self.0.port().fmt(formatter);
        }
        self.0.fmt(formatter)
    }
}

/// What stands between the colons, brackets taken off; nothing if brackets stand where they may not.
fn parts(text: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, behind) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']')?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        if part.contains(['[', ']']) {
            return None;
        }
        parts.push(part);
        if behind.is_empty() {
            return Some(parts);
        }
        rest = behind.strip_prefix(':')?;
    }
}

fn local_address(text: &str) -> Result<IpAddr, SpecError> {
    text.parse()
        .map_err(|_| SpecError::Address(text.to_owned()))
}

fn parse_local_port(text: &str) -> Result<u16, SpecError> {
    parse_port(text).ok_or_else(|| SpecError::LocalPort(text.to_owned()))
}

/// A port in digits alone: the parser of numbers takes a sign as well.
fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::short("8080:helloworld:80", "127.0.0.1:8080", "helloworld:80", Protocol::Tcp)]
    #[case::any_port("0:helloworld:80", "127.0.0.1:0", "helloworld:80", Protocol::Tcp)]
    #[case::said_tcp(
        "8080:helloworld:80/tcp",
        "127.0.0.1:8080",
        "helloworld:80",
        Protocol::Tcp
    )]
    #[case::udp("53:10.43.0.10:53/udp", "127.0.0.1:53", "10.43.0.10:53", Protocol::Udp)]
    #[case::open("0.0.0.0:80:web:80", "0.0.0.0:80", "web:80", Protocol::Tcp)]
    #[case::ipv6_here("[::1]:80:web.:80", "[::1]:80", "web.:80", Protocol::Tcp)]
    #[case::ipv6_there("80:[fd00::1]:80", "127.0.0.1:80", "[fd00::1]:80", Protocol::Tcp)]
    #[case::ipv6_at_both_ends("[::]:1:[fd00::1]:2/udp", "[::]:1", "[fd00::1]:2", Protocol::Udp)]
    fn a_forward_has_two_ends(
        #[case] text: &str,
        #[case] local: &str,
        #[case] to: &str,
        #[case] protocol: Protocol,
    ) {
        let spec: ForwardSpec = text.parse().unwrap();

        assert_eq!(
            (spec.local.to_string(), spec.to.to_string(), spec.protocol),
            (local.to_owned(), to.to_owned(), protocol)
        );
    }

    #[rstest]
    #[case::nothing("", SpecError::Forward)]
    #[case::one_port("8080", SpecError::Forward)]
    #[case::no_port_there("8080:helloworld", SpecError::Forward)]
    #[case::too_much("::1:8080:helloworld:80", SpecError::Forward)]
    #[case::open_bracket("[::1:8080:helloworld:80", SpecError::Forward)]
    #[case::bracket_within("8080:hello[world]:80", SpecError::Forward)]
    #[case::text_behind_a_bracket("[::1]x:8080:helloworld:80", SpecError::Forward)]
    #[case::name_here("localhost:8080:web:80", SpecError::Address("localhost".to_owned()))]
    #[case::port_too_high("65536:web:80", SpecError::LocalPort("65536".to_owned()))]
    #[case::signed_port("+80:web:80", SpecError::LocalPort("+80".to_owned()))]
    #[case::port_missing(":web:80", SpecError::LocalPort(String::new()))]
    #[case::host_missing("8080::80", SpecError::Host(HostError(String::new())))]
    #[case::port_zero_there("8080:web:0", SpecError::Port("0".to_owned()))]
    #[case::port_in_words("8080:web:http", SpecError::Port("http".to_owned()))]
    #[case::protocol("8080:web:80/sctp", SpecError::Protocol("sctp".to_owned()))]
    #[case::protocol_in_capitals("8080:web:80/UDP", SpecError::Protocol("UDP".to_owned()))]
    fn what_is_none_is_told_by_its_part(#[case] text: &str, #[case] expected: SpecError) {
        assert_eq!(text.parse::<ForwardSpec>(), Err(expected));
    }

    #[rstest]
    #[case::port("1080", "127.0.0.1:1080")]
    #[case::any_port("0", "127.0.0.1:0")]
    #[case::open("0.0.0.0:1080", "0.0.0.0:1080")]
    #[case::ipv6("[::1]:1080", "[::1]:1080")]
    fn a_proxy_has_a_place(#[case] text: &str, #[case] expected: &str) {
        let SocksSpec(address) = text.parse().unwrap();

        assert_eq!(address.to_string(), expected);
    }

    #[rstest]
    #[case::nothing("", SpecError::LocalPort(String::new()))]
    #[case::too_much("1:2:3", SpecError::Socks)]
    #[case::name("localhost:1080", SpecError::Address("localhost".to_owned()))]
    fn what_is_no_place_is_told(#[case] text: &str, #[case] expected: SpecError) {
        assert_eq!(text.parse::<SocksSpec>(), Err(expected));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(local: SocketAddr, host in hosts(), port in 1u16.., udp: bool) {
            let spec = ForwardSpec {
                // What a scope is for has no place in an option.
                local: SocketAddr::new(local.ip(), local.port()),
                to: Destination { host: host.parse().unwrap(), port },
                protocol: if udp { Protocol::Udp } else { Protocol::Tcp },
            };

            prop_assert_eq!(spec.to_string().parse(), Ok(spec.clone()));
            let socks = SocksSpec(spec.local);
            prop_assert_eq!(socks.to_string().parse(), Ok(socks));
        }

        #[test]
        fn any_text_gets_an_answer(text in "[\\[\\]:/a-z0-9.é]{0,40}") {
            let _ = text.parse::<ForwardSpec>();
            let _ = text.parse::<SocksSpec>();
        }
    }

    fn hosts() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<IpAddr>().prop_map(|address| address.to_string()),
            "[a-z][a-z0-9]{0,9}(\\.[a-z][a-z0-9]{0,9}){0,3}\\.?",
        ]
    }
}
