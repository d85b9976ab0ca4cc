//! Measurements of the sandbox's end of the tunnels. In a cluster, the exporter of WireGuard's metrics has them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use sinfonia_service::metrics::write_counter;
use sinfonia_tunnel::endpoint::Traffic;
use tokio::sync::watch;

/// Tells what went through all tunnels when somebody reads the metrics.
#[derive(Debug)]
pub(super) struct TunnelMetrics(pub(super) watch::Receiver<Traffic>);

impl Collector for TunnelMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let traffic = *self.0.borrow();
        for (name, help, value) in [
            (
                "tunnel_handshakes",
                "Handshakes with devices that came to a good end",
                traffic.handshakes,
            ),
            (
                "tunnel_received_bytes",
                "Bytes of authentic messages of devices",
                traffic.received_bytes,
            ),
            (
                "tunnel_sent_bytes",
                "Bytes of messages to devices",
                traffic.sent_bytes,
            ),
        ] {
            write_counter(&mut encoder, name, help, value)?;
        }
        Ok(())
    }
}
