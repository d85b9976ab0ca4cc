//! Which cloudlets have a client in one of their local networks.

use std::net::IpAddr;

use super::tree::Tree;
use super::{Member, key};
use crate::endpoint::Endpoint;
use crate::network::Network;

/// Prefix lengths of both families, from 0 on.
const LENGTHS: [usize; 2] = [33, 129];

/// Members by local network.
///
/// The networks that hold an address are those of its prefixes: one look for each prefix length that occurs finds them all, and few lengths
/// do. A trie of the crate `prefix-trie` would find them in one descent, but it is one block of memory that clones cannot share.
#[derive(Debug, Clone)]
pub(super) struct Networks<T> {
    members: Tree<T>,
    /// How many networks there are of each family and length.
    lengths: [Box<[u32]>; 2],
}

impl<T> Default for Networks<T> {
    fn default() -> Self {
        Self {
            members: Tree::default(),
            lengths: LENGTHS.map(|lengths| vec![0; lengths].into()),
        }
    }
}

impl<T: Member> Networks<T> {
    pub(super) fn insert(&mut self, network: Network, member: T) {
        *self.with_length_of(network) += 1;
        self.members.insert(key(&network), member);
    }

    /// Takes out a member that is there.
    pub(super) fn remove(&mut self, network: Network, endpoint: &Endpoint) {
        *self.with_length_of(network) -= 1;
        self.members.remove(key(&network), endpoint);
    }

    /// The members that have the address in one of their networks, as often as they have. In rare cases others too.
    pub(super) fn holding(&self, address: IpAddr) -> impl Iterator<Item = &T> {
        let lengths = self.lengths[family(address)].iter().zip(0..);
        let in_use = lengths.filter_map(|(networks, length)| (*networks > 0).then_some(length));
        let prefixes = in_use.filter_map(move |length| Network::of_prefix(address, length));
        prefixes.flat_map(|prefix| self.members.get(key(&prefix)))
    }

    fn with_length_of(&mut self, network: Network) -> &mut u32 {
        let net = network.as_ipnet();
        &mut self.lengths[family(net.addr())][usize::from(net.prefix_len())]
    }
}

const fn family(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => 0,
        IpAddr::V6(_) => 1,
    }
}
