use rstest::rstest;
use sinfonia_core::cloudlet::{Cloudlet, Measurement, Measurements, Resources};
use sinfonia_core::location::Location;
use sinfonia_service::tokens::{OwnToken, Scope};

use super::*;
use Who::{Anonymous, Bearer, BearerOf};

mod authority;
mod entries;
mod identity;
mod joining;
mod laws;
mod load;
mod measuring;
mod room;
mod silence;
mod surroundings;

const ONE: &str = "http://one.example/api/v1/deploy";
const TWO: &str = "http://two.example/api/v1/deploy";
const A: Uuid = Uuid::from_u128(0xa);
const B: Uuid = Uuid::from_u128(0xb);

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
        (cloudlet.endpoint.to_string(), cloudlet.uuid, known.origin())
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
