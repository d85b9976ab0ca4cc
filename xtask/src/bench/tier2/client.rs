//! Devices that ask Tier 2.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sinfonia_core::key::PublicKey;
use sinfonia_testbed::Service;
use uuid::Uuid;

/// A client of one Tier 2, for any number of devices.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub(super) fn of(tier2: &Service) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self {
            http,
            base: tier2.url(),
        })
    }

    /// Deploys for a device and waits until that is ready; gives the time that it took.
    pub(super) async fn deploy(&self, index: usize) -> anyhow::Result<Duration> {
        let key = key(index).url_safe();
        let url = format!("{}/api/v1/deploy/{}/{key}", self.base, Uuid::nil());
        let request = self.http.post(url).header("prefer", "wait=60");
        let begun = Instant::now();
        let answer = request.send().await.context("cannot ask Tier 2")?;
        let status = answer.status();
        let text = answer.text().await?;
        let took = begun.elapsed();
        let is_ready = status.is_success() && text.contains("\"Ready\":true");
        ensure!(is_ready, "deployment {index} is not ready: {status} {text}");
        Ok(took)
    }

    /// The least that can be asked of the same server.
    pub(super) async fn probe(&self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let answer = self.http.get(format!("{}/", self.base)).send().await?;
        answer.error_for_status()?.bytes().await?;
        Ok(begun.elapsed())
    }
}

/// The key of a device.
pub(super) fn key(index: usize) -> PublicKey {
    let mut bytes = [7; 32];
    for (byte, digit) in bytes.iter_mut().zip(index.to_le_bytes()) {
        *byte = digit;
    }
    PublicKey::from_bytes(bytes)
}
