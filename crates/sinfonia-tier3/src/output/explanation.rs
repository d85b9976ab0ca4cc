//! Why cloudlets are chosen, as tables for people.

use sinfonia_core::deployment::CloudletReference;
use sinfonia_core::ranking::{ExplainedCandidate, ExplainedExclusion, Explanation};

use super::table::{or_unknown, render};
use crate::printable::Printable;
use crate::probe;

/// Candidates, one a line, best first, with what decided; below them those that were left out, and why.
pub(crate) fn explanation(explanation: &Explanation, width: Option<u16>) -> String {
    let candidates = candidates(explanation, width);
    let left_out = left_out(explanation, width);
    match (
        explanation.candidates.is_empty(),
        explanation.excluded.is_empty(),
    ) {
        (false, false) => format!("{candidates}\n{left_out}"),
        (true, false) => left_out,
        (_, true) => candidates,
    }
}

fn candidates(explanation: &Explanation, width: Option<u16>) -> String {
    let header = [
        "RANK",
        "CLOUDLET",
        "CLASS",
        "REASON",
        "DISTANCE",
        "RTT",
        "RECIPE PREFERS",
        "OPERATOR PREFERS",
    ];
    let row = |candidate: &ExplainedCandidate| {
        let refinement = candidate.parts.refinement;
        let reason = candidate.matcher.to_string();
        vec![
            candidate.rank.to_string(),
            name(&candidate.cloudlet),
            candidate.class.to_string(),
            if candidate.parts.order.remembered {
                format!("remembered, {reason}")
            } else {
                reason
            },
            or_unknown(
                candidate
                    .distance_km
                    .map(|distance| format!("{distance:.1} km")),
            ),
            or_unknown(candidate.rtt_ms.map(probe::shown)),
            preference(refinement.recipe_prefer, refinement.recipe_prefer_is_median),
            preference(
                refinement.operator_prefer,
                refinement.operator_prefer_is_median,
            ),
        ]
    };
    let rows: Vec<_> = explanation.candidates.iter().map(row).collect();
    let told = render(&header, &rows, width);
    with_more(told, explanation.candidates_total, rows.len())
}

fn left_out(explanation: &Explanation, width: Option<u16>) -> String {
    let header = ["LEFT OUT", "BECAUSE IT"];
    let row = |excluded: &ExplainedExclusion| {
        let reason = Printable::new(&excluded.reason).to_string();
        let rule = Printable::new(&excluded.rule).to_string();
        vec![
            name(&excluded.cloudlet),
            if reason.is_empty() { rule } else { reason },
        ]
    };
    let rows: Vec<_> = explanation.excluded.iter().map(row).collect();
    let told = render(&header, &rows, width);
    with_more(told, explanation.excluded_total, rows.len())
}

/// A table of this many rows, with how many more there are in all.
fn with_more(told: String, total: usize, rows: usize) -> String {
    match total.saturating_sub(rows) {
        0 => told,
        more => format!("{told}and {more} more\n"),
    }
}

fn name(cloudlet: &CloudletReference) -> String {
    Printable::new(&cloudlet.name).to_string()
}

fn preference(value: Option<f64>, is_median: bool) -> String {
    let value = value.map(|value| {
        if is_median {
            format!("{value} (median)")
        } else {
            value.to_string()
        }
    });
    or_unknown(value)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn candidates_come_with_what_decided_and_the_others_with_why_not() {
        let told = Explanation {
            candidates_total: 66,
            ..told(&[near(), far()], &[busy()], 3)
        };

        insta::assert_snapshot!(explanation(&told, None), @r"
        RANK  CLOUDLET  CLASS       REASON               DISTANCE   RTT     RECIPE PREFERS  OPERATOR PREFERS
        1     Near �by  normal      remembered, network  3.2 km     4.2 ms  0.75            -0.1
        2     Far       overloaded  location             6100.0 km  -       0.75 (median)   -
        and 64 more

        LEFT OUT  BECAUSE IT
        Busy      requires resources.gpu_ratio < 0.8: resources.gpu_ratio is 0.93
        and 2 more
        ");
    }

    #[test]
    fn where_nobody_qualifies_only_that_is_told() {
        insta::assert_snapshot!(explanation(&told(&[], &[busy()], 1), None), @r"
        LEFT OUT  BECAUSE IT
        Busy      requires resources.gpu_ratio < 0.8: resources.gpu_ratio is 0.93
        ");
    }

    #[test]
    fn where_nobody_is_left_out_only_candidates_are_told() {
        insta::assert_snapshot!(explanation(&told(&[far()], &[], 0), Some(60)), @r"
        RANK              2
        CLOUDLET          Far
        CLASS             overloaded
        REASON            location
        DISTANCE          6100.0 km
        RTT               -
        RECIPE PREFERS    0.75 (median)
        OPERATOR PREFERS  -
        ");
    }

    fn told(candidates: &[Value], excluded: &[Value], total: usize) -> Explanation {
        serde_json::from_value(json!({
            "client": {"address": "128.2.3.4"}, "candidates": candidates, "excluded": excluded, "excluded_total": total,
        }))
        .unwrap()
    }

    fn near() -> Value {
        json!({
            "rank": 1, "cloudlet": cloudlet("Near \u{202e}by"), "matcher": "network", "distance_km": 3.25, "rtt_ms": 4.25, "class": "normal",
            "parts": {
                "remembered": true, "class": "normal", "group": 0, "distance_km": 3.25, "hash": u64::MAX,
                "recipe_prefer": 0.75, "operator_prefer": -0.1, "rtt_ms": 4.25,
            },
        })
    }

    fn far() -> Value {
        json!({
            "rank": 2, "cloudlet": cloudlet("Far"), "matcher": "location", "distance_km": 6100.0, "class": "overloaded",
            "parts": {
                "remembered": false, "class": "overloaded", "group": 1, "distance_km": 6100.0, "hash": 1,
                "recipe_prefer": 0.75, "recipe_prefer_is_median": true,
            },
        })
    }

    fn busy() -> Value {
        json!({
            "cloudlet": cloudlet("Busy"), "rule": "recipe_requires",
            "values": {"requires": "resources.gpu_ratio < 0.8", "resources.gpu_ratio": 0.93},
            "reason": "requires resources.gpu_ratio < 0.8: resources.gpu_ratio is 0.93",
        })
    }

    fn cloudlet(name: &str) -> Value {
        json!({"uuid": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "name": name, "endpoint": "http://cloudlet:5000/api/v1/deploy"})
    }
}
