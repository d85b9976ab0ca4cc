//! Networks of clients and cloudlets: CIDR blocks over IPv4 and IPv6.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text;

/// Bits in front of the IPv4 address in an IPv4-mapped IPv6 address (`::ffff:0:0/96`, RFC 4291 §2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// Why a text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// What stands before the slash is no address.
    #[error(
        "`{0}` is not a network: expected an address or CIDR such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"
    )]
    Address(String),
    /// What stands behind the slash is neither a prefix length nor a netmask that fits the address.
    #[error(
        "`{0}` is not a network: what follows the slash is neither a prefix length (0 to 32, IPv6 to 128) nor a netmask"
    )]
    Prefix(String),
}

/// A block of addresses. Host bits are masked, IPv4-mapped IPv6 blocks are IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpNet);

text::written_as!(Network, "Network", {
    "type": "string",
    "description": "A network in CIDR notation, also with a netmask, or an address.",
    "pattern": "^[0-9a-fA-F:.]+(/[0-9.]+)?$",
    "examples": ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"],
});

impl Network {
    /// All IPv4 addresses.
    pub const ALL_IPV4: Self = Self(IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)));
    /// All IPv6 addresses.
    pub const ALL_IPV6: Self = Self(IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)));

    /// The block that holds this address alone (/32 or /128).
    pub fn host(address: IpAddr) -> Self {
        Self(IpNet::from(canonical(address)))
    }

    /// The block of this many leading bits that holds the address; `None` when the address has fewer.
    pub fn of_prefix(address: IpAddr, length: u8) -> Option<Self> {
        let net = IpNet::new(canonical(address), length).ok()?;
        Some(Self(net.trunc()))
    }

    /// Whether the address lies in this block; an IPv4-mapped address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&canonical(address))
    }

    /// The block as the `ipnet` crate knows it, its host bits zero.
    pub const fn as_ipnet(&self) -> IpNet {
        self.0
    }
}

/// Makes an IPv4-mapped IPv6 address the IPv4 address it stands for.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whether the address is reachable from the whole internet, so that looking up its place makes sense: not private, shared
/// (RFC 6598), loopback, link-local, documentation, benchmarking, multicast, reserved or unspecified.
pub fn is_global(address: IpAddr) -> bool {
    match canonical(address) {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => is_global_v6(address),
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| NetworkError::Address(printable(text)))?;
        let net = match prefix {
            None => Some(IpNet::from(address)),
            Some(prefix) => with_prefix(address, prefix),
        };
        net.map(|net| Self(unmap(net.trunc())))
            .ok_or_else(|| NetworkError::Prefix(printable(text)))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "an address or CIDR as text")
    }
}

fn with_prefix(address: IpAddr, prefix: &str) -> Option<IpNet> {
    if !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return IpNet::new(address, prefix.parse().ok()?).ok();
    }
    let mask: IpAddr = prefix.parse().ok()?;
    if mask.is_ipv4() != address.is_ipv4() {
        return None;
    }
    IpNet::with_netmask(address, mask).ok()
}

fn unmap(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let Some(address) = v6.addr().to_ipv4_mapped() else {
        return net;
    };
    let prefix = v6.prefix_len().checked_sub(MAPPED_PREFIX);
    prefix
        .and_then(|prefix| Ipv4Net::new(address, prefix).ok())
        .map_or(net, IpNet::V4)
}

fn printable(text: &str) -> String {
    text.escape_default().take(80).collect()
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let shared = first == 100 && (64..128).contains(&second);
    let protocol = first == 192 && second == 0 && third == 0;
    let benchmarking = first == 198 && (18..20).contains(&second);
    !(first == 0
        || first >= 224
        || shared
        || protocol
        || benchmarking
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation())
}

/// Global unicast is 2000::/3; of it, 2001:db8::/32 and 3fff::/20 are for documentation and 2001:2::/48 for benchmarking.
fn is_global_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, ..] = address.segments();
    let documentation =
        (first == 0x2001 && second == 0xdb8) || (first == 0x3fff && second < 0x1000);
    let benchmarking = first == 0x2001 && second == 2 && third == 0;
    first & 0xe000 == 0x2000 && !documentation && !benchmarking
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::host_bits_are_masked("10.1.2.3/8", "10.0.0.0/8")]
    #[case::a_netmask_is_a_prefix("10.0.0.0/255.0.0.0", "10.0.0.0/8")]
    #[case::an_address_is_a_host("192.0.2.7", "192.0.2.7/32")]
    #[case::everyone("0.0.0.0/0", "0.0.0.0/0")]
    #[case::ipv6("2001:db8::1/32", "2001:db8::/32")]
    #[case::an_ipv6_address_is_a_host("2001:DB8::1", "2001:db8::1/128")]
    #[case::mapped_networks_are_ipv4("::ffff:10.0.0.0/104", "10.0.0.0/8")]
    fn networks_are_read_in_each_spelling(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(text.parse::<Network>().unwrap().to_string(), expected);
    }

    #[rstest]
    #[case::no_address("cloudlet")]
    #[case::empty("")]
    #[case::blank_in_front(" 10.0.0.0/8")]
    fn what_starts_with_no_address_is_refused(#[case] text: &str) {
        assert_eq!(
            text.parse::<Network>(),
            Err(NetworkError::Address(text.to_owned()))
        );
    }

    #[rstest]
    #[case::prefix_too_long("10.0.0.0/33")]
    #[case::nothing_behind_the_slash("10.0.0.0/")]
    #[case::mask_with_a_hole("10.0.0.0/255.0.255.0")]
    #[case::mask_of_the_other_family("10.0.0.0/ffff::")]
    #[case::signed("10.0.0.0/+8")]
    fn what_ends_in_no_prefix_is_refused(#[case] text: &str) {
        assert_eq!(
            text.parse::<Network>(),
            Err(NetworkError::Prefix(text.to_owned()))
        );
    }

    #[test]
    fn an_ipv4_mapped_client_is_in_an_ipv4_network() {
        let network: Network = "128.2.0.0/16".parse().unwrap();

        assert!(network.contains("::ffff:128.2.3.4".parse().unwrap()));
        assert!(!Network::ALL_IPV6.contains("::ffff:128.2.3.4".parse().unwrap()));
    }

    #[rstest]
    #[case("8.8.8.8", true)]
    #[case("2600::1", true)]
    #[case("::ffff:8.8.8.8", true)]
    #[case("10.0.0.1", false)]
    #[case("100.64.0.1", false)]
    #[case("127.0.0.1", false)]
    #[case("169.254.169.254", false)]
    #[case("192.0.2.1", false)]
    #[case("224.0.0.1", false)]
    #[case("::1", false)]
    #[case("fe80::1", false)]
    #[case("fd00::1", false)]
    #[case("2001:db8::1", false)]
    fn only_addresses_of_the_internet_are_global(#[case] address: &str, #[case] expected: bool) {
        assert_eq!(is_global(address.parse().unwrap()), expected);
    }

    proptest! {
        #[test]
        fn a_prefix_holds_its_address_and_is_as_long_as_asked(address: IpAddr, length: u8) {
            let bits = if canonical(address).is_ipv4() { 32 } else { 128 };
            let network = Network::of_prefix(address, length);

            prop_assert_eq!(network.is_some(), length <= bits);
            if let Some(network) = network {
                prop_assert!(network.contains(address));
                prop_assert_eq!(network.to_string().parse(), Ok(network));
                prop_assert_eq!(network.as_ipnet().prefix_len(), length);
            }
        }

        #[test]
        fn every_network_survives_its_text(address: IpAddr, length in 0u8..=128) {
            let longest = if address.is_ipv4() { 32 } else { 128 };
            let network: Network = format!("{address}/{}", length.min(longest)).parse().unwrap();

            prop_assert_eq!(network.to_string().parse(), Ok(network));
            prop_assert!(network.contains(network.as_ipnet().addr()));
        }
    }
}
