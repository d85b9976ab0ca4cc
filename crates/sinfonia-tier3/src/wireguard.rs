//! The files that WireGuard and the resolver read.

use std::fmt::{Display, Write as _};

use sinfonia_core::key::PrivateKey;
use sinfonia_core::tunnel::TunnelConfig;

/// Seconds between the packets that keep the way through a NAT open.
pub(crate) const KEEPALIVE: u16 = 10;

/// A file for `wg setconf`, which knows neither addresses nor name servers.
pub(crate) fn setconf(key: &PrivateKey, tunnel: &TunnelConfig) -> String {
    let mut file = File::default();
    file.section("Interface");
    file.line("PrivateKey", key.to_base64());
    file.section("Peer");
    file.peer(tunnel);
    file.0
}

/// A file for `wg-quick up`, and for the WireGuard applications of phones and desktops; with the identifiers of applications, that of
/// Android sends no others through the tunnel.
pub(crate) fn quick(key: &PrivateKey, tunnel: &TunnelConfig, applications: &[&str]) -> String {
    let mut file = File::default();
    file.section("Interface");
    file.line("PrivateKey", key.to_base64());
    file.list("Address", &tunnel.address);
    file.list("DNS", &tunnel.dns);
    file.list("IncludedApplications", applications);
    file.section("Peer");
    file.peer(tunnel);
    file.0
}

#[derive(Default)]
struct File(String);

impl File {
    fn section(&mut self, name: &str) {
        let blank = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{blank}[{name}]");
    }

    fn line(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name} = {value}");
    }

    fn list(&mut self, name: &str, values: &[impl Display]) {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        if !values.is_empty() {
            self.line(name, values.join(", "));
        }
    }

    fn peer(&mut self, tunnel: &TunnelConfig) {
        self.line("PublicKey", tunnel.public_key);
        self.list("AllowedIPs", &tunnel.allowed_ips);
        self.line("Endpoint", &tunnel.endpoint);
        self.line("PersistentKeepalive", KEEPALIVE);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wg_setconf_gets_keys_and_peer_alone() {
        insta::assert_snapshot!(setconf(&key(), &tunnel()), @r"
        [Interface]
        PrivateKey = QAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8=

        [Peer]
        PublicKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
        AllowedIPs = 0.0.0.0/0, ::/0
        Endpoint = [2001:db8::7]:51820
        PersistentKeepalive = 10
        ");
    }

    #[test]
    fn wg_quick_gets_addresses_and_dns_too() {
        insta::assert_snapshot!(quick(&key(), &tunnel(), &[]), @r"
        [Interface]
        PrivateKey = QAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8=
        Address = 10.5.17.4
        DNS = 10.43.0.10, brave-otter-x7k2p.svc.cluster.local, svc.cluster.local

        [Peer]
        PublicKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
        AllowedIPs = 0.0.0.0/0, ::/0
        Endpoint = [2001:db8::7]:51820
        PersistentKeepalive = 10
        ");
    }

    #[test]
    fn a_phone_gets_its_applications_too() {
        let file = quick(&key(), &tunnel(), &["org.example.one", "org.example.two"]);

        assert!(
            file.contains("\nIncludedApplications = org.example.one, org.example.two\n\n[Peer]")
        );
    }

    #[test]
    fn what_the_answer_leaves_empty_is_left_out() {
        let mut tunnel = tunnel();
        tunnel.dns.clear();

        assert!(!quick(&key(), &tunnel, &[]).contains("DNS"));
    }

    #[test]
    fn what_was_written_reads_back_as_the_answer() {
        let text = quick(&key(), &tunnel(), &[]);
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(" = "));
            lines
                .find(|(found, _)| *found == name)
                .unwrap()
                .1
                .to_owned()
        };
        let list = |name: &str| json!(value(name).split(", ").collect::<Vec<_>>());

        let read: TunnelConfig = serde_json::from_value(json!({
            "publicKey": value("PublicKey"),
            "allowedIPs": list("AllowedIPs"),
            "endpoint": value("Endpoint"),
            "address": list("Address"),
            "dns": list("DNS"),
        }))
        .unwrap();

        assert_eq!(read, tunnel());
        assert_eq!(
            PrivateKey::parse(&value("PrivateKey"))
                .unwrap()
                .public_key(),
            key().public_key()
        );
    }

    fn key() -> PrivateKey {
        let mut bytes = [0; 32];
        bytes
            .iter_mut()
            .zip(0..)
            .for_each(|(byte, value)| *byte = value);
        bytes[0] = 64;
        PrivateKey::from_entropy(bytes)
    }

    fn tunnel() -> TunnelConfig {
        serde_json::from_value(json!({
            "publicKey": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
            "allowedIPs": ["0.0.0.0/0", "::/0"],
            "endpoint": "[2001:db8::7]:51820",
            "address": ["10.5.17.4"],
            "dns": ["10.43.0.10", "brave-otter-x7k2p.svc.cluster.local", "svc.cluster.local"],
        }))
        .unwrap()
    }
}
