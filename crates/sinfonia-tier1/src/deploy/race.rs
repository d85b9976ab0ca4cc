//! Falling over from cloudlet to cloudlet, within the budget of one request.

use std::collections::VecDeque;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sinfonia_service::problem::Problem;
use tokio::time::Instant;

use super::budget::{Budget, TryTime};
use super::verdict::{Failure, Verdict};

/// How a race is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// How many deployments are wanted; so many cloudlets are asked at once.
    pub(crate) wanted: usize,
    /// The time there is in all.
    pub(crate) budget: Budget,
    /// Since when it runs.
    pub(crate) started: Instant,
}

/// What came of a race.
#[derive(Debug, PartialEq)]
pub(crate) struct Race<D> {
    /// The result.
    pub(crate) finish: Finish<D>,
    /// How many cloudlets were asked.
    pub(crate) tried: usize,
    /// How many of them because another one had failed.
    pub(crate) fall_overs: usize,
    /// The candidates that failed, by their place, and why.
    pub(crate) failures: Vec<(usize, Failure)>,
}

impl<D> Default for Race<D> {
    /// A race of nobody.
    fn default() -> Self {
        Self {
            finish: Finish::Failed,
            tried: 0,
            fall_overs: 0,
            failures: Vec::new(),
        }
    }
}

/// The result of a race.
#[derive(Debug, PartialEq)]
pub(crate) enum Finish<D> {
    /// At least one deployment, in the order of the candidates.
    Deployed(Vec<D>),
    /// A cloudlet said what the client is to hear at once. What others have deployed is dropped.
    Refused(Problem),
    /// None deployed.
    Failed,
}

/// Asks candidates, best first, until as many deployments are there as are wanted. One that fails is replaced by the next.
///
/// No new one is asked when the time is too short, or when nobody waits for the result any longer. `attempt` is cut at its time.
pub(crate) async fn race<C, D, F>(
    candidates: Vec<C>,
    rules: Rules,
    is_awaited: impl Fn() -> bool,
    attempt: impl Fn(C, TryTime) -> F,
) -> Race<D>
where
    F: Future<Output = Verdict<D>>,
{
    let mut queue: VecDeque<(usize, C)> = candidates.into_iter().enumerate().collect();
    let at_once = rules.wanted.min(queue.len());
    let mut running = FuturesUnordered::new();
    let (mut deployed, mut failures, mut tried) = (Vec::new(), Vec::new(), 0);
    let finish = loop {
        let free = rules.wanted.saturating_sub(deployed.len() + running.len());
        let starting = free.min(queue.len());
        let is_last = starting == queue.len();
        match rules.budget.next_try(rules.started.elapsed(), is_last) {
            Some(time) if is_awaited() => {
                for (place, candidate) in queue.drain(..starting) {
                    let attempt = tokio::time::timeout(time.duration(), attempt(candidate, time));
                    running.push(async move { (place, attempt.await) });
                }
                tried += starting;
            }
            _ => queue.clear(),
        }
        match running.next().await {
            Some((place, Ok(Verdict::Success(deployment)))) => deployed.push((place, deployment)),
            Some((_, Ok(Verdict::ToClient(problem)))) => break Finish::Refused(problem),
            Some((place, Ok(Verdict::Next(failure)))) => failures.push((place, failure)),
            Some((place, Err(_))) => failures.push((place, Failure::TimedOut)),
            None => break in_order(deployed),
        }
    };
    Race {
        finish,
        tried,
        fall_overs: tried.saturating_sub(at_once),
        failures,
    }
}

fn in_order<D>(mut deployed: Vec<(usize, D)>) -> Finish<D> {
    if deployed.is_empty() {
        return Finish::Failed;
    }
    deployed.sort_unstable_by_key(|(place, _)| *place);
    let deployed = deployed.into_iter().map(|(_, deployment)| deployment);
    Finish::Deployed(deployed.collect())
}

#[cfg(test)]
mod tests;
