//! The order within the shortlist.

use super::fleet::*;
use super::*;
use crate::cloudlet::Measurement;

#[test]
fn what_the_recipe_prefers_comes_before_what_is_near() {
    let fleet = [
        cloudlet("near")
            .at(40.44, -79.9)
            .labelled("price", "0.3")
            .build(),
        cloudlet("farther")
            .at(41.0, -80.0)
            .labelled("price", "0.1")
            .build(),
        cloudlet("far")
            .at(48.86, 2.35)
            .labelled("price", "0.2")
            .build(),
    ];

    let request = request("8.8.8.8")
        .at(PITTSBURGH)
        .preferring("-double(cloudlet.labels.price)");

    assert_eq!(
        names(&ranked(&request, &fleet, &Matcher::ALL)),
        ["farther", "far", "near"]
    );
}

#[test]
fn what_the_operator_prefers_counts_where_the_recipe_is_indifferent() {
    let fleet = [
        cloudlet("gold, dirty")
            .labelled("tier", "gold")
            .measuring("carbon", 300.0)
            .build(),
        cloudlet("gold, green")
            .labelled("tier", "gold")
            .measuring("carbon", 20.0)
            .build(),
        cloudlet("greenest")
            .labelled("tier", "free")
            .measuring("carbon", 1.0)
            .build(),
    ];
    let request = request("8.8.8.8").preferring("cloudlet.labels.tier == 'gold' ? 1.0 : 0.0");

    let ranking = Fleet::of(&fleet)
        .preferring("-resources.carbon")
        .rank(&request);

    assert_eq!(names(&ranking), ["gold, green", "gold, dirty", "greenest"]);
}

#[test]
fn a_value_that_is_not_known_takes_the_median() {
    let fleet = [
        cloudlet("worst")
            .at(40.1, -80.0)
            .measuring("cpu_ratio", 0.9)
            .build(),
        cloudlet("unknown").at(40.2, -80.0).build(),
        cloudlet("middling")
            .at(40.0, -80.0)
            .measuring("cpu_ratio", 0.5)
            .build(),
        cloudlet("best")
            .at(40.0, -81.0)
            .measuring("cpu_ratio", 0.1)
            .build(),
    ];

    let ranking = ranked(
        &request("8.8.8.8")
            .at((40.44, -80.0))
            .preferring("-resources.cpu_ratio"),
        &fleet,
        &Matcher::ALL,
    );

    assert_eq!(names(&ranking), ["best", "unknown", "middling", "worst"]);
    let unknown = ranking.candidates[1].refinement;
    assert_eq!(
        (unknown.recipe_prefer, unknown.recipe_prefer_is_median),
        (Some(-0.5), true)
    );
}

#[test]
fn the_median_of_an_even_number_of_values_is_the_mean_of_the_two_in_the_middle() {
    let fleet = [0.1, 0.2, 0.6, 0.9].map(|ratio| {
        cloudlet(&format!("at {ratio}"))
            .measuring("cpu_ratio", ratio)
            .build()
    });
    let fleet = [fleet.as_slice(), &[cloudlet("unknown").build()]].concat();

    let ranking = ranked(
        &request("8.8.8.8").preferring("resources.cpu_ratio"),
        &fleet,
        &Matcher::ALL,
    );

    assert_eq!(
        names(&ranking),
        ["at 0.9", "at 0.6", "unknown", "at 0.2", "at 0.1"]
    );
    assert_eq!(ranking.candidates[2].refinement.recipe_prefer, Some(0.4));
}

#[test]
fn preferences_of_which_nothing_is_known_change_nothing() {
    let fleet = [
        cloudlet("near").at(40.4, -80.0).build(),
        cloudlet("far").at(48.86, 2.35).build(),
    ];

    let ranking = ranked(
        &request("8.8.8.8")
            .at(PITTSBURGH)
            .preferring("resources.gpu_ratio"),
        &fleet,
        &Matcher::ALL,
    );

    assert_eq!(names(&ranking), ["near", "far"]);
    assert_eq!(ranking.candidates[0].refinement, Refinement::default());
}

#[test]
fn no_preference_leads_out_of_a_class_a_group_or_the_placement_that_is_remembered() {
    let fleet = [
        cloudlet("local")
            .local("8.8.8.0/24")
            .measuring("value", 1.0)
            .build(),
        cloudlet("placed")
            .at(40.4, -80.0)
            .measuring("value", 2.0)
            .build(),
        cloudlet("busy")
            .local("8.8.8.0/24")
            .measuring("value", 3.0)
            .build(),
        cloudlet("failing")
            .local("8.8.8.0/24")
            .measuring("value", 4.0)
            .build(),
        cloudlet("draining")
            .local("8.8.8.0/24")
            .measuring("value", 5.0)
            .draining()
            .build(),
        cloudlet("remembered").measuring("value", 0.0).build(),
    ];
    let mut request = request("8.8.8.8")
        .at(PITTSBURGH)
        .preferring("resources.value");
    request.remembered = vec![fleet[5].uuid];

    let ranking = Fleet::of(&fleet)
        .class(2, Class::Overloaded)
        .class(3, Class::CircuitOpen)
        .rank(&request);

    assert_eq!(
        names(&ranking),
        [
            "remembered",
            "local",
            "placed",
            "busy",
            "failing",
            "draining"
        ]
    );
}

#[test]
fn those_with_a_round_trip_exchange_places_among_themselves() {
    let fleet = ["a", "b", "c", "d", "e"].map(|name| {
        cloudlet(name)
            .at(40.0 - f64::from(name.as_bytes()[0]), -80.0)
            .build()
    });

    let ranking = Fleet::of(&fleet)
        .rtt(0, 30.0)
        .rtt(2, 10.0)
        .rtt(4, 20.0)
        .rank(&request("8.8.8.8").at(PITTSBURGH));

    assert_eq!(names(&ranking), ["c", "b", "e", "d", "a"]);
}

#[test]
fn a_round_trip_counts_only_where_nothing_is_preferred() {
    let fleet = [
        cloudlet("cheap").labelled("price", "1").build(),
        cloudlet("dear").labelled("price", "2").build(),
    ];
    let request = request("8.8.8.8").preferring("-double(cloudlet.labels.price)");

    let ranking = Fleet::of(&fleet).rtt(0, 90.0).rtt(1, 1.0).rank(&request);

    assert_eq!(names(&ranking), ["cheap", "dear"]);
}

#[test]
fn what_comes_after_the_shortlist_stays_there() {
    let fleet: Vec<Cloudlet> = (0..6)
        .map(|place| {
            cloudlet(&format!("c{place}"))
                .at(f64::from(place), 0.0)
                .measuring("value", f64::from(place))
                .build()
        })
        .collect();

    let ranking = Fleet::of(&fleet).shortlist(4).rank(
        &request("8.8.8.8")
            .at((0.0, 0.0))
            .preferring("resources.value"),
    );

    assert_eq!(names(&ranking), ["c3", "c2", "c1", "c0", "c4", "c5"]);
    assert_eq!(ranking.candidates[4].refinement, Refinement::default());
}

proptest! {
    #[test]
    fn without_preferences_and_measurements_the_order_is_that_of_the_keys(fleet in fleets(), place in places()) {
        let ranking = ranked(&request("10.1.2.3").at(place), &fleet, &Matcher::ALL);

        let mut sorted = ranking.candidates.clone();
        order(&mut sorted);
        prop_assert_eq!(sorted, ranking.candidates);
    }

    #[test]
    fn the_refined_order_is_that_of_the_specification(
        fleet in fleets(),
        place in places(),
        values in prop::collection::vec((prop::option::of(-2i8..3), prop::option::of(-2i8..3), prop::option::of(1u8..5)), 12),
        shortlist in 0usize..14,
    ) {
        let mut values_of = std::collections::HashMap::new();
        let measured: Vec<Cloudlet> = fleet.iter().zip(&values).map(|(cloudlet, (recipes, operators, _))| {
            let mut cloudlet = cloudlet.clone();
            let measured = [("recipes", recipes), ("operators", operators)].into_iter().filter_map(|(name, value)| {
                Some((name.to_owned(), Measurement::try_from(f64::from((*value)?)).unwrap()))
            });
            cloudlet.resources = measured.collect();
            cloudlet
        }).collect();
        let mut fleet = Fleet::of(&measured).preferring("resources.operators").shortlist(shortlist);
        for (index, (cloudlet, (recipes, operators, rtt))) in measured.iter().zip(&values).enumerate() {
            values_of.insert(cloudlet.name.as_str(), (recipes.map(f64::from), operators.map(f64::from), rtt.map(f64::from)));
            fleet = rtt.map(f64::from).into_iter().fold(fleet, |fleet, rtt| fleet.rtt(index, rtt));
        }
        let request = request("10.1.2.3").at(place).preferring("resources.recipes");

        let ranking = fleet.rank(&request);

        let mut expected = ranking.candidates.clone();
        order(&mut expected);
        let expected = by_the_book(&expected, &values_of, shortlist);
        prop_assert_eq!(names(&ranking), expected);
    }
}

type Values<'a> = std::collections::HashMap<&'a str, (Option<f64>, Option<f64>, Option<f64>)>;

/// SPEC's words, one after the other, by insertion and selection, which takes longer and is seen to be right.
fn by_the_book<'a>(
    ordered: &[Candidate<'a>],
    values: &Values<'a>,
    shortlist: usize,
) -> Vec<&'a str> {
    let (first, rest) = ordered.split_at(shortlist.min(ordered.len()));
    let values = |candidate: &Candidate<'a>| values[candidate.cloudlet.name.as_str()];
    let middle = |mut known: Vec<f64>| {
        known.sort_by(f64::total_cmp);
        let upper = known.get(known.len() / 2).copied().unwrap_or_default();
        (upper
            + known
                .get(known.len().saturating_sub(1) / 2)
                .copied()
                .unwrap_or_default())
            / 2.0
    };
    let recipes = middle(
        first
            .iter()
            .filter_map(|candidate| values(candidate).0)
            .collect(),
    );
    let operators = middle(
        first
            .iter()
            .filter_map(|candidate| values(candidate).1)
            .collect(),
    );
    let key = |candidate: &Candidate<'a>| {
        let order = candidate.order;
        let (recipe, operator, _) = values(candidate);
        (
            !order.remembered,
            order.class,
            order.group,
            -recipe.unwrap_or(recipes),
            -operator.unwrap_or(operators),
        )
    };
    let mut sorted: Vec<Candidate<'a>> = Vec::new();
    for candidate in first {
        let place = sorted.iter().position(|other| key(other) > key(candidate));
        sorted.insert(place.unwrap_or(sorted.len()), *candidate);
    }
    for one in 0..sorted.len() {
        for other in one + 1..sorted.len() {
            let (a, b) = (&sorted[one], &sorted[other]);
            if key(a) == key(b) && values(a).2.zip(values(b).2).is_some_and(|(a, b)| a > b) {
                // Carries the smaller one forward, past those between that have a round trip too, without overtaking its equals.
                let smaller = sorted[other];
                let mut hole = other;
                for between in (one..other).rev() {
                    if values(&sorted[between]).2.is_some() {
                        sorted[hole] = sorted[between];
                        hole = between;
                    }
                }
                sorted[hole] = smaller;
            }
        }
    }
    sorted
        .iter()
        .chain(rest)
        .map(|candidate| candidate.cloudlet.name.as_str())
        .collect()
}
