//! The addresses that devices get inside the tunnel.

use std::collections::HashSet;
use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::key::PublicKey;
use crate::network::Network;

/// Offset of the first address that a device may get: the network's own address and the one behind it, which gateways
/// take, are left out.
const FIRST: u128 = 2;

/// Why a network cannot serve as a pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressPoolError {
    /// Nothing is left between the gateway's and the last address.
    #[error("the client network {0} is too small: it needs a prefix length of at most {limit}", limit = longest_prefix(.0))]
    TooSmall(Network),
}

/// The addresses of a network that devices may get: all but the network's own, the gateway's (the first one) and the
/// last, which is IPv4's broadcast address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPool {
    network: Network,
    size: u128,
}

impl AddressPool {
    /// The pool of a network's addresses.
    ///
    /// # Errors
    /// The network has less than four addresses.
    pub fn new(network: Network) -> Result<Self, AddressPoolError> {
        let net = network.as_ipnet();
        let host_bits = u32::from(net.max_prefix_len() - net.prefix_len());
        // All of IPv6 has one address more than fits; nobody misses it.
        let addresses = 1u128.checked_shl(host_bits).unwrap_or(u128::MAX);
        match addresses.checked_sub(FIRST + 1) {
            Some(size) if size > 0 => Ok(Self { network, size }),
            _ => Err(AddressPoolError::TooSmall(network)),
        }
    }

    /// How many addresses devices may get, at least 1.
    pub const fn size(&self) -> u128 {
        self.size
    }

    /// Whether a device may get this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let offset = as_number(address).checked_sub(self.base());
        let same_family = address.is_ipv4() == self.network.as_ipnet().addr().is_ipv4();
        same_family && offset.is_some_and(|offset| (FIRST..FIRST + self.size).contains(&offset))
    }

    /// An address that is not in use; `None` when all are. A key gets the same address again as long as that is free.
    pub fn allocate<S: BuildHasher>(
        &self,
        key: &PublicKey,
        in_use: &HashSet<IpAddr, S>,
    ) -> Option<IpAddr> {
        let wish = preference(key) % self.size;
        // Among one candidate more than there are addresses in use, one is free.
        let candidates = self.size.min(in_use.len() as u128 + 1);
        (0..candidates)
            .map(|step| self.address((wish + step) % self.size))
            .find(|address| !in_use.contains(address))
    }

    fn address(&self, index: u128) -> IpAddr {
        let number = self.base() + FIRST + index;
        match self.network.as_ipnet().addr() {
            // Truncation cannot lose anything: the index lies within a network of 32 bits.
            IpAddr::V4(_) => IpAddr::from((number as u32).to_be_bytes()),
            IpAddr::V6(_) => IpAddr::from(number.to_be_bytes()),
        }
    }

    fn base(&self) -> u128 {
        as_number(self.network.as_ipnet().network())
    }
}

impl fmt::Display for AddressPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network.fmt(formatter)
    }
}

fn as_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// Spreads the keys evenly: the first 16 bytes of SHA-256 over the key.
fn preference(key: &PublicKey) -> u128 {
    let digest = Sha256::digest(key.as_bytes());
    digest
        .iter()
        .take(16)
        .fold(0, |number, byte| number << 8 | u128::from(*byte))
}

fn longest_prefix(network: &Network) -> u8 {
    network.as_ipnet().max_prefix_len() - 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[test]
    fn devices_get_all_addresses_but_network_gateway_and_broadcast() {
        let pool = pool("10.5.0.0/29");
        let mut held = HashSet::new();
        while let Some(address) = pool.allocate(&key(7), &held) {
            assert!(held.insert(address), "{address} was given twice");
        }

        let mut given: Vec<String> = held.iter().map(IpAddr::to_string).collect();
        given.sort();
        assert_eq!(
            given,
            ["10.5.0.2", "10.5.0.3", "10.5.0.4", "10.5.0.5", "10.5.0.6"]
        );
    }

    #[test]
    fn a_key_gets_its_address_again() {
        let pool = pool("10.5.0.0/16");
        let first = pool.allocate(&key(7), &HashSet::new());

        assert_eq!(pool.allocate(&key(7), &HashSet::new()), first);
        assert_ne!(pool.allocate(&key(8), &HashSet::new()), first);
    }

    #[rstest]
    #[case("10.5.0.4/30", "10.5.0.6")]
    #[case("fd00::/126", "fd00::2")]
    fn the_smallest_network_holds_one_device(#[case] network: &str, #[case] expected: IpAddr) {
        let pool = pool(network);

        assert_eq!(pool.allocate(&key(7), &HashSet::new()), Some(expected));
        assert_eq!(pool.allocate(&key(7), &HashSet::from([expected])), None);
    }

    #[rstest]
    #[case(
        "10.5.0.0/31",
        "the client network 10.5.0.0/31 is too small: it needs a prefix length of at most 30"
    )]
    #[case(
        "10.5.0.1",
        "the client network 10.5.0.1/32 is too small: it needs a prefix length of at most 30"
    )]
    #[case(
        "fd00::/127",
        "the client network fd00::/127 is too small: it needs a prefix length of at most 126"
    )]
    fn a_network_without_room_is_refused(#[case] network: &str, #[case] expected: &str) {
        let error = AddressPool::new(network.parse().unwrap()).unwrap_err();

        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_full_network_has_no_address_left() {
        let pool = pool("10.5.0.0/16");
        let all: HashSet<IpAddr> = (2..65535u32)
            .map(|host| IpAddr::from((0x0a05_0000 + host).to_be_bytes()))
            .collect();
        let mut all_but_one = all.clone();
        all_but_one.remove(&"10.5.17.4".parse().unwrap());

        assert_eq!(
            pool.allocate(&key(7), &all_but_one),
            Some("10.5.17.4".parse().unwrap())
        );
        assert_eq!(pool.allocate(&key(7), &all), None);
    }

    proptest! {
        #[test]
        fn an_address_is_free_and_of_the_pool(
            bytes: [u8; 32],
            length in 24u8..=30,
            held in prop::collection::hash_set(0u32..256, 0..256),
        ) {
            let pool = pool(&format!("10.5.0.0/{length}"));
            let held: HashSet<IpAddr> = held.into_iter().map(|host| IpAddr::from((0x0a05_0000 + host).to_be_bytes())).collect();
            let free = (0..1u32 << (32 - length))
                .map(|host| IpAddr::from((0x0a05_0000 + host).to_be_bytes()))
                .any(|address| pool.contains(address) && !held.contains(&address));

            let address = pool.allocate(&PublicKey::from_bytes(bytes), &held);

            prop_assert_eq!(address.is_some(), free);
            prop_assert!(address.is_none_or(|address| pool.contains(address) && !held.contains(&address)));
        }

        #[test]
        fn pools_of_every_size_give_addresses(bytes: [u8; 32], address: IpAddr, length in 0u8..=126) {
            let longest = if address.is_ipv4() { 30 } else { 126 };
            let network: Network = format!("{address}/{}", length.min(longest)).parse().unwrap();
            let pool = AddressPool::new(network).unwrap();

            let given = pool.allocate(&PublicKey::from_bytes(bytes), &HashSet::new()).unwrap();

            prop_assert!(pool.contains(given));
        }
    }

    fn pool(network: &str) -> AddressPool {
        AddressPool::new(network.parse().unwrap()).unwrap()
    }

    fn key(byte: u8) -> PublicKey {
        PublicKey::from_bytes([byte; 32])
    }
}
