//! Dropping, beside requests, the cloudlets that have fallen silent.

use std::time::Duration;

use jiff::Timestamp;

use crate::registry::Registry;

/// Time between two looks. A cloudlet is known for up to this much longer than [`crate::registry::SILENCE`]; its reports are judged by
/// the exact time.
const INTERVAL: Duration = Duration::from_secs(2);

/// Drops silent cloudlets, for ever.
pub async fn run(registry: Registry) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let expired = registry.expire(Timestamp::now());
        for endpoint in &expired.dropped {
            tracing::info!(%endpoint, "cloudlet silent, dropped");
        }
        for endpoint in &expired.silent {
            tracing::info!(%endpoint, "cloudlet of the file silent, its measurements dropped");
        }
    }
}
