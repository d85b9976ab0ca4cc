//! The next command after each failure.

use std::path::Path;

use http::StatusCode;

use super::{Call, CommandError};
#[cfg(target_os = "linux")]
use sinfonia_tunnel::confinement::ConfinementError;

use crate::application::Application;
#[cfg(target_os = "linux")]
use crate::confined::InsideError;
#[cfg(target_os = "linux")]
use crate::kept::KeptError;
use crate::key_cache::KeyCacheError;
use crate::problem::Refusal;
use crate::tier1::{AskError, Trouble};
use crate::tier1_url::{Tier1Url, Tier1UrlError};
use crate::waiting::WaitError;

/// Tells what to do about a failure.
pub(super) fn of(error: &CommandError) -> String {
    match error {
        CommandError::NoUrl => {
            "give --tier1-url https://tier1.example, or export SINFONIA_TIER1_URL".to_owned()
        }
        CommandError::Url(error) => of_url(error),
        CommandError::Discovery(_) => {
            "see that sinfonia-tier2 --zeroconf runs on this network and that UDP port 5353 is open, or ask a Tier 1: --tier1-url https://tier1.example".to_owned()
        }
        CommandError::NotOfACloudlet => {
            "ask a Tier 1: --tier1-url https://tier1.example, without --zeroconf".to_owned()
        }
        CommandError::NoTarget | CommandError::NotAnApplication(_) => {
            "the order is: sinfonia-tier3 [options] <tier1-url> <uuid> [application args]"
                .to_owned()
        }
        CommandError::Log(_) => {
            "write RUST_LOG like info,sinfonia_tier3=debug, or unset it".to_owned()
        }
        CommandError::Traces(_) => {
            "correct that, or set OTEL_SDK_DISABLED=true to go without traces".to_owned()
        }
        CommandError::ReadToken { .. } | CommandError::Token { .. } => {
            "--token names a file that holds the token on a line of its own".to_owned()
        }
        CommandError::TokenInTheClear(url) => format!(
            "use --tier1-url {}, or accept it with --insecure-http",
            url.with_other_scheme()
        ),
        CommandError::Client(_) => "--ca-file names a file of certificates (PEM)".to_owned(),
        CommandError::Keys(error) => of_keys(error),
        CommandError::NoKey {
            application, url, ..
        } => format!("deploy it first: {}", command("deploy", *application, url)),
        CommandError::Ask {
            call,
            application,
            url,
            entry,
            error,
        } => of_ask(*call, *application, url, entry, error),
        CommandError::Wait {
            application,
            url,
            timeout,
            error,
        } => of_wait(*application, url, *timeout, error),
        CommandError::Interrupted { application, url } => format!(
            "what was deployed stays until its lease ends; delete it: {}",
            command("delete", *application, url)
        ),
        CommandError::NotAnApplicationId(_) => {
            "after the uuid stand identifiers such as org.example.game, or nothing for all applications".to_owned()
        }
        CommandError::QrCode(_) => {
            "move it to the device as a file: sinfonia-tier3 deploy <uuid> --output wg >sinfonia.conf".to_owned()
        }
        CommandError::WithApplication(error) | CommandError::AsEvent(error) => of(error),
        #[cfg(target_os = "linux")]
        CommandError::Inside(error) => of_inside(error),
        CommandError::Forward(error) => error.hint(),
        #[cfg(not(target_os = "linux"))]
        CommandError::NoNamespaces { url, application } => format!(
            "forward a port to it, which needs none: {} --forward 8080:HOST:PORT -- COMMAND",
            url.as_ref().map_or_else(
                || format!("sinfonia-tier3 deploy {application}"),
                |url| command("deploy", *application, url)
            )
        ),
        CommandError::NothingDeployed => "ask Tier 1 what it would do: sinfonia-tier3 candidates <uuid>".to_owned(),
        CommandError::File { .. } => {
            "go to a folder where you may write, and run the command again".to_owned()
        }
        CommandError::Output(_) => {
            "check what stdout leads to, and the space there: df -h".to_owned()
        }
        CommandError::Runtime(_) => "check the limits of this shell: ulimit -a".to_owned(),
    }
}

fn of_url(error: &Tier1UrlError) -> String {
    match error {
        Tier1UrlError::NoScheme(text) if !text.as_str().is_empty() => {
            format!("write http://{text} or https://{text}")
        }
        _ => "a URL of Tier 1 looks like https://tier1.example or http://192.0.2.7:5000".to_owned(),
    }
}

fn of_keys(error: &KeyCacheError) -> String {
    match error {
        KeyCacheError::NoHome => {
            "name a folder for the key cache: export XDG_CACHE_HOME=/some/folder".to_owned()
        }
        KeyCacheError::Folder { path, .. } | KeyCacheError::Write { path, .. } => format!(
            "make {} yours and writable, or choose another place: export XDG_CACHE_HOME=/some/folder",
            path.display()
        ),
        KeyCacheError::InUse { .. } => {
            "wait until that has ended, or run this one with a key of its own: --new-key".to_owned()
        }
        KeyCacheError::Lock { path, .. } => {
            format!("see who may read it: ls -l {}", path.display())
        }
        KeyCacheError::Entropy(_) => "try again".to_owned(),
    }
}

fn of_ask(
    call: Call,
    application: Application,
    url: &Tier1Url,
    entry: &Path,
    error: &AskError,
) -> String {
    match error {
        AskError::Unreachable { trouble, .. } => of_trouble(*trouble, url),
        AskError::TimedOut { .. } if call == Call::Deploy => format!(
            "it may come all the same: {}",
            command("status", application, url)
        ),
        AskError::TimedOut { .. } => format!("see whether Tier 1 answers at all: curl -i {url}/"),
        AskError::Redirected { to, .. } => format!("use --tier1-url {to}"),
        AskError::Stranger { status, .. } => of_stranger(*status, url),
        AskError::Malformed(_) => {
            format!("tell the operator of {url}, with the output of: sinfonia-tier3 --version")
        }
        AskError::Refused(refusal) => of_refusal(call, application, url, entry, refusal),
    }
}

fn of_trouble(trouble: Trouble, url: &Tier1Url) -> String {
    let other = url.with_other_scheme();
    match trouble {
        Trouble::NoConnection => {
            format!("check the address, and whether Tier 1 runs: curl -i {url}/")
        }
        Trouble::NoTls => format!("it seems to speak plain http: --tier1-url {other}"),
        Trouble::Authority => {
            "if you trust it, name its authority's certificate: --ca-file FILE".to_owned()
        }
        Trouble::Certificate => format!(
            "check the host in Tier 1's URL and this device's clock; see what it shows: curl -v {url}/"
        ),
        Trouble::Broken if url.url().scheme() == "http" => {
            format!("it may speak https: --tier1-url {other}")
        }
        Trouble::Broken => format!("see what answers there: curl -i {url}/"),
    }
}

fn of_stranger(status: StatusCode, url: &Tier1Url) -> String {
    // What servers say to plain http on a port for https.
    if status == StatusCode::BAD_REQUEST && url.url().scheme() == "http" {
        return format!(
            "it may speak https: --tier1-url {}",
            url.with_other_scheme()
        );
    }
    format!(
        "check the scheme, host, port and path prefix of Tier 1's URL; under the right one this gives a list: curl -i {url}/api/v1/cloudlets/"
    )
}

fn of_refusal(
    call: Call,
    application: Application,
    url: &Tier1Url,
    entry: &Path,
    refusal: &Refusal,
) -> String {
    if refusal.is_of_wrong_place() {
        return of_stranger(refusal.status, url);
    }
    match refusal.status {
        StatusCode::UNAUTHORIZED if call == Call::Explain => format!(
            "show an operator's token with --token FILE, or ask for less: {}",
            command("candidates", application, url)
        ),
        StatusCode::UNAUTHORIZED => {
            format!("show the token that the operator of {url} gave you: --token FILE")
        }
        StatusCode::FORBIDDEN => of_forbidden(call, application, url),
        StatusCode::NOT_FOUND => of_not_found(call, application, url),
        StatusCode::CONFLICT => format!(
            "this device's key serves something else there; take a new key: rm {} && {}",
            entry.display(),
            command("deploy", application, url)
        ),
        StatusCode::TOO_MANY_REQUESTS => format!(
            "{}, or delete what you no longer need: sinfonia-tier3 delete UUID --tier1-url {url}",
            try_again(refusal)
        ),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE if call == Call::Deploy => {
            format!(
                "{}, or see which cloudlets there are: {}",
                try_again(refusal),
                command("candidates", application, url)
            )
        }
        StatusCode::INTERNAL_SERVER_ERROR if refusal.class().is_some() => format!(
            "what is deployed says its recipe: {}",
            command("recipe", application, url)
        ),
        status
            if status == StatusCode::BAD_REQUEST || status == StatusCode::INTERNAL_SERVER_ERROR =>
        {
            format!("tell the operator of {url}, with the output of: sinfonia-tier3 --version")
        }
        _ => format!(
            "{}; see whether Tier 1 answers: curl -i {url}/",
            try_again(refusal)
        ),
    }
}

fn of_forbidden(call: Call, application: Application, url: &Tier1Url) -> String {
    match call {
        Call::Recipe => format!(
            "a recipe that is hidden can be deployed all the same: {}",
            command("deploy", application, url)
        ),
        Call::Delete => {
            "delete it from the network from which it was deployed, or let its lease end".to_owned()
        }
        _ => format!("show a token that the operator of {url} gave you: --token FILE"),
    }
}

fn of_not_found(call: Call, application: Application, url: &Tier1Url) -> String {
    match call {
        Call::Deploy | Call::Recipe => format!(
            "check the uuid; the operator of {url} knows which recipes there are, helloworld is usual: {}",
            command("recipe", Application::HELLOWORLD, url)
        ),
        Call::Candidates | Call::Explain => format!(
            "check the uuid, and which cloudlets there are: curl -s {url}/api/v1/cloudlets/"
        ),
        Call::Status => format!("deploy it: {}", command("deploy", application, url)),
        Call::Delete => {
            "name the cloudlet that has it with --cloudlet UUID, or let its lease end".to_owned()
        }
    }
}

fn of_wait(application: Application, url: &Tier1Url, timeout: u32, error: &WaitError) -> String {
    match error {
        WaitError::NotReady(_) => format!(
            "it had {timeout} s (--timeout); see how far it is: {}",
            command("status", application, url)
        ),
        WaitError::Failed(_) => format!(
            "what is deployed says its recipe: {}",
            command("recipe", application, url)
        ),
        WaitError::Gone(_) => format!("deploy it anew: {}", command("deploy", application, url)),
        WaitError::Ask(_) => format!("see how far it is: {}", command("status", application, url)),
    }
}

fn command(name: &str, application: Application, url: &Tier1Url) -> String {
    if url.is_cloudlet() {
        return format!("sinfonia-tier3 {name} {application} --zeroconf");
    }
    format!("sinfonia-tier3 {name} {application} --tier1-url {url}")
}

fn try_again(refusal: &Refusal) -> String {
    match refusal.retry_after {
        Some(seconds) => format!("try again in {seconds} s"),
        None => "try again later".to_owned(),
    }
}

#[cfg(target_os = "linux")]
fn of_inside(error: &InsideError) -> String {
    let general = match error {
        InsideError::Confinement(ConfinementError::Execute { .. }) => {
            "check its name, its mode and PATH"
        }
        InsideError::Confinement(error) => error
            .hint()
            .unwrap_or("--debug shows each step; --forward needs no namespaces"),
        InsideError::Kept(error) => return of_kept(error),
        InsideError::NoAnswer(_) => {
            "check that UDP to this address is let through; the deployment can be tried by other means with --output wg"
        }
        InsideError::Endpoint { .. } => "check the name, and this device's name servers",
        InsideError::Tunnel(_) | InsideError::Socket(_) | InsideError::Application(_) => {
            "try it once more; --debug shows each step"
        }
    };
    general.to_owned()
}

#[cfg(target_os = "linux")]
fn of_kept(error: &KeptError) -> String {
    match error {
        KeptError::None(application) => {
            format!("keep one, in another shell: sinfonia-tier3 deploy {application} --keep")
        }
        KeptError::Enter { .. } => {
            "be the user who keeps it; what was started inside a tunnel cannot enter one".to_owned()
        }
        KeptError::NoFolder | KeptError::Write { .. } => {
            "name a folder of yours: export XDG_RUNTIME_DIR=/some/folder".to_owned()
        }
    }
}
