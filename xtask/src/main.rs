//! Development tasks, run as `cargo xtask <task>`.

mod api;
mod bench;
mod cargo;
mod image;
#[cfg(test)]
mod links;
mod percentile;
mod quickstart;
mod release;
mod replay;
mod soak;
mod test;
mod testbed;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Development tasks of Sinfonia.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Starts a Tier 1 and two sandboxed Tier 2s on this machine and shows a request going through them.
    Quickstart(quickstart::Options),
    /// Builds everything and runs all tests.
    Test(test::Options),
    /// Asks a running Tier 1 and Tier 2 all kinds of things, and compares their answers with what their OpenAPI documents say.
    ///
    /// Needs Python 3.10 or newer with venv; schemathesis is installed into the target folder.
    Api(api::Options),
    /// Real programs to test with: Kubernetes' control plane, helm, Prometheus.
    #[command(subcommand, after_help = testbed::EXAMPLES)]
    Testbed(testbed::Task),
    /// Measures; every figure comes beside a baseline of the same run.
    #[command(subcommand, after_help = bench::EXAMPLES)]
    Bench(bench::Benchmark),
    /// Lets devices come and go at a cloudlet on a real node, with all bad habits of Kilo, and watches the memory and open files of both
    /// tiers. Needs root and Linux.
    ///
    /// Ends with 1 when a device does not see its page, when anything is left of a deployment in the end, or when a process uses more and
    /// more.
    Soak(soak::Options),
    /// Replays a trace of requests against a fleet of cloudlets, on a simulated clock, and compares placement policies.
    ///
    /// Nothing is started: the requests go through the ranking of Tier 1, cloudlets hold what their capacity allows and report every 15 s.
    /// The same input gives the same output.
    Replay(replay::Options),
    /// Builds the programs as they are released, and the container image of them as an OCI archive, without a container engine.
    Image(image::Options),
    /// The versions of the application and of the charts, and whether they keep their rules.
    Version(version::Options),
    /// Makes a release of what is checked out, then the next development version.
    Release(release::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Quickstart(options) => quickstart::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Api(options) => api::run(&options),
        Task::Testbed(task) => testbed::run(&task),
        Task::Bench(benchmark) => bench::run(&benchmark),
        Task::Soak(options) => soak::run(&options),
        Task::Replay(options) => replay::run(&options),
        Task::Image(options) => image::run(&options),
        Task::Version(options) => version::run(&options),
        Task::Release(options) => release::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
