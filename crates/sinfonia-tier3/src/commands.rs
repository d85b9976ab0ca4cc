//! The commands.

pub(crate) mod deploy;
pub(crate) mod exec;
pub(crate) mod forward;
pub(crate) mod inside;
pub(crate) mod older;

use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;
use jiff::Timestamp;
use serde::Serialize;
use sinfonia_core::key::PublicKey;
use sinfonia_service::manual;

use crate::arguments::{
    CandidatesArgs, Cli, DeleteArgs, Output, ProbeArgs, RecipeArgs, StatusArgs,
};
use crate::failure::{Call, CommandError};
use crate::printable::Printable;
use crate::session::Session;
use crate::tier1::{AskError, Wishes};
use crate::{output, probe};

/// `sinfonia-tier3 candidates`.
pub(crate) fn candidates(args: &CandidatesArgs) -> Result<(), CommandError> {
    let CandidatesArgs {
        application,
        location,
        results,
        probe,
        explain,
        output,
        talk,
        tier1,
    } = args;
    let session = Session::open_tier1(tier1, *application, *talk)?;
    let key = session.key()?.public;
    let wishes = Wishes {
        location: *location,
        results: *results,
        ..Wishes::default()
    };
    if *explain {
        let explanation = session.ask(Call::Explain, async {
            let wishes = probed(wishes, *probe, &session, &key).await;
            session.tier1.explain(*application, &key, &wishes).await
        })?;
        print(output.output, &explanation, || {
            output::explanation(&explanation, output::width())
        })?;
        if let Some(note) = &explanation.note {
            session
                .talk
                .note(&format!("note: {}", Printable::new(note)));
        }
        return Ok(());
    }
    let found = session.ask(Call::Candidates, async {
        let wishes = probed(wishes, *probe, &session, &key).await;
        session.tier1.candidates(*application, &key, &wishes).await
    })?;
    print(output.output, &found, || {
        output::candidates(&found, output::width())
    })
}

/// The wishes, with the round trips that this device measures where that is wanted.
async fn probed(wishes: Wishes, probe: ProbeArgs, session: &Session, key: &PublicKey) -> Wishes {
    if !probe.probe {
        return wishes;
    }
    let Session {
        tier1, application, ..
    } = session;
    let progress = session.talk.progress("measuring round trips");
    let round_trips = probe::measure(tier1, *application, key, &wishes, &progress).await;
    Wishes {
        round_trips,
        ..wishes
    }
}

/// `sinfonia-tier3 status`.
pub(crate) fn status(args: &StatusArgs) -> Result<(), CommandError> {
    let StatusArgs {
        application,
        cloudlet,
        output,
        talk,
        tier1,
    } = args;
    let session = Session::open(tier1, *application, *talk)?;
    let key = session.known_key()?;
    let question = session
        .tier1
        .deployment(*application, &key.public, cloudlet.cloudlet);
    let found = session.ask(Call::Status, question)?;
    print(output.output, &found, || {
        output::deployments(
            std::slice::from_ref(&found),
            Timestamp::now(),
            output::width(),
        )
    })?;
    deploy::tell_message(&found, &session.talk);
    Ok(())
}

/// `sinfonia-tier3 delete`.
pub(crate) fn delete(args: &DeleteArgs) -> Result<(), CommandError> {
    let DeleteArgs {
        application,
        cloudlet,
        talk,
        tier1,
    } = args;
    let session = Session::open(tier1, *application, *talk)?;
    let key = session.known_key()?;
    let question = session
        .tier1
        .delete(*application, &key.public, cloudlet.cloudlet);
    match session.ask(Call::Delete, question) {
        Err(CommandError::Ask { error, .. }) if cannot_delete(&error) => {
            session.talk.note(&format!(
                "this Tier 1 cannot delete deployments; {application} ends by itself once its lease has passed"
            ));
            Ok(())
        }
        Err(error) => Err(error),
        Ok(()) => {
            session.talk.note(&format!("deleted {application}"));
            Ok(())
        }
    }
}

/// `sinfonia-tier3 recipe`.
pub(crate) fn recipe(args: &RecipeArgs) -> Result<(), CommandError> {
    let RecipeArgs {
        application,
        output,
        talk,
        tier1,
    } = args;
    let session = Session::open_tier1(tier1, *application, *talk)?;
    let recipe = session.ask(Call::Recipe, session.tier1.recipe(*application))?;
    print(output.output, &recipe, || {
        output::recipe(&recipe, output::width())
    })
}

/// `sinfonia-tier3 completions`.
pub(crate) fn completions(shell: Shell) -> Result<(), CommandError> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    Ok(output::print(script)?)
}

/// `sinfonia-tier3 man`.
pub(crate) fn man(folder: &Path) -> Result<(), CommandError> {
    manual::write(Cli::command(), folder).map_err(|source| CommandError::File {
        path: folder.to_owned(),
        source,
    })
}

fn print<T: Serialize>(
    form: Output,
    answer: &T,
    table: impl FnOnce() -> String,
) -> Result<(), CommandError> {
    let text = match form {
        Output::Table => table(),
        Output::Json => output::json(answer)?,
        Output::Yaml => output::yaml(answer)?,
    };
    Ok(output::print(&text)?)
}

/// Whether the answer is that of an older server, which knows nothing of deletion.
fn cannot_delete(error: &AskError) -> bool {
    match error.status().map(|status| status.as_u16()) {
        Some(405) => true,
        Some(404) => !matches!(error, AskError::Refused(refusal) if refusal.is_ours()),
        _ => false,
    }
}
