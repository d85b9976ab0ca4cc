//! Fleets and requests for the tests, made in a line.

use proptest::prelude::*;

use super::super::*;
use crate::cloudlet::{CloudletInfo, Measurement, Surroundings};
use crate::location::Location;

pub(super) const RECIPE: Uuid = Uuid::nil();
pub(super) const SHORTLIST: usize = 64;

pub(super) struct CloudletBuilder(CloudletInfo);

pub(super) fn cloudlet(name: &str) -> CloudletBuilder {
    let endpoint = format!("http://{}.example/api/v1/deploy", name.replace(' ', "-"));
    let mut info = CloudletInfo::at(endpoint.parse().unwrap());
    info.name = Some(name.parse().unwrap());
    CloudletBuilder(info)
}

impl CloudletBuilder {
    pub(super) fn at(mut self, latitude: f64, longitude: f64) -> Self {
        self.0
            .locations
            .get_or_insert_default()
            .push(Location::new(latitude, longitude).unwrap());
        self
    }

    pub(super) fn local(mut self, network: &str) -> Self {
        self.0
            .local_networks
            .get_or_insert_default()
            .push(network.parse().unwrap());
        self
    }

    pub(super) fn accepting(mut self, network: &str) -> Self {
        self.0
            .accepted_clients
            .get_or_insert_default()
            .push(network.parse().unwrap());
        self
    }

    pub(super) fn rejecting(mut self, network: &str) -> Self {
        self.0
            .rejected_clients
            .get_or_insert_default()
            .push(network.parse().unwrap());
        self
    }

    pub(super) fn measuring(mut self, resource: &str, value: f64) -> Self {
        let measurement = Measurement::try_from(value).unwrap();
        let resources = self.0.resources.get_or_insert_default();
        resources.insert(resource.to_owned(), measurement);
        self
    }

    pub(super) fn labelled(mut self, name: &str, value: &str) -> Self {
        let labels = self.0.labels.get_or_insert_default();
        labels.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn offering(mut self, recipe: Uuid) -> Self {
        self.0.recipes.get_or_insert_default().insert(recipe);
        self
    }

    pub(super) fn draining(mut self) -> Self {
        self.0.draining = Some(true);
        self
    }

    pub(super) fn build(self) -> Cloudlet {
        Cloudlet::new(self.0, &Surroundings::default())
    }
}

pub(super) struct OwnedRequest {
    pub(super) key: PublicKey,
    pub(super) client: ClientInfo,
    pub(super) remembered: Vec<Uuid>,
    written: String,
    policy: Policy,
}

pub(super) fn request(client: &str) -> OwnedRequest {
    let client = ClientInfo::new(client.parse().unwrap(), None);
    OwnedRequest {
        key: PublicKey::from_bytes([7; 32]),
        client,
        remembered: vec![],
        written: String::new(),
        policy: Policy::default(),
    }
}

impl OwnedRequest {
    pub(super) fn at(mut self, place: (f64, f64)) -> Self {
        self.client = ClientInfo::new(
            self.client.address(),
            Some(Location::new(place.0, place.1).unwrap()),
        );
        self
    }

    pub(super) fn requiring(mut self, expression: &str) -> Self {
        self.written += &format!("requires: {expression:?}\n");
        self.policy = Policy::parse(&self.written).unwrap();
        self
    }

    pub(super) fn preferring(mut self, expression: &str) -> Self {
        self.written += &format!("prefer: {expression:?}\n");
        self.policy = Policy::parse(&self.written).unwrap();
        self
    }

    pub(super) fn as_ref(&self) -> RankingRequest<'_> {
        RankingRequest {
            recipe: RECIPE,
            policy: &self.policy,
            key: &self.key,
            client: self.client,
            remembered: &self.remembered,
        }
    }
}

pub(super) fn policy(field: &str, expression: &str) -> Policy {
    Policy::parse(&format!("{field}: {expression:?}\n")).unwrap()
}

/// Ranks a fleet of which nothing is measured, without a policy of the operator.
pub(super) fn ranked<'a>(
    request: &OwnedRequest,
    fleet: &'a [Cloudlet],
    matchers: &[Matcher],
) -> Ranking<'a> {
    let policy = Policy::default();
    let rules = RankingRules {
        matchers,
        policy: &policy,
        shortlist: SHORTLIST,
    };
    let conditions = fleet
        .iter()
        .map(|cloudlet| (cloudlet, Conditions::default()));
    rank(request.as_ref(), rules, conditions)
}

pub(super) fn names<'a>(ranking: &Ranking<'a>) -> Vec<&'a str> {
    ranking
        .candidates
        .iter()
        .map(|candidate| candidate.cloudlet.name.as_str())
        .collect()
}

pub(super) fn places() -> impl Strategy<Value = (f64, f64)> {
    (-90.0..=90.0, -180.0..=180.0)
}

pub(super) fn fleets() -> impl Strategy<Value = Vec<Cloudlet>> {
    let networks = || prop::collection::vec((0u8..4, 0u8..=16), 0..3);
    let one = (
        prop::collection::vec(places(), 0..3),
        networks(),
        networks(),
        networks(),
        any::<bool>(),
    );
    prop::collection::vec(one, 0..12).prop_map(|fleet| {
        let network = |(octet, prefix): (u8, u8)| format!("{}.1.0.0/{prefix}", 9 + octet);
        let numbered = fleet.into_iter().enumerate();
        numbered
            .map(|(number, (places, local, accepted, rejected, draining))| {
                let mut builder = cloudlet(&format!("cloudlet-{number}"));
                builder = places
                    .into_iter()
                    .fold(builder, |builder, (latitude, longitude)| {
                        builder.at(latitude, longitude)
                    });
                builder = local
                    .into_iter()
                    .fold(builder, |builder, entry| builder.local(&network(entry)));
                builder = accepted
                    .into_iter()
                    .fold(builder, |builder, entry| builder.accepting(&network(entry)));
                builder = rejected
                    .into_iter()
                    .fold(builder, |builder, entry| builder.rejecting(&network(entry)));
                if draining {
                    builder.draining().build()
                } else {
                    builder.build()
                }
            })
            .collect()
    })
}

/// A fleet with what is measured, and the operator's rules.
pub(super) struct Fleet<'a> {
    cloudlets: Vec<(&'a Cloudlet, Conditions)>,
    operator: Policy,
    shortlist: usize,
}

impl<'a> Fleet<'a> {
    pub(super) fn of(cloudlets: &'a [Cloudlet]) -> Self {
        Self {
            cloudlets: cloudlets
                .iter()
                .map(|cloudlet| (cloudlet, Conditions::default()))
                .collect(),
            operator: Policy::default(),
            shortlist: SHORTLIST,
        }
    }

    pub(super) fn preferring(mut self, expression: &str) -> Self {
        self.operator = policy("prefer", expression);
        self
    }

    pub(super) fn shortlist(mut self, shortlist: usize) -> Self {
        self.shortlist = shortlist;
        self
    }

    pub(super) fn class(mut self, index: usize, class: Class) -> Self {
        self.cloudlets[index].1.class = class;
        self
    }

    pub(super) fn rtt(mut self, index: usize, milliseconds: f64) -> Self {
        self.cloudlets[index].1.rtt_ms = Some(milliseconds);
        self
    }

    pub(super) fn rank(&self, request: &OwnedRequest) -> Ranking<'a> {
        let rules = RankingRules {
            matchers: &Matcher::ALL,
            policy: &self.operator,
            shortlist: self.shortlist,
        };
        rank(request.as_ref(), rules, self.cloudlets.iter().copied())
    }
}
