//! The peers that the interface should have, as Kilo's agent keeps them: by their keys.

use std::collections::BTreeMap;

use sinfonia_core::key::PublicKey;

use super::peer::{Objects, Peer};

/// Peers by their keys.
pub(super) type Peers = BTreeMap<PublicKey, Peer>;

/// Follows the objects. Of two Peers with one key the deletion of either takes the key along, as with Kilo, which hears of changes and looks
/// at what is left no more.
#[derive(Debug, Default)]
pub(super) struct Mesh {
    objects: Objects,
    peers: Peers,
}

impl Mesh {
    pub(super) const fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Notes what has changed since the last time.
    pub(super) fn follow(&mut self, objects: Objects) {
        for (name, peer) in &self.objects {
            if objects.get(name).is_none_or(|now| now.key != peer.key) {
                self.peers.remove(&peer.key);
            }
        }
        for (name, peer) in &objects {
            if self.objects.get(name) != Some(peer) {
                self.peers.insert(peer.key, peer.clone());
            }
        }
        self.objects = objects;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_come_change_and_go_with_their_objects() {
        let mut mesh = Mesh::default();

        mesh.follow(objects(&[("a", 1, "10.5.0.1/32"), ("b", 2, "10.5.0.2/32")]));
        assert_eq!(
            seen(&mesh),
            [(1, "10.5.0.1/32"), (2, "10.5.0.2/32")].map(owned)
        );
        mesh.follow(objects(&[("a", 1, "10.5.0.9/32"), ("b", 3, "10.5.0.2/32")]));
        assert_eq!(
            seen(&mesh),
            [(1, "10.5.0.9/32"), (3, "10.5.0.2/32")].map(owned)
        );
        mesh.follow(objects(&[("b", 3, "10.5.0.2/32")]));
        assert_eq!(seen(&mesh), [(3, "10.5.0.2/32")].map(owned));
    }

    #[test]
    fn of_two_peers_with_one_key_the_deletion_of_either_cuts_the_tunnel() {
        let mut mesh = Mesh::default();
        mesh.follow(objects(&[("a", 1, "10.5.0.1/32"), ("b", 1, "10.5.0.2/32")]));
        assert_eq!(seen(&mesh), [(1, "10.5.0.2/32")].map(owned));

        mesh.follow(objects(&[("b", 1, "10.5.0.2/32")]));

        assert_eq!(seen(&mesh), []);
    }

    #[test]
    fn a_peer_that_is_made_anew_under_another_name_stays() {
        let mut mesh = Mesh::default();
        mesh.follow(objects(&[("b", 1, "10.5.0.1/32")]));

        mesh.follow(objects(&[("a", 1, "10.5.0.1/32")]));

        assert_eq!(seen(&mesh), [(1, "10.5.0.1/32")].map(owned));
    }

    fn objects(peers: &[(&str, u8, &str)]) -> Objects {
        let peer = |key: u8, address: &str| Peer {
            key: PublicKey::from_bytes([key; 32]),
            allowed_ips: vec![address.parse().unwrap()],
            keepalive: 10,
        };
        peers
            .iter()
            .map(|(name, key, address)| ((*name).to_owned(), peer(*key, address)))
            .collect()
    }

    fn seen(mesh: &Mesh) -> Vec<(u8, String)> {
        mesh.peers()
            .iter()
            .map(|(key, peer)| (key.as_bytes()[0], peer.allowed_ips[0].to_string()))
            .collect()
    }

    fn owned((key, address): (u8, &str)) -> (u8, String) {
        (key, address.to_owned())
    }
}
