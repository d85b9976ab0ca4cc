//! What recipes and operators require.

use serde_json::json;

use super::fleet::*;
use super::*;

#[test]
fn a_cloudlet_that_does_not_meet_the_recipes_requirement_is_left_out_with_its_values() {
    let fleet = [
        cloudlet("idle").measuring("gpu_ratio", 0.1).build(),
        cloudlet("busy").measuring("gpu_ratio", 0.93).build(),
        cloudlet("without").build(),
    ];

    let ranking = ranked(
        &request("8.8.8.8").requiring("resources.gpu_ratio < 0.8"),
        &fleet,
        &Matcher::ALL,
    );

    assert_eq!(names(&ranking), ["idle"]);
    let told: Vec<_> = ranking
        .excluded
        .iter()
        .map(|(cloudlet, exclusion)| told(cloudlet, exclusion))
        .collect();
    assert_eq!(
        told,
        [
            (
                "busy",
                "recipe_requires",
                "requires resources.gpu_ratio < 0.8: resources.gpu_ratio is 0.93".to_owned(),
                json!({"requires": "resources.gpu_ratio < 0.8", "resources.gpu_ratio": 0.93})
            ),
            (
                "without",
                "recipe_requires",
                "requires resources.gpu_ratio < 0.8: none reported".to_owned(),
                json!({"requires": "resources.gpu_ratio < 0.8", "resources.gpu_ratio": null})
            ),
        ]
    );
}

#[test]
fn the_recipes_requirement_is_told_before_the_operators() {
    let fleet = [
        cloudlet("neither").build(),
        cloudlet("not the operator's")
            .labelled("region", "us")
            .build(),
    ];
    let request = request("8.8.8.8").requiring("has(cloudlet.labels.region)");

    let ranking = ranked_by(
        &request,
        &policy("requires", "cloudlet.labels.region == 'eu'"),
        &fleet,
    );

    let rules: Vec<_> = ranking
        .excluded
        .iter()
        .map(|(_, exclusion)| exclusion.rule())
        .collect();
    assert_eq!(rules, ["recipe_requires", "operator_requires"]);
}

#[test]
fn a_client_that_is_rejected_is_told_so_whatever_is_required() {
    let fleet = [cloudlet("strict").rejecting("8.8.8.0/24").build()];

    let ranking = ranked(
        &request("8.8.8.8").requiring("resources.gpu_ratio < 0.8"),
        &fleet,
        &Matcher::ALL,
    );

    assert_eq!(ranking.excluded[0].1.rule(), "rejected_clients");
}

#[test]
fn a_cloudlet_that_offers_other_recipes_alone_is_skipped() {
    let other = Uuid::from_u128(1);
    let fleet = [
        cloudlet("other").offering(other).build(),
        cloudlet("this").offering(other).offering(RECIPE).build(),
        cloudlet("does not say").build(),
    ];

    let ranking = ranked(&request("8.8.8.8"), &fleet, &Matcher::ALL);

    let mut candidates = names(&ranking);
    candidates.sort_unstable();
    assert_eq!(candidates, ["does not say", "this"]);
    assert_eq!(
        ranking.excluded,
        [(&fleet[0], Exclusion::NotOffered { recipe: RECIPE })]
    );
}

#[test]
fn a_remembered_cloudlet_that_does_not_meet_a_requirement_stays_out() {
    let fleet = [
        cloudlet("remembered").measuring("cpu_ratio", 0.9).build(),
        cloudlet("other").measuring("cpu_ratio", 0.1).build(),
    ];
    let mut request = request("8.8.8.8").requiring("resources.cpu_ratio < 0.8");
    request.remembered = vec![fleet[0].uuid];

    assert_eq!(names(&ranked(&request, &fleet, &Matcher::ALL)), ["other"]);
}

#[test]
fn a_requirement_may_be_about_the_way_to_the_client() {
    let fleet = [
        cloudlet("near").at(40.4, -80.0).build(),
        cloudlet("far").at(48.86, 2.35).build(),
        cloudlet("nowhere").build(),
    ];

    let ranking = ranked(
        &request("8.8.8.8")
            .at(PITTSBURGH)
            .requiring("distance_km < 100.0"),
        &fleet,
        &Matcher::ALL,
    );

    assert_eq!(names(&ranking), ["near"]);
}

fn told<'a>(
    cloudlet: &'a Cloudlet,
    exclusion: &Exclusion,
) -> (&'a str, &'static str, String, serde_json::Value) {
    (
        &cloudlet.name,
        exclusion.rule(),
        exclusion.to_string(),
        json!(exclusion.values()),
    )
}

fn ranked_by<'a>(request: &OwnedRequest, operator: &Policy, fleet: &'a [Cloudlet]) -> Ranking<'a> {
    let rules = RankingRules {
        matchers: &Matcher::ALL,
        policy: operator,
        shortlist: SHORTLIST,
    };
    rank(
        request.as_ref(),
        rules,
        fleet
            .iter()
            .map(|cloudlet| (cloudlet, Conditions::default())),
    )
}
