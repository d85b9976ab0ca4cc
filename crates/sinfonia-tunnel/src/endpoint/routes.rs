//! Which peer owns an address: the longest allowed prefix wins, as in a routing table.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

/// Prefixes and their owners. A prefix has one owner, the last one that it was given to.
///
/// One hash table per prefix length in use, the longest first: a look-up costs as many probes as there are lengths, which is
/// one or two for a device and three or four for a gateway.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    ipv4: Family,
    ipv6: Family,
}

type Family = BTreeMap<Reverse<u8>, HashMap<IpNet, usize>>;

impl Routes {
    /// Gives a prefix, its host bits ignored, to a peer.
    pub(crate) fn insert(&mut self, prefix: IpNet, peer: usize) {
        let prefix = prefix.trunc();
        self.family_mut(prefix.addr())
            .entry(Reverse(prefix.prefix_len()))
            .or_default()
            .insert(prefix, peer);
    }

    /// Takes all its prefixes from a peer.
    pub(crate) fn remove(&mut self, peer: usize) {
        for family in [&mut self.ipv4, &mut self.ipv6] {
            for prefixes in family.values_mut() {
                prefixes.retain(|_, owner| *owner != peer);
            }
            family.retain(|_, prefixes| !prefixes.is_empty());
        }
    }

    /// The owner of an address.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<usize> {
        let family = match address {
            IpAddr::V4(_) => &self.ipv4,
            IpAddr::V6(_) => &self.ipv6,
        };
        family.iter().find_map(|(Reverse(length), prefixes)| {
            let prefix = IpNet::new(address, *length).ok()?.trunc();
            prefixes.get(&prefix).copied()
        })
    }

    fn family_mut(&mut self, address: IpAddr) -> &mut Family {
        match address {
            IpAddr::V4(_) => &mut self.ipv4,
            IpAddr::V6(_) => &mut self.ipv6,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn routes(prefixes: &[(&str, usize)]) -> Routes {
        let mut routes = Routes::default();
        for (prefix, peer) in prefixes {
            routes.insert(prefix.parse().unwrap(), *peer);
        }
        routes
    }

    fn owner(routes: &Routes, address: &str) -> Option<usize> {
        routes.owner(address.parse().unwrap())
    }

    #[test]
    fn the_longest_prefix_wins_in_both_families() {
        let routes = routes(&[
            ("0.0.0.0/0", 1),
            ("10.0.0.0/8", 2),
            ("10.5.17.4/32", 3),
            ("fd00::/8", 4),
            ("fd00::7/128", 5),
        ]);

        assert_eq!(owner(&routes, "192.0.2.1"), Some(1));
        assert_eq!(owner(&routes, "10.5.17.5"), Some(2));
        assert_eq!(owner(&routes, "10.5.17.4"), Some(3));
        assert_eq!(owner(&routes, "fd00::8"), Some(4));
        assert_eq!(owner(&routes, "fd00::7"), Some(5));
        assert_eq!(owner(&routes, "2001:db8::1"), None);
    }

    #[test]
    fn a_prefix_moves_to_the_peer_that_it_is_given_to_last() {
        let routes = routes(&[("10.5.17.4/16", 1), ("10.5.0.0/16", 2)]);

        assert_eq!(owner(&routes, "10.5.17.4"), Some(2));
    }

    #[test]
    fn a_removed_peer_leaves_its_addresses_to_the_next_shorter_prefix() {
        let mut routes = routes(&[("10.0.0.0/8", 1), ("10.5.0.0/16", 2)]);

        routes.remove(2);

        assert_eq!(owner(&routes, "10.5.17.4"), Some(1));
    }

    proptest! {
        #[test]
        fn the_owner_is_that_of_a_search_through_all_prefixes(
            prefixes in prop::collection::vec((any::<u8>(), 0u8..=32), 0..20),
            address: u8,
        ) {
            // Addresses differ in their first byte alone, so that prefixes meet.
            let prefixes: Vec<IpNet> = prefixes
                .into_iter()
                .map(|(first, length)| IpNet::new(IpAddr::from([first & 0xc3, 0, 0, 1]), length).unwrap().trunc())
                .collect();
            let mut routes = Routes::default();
            for (peer, prefix) in prefixes.iter().enumerate() {
                routes.insert(*prefix, peer);
            }
            let address = IpAddr::from([address & 0xc3, 0, 0, 1]);

            let expected = (0..prefixes.len())
                .filter(|peer| prefixes[*peer].contains(&address))
                .max_by_key(|peer| (prefixes[*peer].prefix_len(), *peer));

            prop_assert_eq!(routes.owner(address), expected);
        }
    }
}
