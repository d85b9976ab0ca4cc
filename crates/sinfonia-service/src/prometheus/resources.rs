//! What is asked of a Prometheus about a cluster.

/// A measurement of a cluster.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResourceQuery<'a> {
    /// Its name in reports.
    pub name: &'a str,
    /// What is measured, a vector of one.
    pub query: &'a str,
    /// What it is divided by to be a ratio, or a rate in bytes per second.
    pub divisor: f64,
}

/// All measurements that cloudlets report. The rules `node:…` and `instance:…` come with kube-prometheus-stack, which measures one node at a
/// time with the latter; a cluster of several has their sum.
pub const RESOURCES: [ResourceQuery<'static>; 5] = [
    ResourceQuery {
        name: "cpu_ratio",
        query: r#"sum(rate(node_cpu_seconds_total{mode!="idle"}[1m])) / sum(node:node_num_cpu:sum)"#,
        divisor: 1.0,
    },
    ResourceQuery {
        name: "mem_ratio",
        query: "sum(1 - (node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)) / count(node_memory_MemTotal_bytes)",
        divisor: 1.0,
    },
    ResourceQuery {
        name: "net_rx_rate",
        query: "sum(instance:node_network_receive_bytes_excluding_lo:rate5m)",
        divisor: 1.0,
    },
    ResourceQuery {
        name: "net_tx_rate",
        query: "sum(instance:node_network_transmit_bytes_excluding_lo:rate5m)",
        divisor: 1.0,
    },
    // NVIDIA's exporter says it in per cent.
    ResourceQuery {
        name: "gpu_ratio",
        query: "sum(DCGM_FI_DEV_GPU_UTIL) / count(DCGM_FI_DEV_GPU_UTIL)",
        divisor: 100.0,
    },
];
