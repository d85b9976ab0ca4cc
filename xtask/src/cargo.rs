//! Running cargo on this workspace.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, ensure};

/// The packages of the programs that are given to others.
const TIERS: [&str; 3] = ["sinfonia-tier1", "sinfonia-tier2", "sinfonia-tier3"];

/// The profile of what is given to others.
pub(crate) const DISTRIBUTION: &str = "dist";

/// The workspace's folder.
pub(crate) fn workspace() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Runs cargo with these arguments in the workspace, its output shown.
pub(crate) fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    cargo_with(arguments, &[])
}

/// Builds the programs of all tiers as they are given to others: as small and quick as they get, which takes long.
pub(crate) fn build_for_distribution() -> anyhow::Result<()> {
    build_as_distributed(&TIERS)
}

/// Builds this program and those of all tiers for measurements: what is measured is what is given to others.
pub(crate) fn build_for_measurements() -> anyhow::Result<()> {
    // Always the same ones: what they have in common depends on who asks for it.
    build_as_distributed(&[&["xtask"][..], &TIERS].concat())
}

/// Runs this program once more with the same arguments, as [`build_for_measurements`] builds it: what was built without optimisation
/// measures itself.
pub(crate) fn again_for_measurements() -> anyhow::Result<()> {
    let program = programs(DISTRIBUTION).join("xtask");
    let status = Command::new(&program)
        .args(std::env::args_os().skip(1))
        .status();
    let status = status.with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(status.success(), "{} failed", program.display());
    Ok(())
}

fn build_as_distributed(packages: &[&str]) -> anyhow::Result<()> {
    anstream::eprintln!("building for distribution, which takes some minutes…");
    let build = ["build", "--quiet", "--locked", "--bins", "--profile"];
    let packages = packages.iter().flat_map(|name| ["--package", name]);
    let arguments = build.into_iter().chain([DISTRIBUTION]).chain(packages);
    cargo(&arguments.collect::<Vec<_>>())
}

/// Runs cargo as [`cargo`] does, with these variables in its environment.
pub(crate) fn cargo_with(arguments: &[&str], environment: &[(&str, &OsStr)]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let line = format!("cargo {}", arguments.join(" "));
    let mut command = Command::new(cargo);
    // Build scripts look at some of what cargo told this process of its own package, and would be run anew.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    let status: ExitStatus = command
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(workspace())
        .status()
        .with_context(|| format!("cannot run `{line}`"))?;
    ensure!(status.success(), "`{line}` failed");
    Ok(())
}

/// The folder of all that is built.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || workspace().join("target"),
        |target| workspace().join(target),
    )
}

/// The folder that holds the programs of a profile, `debug` or [`DISTRIBUTION`].
pub(crate) fn programs(profile: &str) -> PathBuf {
    target().join(profile)
}
