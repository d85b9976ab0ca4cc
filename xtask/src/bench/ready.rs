//! Waiting for a service of ours.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sinfonia_service::client::{ClientSettings, build};
use sinfonia_testbed::Service;

/// Time that a service has to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a service says on its admin port that it is ready.
///
/// # Errors
/// It cannot be asked, or does not become ready.
pub(super) fn until_ready(service: &Service) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let url = format!("http://{}/readyz", service.admin());
    let client = build(&ClientSettings::new("sinfonia-bench"))?;
    let begun = Instant::now();
    loop {
        let answer = runtime.block_on(client.get(&url).send());
        let answer = answer.context("cannot ask whether a service is ready")?;
        if answer.status().is_success() {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "a service does not become ready"
        );
        thread::sleep(Duration::from_millis(50));
    }
}
