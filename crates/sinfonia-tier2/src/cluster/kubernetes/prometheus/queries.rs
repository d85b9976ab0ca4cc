//! What is asked of Prometheus.

use jiff::SignedDuration;

/// A measurement of the cluster.
pub(super) struct Resource {
    /// Its name in reports.
    pub(super) name: &'static str,
    /// What is measured, a vector of one.
    pub(super) query: &'static str,
    /// What it is divided by to be a ratio, or a rate in bytes per second.
    pub(super) divisor: f64,
}

/// All measurements of the cluster. The rules `node:…` and `instance:…` come with kube-prometheus-stack, which measures one node at a
/// time with the latter; a cluster of several has their sum.
pub(super) const RESOURCES: [Resource; 5] = [
    Resource {
        name: "cpu_ratio",
        query: r#"sum(rate(node_cpu_seconds_total{mode!="idle"}[1m])) / sum(node:node_num_cpu:sum)"#,
        divisor: 1.0,
    },
    Resource {
        name: "mem_ratio",
        query: "sum(1 - (node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)) / count(node_memory_MemTotal_bytes)",
        divisor: 1.0,
    },
    Resource {
        name: "net_rx_rate",
        query: "sum(instance:node_network_receive_bytes_excluding_lo:rate5m)",
        divisor: 1.0,
    },
    Resource {
        name: "net_tx_rate",
        query: "sum(instance:node_network_transmit_bytes_excluding_lo:rate5m)",
        divisor: 1.0,
    },
    // NVIDIA's exporter says it in per cent.
    Resource {
        name: "gpu_ratio",
        query: "sum(DCGM_FI_DEV_GPU_UTIL) / count(DCGM_FI_DEV_GPU_UTIL)",
        divisor: 100.0,
    },
];

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
