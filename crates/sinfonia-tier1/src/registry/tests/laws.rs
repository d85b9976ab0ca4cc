//! What holds whatever happens, in whatever order.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const PLACES: u8 = 4;

/// Something that happens to a registry.
#[derive(Debug, Clone)]
enum Event {
    Report { who: u8, uuid: u8, place: u8 },
    File(Vec<(u8, Option<u8>)>),
    Measure { place: u8 },
    Unmeasure { place: u8 },
    Wait(i64),
}

proptest! {
    #[test]
    fn every_uuid_belongs_to_one_cloudlet_and_the_file_is_always_there(
        events in prop::collection::vec(event(), 0..40),
    ) {
        let registry = Registry::new();
        let mut in_file = BTreeSet::new();
        let mut now = 0;
        for event in events {
            match event {
                Event::Report { who, uuid, place } => {
                    let authority = who_is(who, uuid, place).authority();
                    let _ = registry.report(full_report(uuid_of(uuid), &url_of(place)), &authority, at(now));
                }
                Event::File(entries) => {
                    let cloudlets = file_of(entries);
                    in_file = cloudlets.iter().map(|known| known.info.endpoint.clone()).collect();
                    registry.replace_file(cloudlets);
                }
                Event::Measure { place } => {
                    let resources = described("http://any/v1/deploy", "any", "10.0.0.0/8", 0.5).resources;
                    registry.measured(&endpoint(&url_of(place)), resources.unwrap(), at(now));
                }
                Event::Unmeasure { place } => registry.unmeasured(&endpoint(&url_of(place))),
                Event::Wait(seconds) => {
                    now += seconds;
                    registry.expire(at(now));
                }
            }
            let snapshot = registry.snapshot();
            let uuids: BTreeSet<Uuid> = snapshot.iter().map(|known| known.cloudlet.uuid).collect();
            prop_assert_eq!(uuids.len(), snapshot.len());
            for known in snapshot.iter() {
                prop_assert_eq!(registry.get(known.cloudlet.uuid), Some(Arc::clone(known)));
                prop_assert_eq!(registry.at(&known.cloudlet.endpoint), Some(Arc::clone(known)));
                prop_assert_eq!(known.is_from_file(), in_file.contains(&known.cloudlet.endpoint));
            }
            let from_file = snapshot.iter().filter(|known| known.is_from_file()).count();
            prop_assert_eq!(from_file, in_file.len());
        }
        registry.expire(at(now + 300));
        for known in registry.snapshot() {
            prop_assert!(known.is_from_file());
            prop_assert!(known.cloudlet.resources.is_empty());
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let report = (0..4u8, 0..PLACES, 0..PLACES).prop_map(|(who, uuid, place)| Event::Report {
        who,
        uuid,
        place,
    });
    let file =
        prop::collection::vec((0..PLACES, prop::option::of(0..PLACES)), 0..4).prop_map(Event::File);
    let measure = (0..PLACES).prop_map(|place| Event::Measure { place });
    let unmeasure = (0..PLACES).prop_map(|place| Event::Unmeasure { place });
    let wait = (0..400i64).prop_map(Event::Wait);
    prop_oneof![4 => report, 1 => file, 2 => measure, 1 => unmeasure, 1 => wait]
}

fn who_is(who: u8, uuid: u8, place: u8) -> Who {
    match who {
        0 => Anonymous,
        1 => Bearer,
        2 => Who::of_uuid(uuid_of(uuid)),
        _ => Who::of(url_of(place)),
    }
}

/// A file as the parser lets it through: no endpoint and no uuid twice.
fn file_of(entries: Vec<(u8, Option<u8>)>) -> Vec<FileCloudlet> {
    let mut seen = BTreeSet::new();
    let mut cloudlets = Vec::new();
    for (place, uuid) in entries {
        let url = url_of(place);
        let uuid = uuid.map_or_else(|| endpoint(&url).uuid(), uuid_of);
        if !seen.contains(&url) && !seen.contains(&uuid.to_string()) {
            seen.extend([url.clone(), uuid.to_string()]);
            cloudlets.push(file_named(&url, uuid));
        }
    }
    cloudlets
}

fn uuid_of(number: u8) -> Uuid {
    // Number 0 is the one that the file gives to the first place, unless it says otherwise.
    match number {
        0 => endpoint(&url_of(0)).uuid(),
        _ => Uuid::from_u128(number.into()),
    }
}

fn url_of(place: u8) -> String {
    format!("http://cloudlet-{place}.example/api/v1/deploy")
}
