//! `cargo xtask api`: running services, asked all kinds of things by schemathesis, which compares their answers with what they say of themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anstream::println;
use anyhow::{Context, ensure};
use clap::Args;
use sinfonia_testbed::{Binaries, Service};
use tempfile::TempDir;

use crate::cargo::{cargo, programs, target, workspace};
use crate::quickstart::{cloudlet_file, tier1, tier2};

/// The program that asks, with its version: others may ask for more.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// Seconds in which one service is asked.
const TIME: &str = "15";
/// Who may report, and as what: nothing that is made up, so that no request goes anywhere else.
const REPORT_TOKEN: &str = "api-test-token 00000000-0000-4000-8000-000000000000\n";
const AUTHORIZATION: &str = "Authorization: Bearer api-test-token";

/// How the APIs are checked.
#[derive(Args)]
pub(crate) struct Options {
    /// Takes the programs that are built already.
    #[arg(long)]
    no_build: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if !options.no_build {
        cargo(&["build", "--quiet", "--locked", "--workspace", "--bins"])?;
    }
    check()
}

/// Checks the programs that are built.
pub(crate) fn check() -> anyhow::Result<()> {
    let binaries = Binaries::in_folder(&programs("debug"))?;
    let schemathesis = installed()?;
    let folder = TempDir::new().context("cannot make a folder for the services")?;
    // So many devices come from this machine alone.
    let unlimited = ["--client-rate=0", "--max-deployments-per-client=100000"];
    let near = tier2(&binaries, "near", folder.path(), &unlimited)?;
    let far = tier2(&binaries, "far", folder.path(), &unlimited)?;
    let cloudlets = folder.path().join("cloudlets.yaml");
    fs::write(&cloudlets, cloudlet_file(&near, &far)).context("cannot write the cloudlet file")?;
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, REPORT_TOKEN).context("cannot write the tokens")?;
    let tokens = format!("--report-tokens={}", tokens.display());
    let tier1 = tier1(&binaries, &cloudlets, folder.path(), &[&tokens])?;

    let tier1_holds = ask(&schemathesis, "Tier 1", &tier1, folder.path())?;
    let tier2_holds = ask(&schemathesis, "Tier 2", &near, folder.path())?;
    for service in [tier1, near, far] {
        service.stop()?;
    }
    ensure!(
        tier1_holds && tier2_holds,
        "an API does not do what it says"
    );
    Ok(())
}

/// Asks a service, and tells whether it does what it says.
fn ask(schemathesis: &Path, name: &str, service: &Service, folder: &Path) -> anyhow::Result<bool> {
    println!("\nThe API of {name}:");
    let mut command = Command::new(schemathesis);
    command
        .arg("--config-file")
        .arg(workspace().join(".ci/schemathesis.toml"))
        .args(["run", "--max-time", TIME, "--header", AUTHORIZATION])
        .arg(format!("{}/api/v1/openapi.json", service.url()))
        .current_dir(folder);
    let status = command.status().context("cannot run schemathesis")?;
    Ok(status.success())
}

/// Installs schemathesis where it is not there yet, in an environment of its own.
fn installed() -> anyhow::Result<PathBuf> {
    let environment = target().join(SCHEMATHESIS);
    let program = environment.join("bin/schemathesis");
    if program.exists() {
        return Ok(program);
    }
    let mut python = Command::new("python3");
    python.args(["-m", "venv"]).arg(&environment);
    succeed(
        python,
        "make an environment for schemathesis (apt install python3-venv)",
    )?;
    let mut pip = Command::new(environment.join("bin/pip"));
    pip.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        SCHEMATHESIS,
    ]);
    succeed(pip, "install schemathesis")?;
    Ok(program)
}

fn succeed(mut command: Command, task: &str) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot {task}"))?;
    ensure!(status.success(), "cannot {task}: {status}");
    Ok(())
}
