//! From the peers that an interface has to those that it should have.

use std::fmt;

use sinfonia_core::key::PublicKey;

use super::mesh::Peers;
use super::peer::Peer;

/// A change of the interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// All peers go, and with them their sessions.
    Clear,
    /// One peer goes.
    Remove(PublicKey),
    /// A peer comes, or changes and keeps its session.
    Set(Peer),
}

/// What makes an interface with these peers, or with unknown ones, one with those that are wanted. Kilo's agent changes all of it or nothing.
pub(super) fn plan(present: Option<&Peers>, wanted: &Peers, resets_sessions: bool) -> Vec<Step> {
    match present {
        Some(present) if present == wanted => Vec::new(),
        Some(present) if !resets_sessions => changes(present, wanted),
        _ => everything(wanted),
    }
}

fn everything(wanted: &Peers) -> Vec<Step> {
    let set = wanted.values().cloned().map(Step::Set);
    [Step::Clear].into_iter().chain(set).collect()
}

fn changes(present: &Peers, wanted: &Peers) -> Vec<Step> {
    let gone = present.keys().filter(|key| !wanted.contains_key(key));
    let changed = wanted
        .iter()
        .filter(|(key, peer)| present.get(key) != Some(peer));
    gone.map(|key| Step::Remove(*key))
        .chain(changed.map(|(_, peer)| Step::Set(peer.clone())))
        .collect()
}

impl fmt::Display for Step {
    /// In the form of WireGuard's configuration protocol.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear => writeln!(formatter, "replace_peers=true"),
            Self::Remove(key) => {
                writeln!(formatter, "public_key={}\nremove=true", hex(key.as_bytes()))
            }
            Self::Set(peer) => {
                writeln!(formatter, "public_key={}", hex(peer.key.as_bytes()))?;
                writeln!(
                    formatter,
                    "persistent_keepalive_interval={}",
                    peer.keepalive
                )?;
                writeln!(formatter, "replace_allowed_ips=true")?;
                for network in &peer.allowed_ips {
                    writeln!(formatter, "allowed_ip={network}")?;
                }
                Ok(())
            }
        }
    }
}

/// Keys as the protocol spells them.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    fn nothing_is_done_where_nothing_changes(#[values(false, true)] resets_sessions: bool) {
        let peers = peers(&[(1, 1), (2, 2)]);

        assert_eq!(plan(Some(&peers), &peers, resets_sessions), []);
    }

    #[test]
    fn a_change_touches_no_other_peer() {
        let present = peers(&[(1, 1), (2, 2), (3, 3)]);
        let wanted = peers(&[(2, 2), (3, 9), (4, 4)]);

        let steps = plan(Some(&present), &wanted, false);

        let gone = Step::Remove(PublicKey::from_bytes([1; 32]));
        assert_eq!(steps, [gone, Step::Set(peer(3, 9)), Step::Set(peer(4, 4))]);
    }

    #[rstest]
    #[case::kilos_habit(Some(peers(&[(1, 1)])), true)]
    #[case::unknown_peers(None, false)]
    fn all_peers_are_made_anew(#[case] present: Option<Peers>, #[case] resets_sessions: bool) {
        let wanted = peers(&[(1, 1), (2, 2)]);

        let steps = plan(present.as_ref(), &wanted, resets_sessions);

        let set = [Step::Set(peer(1, 1)), Step::Set(peer(2, 2))];
        assert_eq!(steps, [&[Step::Clear][..], &set].concat());
    }

    #[test]
    fn steps_are_told_in_the_words_of_wireguards_protocol() {
        let steps = [
            Step::Clear,
            Step::Remove(PublicKey::from_bytes([0x0f; 32])),
            Step::Set(peer(0xa1, 4)),
        ];

        let text: String = steps.iter().map(Step::to_string).collect();

        let [gone, set] = ["0f".repeat(32), "a1".repeat(32)];
        assert_eq!(
            text,
            format!(
                "replace_peers=true\npublic_key={gone}\nremove=true\npublic_key={set}\n\
                persistent_keepalive_interval=10\nreplace_allowed_ips=true\nallowed_ip=10.5.0.4/32\n"
            )
        );
    }

    fn peers(peers: &[(u8, u8)]) -> Peers {
        peers
            .iter()
            .map(|(key, address)| (PublicKey::from_bytes([*key; 32]), peer(*key, *address)))
            .collect()
    }

    fn peer(key: u8, address: u8) -> Peer {
        Peer {
            key: PublicKey::from_bytes([key; 32]),
            allowed_ips: vec![format!("10.5.0.{address}/32").parse().unwrap()],
            keepalive: 10,
        }
    }
}
