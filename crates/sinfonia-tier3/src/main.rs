//! `sinfonia-tier3`.

use std::io::Write as _;
use std::process::ExitCode;

use sinfonia_service::build;
use sinfonia_service::version::Build;
use sinfonia_tier3::Failure;

/// What the program was built from.
const BUILD: Build = build!();

fn main() -> ExitCode {
    if let Some(code) = sinfonia_tier3::become_application() {
        return code;
    }
    match sinfonia_tier3::run(std::env::args_os().collect(), BUILD) {
        Ok(code) => code,
        Err(failure) => tell(failure),
    }
}

fn tell(failure: Failure) -> ExitCode {
    let (hint, code) = (failure.hint(), failure.exit_code());
    if let Some(event) = failure.event() {
        // There is nobody left to tell if this fails.
        let _ = writeln!(std::io::stderr(), "{event}");
        return ExitCode::from(code);
    }
    let error = anyhow::Error::new(failure);
    // There is nobody left to tell if this fails.
    let _ = writeln!(
        anstream::stderr(),
        "\u{1b}[1;31merror:\u{1b}[0m {error:#}\n\u{1b}[1;36mhint:\u{1b}[0m {hint}"
    );
    ExitCode::from(code)
}
