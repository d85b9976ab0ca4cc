//! What the benchmark runs on: a control plane, Prometheus, a recipe, and Tier 2 as it is distributed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sinfonia_testbed::{
    Cloudlet, ControlPlane, Exporter, Programs, Prometheus, Service, write_chart,
};
use tempfile::TempDir;
use uuid::Uuid;

use super::client::key;
use crate::bench::ready::until_ready;
use crate::cargo::{DISTRIBUTION, programs};

/// What helm is given.
pub(super) const VALUES: &str = r#"{"greeting":"hello"}"#;
/// The chart has no workloads: nobody runs pods here.
const CONFIG_MAP: (&str, &str) = (
    "templates/greeting.yaml",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: greeting}\ndata: {greeting: {{ .Values.greeting | quote }}}\n",
);
/// Lease of the deployments, longer than the benchmark takes.
pub(super) const LEASE: &str = "2h";

/// All that runs. Dropped in this order.
pub(super) struct World {
    tier2: Service,
    prometheus: Prometheus,
    _exporter: Exporter,
    cloudlet: Cloudlet,
    _control_plane: ControlPlane,
    programs: Programs,
    folder: TempDir,
}

impl World {
    /// Starts everything; as many tunnels are in use as there will be deployments.
    pub(super) fn start(deployments: usize) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("sinfonia-bench-")?;
        let path = folder.path();
        let programs = Programs::find_or_hint()?;
        let control_plane = ControlPlane::start(&programs, &path.join("control-plane"))?;
        let exporter = Exporter::start(&tunnels(deployments)?)?;
        fs::create_dir(path.join("prometheus"))?;
        let targets = [exporter.address()];
        let prometheus = Prometheus::start(&programs, &path.join("prometheus"), &targets, "")?;
        write_recipe(path)?;
        let cloudlet = Cloudlet::on(&control_plane, path)?;
        let options = ["--lease", LEASE];
        let tier2 = start(&cloudlet, &programs, &prometheus, path, "tier2", &options)?;
        Ok(Self {
            tier2,
            prometheus,
            _exporter: exporter,
            cloudlet,
            _control_plane: control_plane,
            programs,
            folder,
        })
    }

    /// Stops Tier 2.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        self.tier2.terminate()?;
        self.tier2.wait()?;
        Ok(())
    }

    /// Starts Tier 2 again, after it was stopped, with these options, and waits until it is ready.
    pub(super) fn restart(&mut self, name: &str, options: &[&str]) -> anyhow::Result<()> {
        let path = self.folder.path();
        self.tier2 = start(
            &self.cloudlet,
            &self.programs,
            &self.prometheus,
            path,
            name,
            options,
        )?;
        Ok(())
    }

    pub(super) const fn tier2(&self) -> &Service {
        &self.tier2
    }

    pub(super) const fn cloudlet(&self) -> &Cloudlet {
        &self.cloudlet
    }

    pub(super) fn helm(&self) -> &Path {
        &self.programs.helm4
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn chart(&self) -> PathBuf {
        self.folder().join("recipes/greeting-0.1.0.tgz")
    }
}

fn write_recipe(folder: &Path) -> anyhow::Result<()> {
    let recipes = folder.join("recipes");
    fs::create_dir(&recipes)?;
    write_chart(&recipes, "greeting", "0.1.0", &[CONFIG_MAP])?;
    let recipe = format!("chart: greeting\nversion: 0.1.0\nvalues: {VALUES}\n");
    fs::write(recipes.join(format!("{}.yaml", Uuid::nil())), recipe)?;
    Ok(())
}

/// What the exporter of a gateway says of tunnels whose devices have just shaken hands.
fn tunnels(count: usize) -> anyhow::Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let tunnel = |index: usize| {
        let labels = format!(
            r#"{{interface="kilo0",public_key="{}",allowed_ips="10.5.0.0/32"}}"#,
            key(index)
        );
        format!(
            "wireguard_latest_handshake_seconds{labels} {now}\nwireguard_received_bytes_total{labels} 1000\n"
        )
    };
    Ok((0..count).map(tunnel).collect())
}

fn start(
    cloudlet: &Cloudlet,
    programs: &Programs,
    prometheus: &Prometheus,
    folder: &Path,
    name: &str,
    options: &[&str],
) -> anyhow::Result<Service> {
    let program = self::programs(DISTRIBUTION).join("sinfonia-tier2");
    let cache = folder.join("tier2-cache");
    let mut command = cloudlet.tier2(&program, &programs.helm4, &cache);
    command
        .arg("--recipes")
        .arg(folder.join("recipes"))
        .args(["--prometheus", &prometheus.url(), "--client-rate", "0"])
        .args(["--max-deployments-per-client", "65536"])
        .args(options)
        .env("RUST_LOG", "info");
    let tier2 = Service::start(name, command, folder)?;
    until_ready(&tier2)?;
    Ok(tier2)
}
