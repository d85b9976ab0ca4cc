//! What file and report make together.

use super::*;

#[test]
fn placement_stays_the_files_and_the_rest_comes_from_the_report() {
    let registry = with_file([full_file(ONE)]);

    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    let said = full_report(A, ONE);
    let expected = CloudletInfo {
        uuid: said.uuid,
        resources: said.resources,
        labels: said.labels,
        recipes: said.recipes,
        draining: said.draining,
        last_update: Some(at(0)),
        ..full_file(ONE).info
    };
    assert_eq!(
        cloudlet(&registry, ONE),
        Cloudlet::new(expected, &Surroundings::default())
    );
}

#[test]
fn placement_that_the_file_leaves_open_is_not_the_reports_to_say() {
    let registry = with_file([file(ONE)]);

    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    let nobody_said = Cloudlet::new(file(ONE).info, &Surroundings::default());
    assert_eq!(cloudlet(&registry, ONE).placement, nobody_said.placement);
}

#[test]
fn what_the_report_does_not_say_stays_the_files() {
    let registry = with_file([full_file(ONE)]);

    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    let joined = cloudlet(&registry, ONE).info();
    let file = full_file(ONE).info;
    assert_eq!(
        (joined.resources, joined.labels),
        (file.resources, file.labels)
    );
}

#[test]
fn an_anonymous_report_for_an_entry_of_the_file_updates_its_resources_only() {
    let registry = with_file([full_file(ONE)]);

    registry
        .report(full_report(A, ONE), &Anonymous.authority(), at(0))
        .unwrap();

    let expected = CloudletInfo {
        resources: full_report(A, ONE).resources,
        last_update: Some(at(0)),
        ..full_file(ONE).info
    };
    assert_eq!(
        cloudlet(&registry, ONE),
        Cloudlet::new(expected, &Surroundings::default())
    );
    assert_eq!(registry.get(A), None);
}

#[test]
fn the_token_of_the_file_stays_with_a_joined_entry_and_no_report_has_one() {
    let token = OwnToken::parse_bytes(b"secret").unwrap();
    let mut entry = file(ONE);
    entry.token = Some(token.clone());
    let registry = with_file([entry]);

    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();
    registry
        .report(report(B, TWO), &Bearer.authority(), at(0))
        .unwrap();

    let tokens: Vec<_> = registry
        .snapshot()
        .iter()
        .map(|known| known.token().cloned())
        .collect();
    assert_eq!(tokens, [Some(token), None]);
}
