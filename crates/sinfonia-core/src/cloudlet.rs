//! Cloudlets: what is said of them on the wire, and what Tier 1 makes of it.

mod measurements;
mod placement;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

pub use self::measurements::{Measurements, ResourceNames};
pub use self::placement::Placement;
pub use self::report::ReportError;
use crate::endpoint::Endpoint;
use crate::location::Location;
use crate::network::Network;
use crate::text;
use crate::time;

/// Longest display name, in characters.
const MAX_DISPLAY_NAME: usize = 200;
/// The resource that some cloudlets report in per cent, although it is a ratio.
const GPU_RATIO: &str = "gpu_ratio";

/// Those of cloudlets without any.
static NO_LABELS: LazyLock<Arc<Labels>> = LazyLock::new(Arc::default);

/// Why a value in a cloudlet's description was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CloudletError {
    /// The name is empty, too long or not printable.
    #[error("a name has 1 to {MAX_DISPLAY_NAME} printable characters")]
    Name,
    /// A measurement is infinite or not a number.
    #[error("{0} is not a finite number")]
    NotFinite(f64),
}

/// A name for people: 1 to 200 characters, none of them a control character. Others that are not seen are let in, because scripts and emoji
/// need some of them; who shows a name to people replaces those that hide something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct DisplayName(String);

text::written_as!(DisplayName, "DisplayName", {
    "type": "string",
    "description": "A name for people, without control characters.",
    "minLength": 1,
    "maxLength": MAX_DISPLAY_NAME,
    "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]*$",
});

text::written_as!(Measurement, "Measurement", {
    "type": "number",
    "description": "A measurement. Ratios are 0 to 1, rates are bytes per second.",
});

impl DisplayName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DisplayName {
    type Err = CloudletError;

    fn from_str(text: &str) -> Result<Self, CloudletError> {
        let length = text.chars().count();
        if length == 0 || length > MAX_DISPLAY_NAME || text.chars().any(char::is_control) {
            return Err(CloudletError::Name);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DisplayName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "a name as text")
    }
}

/// A measurement: a finite number. Ratios are 0 to 1, rates are bytes per second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measurement(f64);

impl Measurement {
    /// The number.
    pub const fn value(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Measurement {
    type Error = CloudletError;

    fn try_from(value: f64) -> Result<Self, CloudletError> {
        if value.is_finite() {
            Ok(Self(value))
        } else {
            Err(CloudletError::NotFinite(value))
        }
    }
}

impl<'de> Deserialize<'de> for Measurement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(MeasurementVisitor)
    }
}

/// Judges the number inside the visitor, where the YAML parser still knows the line.
struct MeasurementVisitor;

impl Visitor<'_> for MeasurementVisitor {
    type Value = Measurement;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Measurement, E> {
        value.try_into().map_err(E::custom)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a measurement beyond 2^53 needs no last digit"
    )]
    fn visit_u64<E: Error>(self, value: u64) -> Result<Measurement, E> {
        self.visit_f64(value as f64)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a measurement beyond 2^53 needs no last digit"
    )]
    fn visit_i64<E: Error>(self, value: i64) -> Result<Measurement, E> {
        self.visit_f64(value as f64)
    }
}

/// Measurements by name (`cpu_ratio`, `net_rx_rate`, …).
pub type Resources = BTreeMap<String, Measurement>;

/// Properties by name: region, provider, GPU model.
pub type Labels = BTreeMap<String, String>;

/// A cloudlet as the cloudlet file, a report or a list says it. What is not said is absent, and left out on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CloudletInfo {
    /// Where Tier 2 takes deploy requests.
    pub endpoint: Endpoint,
    /// Who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<DisplayName>,
    /// Where it is; a Tier 2 may manage several sites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locations: Option<Vec<Location>>,
    /// Clients in one of these are at the cloudlet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_networks: Option<Vec<Network>>,
    /// Clients it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_clients: Option<Vec<Network>>,
    /// Clients it does not serve, whatever else is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_clients: Option<Vec<Network>>,
    /// Measurements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// When it last reported.
    #[serde(
        default,
        with = "time::optional",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<Timestamp>")]
    pub last_update: Option<Timestamp>,
    /// Properties that do not change by the minute: region, provider, GPU model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// The recipes it offers; absent when it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipes: Option<BTreeSet<Uuid>>,
    /// Whether it takes no new deployments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<bool>,
}

impl CloudletInfo {
    /// A cloudlet of which only the endpoint is known.
    pub const fn at(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            uuid: None,
            name: None,
            locations: None,
            local_networks: None,
            accepted_clients: None,
            rejected_clients: None,
            resources: None,
            last_update: None,
            labels: None,
            recipes: None,
            draining: None,
        }
    }
}

/// What was found out about an endpoint's host beside requests.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Surroundings {
    /// What its name resolves to.
    pub addresses: Vec<IpAddr>,
    /// Where GeoIP places its global addresses.
    pub locations: Vec<Location>,
}

/// A cloudlet with every hole filled, ready to be ranked. Clones share what they hold.
///
/// What changes with every report stands here, the rest in its [`Placement`], whose fields are read as if they were the cloudlet's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Cloudlet {
    /// Who it is.
    pub uuid: Uuid,
    /// Where it is and whom it serves.
    pub placement: Arc<Placement>,
    /// Measurements.
    pub resources: Measurements,
    /// Properties that do not change by the minute.
    pub labels: Arc<Labels>,
    /// The recipes it offers, when it says.
    pub recipes: Option<Arc<BTreeSet<Uuid>>>,
    /// Whether it takes no new deployments.
    pub draining: bool,
    /// When it last reported; `None` when it never did.
    pub last_update: Option<Timestamp>,
}

impl Cloudlet {
    /// Fills what was not said: the name and uuid from the endpoint, places from GeoIP, local networks from the host's global
    /// addresses, and everyone for `accepted_clients`.
    pub fn new(info: CloudletInfo, surroundings: &Surroundings) -> Self {
        Self {
            placement: Arc::new(Placement::new(&info, surroundings)),
            uuid: info.uuid.unwrap_or_else(|| info.endpoint.uuid()),
            resources: info.resources.unwrap_or_default().into(),
            labels: info.labels.map_or_else(|| Arc::clone(&NO_LABELS), Arc::new),
            recipes: info.recipes.map(Arc::new),
            draining: info.draining.unwrap_or(false),
            last_update: info.last_update,
        }
    }

    /// The cloudlet as lists show it; what is empty or unknown is left out.
    pub fn info(&self) -> CloudletInfo {
        CloudletInfo {
            endpoint: self.endpoint.clone(),
            uuid: Some(self.uuid),
            name: self.name.parse().ok(),
            locations: some_unless_empty(&self.locations),
            local_networks: some_unless_empty(&self.local_networks),
            accepted_clients: some_unless_empty(&self.accepted_clients),
            rejected_clients: some_unless_empty(&self.rejected_clients),
            resources: Some(&self.resources)
                .filter(|resources| !resources.is_empty())
                .map(Resources::from),
            last_update: self.last_update,
            labels: Some(Labels::clone(&self.labels)).filter(|labels| !labels.is_empty()),
            recipes: self.recipes.as_deref().cloned(),
            draining: self.draining.then_some(true),
        }
    }
}

impl Deref for Cloudlet {
    type Target = Placement;

    fn deref(&self) -> &Placement {
        &self.placement
    }
}

/// A cloudlet in the answer to "who would be tried": its description, place in the order, and the matcher that put it there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CandidateInfo {
    /// The cloudlet.
    #[serde(flatten)]
    pub cloudlet: CloudletInfo,
    /// Its place, 1 is tried first; older servers do not say.
    #[serde(rename = "Rank", default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// The matcher that yielded it.
    #[serde(rename = "Matcher", default, skip_serializing_if = "Option::is_none")]
    pub matcher: Option<String>,
    /// Kilometres from the client to its closest location, where both are known.
    #[serde(
        rename = "DistanceKm",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub distance_km: Option<f64>,
    /// Milliseconds of a round trip that the client measured.
    #[serde(rename = "RttMs", default, skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
}

/// Reads `gpu_ratio` above 1 as per cent: some exporters say it so.
pub fn normalise_resources(resources: &mut Resources) {
    if let Some(ratio) = resources.get_mut(GPU_RATIO).filter(|ratio| ratio.0 > 1.0) {
        ratio.0 /= 100.0;
    }
}

fn some_unless_empty<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    Some(list.to_vec()).filter(|list| !list.is_empty())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn what_was_not_said_comes_from_the_endpoint_and_its_surroundings() {
        let info = CloudletInfo::at("http://cloudlet.example/api/v1/deploy".parse().unwrap());
        let pittsburgh = Location::new(40.4439, -79.9444).unwrap();
        let surroundings = Surroundings {
            addresses: vec![
                "8.8.4.4".parse().unwrap(),
                "10.0.0.1".parse().unwrap(),
                "2600::1".parse().unwrap(),
            ],
            locations: vec![pittsburgh],
        };

        let cloudlet = Cloudlet::new(info.clone(), &surroundings);

        assert_eq!(cloudlet.uuid, info.endpoint.uuid());
        assert_eq!(cloudlet.name, "cloudlet.example");
        assert_eq!(*cloudlet.locations, [pittsburgh]);
        assert_eq!(
            *cloudlet.local_networks,
            [
                "8.8.4.4/32".parse().unwrap(),
                "2600::1/128".parse().unwrap()
            ]
        );
        assert_eq!(
            *cloudlet.accepted_clients,
            [Network::ALL_IPV4, Network::ALL_IPV6]
        );
    }

    #[test]
    fn what_was_said_wins_over_the_surroundings() {
        let mut info = CloudletInfo::at("http://cloudlet.example/api/v1/deploy".parse().unwrap());
        info.local_networks = Some(vec!["128.2.0.0/16".parse().unwrap()]);
        let surroundings = Surroundings {
            addresses: vec!["8.8.4.4".parse().unwrap()],
            locations: vec![],
        };

        let cloudlet = Cloudlet::new(info.clone(), &surroundings);

        assert_eq!(cloudlet.info().local_networks, info.local_networks);
    }

    #[rstest]
    #[case::nothing_said(false, false, true)]
    #[case::only_places(true, false, true)]
    #[case::only_networks(false, true, true)]
    #[case::both(true, true, false)]
    fn only_what_was_not_said_follows_the_surroundings(
        #[case] places: bool,
        #[case] networks: bool,
        #[case] wants: bool,
    ) {
        let mut info = CloudletInfo::at("http://cloudlet.example/api/v1/deploy".parse().unwrap());
        info.locations = places.then(|| vec![Location::new(1.0, 2.0).unwrap()]);
        info.local_networks = networks.then(|| vec!["10.0.0.0/8".parse().unwrap()]);
        let of = |address: &str, latitude| Surroundings {
            addresses: vec![address.parse().unwrap()],
            locations: vec![Location::new(latitude, 0.0).unwrap()],
        };
        let (before, after) = (of("8.8.4.4", 3.0), of("2600::1", 4.0));

        let placement = Placement::new(&info, &before).within(&after);

        assert_eq!(placement, Placement::new(&info, &after));
        assert_eq!(placement.wants_surroundings(), wants);
    }

    #[test]
    fn the_closest_location_counts() {
        let mut info = CloudletInfo::at("http://cloudlet.example/api/v1/deploy".parse().unwrap());
        info.locations = Some(vec![
            Location::new(0.0, 90.0).unwrap(),
            Location::new(0.0, -179.5).unwrap(),
        ]);
        let cloudlet = Cloudlet::new(info, &Surroundings::default());

        let distance = cloudlet.distance_km(&Location::new(0.0, 179.5).unwrap());

        assert!((distance.unwrap() - 111.319).abs() < 0.001);
    }

    #[test]
    fn a_name_that_would_disturb_a_terminal_is_refused() {
        assert_eq!("\u{1b}[2J".parse::<DisplayName>(), Err(CloudletError::Name));
        assert_eq!("".parse::<DisplayName>(), Err(CloudletError::Name));
    }

    #[rstest]
    #[case::joined_emoji("\u{1f469}\u{200d}\u{1f680}")]
    #[case::an_unjoined_letter("\u{645}\u{6cc}\u{200c}\u{62e}")]
    #[case::a_mark_of_direction("\u{5e9}\u{5dc}\u{5d5}\u{5dd} (1)\u{200f}")]
    fn a_name_may_be_of_any_script(#[case] name: &str) {
        assert_eq!(name.parse::<DisplayName>().unwrap().as_str(), name);
    }
}
