//! The order within the shortlist: what is preferred, and what clients measured.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Candidate;
use crate::policy::Policy;

/// What decides a candidate's place within the shortlist, after class and group and before the distance; larger comes first.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Refinement {
    /// How much the recipe prefers it; absent where it prefers none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe_prefer: Option<f64>,
    /// Whether that is the median of the others, because its own value is not known.
    #[serde(default, skip_serializing_if = "is_false")]
    pub recipe_prefer_is_median: bool,
    /// How much the operator prefers it; absent where the operator prefers none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_prefer: Option<f64>,
    /// Whether that is the median of the others, because its own value is not known.
    #[serde(default, skip_serializing_if = "is_false")]
    pub operator_prefer_is_median: bool,
    /// The measured round trip in milliseconds, by which those that have one exchange places where all else is equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
}

/// Sorts a shortlist, which is in order, anew: stably by what recipe and operator prefer, as far as class and group are equal, then by
/// round trip among those that have one and are equal otherwise. Without preferences and measurements nothing changes.
pub(super) fn refine(
    shortlist: &mut [Candidate<'_>],
    [recipe, operator]: [&Policy; 2],
    preference: impl Fn(&Policy, &Candidate<'_>) -> Option<f64>,
) {
    let preferences = |policy: &Policy| {
        let values = || {
            shortlist
                .iter()
                .map(|candidate| preference(policy, candidate))
        };
        policy
            .has_preference()
            .then(|| with_median(values().collect()))
            .flatten()
    };
    let (of_recipe, of_operator) = (preferences(recipe), preferences(operator));
    for (index, candidate) in shortlist.iter_mut().enumerate() {
        let value = |values: &Option<Vec<(f64, bool)>>| values.as_ref()?.get(index).copied();
        let (by_recipe, by_operator) = (value(&of_recipe), value(&of_operator));
        candidate.refinement = Refinement {
            recipe_prefer: by_recipe.map(|(value, _)| value),
            recipe_prefer_is_median: by_recipe.is_some_and(|(_, is_median)| is_median),
            operator_prefer: by_operator.map(|(value, _)| value),
            operator_prefer_is_median: by_operator.is_some_and(|(_, is_median)| is_median),
            rtt_ms: candidate.conditions.rtt_ms,
        };
    }
    if of_recipe.is_some() || of_operator.is_some() {
        shortlist.sort_by(preferred_first);
    }
    for equals in shortlist.chunk_by_mut(|a, b| preferred_first(a, b) == Ordering::Equal) {
        exchange_by_round_trip(equals);
    }
}

/// The values, the median in place of those that are not known, and whether it is; `None` where none is known.
fn with_median(values: Vec<Option<f64>>) -> Option<Vec<(f64, bool)>> {
    let median = median(values.iter().copied().flatten().collect())?;
    let or_median = |value: Option<f64>| value.map_or((median, true), |value| (value, false));
    Some(values.into_iter().map(or_median).collect())
}

/// The middle one of finite values, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    // Halved before they are added, so that the sum stays finite.
    Some(lower / 2.0 + upper / 2.0)
}

fn preferred_first(a: &Candidate<'_>, b: &Candidate<'_>) -> Ordering {
    let class_and_group = |candidate: &Candidate<'_>| {
        (
            !candidate.order.remembered,
            candidate.order.class,
            candidate.order.group,
        )
    };
    // All values are finite.
    let larger_first =
        |a: Option<f64>, b: Option<f64>| b.partial_cmp(&a).unwrap_or(Ordering::Equal);
    class_and_group(a)
        .cmp(&class_and_group(b))
        .then_with(|| larger_first(a.refinement.recipe_prefer, b.refinement.recipe_prefer))
        .then_with(|| larger_first(a.refinement.operator_prefer, b.refinement.operator_prefer))
}

/// Puts those that have a round trip in its order, in the places that they have among them; the others stay where they are.
fn exchange_by_round_trip(equals: &mut [Candidate<'_>]) {
    let round_trip = |candidate: &Candidate<'_>| candidate.refinement.rtt_ms;
    let places: Vec<usize> = (0..equals.len())
        .filter(|place| round_trip(&equals[*place]).is_some())
        .collect();
    if places.len() < 2 {
        return;
    }
    let mut measured: Vec<Candidate<'_>> = places.iter().map(|place| equals[*place]).collect();
    measured.sort_by(|a, b| {
        let infinite = |candidate| round_trip(candidate).unwrap_or(f64::INFINITY);
        infinite(a).total_cmp(&infinite(b))
    });
    for (place, candidate) in places.into_iter().zip(measured) {
        equals[place] = candidate;
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_false(flag: &bool) -> bool {
    !*flag
}
