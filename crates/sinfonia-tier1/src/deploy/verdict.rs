//! What the answer of a cloudlet means for the request, and what the request comes to when no cloudlet is left.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use sinfonia_core::circuit::Outcome;
use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_service::problem::Problem;

use crate::forward::{Answer, CallError};
use crate::in_flight::RETRY_BUSY;

/// Seconds after which another try makes sense where no cloudlet said so.
const RETRY_AFTER: u64 = 5;
/// Failures that the client is told one by one.
const MOST_TOLD: usize = 5;
/// The class of a failed installation that speaks against the cloudlet; the others speak against the recipe.
const TIMED_OUT: &str = "timed-out";

/// What a try at one cloudlet means for the request.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict<D> {
    /// The cloudlet has the deployment.
    Success(D),
    /// The client did something that no other cloudlet will like better; it is told at once.
    ToClient(Problem),
    /// The next cloudlet is asked.
    Next(Failure),
}

/// Why a cloudlet did not deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// As many requests are in flight to it as may be, so it was asked nothing.
    Busy,
    /// It could not be reached, so it was asked nothing.
    Unreachable,
    /// The connection broke before the answer.
    Broken,
    /// It did not answer within its time.
    TimedOut,
    /// Its answer is no list of deployments, or too long.
    Invalid,
    /// 404: it does not know the recipe.
    NotFound,
    /// 409: the key holds another application's deployment there.
    Conflict,
    /// 503: not now.
    Unavailable {
        /// Seconds after which it may, if it said so.
        retry_after: Option<u64>,
        /// Whether that is for all, and not for this one deployment: only such a refusal has a class.
        is_for_all: bool,
    },
    /// 500 with a class: its cluster could not install the application.
    Installation {
        /// What went wrong, one of a few words.
        class: String,
    },
    /// Any other answer.
    Status(StatusCode),
}

/// Judges what came of a try.
pub(crate) fn judge(result: Result<Answer, CallError>) -> Verdict<CloudletDeployment> {
    match result {
        Ok(answer) => judge_answer(answer),
        Err(CallError::Busy) => Verdict::Next(Failure::Busy),
        Err(CallError::Unreadable(_)) => Verdict::Next(Failure::Invalid),
        Err(CallError::Broken(_)) => Verdict::Next(Failure::Broken),
        Err(CallError::Refused(_) | CallError::Connect(_)) => Verdict::Next(Failure::Unreachable),
    }
}

/// The answer to a request of which each cloudlet that was asked failed.
///
/// All said 404 or all said 409 is told as it is; else a 503 is, with the soonest time for another try, because then trying again helps;
/// else it is 502. Nothing failed where the time was over before one could be asked.
pub(crate) fn conclude(failures: &[Failure]) -> Problem {
    let all = |failure: &Failure| failures.iter().all(|other| other == failure);
    if failures.is_empty() {
        return Problem::unavailable("there was no time left to ask a cloudlet", RETRY_AFTER);
    }
    if all(&Failure::NotFound) {
        return Problem::not_found("no cloudlet that serves this client knows the recipe");
    }
    if all(&Failure::Conflict) {
        return Problem::conflict(
            "the key holds another application's deployment at each cloudlet that serves this client",
        );
    }
    let is_unavailable =
        |failure: &Failure| matches!(failure, Failure::Busy | Failure::Unavailable { .. });
    if failures.iter().any(is_unavailable) {
        let soonest = failures.iter().filter_map(Failure::retry_after).min();
        return Problem::unavailable(
            "no cloudlet can take the deployment now",
            soonest.unwrap_or(RETRY_AFTER),
        );
    }
    all_failed(failures)
}

impl<D> Verdict<D> {
    /// What it tells of the cloudlet.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Success(_) | Self::ToClient(_) => Outcome::Answered,
            Self::Next(failure) => failure.outcome(),
        }
    }
}

impl Failure {
    /// What it tells of the cloudlet.
    fn outcome(&self) -> Outcome {
        match self {
            Self::Busy => Outcome::Unknown,
            Self::Unavailable {
                retry_after: Some(seconds @ 1..),
                is_for_all: true,
            } => Outcome::Pause(Duration::from_secs(*seconds)),
            failure if failure.counts() => Outcome::Failed,
            _ => Outcome::Answered,
        }
    }

    /// Seconds after which the cloudlet may take the deployment, if it said so.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Busy => Some(RETRY_BUSY),
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether it speaks against the cloudlet, rather than against the request.
    pub(crate) fn counts(&self) -> bool {
        match self {
            Self::Unreachable | Self::Broken | Self::TimedOut | Self::Invalid => true,
            Self::Busy | Self::NotFound | Self::Conflict | Self::Unavailable { .. } => false,
            Self::Installation { class } => class == TIMED_OUT,
            Self::Status(status) => status.is_server_error(),
        }
    }

    /// Whether the cloudlet may hold a deployment nevertheless.
    pub(crate) fn may_have_deployed(&self) -> bool {
        match self {
            Self::Broken | Self::TimedOut | Self::Invalid | Self::Installation { .. } => true,
            Self::Busy
            | Self::Unreachable
            | Self::NotFound
            | Self::Conflict
            | Self::Unavailable { .. } => false,
            Self::Status(status) => status.is_success() || status.is_server_error(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => formatter.write_str("enough requests in flight"),
            Self::Unreachable => formatter.write_str("unreachable"),
            Self::Broken => formatter.write_str("connection broke"),
            Self::TimedOut => formatter.write_str("no answer in time"),
            Self::Invalid => formatter.write_str("invalid answer"),
            Self::NotFound => formatter.write_str("unknown recipe"),
            Self::Conflict => formatter.write_str("key in use"),
            Self::Unavailable { .. } => formatter.write_str("not now"),
            Self::Installation { class } => write!(formatter, "installation failed: {class}"),
            Self::Status(status) => write!(formatter, "status {}", status.as_u16()),
        }
    }
}

fn judge_answer(answer: Answer) -> Verdict<CloudletDeployment> {
    match answer.status {
        StatusCode::OK => judge_deployments(&answer.body),
        StatusCode::BAD_REQUEST | StatusCode::TOO_MANY_REQUESTS => {
            Verdict::ToClient(answer.into_problem())
        }
        status => Verdict::Next(failure(status, &answer)),
    }
}

/// A cloudlet answers with a list of one; whatever follows the first is not what was asked for.
fn judge_deployments(body: &[u8]) -> Verdict<CloudletDeployment> {
    let first = CloudletDeployment::parse_answer(body)
        .ok()
        .and_then(|deployments| deployments.into_iter().next());
    match first {
        Some(deployment) => Verdict::Success(deployment),
        None => Verdict::Next(Failure::Invalid),
    }
}

fn failure(status: StatusCode, answer: &Answer) -> Failure {
    let class = || answer.told().class;
    match status {
        StatusCode::NOT_FOUND => Failure::NotFound,
        StatusCode::CONFLICT => Failure::Conflict,
        StatusCode::SERVICE_UNAVAILABLE => Failure::Unavailable {
            retry_after: answer.retry_after,
            is_for_all: class().is_none(),
        },
        StatusCode::INTERNAL_SERVER_ERROR => match class() {
            Some(class) => Failure::Installation { class },
            None => Failure::Status(status),
        },
        _ => Failure::Status(status),
    }
}

fn all_failed(failures: &[Failure]) -> Problem {
    let told = failures.iter().take(MOST_TOLD).map(ToString::to_string);
    let told = told.collect::<Vec<_>>().join(", ");
    let and_more = if failures.len() > MOST_TOLD {
        ", …"
    } else {
        ""
    };
    let detail = format!("each cloudlet that was asked failed: {told}{and_more}");
    let class = failures.iter().find_map(|failure| match failure {
        Failure::Installation { class } => Some(class),
        _ => None,
    });
    let problem = Problem::bad_gateway(detail);
    match class {
        Some(class) => problem.class(class),
        None => problem,
    }
}

#[cfg(test)]
mod tests;
