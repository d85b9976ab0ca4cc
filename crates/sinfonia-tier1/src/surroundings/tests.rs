use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::Timestamp;
use sinfonia_core::cloudlet::CloudletInfo;
use sinfonia_core::location::Location;
use sinfonia_service::tokens::Scope;
use uuid::Uuid;

use super::*;
use crate::geoip::tests::writer::database;
use crate::registry::{FileCloudlet, ReportAuthority};

const NAMED: &str = "http://one.example/api/v1/deploy";
const ADDRESS: &str = "http://8.8.4.4:5000/api/v1/deploy";

#[tokio::test(start_paused = true)]
async fn a_cloudlet_of_the_file_gets_place_and_networks_of_its_host() {
    let resolver = Resolver::new([("one.example", vec!["8.8.4.4", "10.0.0.1"])]);
    let registry = with_file([NAMED]);

    resolver.survey(&registry, 1).await;

    assert_eq!(
        found(&registry, NAMED),
        (vec![pittsburgh()], vec!["8.8.4.4/32".into()])
    );
}

#[tokio::test(start_paused = true)]
async fn a_self_reported_cloudlet_gets_its_place_looked_up_too() {
    let resolver = Resolver::new([("one.example", vec!["8.8.4.4"])]);
    let registry = Registry::new();
    let surveyed = resolver.survey(&registry, 2);
    let reported = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        report(&registry, NAMED);
    };

    tokio::join!(surveyed, reported);

    assert_eq!(found(&registry, NAMED).0, [pittsburgh()]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_an_address_is_settled_without_asking_anybody() {
    let resolver = Resolver::new([]);
    let registry = with_file([ADDRESS, "http://[2600::1]/api/v1/deploy"]);

    resolver.survey(&registry, 1).await;

    assert_eq!(
        found(&registry, ADDRESS),
        (vec![pittsburgh()], vec!["8.8.4.4/32".into()])
    );
    assert_eq!(
        found(&registry, "http://[2600::1]/api/v1/deploy").1,
        ["2600::1/128"]
    );
    assert_eq!(resolver.asked(), BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn a_host_of_several_endpoints_is_asked_about_once() {
    let resolver = Resolver::new([("one.example", vec!["8.8.4.4"])]);
    let other = "http://one.example:5000/api/v1/deploy";
    let registry = with_file([NAMED, other]);

    resolver.survey(&registry, 1).await;

    assert_eq!(found(&registry, other).0, [pittsburgh()]);
    assert_eq!(resolver.asked(), [("one.example".to_owned(), 1)].into());
}

#[tokio::test(start_paused = true)]
async fn a_new_cloudlet_at_a_known_host_needs_no_further_question() {
    let resolver = Resolver::new([("one.example", vec!["8.8.4.4"])]);
    let registry = with_file([NAMED]);
    let other = "http://one.example:5000/api/v1/deploy";
    let surveyed = resolver.survey(&registry, 2);
    let reported = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        report(&registry, other);
    };

    tokio::join!(surveyed, reported);

    assert_eq!(found(&registry, other).0, [pittsburgh()]);
    assert_eq!(resolver.asked(), [("one.example".to_owned(), 1)].into());
}

#[tokio::test(start_paused = true)]
async fn a_name_is_asked_about_again_after_some_minutes() {
    let resolver = Resolver::new([("one.example", vec!["8.8.4.4"])]);
    let registry = with_file([NAMED]);

    resolver.survey(&registry, 310).await;

    assert_eq!(resolver.asked(), [("one.example".to_owned(), 2)].into());
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_not_known_is_asked_about_less_and_less() {
    let resolver = Resolver::new([]);
    let registry = with_file([NAMED]);

    resolver.survey(&registry, 70).await;

    let times = resolver.asked()["one.example"];
    assert!((4..=6).contains(&times), "{times}");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_hangs_holds_up_nobody_else() {
    let mut answers: BTreeMap<&str, Vec<&str>> = BTreeMap::from([("one.example", vec!["8.8.4.4"])]);
    let hanging: Vec<String> = (0..2 * AT_ONCE)
        .map(|number| format!("a{number}.hangs.example"))
        .collect();
    answers.extend(hanging.iter().map(|name| (name.as_str(), vec![])));
    let resolver = Resolver::new(answers);
    let urls: Vec<String> = hanging
        .iter()
        .map(|name| format!("http://{name}/api/v1/deploy"))
        .collect();
    let registry = with_file(urls.iter().map(String::as_str).chain([NAMED]));

    resolver.survey(&registry, 40).await;

    assert_eq!(found(&registry, NAMED).0, [pittsburgh()]);
}

/// Answers from a table; a name without addresses hangs, one that is not there does not exist.
struct Resolver {
    answers: BTreeMap<String, Vec<IpAddr>>,
    asked: Mutex<BTreeMap<String, usize>>,
}

impl Resolver {
    fn new<'a>(answers: impl IntoIterator<Item = (&'a str, Vec<&'a str>)>) -> Self {
        let addresses = |texts: Vec<&str>| {
            texts
                .into_iter()
                .map(|text| text.parse().unwrap())
                .collect()
        };
        Self {
            answers: answers
                .into_iter()
                .map(|(name, texts)| (name.to_owned(), addresses(texts)))
                .collect(),
            asked: Mutex::default(),
        }
    }

    /// Surveys for so many seconds.
    async fn survey(&self, registry: &Registry, seconds: u64) {
        let survey = survey(registry.clone(), geoip(), |name| self.answer(name));
        let ended = tokio::time::timeout(Duration::from_secs(seconds), survey).await;
        assert!(ended.is_err());
    }

    fn answer(
        &self,
        name: String,
    ) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static {
        let answer = self.answers.get(&name).cloned();
        *self.asked.lock().unwrap().entry(name).or_default() += 1;
        async {
            match answer {
                None => Err(io::ErrorKind::NotFound.into()),
                Some(addresses) if addresses.is_empty() => std::future::pending().await,
                Some(addresses) => Ok(addresses),
            }
        }
    }

    /// How often each name was asked about.
    fn asked(&self) -> BTreeMap<String, usize> {
        self.asked.lock().unwrap().clone()
    }
}

fn geoip() -> GeoIp {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.mmdb");
    std::fs::write(
        &path,
        database("Test-City", &[("8.8.4.0/24", (40.4439, -79.9444))]),
    )
    .unwrap();
    GeoIp::open(&path).unwrap()
}

fn pittsburgh() -> Location {
    Location::new(40.4439, -79.9444).unwrap()
}

fn with_file<'a>(urls: impl IntoIterator<Item = &'a str>) -> Registry {
    let registry = Registry::new();
    let entry = |url: &str| FileCloudlet {
        info: CloudletInfo::at(url.parse().unwrap()),
        token: None,
    };
    registry.replace_file(urls.into_iter().map(entry).collect());
    registry
}

fn report(registry: &Registry, url: &str) {
    let mut info = CloudletInfo::at(url.parse().unwrap());
    info.uuid = Some(Uuid::from_u128(0xa));
    let authority = ReportAuthority::Token(Scope::Any);
    registry
        .report(info, &authority, Timestamp::UNIX_EPOCH)
        .unwrap();
}

/// Place and networks of a cloudlet.
fn found(registry: &Registry, url: &str) -> (Vec<Location>, Vec<String>) {
    let known = registry.at(&url.parse().unwrap()).unwrap();
    let networks = known.cloudlet.local_networks.iter();
    (
        known.cloudlet.locations.to_vec(),
        networks.map(ToString::to_string).collect(),
    )
}
