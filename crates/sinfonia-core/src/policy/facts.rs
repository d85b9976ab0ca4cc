//! What expressions are evaluated over.

use std::borrow::Cow;

use crate::client::ClientInfo;
use crate::cloudlet::Cloudlet;
use crate::load::MEASUREMENT_LIFE_S;
use crate::location::Location;

/// What is known of one cloudlet with regard to one client.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The cloudlet.
    pub cloudlet: &'a Cloudlet,
    /// The client.
    pub client: &'a ClientInfo,
    /// Kilometres from the client to the cloudlet's closest location.
    pub distance_km: Option<f64>,
    /// The round trip that the client measured, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Deployments that were placed there since its last report.
    pub deployments: Option<f64>,
    /// Seconds since its last report.
    pub age_s: Option<f64>,
}

/// A value of a variable.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    Number(f64),
    Text(Cow<'a, str>),
    Truth(bool),
}

impl<'a> Facts<'a> {
    /// A measurement, unless it is too old to be known.
    pub(super) fn resource(&self, name: &str) -> Option<f64> {
        let known = self
            .cloudlet
            .resources
            .get(name)
            .filter(|_| !self.is_stale());
        known.map(|measurement| measurement.value())
    }

    /// Whether the measurements are too old to be known.
    pub(super) fn is_stale(&self) -> bool {
        self.age_s.is_some_and(|age| age > MEASUREMENT_LIFE_S)
    }

    /// The cloudlet's location closest to the client; the first, where the client's place is unknown.
    pub(super) fn location(&self) -> Option<&'a Location> {
        let locations = &self.cloudlet.locations;
        let (Some(from), [_, _, ..]) = (self.client.location(), &**locations) else {
            return locations.first();
        };
        locations
            .iter()
            .min_by(|a, b| from.distance_km(a).total_cmp(&from.distance_km(b)))
    }
}
