//! Peers as Kilo's agent reads them.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde_json::Value;
use sinfonia_core::key::PublicKey;

/// What a Peer says, as far as it is heard. A pre-shared key and an endpoint, which no device of Sinfonia has, are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) key: PublicKey,
    pub(super) allowed_ips: Vec<IpNet>,
    /// Seconds; 0 is none.
    pub(super) keepalive: u16,
}

/// Peers by the names of their objects.
pub(super) type Objects = BTreeMap<String, Peer>;

/// Reads a list of Peers, without those that are malformed.
pub(super) fn read(list: &Value) -> Objects {
    list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|object| {
            let name = object["metadata"]["name"].as_str()?;
            Some((name.to_owned(), Peer::read(&object["spec"])?))
        })
        .collect()
}

impl Peer {
    /// Reads a specification: of the addresses those that are some, and nothing where none is left or where the key is none.
    fn read(spec: &Value) -> Option<Self> {
        let allowed_ips: Vec<IpNet> = spec["allowedIPs"]
            .as_array()?
            .iter()
            .filter_map(|text| text.as_str()?.parse::<IpNet>().ok())
            .map(|network| network.trunc())
            .collect();
        (!allowed_ips.is_empty()).then_some(Self {
            key: read_key(spec["publicKey"].as_str()?)?,
            allowed_ips,
            keepalive: spec["persistentKeepalive"]
                .as_u64()
                .and_then(|seconds| u16::try_from(seconds).ok())
                .unwrap_or_default(),
        })
    }
}

/// Kilo knows one spelling, that of `wg`, and a key of zeros is to it what an absent one is.
fn read_key(text: &str) -> Option<PublicKey> {
    let key: PublicKey = text.parse().ok()?;
    (key.to_string() == text && *key.as_bytes() != [0; 32]).then_some(key)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const KEY: &str = "GY5aT1N9dTR/nJnT1N2f4ClZWVj0jOAld0r8ysWLyjg=";

    #[test]
    fn a_peer_is_read_with_the_addresses_that_are_some() {
        let spec = json!({
            "publicKey": KEY, "persistentKeepalive": 10,
            "allowedIPs": ["10.5.17.4/32", "example", "10.5.17.5", "10.6.1.1/16", "fd00::1/64"],
        });

        let peer = Peer::read(&spec).unwrap();

        let addresses: Vec<_> = peer.allowed_ips.iter().map(IpNet::to_string).collect();
        assert_eq!(addresses, ["10.5.17.4/32", "10.6.0.0/16", "fd00::/64"]);
        assert_eq!((peer.key.to_string(), peer.keepalive), (KEY.to_owned(), 10));
    }

    #[rstest]
    #[case::none(json!(null))]
    #[case::negative(json!(-1))]
    #[case::too_long(json!(65_536))]
    fn a_keepalive_that_is_none_is_zero(#[case] keepalive: Value) {
        let spec = json!({"publicKey": KEY, "allowedIPs": ["10.5.17.4/32"], "persistentKeepalive": keepalive});

        assert_eq!(Peer::read(&spec).unwrap().keepalive, 0);
    }

    #[rstest]
    #[case::no_key(json!({"publicKey": "", "allowedIPs": ["10.5.17.4/32"]}))]
    #[case::a_key_that_is_none(json!({"publicKey": "not a key", "allowedIPs": ["10.5.17.4/32"]}))]
    #[case::a_key_for_paths(json!({"publicKey": KEY.replace('/', "_"), "allowedIPs": ["10.5.17.4/32"]}))]
    #[case::a_key_of_zeros(json!({"publicKey": format!("{}=", "A".repeat(43)), "allowedIPs": ["10.5.17.4/32"]}))]
    #[case::no_addresses(json!({"publicKey": KEY, "allowedIPs": []}))]
    #[case::addresses_that_are_none(json!({"publicKey": KEY, "allowedIPs": ["10.5.17.4", "example", ""]}))]
    fn a_malformed_peer_is_ignored(#[case] spec: Value) {
        let list = json!({"items": [{"metadata": {"name": "peer"}, "spec": spec}]});

        assert_eq!(read(&list), Objects::new());
    }
}
