//! The variables of expressions, by the paths that people write.

use std::fmt;

use serde_json::{Value, json};

use super::facts::{Facts, Scalar};
use crate::text;

/// What can be asked of a cloudlet, a client and the two together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Variable {
    CloudletName,
    CloudletLatitude,
    CloudletLongitude,
    Label(String),
    Resource(String),
    ClientAddress,
    ClientLatitude,
    ClientLongitude,
    Distance,
    RoundTrip,
    Deployments,
    Age,
    /// Whether the variable is known.
    Known(Box<Variable>),
}

/// What a path means that somebody wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Path {
    /// A value.
    Variable(Variable),
    /// More than a value; `has()` asks whether this variable is known.
    Group(Group),
    /// Nothing.
    Unknown,
}

/// What has values below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Cloudlet,
    CloudletLocation,
    Labels,
    Resources,
    Client,
    ClientLocation,
}

/// From where values come.
#[derive(Debug, Clone, Copy)]
pub(super) enum Knowledge<'a> {
    /// A cloudlet.
    Of(&'a Facts<'a>),
    /// A sample of which everything is known.
    Everything,
    /// A sample of which nothing is known that may be absent.
    Nothing,
}

/// Variables for the hint of an unknown one, in the order of the documentation.
pub(super) const DOCUMENTED: &str = "there are cloudlet.name, cloudlet.labels.NAME, cloudlet.location.lat and .lon, resources.NAME, client.address, \
     client.location.lat and .lon, distance_km, rtt_ms, deployments, age_s";

impl Path {
    /// The root of a path.
    pub(super) fn root(name: &str) -> Self {
        match name {
            "cloudlet" => Self::Group(Group::Cloudlet),
            "resources" => Self::Group(Group::Resources),
            "client" => Self::Group(Group::Client),
            "distance_km" => Self::Variable(Variable::Distance),
            "rtt_ms" => Self::Variable(Variable::RoundTrip),
            "deployments" => Self::Variable(Variable::Deployments),
            "age_s" => Self::Variable(Variable::Age),
            _ => Self::Unknown,
        }
    }
}

impl Group {
    /// What a name below it means.
    pub(super) fn field(self, name: &str) -> Path {
        let variable = match (self, name) {
            (Self::Cloudlet, "name") => Variable::CloudletName,
            (Self::Cloudlet, "labels") => return Path::Group(Self::Labels),
            (Self::Cloudlet, "location") => return Path::Group(Self::CloudletLocation),
            (Self::CloudletLocation, "lat") => Variable::CloudletLatitude,
            (Self::CloudletLocation, "lon") => Variable::CloudletLongitude,
            (Self::Labels, name) => Variable::Label(name.to_owned()),
            (Self::Resources, name) => Variable::Resource(name.to_owned()),
            (Self::Client, "address") => Variable::ClientAddress,
            (Self::Client, "location") => return Path::Group(Self::ClientLocation),
            (Self::ClientLocation, "lat") => Variable::ClientLatitude,
            (Self::ClientLocation, "lon") => Variable::ClientLongitude,
            _ => return Path::Unknown,
        };
        Path::Variable(variable)
    }

    /// Whether its fields are named by whoever reports or configures them.
    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::Labels | Self::Resources)
    }

    /// The variable that is known if, and only if, the group is there.
    pub(super) const fn witness(self) -> Option<Variable> {
        match self {
            Self::CloudletLocation => Some(Variable::CloudletLatitude),
            Self::ClientLocation => Some(Variable::ClientLatitude),
            Self::Cloudlet | Self::Labels | Self::Resources | Self::Client => None,
        }
    }

    /// What to write in its place.
    pub(super) const fn example(self) -> &'static str {
        match self {
            Self::Cloudlet => {
                "cloudlet.name, cloudlet.labels.NAME, cloudlet.location.lat or cloudlet.location.lon"
            }
            Self::CloudletLocation => "cloudlet.location.lat or cloudlet.location.lon",
            Self::Labels => {
                "cloudlet.labels.NAME, cloudlet.labels[\"NAME\"] or \"NAME\" in cloudlet.labels"
            }
            Self::Resources => "resources.NAME, resources[\"NAME\"] or \"NAME\" in resources",
            Self::Client => "client.address, client.location.lat or client.location.lon",
            Self::ClientLocation => "client.location.lat or client.location.lon",
        }
    }
}

impl Variable {
    /// Its value, where it is known.
    pub(super) fn value<'a>(&self, knowledge: Knowledge<'a>) -> Option<Scalar<'a>> {
        match knowledge {
            Knowledge::Of(facts) => self.of(facts),
            Knowledge::Everything => Some(self.sample()),
            Knowledge::Nothing if self.is_always_known() => Some(self.sample()),
            Knowledge::Nothing => match self {
                Self::Known(variable) => Some(Scalar::Truth(variable.is_always_known())),
                _ => None,
            },
        }
    }

    /// Its value and name for those who want to know why a cloudlet was left out.
    pub(super) fn told(&self, facts: &Facts<'_>) -> (String, Value) {
        let value = match self.of(facts) {
            Some(Scalar::Truth(_)) if let Self::Known(variable) = self => {
                return variable.told(facts);
            }
            None => Value::Null,
            Some(Scalar::Number(number)) => json!(number),
            Some(Scalar::Text(text)) => json!(text),
            Some(Scalar::Truth(truth)) => json!(truth),
        };
        (self.to_string(), value)
    }

    /// What to say where it is not known. `alone` tells that the reader sees no other variable.
    pub(super) fn absence(&self, facts: &Facts<'_>, alone: bool) -> String {
        match self {
            Self::Resource(name) => match facts.age_s.filter(|_| facts.is_stale()) {
                Some(age) => format!("last reported {age:.0} s ago"),
                None if alone => "none reported".to_owned(),
                None => format!("no {name} reported"),
            },
            Self::Label(name) => format!("no label {name}"),
            Self::CloudletLatitude | Self::CloudletLongitude => {
                "the cloudlet's location is not known".to_owned()
            }
            Self::ClientLatitude | Self::ClientLongitude => {
                "the client's location is not known".to_owned()
            }
            Self::RoundTrip => "no rtt_ms measured".to_owned(),
            Self::Deployments | Self::Age => "it does not report".to_owned(),
            Self::CloudletName | Self::ClientAddress | Self::Distance | Self::Known(_) => {
                format!("{self} is not known")
            }
        }
    }

    fn of<'a>(&self, facts: &Facts<'a>) -> Option<Scalar<'a>> {
        let client = facts.client;
        let number = match self {
            Self::CloudletName => return Some(Scalar::Text(facts.cloudlet.name.as_str().into())),
            Self::Label(name) => {
                return facts
                    .cloudlet
                    .labels
                    .get(name)
                    .map(|label| Scalar::Text(label.as_str().into()));
            }
            Self::ClientAddress => return Some(Scalar::Text(client.address().to_string().into())),
            Self::Known(variable) => return Some(Scalar::Truth(variable.of(facts).is_some())),
            Self::CloudletLatitude => facts.location().map(|location| location.latitude()),
            Self::CloudletLongitude => facts.location().map(|location| location.longitude()),
            Self::Resource(name) => facts.resource(name),
            Self::ClientLatitude => client.location().map(|location| location.latitude()),
            Self::ClientLongitude => client.location().map(|location| location.longitude()),
            Self::Distance => facts.distance_km,
            Self::RoundTrip => facts.rtt_ms,
            Self::Deployments => facts.deployments,
            Self::Age => facts.age_s,
        };
        number.map(Scalar::Number)
    }

    /// Text that is a number too, so that `double()` of a label can be tried.
    fn sample(&self) -> Scalar<'static> {
        match self {
            Self::CloudletName | Self::Label(_) | Self::ClientAddress => Scalar::Text("1".into()),
            Self::Known(_) => Scalar::Truth(true),
            _ => Scalar::Number(0.5),
        }
    }

    const fn is_always_known(&self) -> bool {
        matches!(self, Self::CloudletName | Self::ClientAddress)
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self {
            Self::Label(name) => return write_path(formatter, "cloudlet.labels", name),
            Self::Resource(name) => return write_path(formatter, "resources", name),
            Self::Known(variable) => return write!(formatter, "has({variable})"),
            Self::CloudletName => "cloudlet.name",
            Self::CloudletLatitude => "cloudlet.location.lat",
            Self::CloudletLongitude => "cloudlet.location.lon",
            Self::ClientAddress => "client.address",
            Self::ClientLatitude => "client.location.lat",
            Self::ClientLongitude => "client.location.lon",
            Self::Distance => "distance_km",
            Self::RoundTrip => "rtt_ms",
            Self::Deployments => "deployments",
            Self::Age => "age_s",
        };
        formatter.write_str(path)
    }
}

/// A name as it has to be written: behind a dot where that is possible.
fn write_path(formatter: &mut fmt::Formatter<'_>, group: &str, name: &str) -> fmt::Result {
    if text::is_identifier(name) {
        write!(formatter, "{group}.{name}")
    } else {
        write!(formatter, "{group}[{name:?}]")
    }
}
