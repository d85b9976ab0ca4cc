//! Tier 1 of Sinfonia: knows the cloudlets, ranks them for a device, and has the best one deploy.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use sinfonia_service::telemetry::{self, TelemetryError};
use sinfonia_service::version::Build;
use sinfonia_service::{build, settings, shutdown};
use sinfonia_tier1::settings::{Settings, matcher_list};
use sinfonia_tier1::{StartError, Tier1};
use tokio::runtime::Runtime;

/// The name of the program, and what it was built from.
const PROGRAM: &str = "sinfonia-tier1";
const BUILD: Build = build!();

/// Something that the user cannot fix.
const UNEXPECTED: u8 = 2;

fn main() -> ExitCode {
    let mut settings: Settings = settings::parse(BUILD);
    settings.build = BUILD;
    let Err(error) = run(settings) else {
        return ExitCode::SUCCESS;
    };
    // There is nobody left to tell if this fails.
    let _ = writeln!(io::stderr(), "error: {error:#}");
    if error.is::<StartError>() || error.is::<TelemetryError>() {
        ExitCode::FAILURE
    } else {
        ExitCode::from(UNEXPECTED)
    }
}

fn run(settings: Settings) -> anyhow::Result<()> {
    if settings.ranking.list_matchers {
        return print(matcher_list().as_bytes());
    }
    if let Some(shell) = settings.completions {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Settings::command(), PROGRAM, &mut script);
        return print(&script);
    }
    telemetry::init(&settings.log)?;
    let runtime = Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
        let stop = shutdown::on_signals().context("cannot listen to signals")?;
        let tier1 = Tier1::start(settings).await?;
        tier1.serve(stop.cancelled_owned()).await;
        Ok(())
    })
}

/// Whoever reads may stop whenever it likes: a closed pipe is no error.
fn print(text: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot print"),
    }
}
