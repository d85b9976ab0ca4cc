//! Addresses that are not of the whole internet, as [`sinfonia_core::network::is_global`] has it.
//!
//! Devices do not reach them even where they reach the internet: behind a cloudlet's node there is often the operator's own network, with
//! routers, storage and the consoles of machines, and the metadata service of a cloud (169.254.169.254) hands out credentials.

/// Those of IPv4.
pub(super) const NOT_GLOBAL_IPV4: [&str; 13] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
];

/// Those of IPv6: all but 2000::/3, and of that what is for documentation and benchmarks.
pub(super) const NOT_GLOBAL_IPV6: [&str; 6] = [
    "::/3",
    "2001:2::/48",
    "2001:db8::/32",
    "3fff::/20",
    "4000::/2",
    "8000::/1",
];

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;
    use sinfonia_core::network::{Network, is_global};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn what_is_not_global_is_in_one_of_the_ranges(address: Ipv4Addr) {
            let address = IpAddr::V4(address);

            prop_assert_eq!(is_within(&NOT_GLOBAL_IPV4, address), !is_global(address));
        }

        #[test]
        fn of_ipv6_too(address in ipv6()) {
            let address = IpAddr::V6(address);

            prop_assert_eq!(is_within(&NOT_GLOBAL_IPV6, address), !is_global(address));
        }

        #[test]
        fn the_edges_of_the_ranges_are_those_of_what_is_not_global(
            range in prop::sample::select([&NOT_GLOBAL_IPV4[..], &NOT_GLOBAL_IPV6].concat()),
        ) {
            let range: Network = range.parse().unwrap();
            let net = range.as_ipnet();

            for address in [net.network(), net.broadcast()] {
                prop_assert!(!is_global(address), "{}", address);
            }
        }
    }

    /// Addresses of IPv6, half of them of 2001::/16, that stand for none of IPv4.
    fn ipv6() -> impl Strategy<Value = Ipv6Addr> {
        let all = any::<Ipv6Addr>().prop_filter("stands for one of IPv4", |address| {
            address.to_ipv4_mapped().is_none()
        });
        let special = any::<[u16; 7]>().prop_map(|[second, third, a, b, c, d, e]| {
            Ipv6Addr::new(0x2001, second % 4, third % 2, a, b, c, d, e)
        });
        prop_oneof![all, special]
    }

    fn is_within(ranges: &[&str], address: IpAddr) -> bool {
        let networks = ranges.iter().map(|range| range.parse::<Network>().unwrap());
        networks
            .into_iter()
            .any(|network| network.contains(address))
    }
}
