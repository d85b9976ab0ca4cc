//! `cargo xtask quickstart`: the three tiers on this machine, no cluster needed.

use std::fs;
use std::path::Path;
use std::process::ExitStatus;

use anstream::println;
use anyhow::{Context, bail, ensure};
use clap::Args;
use sinfonia_testbed::{Binaries, ReservedPort, Service, command};
use tempfile::TempDir;

use crate::cargo::{cargo, programs, workspace};

/// Where the two cloudlets of the quickstart are said to be, and the client between them.
const NEAR: &str = "[40.4439, -79.9444]";
const FAR: &str = "[48.8566, 2.3522]";
const CLIENT: &str = "40.4406,-79.9959";

/// Exit codes of `sinfonia-tier3` with a command: the command is not there; it could not be run inside the tunnel.
const NOT_FOUND: i32 = 127;
const OWN_FAILURE: i32 = 125;

/// What follows the help.
const EXAMPLES: &str = "\
Examples:
  See it:
    cargo xtask quickstart

  Try commands of your own on it, as it says then:
    cargo xtask quickstart --keep";

/// How the quickstart runs.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Leaves everything running until Enter is pressed, to try commands of your own.
    #[arg(long)]
    keep: bool,
    /// Takes the programs that are built already.
    #[arg(long)]
    no_build: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if !options.no_build {
        println!("Building the three tiers, which takes some minutes the first time…");
        cargo(&["build", "--quiet", "--locked", "--workspace", "--bins"])?;
    }
    let binaries = Binaries::in_folder(&programs("debug"))?;
    let folder = TempDir::new().context("cannot make a folder for the quickstart")?;

    println!(
        "\nStarting two cloudlets (sinfonia-tier2 --cluster sandbox) and a Tier 1 that knows them."
    );
    let near = tier2(&binaries, "near", folder.path(), &[])?;
    let far = tier2(&binaries, "far", folder.path(), &[])?;
    let cloudlets = folder.path().join("cloudlets.yaml");
    fs::write(&cloudlets, cloudlet_file(&near, &far)).context("cannot write the cloudlet file")?;
    println!("\n$ cat cloudlets.yaml\n{}", cloudlet_file(&near, &far));
    let tier1 = tier1(&binaries, &cloudlets, folder.path(), &[])?;

    let client = Client {
        binaries: &binaries,
        tier1: tier1.url(),
        cache: folder.path(),
    };
    show(&client)?;
    if options.keep {
        // By then the backend may be gone: deleted by hand, or by the end of its lease. The rest ends with its cloudlet.
        client.wait_for_enter()?;
    } else {
        println!("It gives the backend back:");
        client.run(&["delete", "helloworld"])?;
    }
    for service in [tier1, near, far] {
        service.stop()?;
    }
    println!("Done. Next: `cargo xtask quickstart --keep`, `cargo xtask test`, and the README.");
    Ok(())
}

/// What a client does with a backend; leaves it with one.
fn show(client: &Client<'_>) -> anyhow::Result<()> {
    println!("\n$ export SINFONIA_TIER1_URL={}", client.tier1);
    println!("\nA client in Pittsburgh asks which cloudlets would serve it, best first:");
    client.run(&["candidates", "helloworld", "--location", CLIENT])?;
    show_page(client)?;
    println!("It asks for a backend to keep, and is told how to reach it:");
    client.run(&["deploy", "helloworld", "--location", CLIENT])?;
    println!("The deployment, as the cloudlet sees it:");
    client.run(&["status", "helloworld"])
}

/// Shows the page of a cloudlet: inside the tunnel where users may make namespaces, else through a port that leads into it.
fn show_page(client: &Client<'_>) -> anyhow::Result<()> {
    let deploy = ["deploy", "helloworld", "--location", CLIENT];
    let curl = ["--", "curl", "--silent", "--show-error"];
    println!("It runs curl inside a tunnel to a backend of its own, which is deleted after it:");
    let inside = [&deploy[..], &curl, &["http://helloworld/"]].concat();
    let mut status = client.run_any(&inside)?;
    if status.code() == Some(OWN_FAILURE) {
        println!(
            "\nThis system does not let you run a command inside the tunnel; what is said above would allow it. A port that leads there works all the same:"
        );
        let port = ReservedPort::new()?.number();
        let (forward, url) = (
            format!("{port}:helloworld:80"),
            format!("http://localhost:{port}/"),
        );
        let through_port = [&deploy[..], &["--forward", &forward], &curl, &[&url]].concat();
        status = client.run_any(&through_port)?;
    }
    match status.code() {
        Some(0) => println!(),
        Some(NOT_FOUND) => println!("Install curl to see the page of the cloudlet.\n"),
        _ => bail!("the page of the cloudlet did not come through the tunnel"),
    }
    Ok(())
}

/// Starts a cloudlet in a sandbox.
pub(crate) fn tier2(
    binaries: &Binaries,
    name: &str,
    folder: &Path,
    options: &[&str],
) -> anyhow::Result<Service> {
    let mut command = command(&binaries.tier2);
    command
        .args(["--cluster", "sandbox"])
        // Two on one machine cannot both have WireGuard's usual port.
        .args(["--tunnel-listen", "127.0.0.1:0", "--recipes"])
        .arg(workspace().join("examples/recipes"))
        .args(options);
    Ok(Service::start(name, command, folder)?)
}

/// Starts a Tier 1 that knows the cloudlets of a file.
pub(crate) fn tier1(
    binaries: &Binaries,
    cloudlets: &Path,
    folder: &Path,
    options: &[&str],
) -> anyhow::Result<Service> {
    let mut command = command(&binaries.tier1);
    command
        .arg("--cloudlets")
        .arg(cloudlets)
        .arg("--recipes")
        .arg(workspace().join("examples/recipes"))
        .args(options);
    Ok(Service::start("tier1", command, folder)?)
}

/// A file with both cloudlets.
pub(crate) fn cloudlet_file(near: &Service, far: &Service) -> String {
    let (near, far) = (near.url(), far.url());
    format!(
        "name: Pittsburgh\nendpoint: {near}/api/v1/deploy\nlocation: {NEAR}\n---\n\
         name: Paris\nendpoint: {far}/api/v1/deploy\nlocation: {FAR}\n"
    )
}

/// Someone who types commands of Tier 3.
struct Client<'a> {
    binaries: &'a Binaries,
    tier1: String,
    cache: &'a Path,
}

impl Client<'_> {
    fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let status = self.run_any(arguments)?;
        ensure!(
            status.success(),
            "sinfonia-tier3 {} failed",
            arguments.join(" ")
        );
        println!();
        Ok(())
    }

    /// Runs a command that may fail.
    fn run_any(&self, arguments: &[&str]) -> anyhow::Result<ExitStatus> {
        println!("\n$ sinfonia-tier3 {}", arguments.join(" "));
        let mut command = command(&self.binaries.tier3);
        command
            .args(arguments)
            .env("SINFONIA_TIER1_URL", &self.tier1)
            .env("XDG_CACHE_HOME", self.cache);
        command.status().context("cannot run sinfonia-tier3")
    }

    fn wait_for_enter(&self) -> anyhow::Result<()> {
        let programs = self.binaries.tier3.parent().unwrap_or(Path::new("."));
        println!("Everything keeps running. In another terminal:\n");
        println!("  export PATH='{}':\"$PATH\"", programs.display());
        println!(
            "  export SINFONIA_TIER1_URL={} XDG_CACHE_HOME='{}'",
            self.tier1,
            self.cache.display()
        );
        println!("  sinfonia-tier3 --help\n");
        println!("In a browser: {}/\n", self.tier1);
        println!("Press Enter to stop.");
        std::io::stdin()
            .read_line(&mut String::new())
            .context("cannot read from the terminal")?;
        Ok(())
    }
}
