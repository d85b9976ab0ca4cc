//! Tier 1 of Sinfonia: knows the cloudlets, ranks them for a device, and has the best one deploy.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::Value;
use sinfonia_core::diagnostic::Severity;
use sinfonia_core::schema;
use sinfonia_service::telemetry::{self, TelemetryError};
use sinfonia_service::traces::{self, Export, Program};
use sinfonia_service::version::Build;
use sinfonia_service::{build, manual, settings, shutdown, stdout};
use sinfonia_tier1::check::Report;
use sinfonia_tier1::routes::description::description;
use sinfonia_tier1::settings::{CheckArgs, ReportForm, Settings, Task, matcher_list};
use sinfonia_tier1::{StartError, Tier1};
use tikv_jemallocator::Jemalloc;
use tokio::runtime::Runtime;

/// The name of the program, and what it was built from.
const PROGRAM: &str = "sinfonia-tier1";
const BUILD: Build = build!();

/// A request allocates some hundred times, most of them in libraries; see `cargo xtask bench tier1`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Something that the user cannot fix.
const UNEXPECTED: u8 = 2;

fn main() -> ExitCode {
    let mut settings: Settings = settings::parse(BUILD);
    settings.build = BUILD;
    let error = match run(settings) {
        Ok(code) => return code,
        Err(error) => error,
    };
    // There is nobody left to tell if this fails.
    let _ = writeln!(anstream::stderr(), "{}", told(&error));
    if error.is::<StartError>() || error.is::<TelemetryError>() {
        ExitCode::FAILURE
    } else {
        ExitCode::from(UNEXPECTED)
    }
}

/// What is wrong, with its place where that is in a file.
fn told(error: &anyhow::Error) -> String {
    let start = error.downcast_ref::<StartError>();
    match start.and_then(StartError::within_file) {
        Some((path, wrong)) => wrong.render(Severity::Error, &path.display().to_string(), true),
        None => format!("error: {error:#}"),
    }
}

fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    match &settings.task {
        Some(Task::Check(args)) => return check(args),
        Some(Task::Schema(args)) => return json(&schema::of_file(args.kind)),
        Some(Task::Openapi) => return json(&description()),
        Some(Task::Completions { shell }) => return completions(*shell),
        Some(Task::Man { folder }) => return write_manual(folder),
        None => {}
    }
    if settings.ranking.list_matchers {
        print(matcher_list())?;
        return Ok(ExitCode::SUCCESS);
    }
    let export = Export {
        program: Program::Service(PROGRAM),
        args: &settings.traces,
        client: &settings.client,
    };
    telemetry::init(&settings.log, Some(export))?;
    let runtime = Runtime::new().context("cannot start the runtime")?;
    let done = runtime.block_on(async {
        let stop = shutdown::on_signals().context("cannot listen to signals")?;
        let tier1 = Tier1::start(settings).await?;
        tier1.serve(stop.cancelled_owned()).await;
        Ok(ExitCode::SUCCESS)
    });
    traces::finish();
    done
}

fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let report = Report::of(args);
    let told = match args.output {
        ReportForm::Text => {
            let choice = anstream::AutoStream::choice(&io::stdout());
            report.text(choice != anstream::ColorChoice::Never)
        }
        ReportForm::Json => report.json().context("cannot write the report")?,
    };
    print(told)?;
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn json(value: &Value) -> anyhow::Result<ExitCode> {
    print(format!("{value:#}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn completions(shell: Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Settings::command(), PROGRAM, &mut script);
    print(&script)?;
    Ok(ExitCode::SUCCESS)
}

fn write_manual(folder: &Path) -> anyhow::Result<ExitCode> {
    let written = manual::write(Settings::command(), folder);
    written.with_context(|| format!("cannot write the manual into {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    stdout::print(text).context("cannot print")
}
