//! Falling over from cloudlet to cloudlet, within the budget of one request.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// A candidate's turn to be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// The time that it has.
    pub(crate) time: TryTime,
    /// Whether it has had one before, so that nothing better is left.
    pub(crate) is_last_resort: bool,
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

/// A candidate that has not been asked.
struct Waiting<C> {
    place: usize,
    candidate: C,
    was_put_back: bool,
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

/// Asks candidates, best first, until as many deployments are there as are wanted. One that fails is replaced by the next. The candidates are
/// at least as many as are wanted, or all; `more` finds those that come after them, and is not begun before there may be a need.
///
/// No new one is asked when the time is too short, or when nobody waits for the result any longer. `attempt` ends within its time; where
/// nothing comes of it, the candidate was not asked, and its turn comes once more when all others have had theirs.
pub(crate) async fn race<C, D, F>(
    candidates: Vec<C>,
    more: impl Future<Output = Vec<C>>,
    rules: Rules,
    is_awaited: impl Fn() -> bool,
    attempt: impl Fn(C, Turn) -> F,
) -> Race<D>
where
    C: Clone,
    F: Future<Output = Option<Verdict<D>>>,
{
    let mut queue: VecDeque<_> = waiting(candidates, 0).collect();
    let (places, mut more) = (queue.len(), Some(more));
    let at_once = rules.wanted.min(places);
    // Counted when it is really begun: a refusal may come in between.
    let tried = AtomicUsize::new(0);
    let mut running = FuturesUnordered::new();
    let (mut deployed, mut failures) = (Vec::new(), Vec::new());
    let finish = loop {
        let free = rules.wanted.saturating_sub(deployed.len() + running.len());
        let fresh = queue.partition_point(|waiting| !waiting.was_put_back);
        if fresh <= free
            && let Some(more) = more.take()
        {
            let put_back = queue.split_off(fresh);
            queue.extend(waiting(more.await, places));
            queue.extend(put_back);
        }
        let starting = free.min(queue.len());
        let is_last = starting == queue.len();
        match rules.budget.next_try(rules.started.elapsed(), is_last) {
            Some(time) if is_awaited() => {
                for waiting in queue.drain(..starting) {
                    let is_last_resort = waiting.was_put_back;
                    let turn = Turn {
                        time,
                        is_last_resort,
                    };
                    let attempt = attempt(waiting.candidate.clone(), turn);
                    let tried = &tried;
                    running.push(async move {
                        tried.fetch_add(1, Ordering::Relaxed);
                        (waiting, attempt.await)
                    });
                }
            }
            _ => queue.clear(),
        }
        match running.next().await {
            Some((waiting, Some(Verdict::Success(deployment)))) => {
                deployed.push((waiting.place, deployment));
            }
            Some((_, Some(Verdict::ToClient(problem)))) => break Finish::Refused(problem),
            Some((waiting, Some(Verdict::Next(failure)))) => {
                failures.push((waiting.place, failure));
            }
            Some((waiting, None)) => {
                tried.fetch_sub(1, Ordering::Relaxed);
                queue.extend(waiting.put_back());
            }
            None => break in_order(deployed),
        }
    };
    let tried = tried.load(Ordering::Relaxed);
    Race {
        finish,
        tried,
        fall_overs: tried.saturating_sub(at_once),
        failures,
    }
}

impl<C> Waiting<C> {
    /// It waits once more, but not for ever.
    fn put_back(self) -> Option<Self> {
        (!self.was_put_back).then_some(Self {
            was_put_back: true,
            ..self
        })
    }
}

fn waiting<C>(candidates: Vec<C>, first_place: usize) -> impl Iterator<Item = Waiting<C>> {
    let places = (first_place..).zip(candidates);
    places.map(|(place, candidate)| Waiting {
        place,
        candidate,
        was_put_back: false,
    })
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
