//! Who asks for a deployment, and what its request headers say.

use std::net::IpAddr;

use crate::location::Location;
use crate::network::canonical;

/// The device that asks, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClientInfo {
    address: IpAddr,
    location: Option<Location>,
}

impl ClientInfo {
    /// A client at this address; an IPv4-mapped one is IPv4. `location` is unknown when nothing tells it.
    pub fn new(address: IpAddr, location: Option<Location>) -> Self {
        Self {
            address: canonical(address),
            location,
        }
    }

    /// The client's address, IPv4 where it was IPv4-mapped.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Where the client is.
    pub const fn location(&self) -> Option<Location> {
        self.location
    }
}

/// The seconds of `wait=` in a `Prefer` header (RFC 7240 §4.3); `None` when there is none or it is malformed.
pub fn prefer_wait(header: &str) -> Option<u64> {
    let wait = header.split([',', ';']).find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("wait")
            .then(|| value.trim().trim_matches('"'))
    })?;
    let digits = !wait.is_empty() && wait.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| wait.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("wait=60", Some(60))]
    #[case("respond-async, Wait = 10", Some(10))]
    #[case("wait=\"5\"", Some(5))]
    #[case("wait=99999999999999999999", Some(u64::MAX))]
    #[case("wait=-1", None)]
    #[case("wait=", None)]
    #[case("waiting=3", None)]
    #[case("", None)]
    fn wait_is_read_from_prefer(#[case] header: &str, #[case] expected: Option<u64>) {
        assert_eq!(prefer_wait(header), expected);
    }

    #[test]
    fn an_ipv4_mapped_client_is_an_ipv4_client() {
        let client = ClientInfo::new("::ffff:192.0.2.1".parse().unwrap(), None);

        assert_eq!(client.address(), "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
