//! What is asked of Prometheus about tunnels.

use jiff::SignedDuration;

/// The last handshake of each tunnel during the lease, as a UNIX time, 0 for none.
pub(super) fn handshakes(lease: SignedDuration) -> String {
    format!(
        "max by (public_key) (max_over_time(wireguard_latest_handshake_seconds[{}s]))",
        window(lease)
    )
}

/// How often the received bytes of each tunnel changed during the lease.
pub(super) fn changes(lease: SignedDuration) -> String {
    format!(
        "max by (public_key) (changes(wireguard_received_bytes_total[{}s]))",
        window(lease)
    )
}

/// The lease in whole seconds; Prometheus refuses a window of none.
fn window(lease: SignedDuration) -> i64 {
    lease.as_secs().max(1)
}
