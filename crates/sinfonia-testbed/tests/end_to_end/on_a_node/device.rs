//! Devices that use their backend all the time.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sinfonia_service::process::spawn_bound;
use tokio::time::{Instant, sleep};

use super::edge::Edge;

/// Asks for the page five times a second, and writes a line for each answer: its name, or a dash.
const LOOK: &str = "while :; do curl --silent --max-time 1 http://helloworld/ | grep -o 'This is [a-z0-9-]*' || echo -; sleep 0.2; done";
/// Far longer than a device may have to wait for its page.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// A device that looks at its page again and again, inside the tunnel of its own Tier 3. It gives everything back when this is dropped.
pub(super) struct Device {
    tier3: Child,
    seen: PathBuf,
    log: PathBuf,
    name: String,
}

impl Device {
    /// Starts one, and waits until it has seen its page.
    pub(super) async fn start(edge: &Edge, name: &str) -> Self {
        let seen = edge.path().join(format!("{name}.seen"));
        let log = edge.path().join(format!("{name}.log"));
        let deploy = ["deploy", "helloworld", "--output", "json"];
        let mut tier3 =
            edge.tier3_command(name, &[&deploy[..], &["--", "sh", "-c", LOOK]].concat());
        tier3
            .stdin(Stdio::null())
            .stdout(File::create(&seen).unwrap())
            .stderr(File::create(&log).unwrap());
        let mut device = Self {
            // It goes with this process, however that ends.
            tier3: spawn_bound(tier3).unwrap(),
            seen,
            log,
            name: String::new(),
        };
        device.name = device.sees_its_page_from(0).await;
        device
    }

    /// The name of its deployment.
    pub(super) fn deployment(&self) -> &str {
        &self.name
    }

    /// How often it has looked.
    pub(super) fn looks(&self) -> usize {
        self.lines().len()
    }

    /// Waits until it sees its page after so many looks, and returns the deployment's name that it reads there.
    pub(super) async fn sees_its_page_from(&self, looks: usize) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = self.lines();
            let mut new = lines.iter().skip(looks);
            if let Some(name) = new.find_map(|line| line.strip_prefix("This is ")) {
                return name.to_owned();
            }
            assert!(
                Instant::now() < deadline,
                "the device sees no page: {lines:?}; its Tier 3 told: {}",
                fs::read_to_string(&self.log).unwrap_or_default()
            );
            sleep(POLL).await;
        }
    }

    /// What its Tier 3 has told of these kinds of events.
    pub(super) fn events(&self, kinds: &[&str]) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap();
        let is_one = |line: &&str| {
            let event: Value = serde_json::from_str(line).unwrap_or_default();
            kinds.iter().any(|kind| event["event"] == *kind)
        };
        log.lines().filter(is_one).map(str::to_owned).collect()
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.seen).unwrap_or_default();
        // The last line may be half there.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(str::to_owned).collect()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = kill(
            Pid::from_raw(self.tier3.id().cast_signed()),
            Signal::SIGTERM,
        );
        let _ = self.tier3.wait();
    }
}
