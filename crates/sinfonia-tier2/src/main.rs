//! `sinfonia-tier2`: deploys backends into one cloudlet and tells Tier 1 about it.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use sinfonia_service::shutdown::CancellationToken;
use sinfonia_service::traces::{self, Export, Program};
use sinfonia_service::version::Build;
use sinfonia_service::{build, manual, settings, shutdown, stdout, telemetry};
use sinfonia_tier2::RunError;
use sinfonia_tier2::commands::{self, CommandError};
use sinfonia_tier2::settings::{GuardArgs, Settings, Task};
use sinfonia_tier2::{crd, guard};

/// The name of the program, and what it was built from.
const PROGRAM: &str = "sinfonia-tier2";
const BUILD: Build = build!();
/// Exit code when the user can do something about it.
const FIXABLE: u8 = 1;
/// Exit code when nobody expected it.
const UNEXPECTED: u8 = 2;

fn main() -> ExitCode {
    let mut settings: Settings = settings::parse(BUILD);
    settings.build = BUILD;
    let done = match &settings.task {
        Some(Task::Crd) => print_definition(),
        Some(Task::Openapi) => print_description(),
        Some(Task::Completions { shell }) => print_completions(*shell),
        Some(Task::Man { folder }) => write_manual(folder),
        Some(Task::Guard(args)) => stand_guard(args),
        Some(Task::Drain(args)) => command(async {
            let told = commands::drain(&settings, args).await?;
            Ok(Some(told))
        }),
        Some(Task::Undrain(args)) => command(async {
            let told = commands::undrain(&settings, args).await?;
            Ok(Some(told))
        }),
        Some(Task::Ready(args)) => command(async {
            commands::ready(&settings, args).await?;
            Ok(None)
        }),
        None => run(settings),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn run(settings: Settings) -> anyhow::Result<()> {
    let export = Export {
        program: Program::Service(PROGRAM),
        args: &settings.traces,
        client: &settings.client,
    };
    telemetry::init(&settings.log, Some(export))?;
    let done = until_stopped(async |stopping| sinfonia_tier2::run(settings, stopping).await);
    traces::finish();
    done
}

fn stand_guard(args: &GuardArgs) -> anyhow::Result<()> {
    telemetry::init(&args.log, None)?;
    until_stopped(async |stopping| Ok(guard::run(args, BUILD, stopping).await?))
}

fn until_stopped(
    work: impl AsyncFnOnce(CancellationToken) -> Result<(), RunError>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
        let stopping = shutdown::on_signals().context("cannot listen to signals")?;
        Ok(work(stopping).await?)
    })
}

fn print_definition() -> anyhow::Result<()> {
    print(crd::definition_yaml()?)
}

fn print_description() -> anyhow::Result<()> {
    print(format!("{:#}\n", sinfonia_tier2::description()))
}

fn print_completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Settings::command(), PROGRAM, &mut script);
    print(script)
}

fn write_manual(folder: &Path) -> anyhow::Result<()> {
    let written = manual::write(Settings::command(), folder);
    written.with_context(|| format!("cannot write the manual into {}", folder.display()))
}

/// Carries a command out, and prints what it has to say.
fn command(work: impl Future<Output = Result<Option<String>, CommandError>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    match runtime.block_on(work)? {
        Some(told) => print(told + "\n"),
        None => Ok(()),
    }
}

fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    stdout::print(text).context("cannot print")
}

/// Says what happened and, where it is known, what to do about it.
fn fail(error: &anyhow::Error) -> ExitCode {
    let mut stderr = std::io::stderr();
    // There is nobody left to tell if this fails.
    let _ = writeln!(stderr, "error: {error:#}");
    let known = error.downcast_ref::<RunError>();
    let command = error.downcast_ref::<CommandError>();
    let hint = known.and_then(RunError::hint);
    if let Some(hint) = hint.or_else(|| command.and_then(CommandError::hint)) {
        let _ = writeln!(stderr, "hint: {hint}");
    }
    let malformed_filter = error.is::<telemetry::TelemetryError>();
    let fixable = malformed_filter || command.is_some() || known.is_some_and(RunError::is_fixable);
    ExitCode::from(if fixable { FIXABLE } else { UNEXPECTED })
}
