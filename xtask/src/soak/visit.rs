//! What a device does: it comes, uses its page, and goes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use sinfonia_service::process::spawn_bound;
use sinfonia_testbed::Installation;

/// How often a device looks at its page, and what it runs for that. Where others come and go all the time, a gateway with Kilo's habits
/// forgets sessions as fast as they are made, so a look is tried again for a minute.
const LOOKS: usize = 5;
const LOOK: &str = "for look in 1 2 3 4 5; do curl --silent --show-error --max-time 10 --retry 60 --retry-delay 1 --retry-max-time 60 --retry-all-errors http://helloworld/ || exit 1; echo; sleep 1; done";
/// What precedes the deployment's name on the page.
const NAME: &str = "This is ";
/// Far longer than a visit takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(400);
const POLL: Duration = Duration::from_millis(50);
/// Of so many visitors, one leaves without giving its deployment back.
const FORGETFUL: u64 = 5;
/// Keys that visitors of one place use in turns.
const KEYS: u64 = 2;
/// Bytes of a log's end that a failure tells.
const LOG_END: usize = 500;

/// A visit of a device.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Visit {
    number: u64,
    /// The name of its keys.
    device: String,
    is_forgetful: bool,
}

impl Visit {
    /// The visit of this number among all, which is paid while no other one is at the same place. Most devices have been there before; one
    /// that leaves its deployment behind never comes back.
    pub(super) fn of(place: u64, number: u64) -> Self {
        let is_forgetful = number % FORGETFUL == FORGETFUL - 1;
        let device = if is_forgetful {
            format!("forgetful-{number}")
        } else {
            format!("device-{place}-{}", number % KEYS)
        };
        Self {
            number,
            device,
            is_forgetful,
        }
    }

    /// Comes, looks, and goes.
    ///
    /// # Errors
    /// There is no deployment, or the device sees a page that is not its own, or none.
    pub(super) fn pay(&self, installation: &Installation) -> anyhow::Result<()> {
        let [page, log] = ["page", "log"].map(|kind| self.file(installation.folder(), kind));
        let release: &[&str] = if self.is_forgetful {
            &["--no-release"]
        } else {
            &[]
        };
        let deploy = [
            &["deploy", "helloworld"],
            release,
            &["--", "sh", "-c", LOOK],
        ]
        .concat();
        let mut tier3 = installation.tier3_command(&self.device, &deploy);
        tier3
            .stdin(std::process::Stdio::null())
            .stdout(File::create(&page)?)
            .stderr(File::create(&log)?);
        let tier3 = spawn_bound(tier3).context("cannot run sinfonia-tier3")?;
        let seen = wait(tier3).and_then(|status| {
            ensure!(status.success(), "sinfonia-tier3 ended with {status}");
            sees_one_page(&fs::read_to_string(&page)?)
        });
        seen.with_context(|| end_of(&log))?;
        for file in [page, log] {
            fs::remove_file(file)?;
        }
        Ok(())
    }

    fn file(&self, folder: &Path, kind: &str) -> PathBuf {
        folder.join(format!("visit-{}.{kind}", self.number))
    }
}

fn wait(mut tier3: Child) -> anyhow::Result<ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = tier3.try_wait()? {
            return Ok(status);
        }
        if begun.elapsed() > PATIENCE {
            tier3.kill()?;
            tier3.wait()?;
            bail!("sinfonia-tier3 still ran after {PATIENCE:?}");
        }
        thread::sleep(POLL);
    }
}

/// Checks that all looks have seen the page of one and the same deployment.
fn sees_one_page(text: &str) -> anyhow::Result<()> {
    let names: Vec<_> = text.split(NAME).skip(1).map(first_word).collect();
    ensure!(names.len() == LOOKS, "it saw {} pages", names.len());
    let first = names.first();
    let is_one = names.iter().all(|name| Some(name) == first);
    ensure!(is_one, "it saw pages of {}", names.join(", "));
    Ok(())
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    &text[..end.unwrap_or(text.len())]
}

fn end_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let end = &text[text.len().saturating_sub(LOG_END)..];
    format!(
        "its log ends with {:?}",
        String::from_utf8_lossy(end).trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_visitor_of_five_forgets_its_deployment_and_is_never_seen_again() {
        let visits: Vec<_> = (0..10).map(|number| Visit::of(1, number)).collect();

        let forgetful: Vec<_> = visits.iter().filter(|visit| visit.is_forgetful).collect();
        assert_eq!(forgetful.len(), 2);
        assert_ne!(forgetful[0].device, forgetful[1].device);
        assert_eq!(visits[0].device, visits[2].device);
        assert_ne!(visits[0].device, Visit::of(2, 0).device);
    }

    #[test]
    fn all_looks_have_to_see_the_same_page() {
        let page = |name: &str| format!("<h1>Hello</h1>\n<p>This is {name}.</p>\n\n");
        let own = page("brave-otter-x7k2p");

        assert!(sees_one_page(&own.repeat(LOOKS)).is_ok());
        assert!(sees_one_page(&own.repeat(LOOKS - 1)).is_err());
        let other = format!("{}{}", own.repeat(LOOKS - 1), page("calm-heron-9bq1z"));
        assert!(sees_one_page(&other).is_err());
    }
}
