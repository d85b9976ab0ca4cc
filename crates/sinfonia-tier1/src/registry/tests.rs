use rstest::rstest;
use sinfonia_core::cloudlet::{Cloudlet, Measurement, Resources};
use sinfonia_core::location::Location;
use sinfonia_service::tokens::{OwnToken, Scope};

use super::*;
use Who::{Anonymous, Bearer, BearerOf};

mod authority;
mod laws;

const ONE: &str = "http://one.example/api/v1/deploy";
const TWO: &str = "http://two.example/api/v1/deploy";
const A: Uuid = Uuid::from_u128(0xa);
const B: Uuid = Uuid::from_u128(0xb);

// ---- what is known ----

#[test]
fn a_cloudlet_of_the_file_goes_by_its_uuid_or_that_of_its_endpoint() {
    let registry = with_file([file(ONE), file_named(TWO, A)]);

    assert_eq!(
        known(&registry),
        [
            (ONE.into(), endpoint(ONE).uuid(), Origin::File),
            (TWO.into(), A, Origin::File)
        ]
    );
}

#[test]
fn a_report_makes_an_entry_of_its_own() {
    let registry = Registry::new();

    let reported = registry.report(report(A, ONE), &Bearer.authority(), at(0));

    assert_eq!(reported, Ok(Reported::First));
    assert_eq!(known(&registry), [(ONE.into(), A, Origin::Report)]);
    assert_eq!(registry.get(A), registry.at(&endpoint(ONE)));
}

#[test]
fn entries_are_keyed_by_the_normalised_endpoint() {
    let registry = with_file([file("HTTP://One.example:80/api/v2/deploy/")]);

    let reported = registry.report(report(A, ONE), &Bearer.authority(), at(0));

    assert_eq!(reported, Ok(Reported::Again));
    assert_eq!(known(&registry), [(ONE.into(), A, Origin::Joined)]);
}

#[test]
fn a_report_is_stamped_with_the_time_it_came() {
    let registry = Registry::new();
    let mut info = report(A, ONE);
    info.last_update = Some(at(-1000));

    registry.report(info, &Bearer.authority(), at(7)).unwrap();

    assert_eq!(cloudlet(&registry, ONE).last_update, Some(at(7)));
}

#[test]
fn a_report_replaces_the_one_before_as_a_whole() {
    let registry = Registry::new();
    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    registry
        .report(report(A, ONE), &Bearer.authority(), at(15))
        .unwrap();

    let mut expected = report(A, ONE);
    expected.last_update = Some(at(15));
    assert_eq!(
        cloudlet(&registry, ONE),
        Cloudlet::new(expected, &Surroundings::default())
    );
}

// ---- joining ----

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

    let joined = cloudlet(&registry, ONE);
    let nobody_said = Cloudlet::new(file(ONE).info, &Surroundings::default());
    assert_eq!(
        (joined.name, joined.locations, joined.local_networks),
        (
            nobody_said.name,
            nobody_said.locations,
            nobody_said.local_networks
        )
    );
    assert_eq!(
        (joined.accepted_clients, joined.rejected_clients),
        (nobody_said.accepted_clients, nobody_said.rejected_clients)
    );
}

#[test]
fn what_the_report_does_not_say_stays_the_files() {
    let registry = with_file([full_file(ONE)]);

    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    let joined = cloudlet(&registry, ONE);
    let file = full_file(ONE).info;
    assert_eq!(
        (Some(joined.resources), Some(joined.labels)),
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
        .map(|known| known.token.clone())
        .collect();
    assert_eq!(tokens, [Some(token), None]);
}

// ---- identity ----

#[rstest]
#[case::of_nothing([].into(), Origin::Report)]
#[case::of_the_file([file(ONE)].into(), Origin::Joined)]
fn a_newer_uuid_replaces_an_older_one(#[case] entries: Vec<FileCloudlet>, #[case] origin: Origin) {
    let registry = with_file(entries);
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    registry
        .report(report(B, ONE), &Bearer.authority(), at(1))
        .unwrap();

    assert_eq!(known(&registry), [(ONE.into(), B, origin)]);
    assert_eq!(registry.get(A), None);
}

#[test]
fn a_known_uuid_from_another_endpoint_takes_that_and_the_old_entry_goes() {
    let registry = Registry::new();
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    registry
        .report(report(A, TWO), &Bearer.authority(), at(1))
        .unwrap();

    assert_eq!(known(&registry), [(TWO.into(), A, Origin::Report)]);
    assert_eq!(registry.get(A), registry.at(&endpoint(TWO)));
}

#[test]
fn an_entry_of_the_file_that_loses_its_uuid_goes_by_the_files_again() {
    let registry = with_file([full_file(ONE)]);
    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    registry
        .report(report(A, TWO), &Bearer.authority(), at(1))
        .unwrap();

    let alone = Cloudlet::new(full_file(ONE).info, &Surroundings::default());
    assert_eq!(cloudlet(&registry, ONE), alone);
    assert_eq!(
        known(&registry),
        [
            (ONE.into(), alone.uuid, Origin::File),
            (TWO.into(), A, Origin::Report)
        ]
    );
}

#[test]
fn an_entry_of_the_file_may_take_over_what_another_endpoint_reported() {
    let registry = with_file([file(TWO)]);
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    registry
        .report(report(A, TWO), &Bearer.authority(), at(1))
        .unwrap();

    assert_eq!(known(&registry), [(TWO.into(), A, Origin::Joined)]);
}

// ---- silence ----

#[rstest]
#[case::just_before(299, [].into())]
#[case::five_minutes(300, [endpoint(ONE)].into())]
fn a_cloudlet_that_reported_and_is_silent_for_five_minutes_is_dropped(
    #[case] seconds: i64,
    #[case] dropped: Vec<Endpoint>,
) {
    let registry = Registry::new();
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    let expired = registry.expire(at(seconds));

    let left = usize::from(dropped.is_empty());
    assert_eq!(expired.dropped, dropped);
    assert_eq!(registry.snapshot().len(), left);
    assert_eq!(registry.get(A).is_some(), left == 1);
}

#[test]
fn a_cloudlet_of_the_file_is_never_dropped() {
    let registry = with_file([full_file(ONE)]);
    let before = registry.snapshot();

    let expired = registry.expire(at(1_000_000));

    assert_eq!(expired, Expired::default());
    assert_eq!(registry.snapshot(), before);
}

#[test]
fn a_joined_one_that_falls_silent_keeps_its_uuid_and_loses_its_resources() {
    let registry = with_file([full_file(ONE)]);
    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();
    let before = cloudlet(&registry, ONE);

    let first = registry.expire(at(300));
    let second = registry.expire(at(302));

    let mut expected = before;
    expected.resources = Resources::new();
    assert_eq!(cloudlet(&registry, ONE), expected);
    assert_eq!(expected.uuid, A);
    assert_eq!(
        (first.silent, second.silent),
        ([endpoint(ONE)].into(), [].into())
    );
}

#[test]
fn a_silent_one_that_reports_again_is_as_before() {
    let registry = with_file([full_file(ONE)]);
    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();
    registry.expire(at(300));

    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(400))
        .unwrap();

    assert_eq!(
        Some(cloudlet(&registry, ONE).resources),
        full_report(A, ONE).resources
    );
    assert_eq!(registry.expire(at(500)), Expired::default());
}

// ---- a new file ----

#[test]
fn a_new_file_lets_entries_come_and_go_and_keeps_what_was_reported() {
    let registry = with_file([file(ONE)]);
    registry
        .report(report(A, TWO), &Bearer.authority(), at(0))
        .unwrap();

    registry.replace_file(vec![file("http://three.example/api/v1/deploy")]);

    let three = "http://three.example/api/v1/deploy";
    assert_eq!(
        known(&registry),
        [
            (three.into(), endpoint(three).uuid(), Origin::File),
            (TWO.into(), A, Origin::Report)
        ]
    );
}

#[rstest]
#[case::reported_before([].into(), [file(ONE)].into(), Origin::Joined)]
#[case::joined_before([file(ONE)].into(), [full_file(ONE)].into(), Origin::Joined)]
#[case::no_longer_of_the_file([file(ONE)].into(), [].into(), Origin::Report)]
fn a_report_stays_whatever_becomes_of_the_entry_of_the_file(
    #[case] before: Vec<FileCloudlet>,
    #[case] after: Vec<FileCloudlet>,
    #[case] origin: Origin,
) {
    let registry = with_file(before);
    registry
        .report(full_report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    registry.replace_file(after);

    assert_eq!(known(&registry), [(ONE.into(), A, origin)]);
    assert_eq!(
        Some(cloudlet(&registry, ONE).resources),
        full_report(A, ONE).resources
    );
}

#[test]
fn a_silent_entry_goes_when_the_file_lets_it_go() {
    let registry = with_file([file(ONE)]);
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();
    registry.expire(at(300));

    registry.replace_file(vec![]);

    assert_eq!(known(&registry), []);
}

#[test]
fn a_uuid_that_the_file_gives_is_taken_from_whoever_reported_it() {
    let registry = with_file([file(ONE)]);
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();
    registry
        .report(report(B, TWO), &Bearer.authority(), at(0))
        .unwrap();
    let three = "http://three.example/api/v1/deploy";
    let four = "http://four.example/api/v1/deploy";

    registry.replace_file(vec![file(ONE), file_named(three, A), file_named(four, B)]);

    assert_eq!(
        known(&registry),
        [
            (four.into(), B, Origin::File),
            (ONE.into(), endpoint(ONE).uuid(), Origin::File),
            (three.into(), A, Origin::File),
        ]
    );
}

// ---- surroundings ----

#[rstest]
#[case::nothing_said(report(A, ONE), true)]
#[case::only_a_place(CloudletInfo { locations: full_report(A, ONE).locations, ..report(A, ONE) }, true)]
#[case::both_said(full_report(A, ONE), false)]
fn who_does_not_say_place_and_networks_wants_them_found_out(
    #[case] info: CloudletInfo,
    #[case] wants: bool,
) {
    let registry = Registry::new();

    registry.report(info, &Bearer.authority(), at(0)).unwrap();

    assert_eq!(!registry.wanting_surroundings().is_empty(), wants);
}

#[test]
fn a_self_reported_cloudlet_gets_the_place_and_networks_that_were_found() {
    let registry = Registry::new();
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    registry.set_surroundings([(&endpoint(ONE), &pittsburgh())]);
    registry
        .report(report(A, ONE), &Bearer.authority(), at(15))
        .unwrap();

    let found = cloudlet(&registry, ONE);
    assert_eq!(found.locations, pittsburgh().locations);
    assert_eq!(found.local_networks, ["8.8.4.4/32".parse().unwrap()]);
}

#[test]
fn what_was_found_stays_when_the_file_is_read_again() {
    let registry = with_file([file(ONE)]);
    registry.set_surroundings([(&endpoint(ONE), &pittsburgh())]);

    registry.replace_file(vec![file(ONE), file(TWO)]);

    assert_eq!(cloudlet(&registry, ONE).locations, pittsburgh().locations);
}

#[test]
fn a_snapshot_is_made_anew_only_after_a_change() {
    let registry = with_file([file(ONE)]);
    let first = registry.snapshot();

    registry.set_surroundings([(&endpoint(TWO), &pittsburgh())]);
    let second = registry.snapshot();
    registry.set_surroundings([(&endpoint(ONE), &pittsburgh())]);
    let third = registry.snapshot();

    assert!(Arc::ptr_eq(&first, &second));
    assert_ne!(first, third);
}

// ---- builders ----

/// Who reports.
#[derive(Debug, Clone)]
enum Who {
    Anonymous,
    /// The bearer of a token for everything.
    Bearer,
    /// The bearer of a token for this uuid or endpoint.
    BearerOf(String),
}

impl Who {
    fn of(scope: impl Into<String>) -> Self {
        BearerOf(scope.into())
    }

    fn of_uuid(uuid: Uuid) -> Self {
        BearerOf(uuid.to_string())
    }

    fn authority(&self) -> ReportAuthority {
        match self {
            Anonymous => ReportAuthority::Anonymous,
            Bearer => ReportAuthority::Token(Scope::Any),
            BearerOf(scope) => ReportAuthority::Token(scope.parse().unwrap()),
        }
    }
}

fn with_file(entries: impl Into<Vec<FileCloudlet>>) -> Registry {
    let registry = Registry::new();
    registry.replace_file(entries.into());
    registry
}

/// An entry of which the file says nothing but the endpoint.
fn file(url: &str) -> FileCloudlet {
    let info = CloudletInfo {
        uuid: Some(endpoint(url).uuid()),
        ..CloudletInfo::at(endpoint(url))
    };
    FileCloudlet { info, token: None }
}

fn file_named(url: &str, uuid: Uuid) -> FileCloudlet {
    let mut entry = file(url);
    entry.info.uuid = Some(uuid);
    entry
}

fn full_file(url: &str) -> FileCloudlet {
    let mut entry = file(url);
    entry.info = CloudletInfo {
        uuid: entry.info.uuid,
        ..described(url, "of the file", "10.1.0.0/16", 0.25)
    };
    entry.info.recipes = None;
    entry.info.draining = None;
    entry
}

/// A report of an existing cloudlet, which says who and where it is.
fn report(uuid: Uuid, url: &str) -> CloudletInfo {
    CloudletInfo {
        uuid: Some(uuid),
        ..CloudletInfo::at(endpoint(url))
    }
}

fn full_report(uuid: Uuid, url: &str) -> CloudletInfo {
    CloudletInfo {
        uuid: Some(uuid),
        ..described(url, "of the report", "10.2.0.0/16", 0.75)
    }
}

fn described(url: &str, name: &str, network: &str, cpu: f64) -> CloudletInfo {
    let networks = || Some(vec![network.parse().unwrap()]);
    CloudletInfo {
        name: Some(name.parse().unwrap()),
        locations: Some(vec![Location::new(cpu, cpu).unwrap()]),
        local_networks: networks(),
        accepted_clients: networks(),
        rejected_clients: networks(),
        resources: Some([("cpu_ratio".to_owned(), Measurement::try_from(cpu).unwrap())].into()),
        labels: Some([("said".to_owned(), name.to_owned())].into()),
        recipes: Some([A].into()),
        draining: Some(true),
        ..CloudletInfo::at(endpoint(url))
    }
}

fn pittsburgh() -> Arc<Surroundings> {
    Arc::new(Surroundings {
        addresses: vec!["8.8.4.4".parse().unwrap()],
        locations: vec![Location::new(40.4439, -79.9444).unwrap()],
    })
}

fn known(registry: &Registry) -> Vec<(String, Uuid, Origin)> {
    let told = |known: &Arc<Known>| {
        let cloudlet = &known.cloudlet;
        (cloudlet.endpoint.to_string(), cloudlet.uuid, known.origin)
    };
    registry.snapshot().iter().map(told).collect()
}

fn cloudlet(registry: &Registry, url: &str) -> Cloudlet {
    registry.at(&endpoint(url)).unwrap().cloudlet.clone()
}

fn endpoint(url: &str) -> Endpoint {
    url.parse().unwrap()
}

/// So many seconds after the tests' beginning of time.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}
