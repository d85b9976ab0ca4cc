//! What Tier 2 does although nobody asks it for anything: its start, its rest, and rounds of its job runner over all deployments.
//!
//! It is started again for each figure, and asks the API server through a proxy that counts.

use std::fs;
use std::thread;
use std::time::Duration;

use anstream::eprintln;
use sinfonia_testbed::FaultProxy;

use super::Options;
use super::table::{Row, Table};
use super::world::{LEASE, World};
use crate::bench::process::cpu_seconds;

/// Seconds between two rounds where they are measured, and time where there is to be only the first, at the start.
const OFTEN: u64 = 1;
const ONCE: &str = "1h";
/// A lease so long that none of those that are there counts as fresh: the first round renews them all.
const LONG_LEASE: &str = "20h";
/// Tier 2 is at rest when it has asked for no more than this in as much time.
const REST: (usize, Duration) = (30, Duration::from_secs(4));

/// What was done in a while.
#[derive(Debug, Clone, Copy)]
struct Effort {
    calls: f64,
    cpu_seconds: f64,
}

/// Tier 2 behind a proxy that counts.
struct Counted<'a> {
    world: &'a mut World,
    proxy: FaultProxy,
    kubeconfig: String,
}

pub(super) fn measure(
    options: &Options,
    world: &mut World,
    table: &mut Table,
) -> anyhow::Result<()> {
    let proxy = FaultProxy::start(world.cloudlet().cluster())?;
    let folder = world.folder().join("through-proxy");
    fs::create_dir(&folder)?;
    let kubeconfig = world.cloudlet().kubeconfig_through(proxy.url(), &folder)?;
    let kubeconfig = kubeconfig.to_string_lossy().into_owned();
    let mut counted = Counted {
        world,
        proxy,
        kubeconfig,
    };
    let (count, window) = (options.total(), options.seconds);
    let each = count as f64;

    eprintln!("a start with {count} deployments…");
    let started = counted.start("started", LEASE, ONCE)?;
    let resting = counted.watch(window)?;
    eprintln!("a start that renews {count} leases…");
    let renewed = counted.start("renewed", LONG_LEASE, ONCE)?.less(started);
    eprintln!("rounds over {count} deployments…");
    counted.start("rounds", LONG_LEASE, &format!("{OFTEN}s"))?;
    let busy = counted.watch(window)?;
    let round = busy.less(resting).per((window / OFTEN) as f64);

    let what = format!("a start with {count} deployments");
    table.push(Row {
        what,
        figure: started.words(),
        baseline: format!("{count} deployments: one request each"),
        ratio: started.calls / each,
    });
    table.push(Row {
        what: format!("{window} s at rest with {count} deployments"),
        figure: resting.words(),
        baseline: "one request per second".to_owned(),
        ratio: resting.calls / window as f64,
    });
    table.push(Row {
        what: format!("a round of the job runner, {count} tunnels in use, leases fresh"),
        figure: round.words(),
        baseline: "one request for each".to_owned(),
        ratio: round.calls / each,
    });
    table.push(Row {
        what: format!("a round that renews {count} leases"),
        figure: renewed.words(),
        baseline: "one request for each".to_owned(),
        ratio: renewed.calls / each,
    });
    Ok(())
}

impl Counted<'_> {
    /// Starts Tier 2 and waits until it rests.
    fn start(&mut self, name: &str, lease: &str, interval: &str) -> anyhow::Result<Effort> {
        self.world.stop()?;
        self.proxy.forget_calls();
        let options = [
            ["--kubeconfig", &self.kubeconfig],
            ["--lease", lease],
            ["--job-interval", interval],
        ];
        self.world.restart(name, options.as_flattened())?;
        let (few, time) = REST;
        loop {
            let before = self.proxy.count("*", "*");
            thread::sleep(time);
            if self.proxy.count("*", "*") - before <= few {
                return self.so_far();
            }
        }
    }

    /// What it does in this many seconds.
    fn watch(&self, seconds: u64) -> anyhow::Result<Effort> {
        let before = self.so_far()?;
        thread::sleep(Duration::from_secs(seconds));
        Ok(self.so_far()?.less(before))
    }

    fn so_far(&self) -> anyhow::Result<Effort> {
        Ok(Effort {
            calls: self.proxy.count("*", "*") as f64,
            cpu_seconds: cpu_seconds(self.world.tier2().process_id())?,
        })
    }
}

impl Effort {
    fn less(self, other: Self) -> Self {
        Self {
            calls: self.calls - other.calls,
            cpu_seconds: self.cpu_seconds - other.cpu_seconds,
        }
    }

    fn per(self, times: f64) -> Self {
        Self {
            calls: self.calls / times,
            cpu_seconds: self.cpu_seconds / times,
        }
    }

    fn words(self) -> String {
        let (calls, milliseconds) = (self.calls.max(0.0), self.cpu_seconds.max(0.0) * 1000.0);
        format!("{calls:.0} API requests, {milliseconds:.0} ms CPU")
    }
}
