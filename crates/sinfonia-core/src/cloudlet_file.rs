//! The cloudlet file of Tier 1: a stream of YAML documents, one cloudlet each. A bad file is refused as a whole.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::cloudlet::{CloudletInfo, DisplayName, Resources, normalise_resources};
use crate::diagnostic::Diagnostic;
use crate::endpoint::{Endpoint, EndpointError};
use crate::location::Location;
use crate::metrics::Metrics;
use crate::network::Network;
use crate::text::{self, WrittenText};
use crate::yaml;

/// What is odd about a document of a cloudlet file, but usable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The document's number, from 1 on.
    pub document: usize,
    /// The field.
    pub field: &'static str,
    /// What is odd about it.
    pub message: String,
}

/// A cloudlet of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileEntry {
    /// What the file says of the cloudlet; `uuid` is that of the file or follows from the endpoint.
    pub cloudlet: CloudletInfo,
    /// The file with the token that Tier 1 shows to this cloudlet's Tier 2.
    pub token_file: Option<PathBuf>,
    /// Where its measurements can be fetched.
    pub metrics: Option<Metrics>,
}

/// A good cloudlet file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CloudletFile {
    /// The cloudlets, in the file's order.
    pub entries: Vec<FileEntry>,
    /// What is odd but usable.
    pub warnings: Vec<Warning>,
}

impl CloudletFile {
    /// Reads a cloudlet file.
    ///
    /// # Errors
    /// The first document that cannot be used, with its number, field, line and what would be right.
    pub fn parse(text: &str) -> Result<Self, Diagnostic> {
        let mut file = Self::default();
        let mut seen = Seen::default();
        for (index, document) in yaml::each_document::<Document>(text).enumerate() {
            let number = index + 1;
            let Some(document) = document? else { continue };
            let entry = document.into_entry(number, &mut file.warnings);
            seen.check(text, number, &entry.cloudlet, &mut file.warnings)?;
            file.entries.push(entry);
        }
        Ok(file)
    }
}

impl Warning {
    /// The warning with its place in the text that it is about.
    pub fn locate(&self, text: &str) -> Diagnostic {
        let position = yaml::position_of(text, self.document, self.field);
        Diagnostic::new(text, position, format!("{}: {}", self.field, self.message))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            document,
            field,
            message,
        } = self;
        write!(formatter, "document {document}: {field}: {message}")
    }
}

/// A cloudlet: where its Tier 2 is, where it is on earth, and whom it serves.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[serde(expecting = "a mapping with the fields of a cloudlet")]
#[schemars(rename = "Cloudlet")]
pub(crate) struct Document {
    /// The deploy endpoint of its Tier 2.
    #[schemars(with = "Endpoint")]
    endpoint: WrittenEndpoint,
    /// Its name for people; the endpoint's host where it has none.
    #[schemars(with = "Option<WrittenText>", extend("minLength" = 1))]
    name: Option<DisplayName>,
    /// Where it is; comes before `locations`. Without either, GeoIP places the endpoint's addresses.
    location: Option<Location>,
    /// Where it is, if its Tier 2 manages several sites.
    locations: Option<Vec<Location>>,
    /// Clients in one of these networks are at the cloudlet; without it, those at the endpoint's addresses.
    local_networks: Option<Vec<Network>>,
    /// Clients that it serves; everyone without it.
    accepted_clients: Option<Vec<Network>>,
    /// Clients that it does not serve, whatever else is said.
    rejected_clients: Option<Vec<Network>>,
    /// Measurements that do not change, under the names that reports use: `cpu_ratio`, `net_rx_rate`, …
    resources: Option<Resources>,
    /// Who it is; follows from the endpoint without it.
    uuid: Option<Uuid>,
    /// Properties for policies: region, provider, GPU model, price.
    #[schemars(with = "Option<BTreeMap<String, WrittenText>>")]
    labels: Option<BTreeMap<String, String>>,
    /// The file with the token that its Tier 2 wants to be shown, beside this file.
    #[schemars(with = "Option<WrittenText>")]
    token_file: Option<PathBuf>,
    /// Where its measurements can be fetched.
    metrics: Option<Metrics>,
}

impl Document {
    fn into_entry(self, document: usize, warnings: &mut Vec<Warning>) -> FileEntry {
        let mut warn = |field, message: &str| {
            let message = message.to_owned();
            warnings.push(Warning {
                document,
                field,
                message,
            });
        };
        if self.endpoint.drops_query {
            warn("endpoint", "its query is ignored");
        }
        let mut locations: Vec<Location> = self.location.into_iter().collect();
        locations.extend(unless_empty("locations", self.locations, &mut warn).unwrap_or_default());
        let mut resources = self.resources;
        resources.iter_mut().for_each(normalise_resources);
        let cloudlet = CloudletInfo {
            uuid: Some(self.uuid.unwrap_or_else(|| self.endpoint.value.uuid())),
            name: self.name,
            locations: Some(locations).filter(|locations| !locations.is_empty()),
            local_networks: unless_empty("local_networks", self.local_networks, &mut warn),
            accepted_clients: unless_empty("accepted_clients", self.accepted_clients, &mut warn),
            rejected_clients: unless_empty("rejected_clients", self.rejected_clients, &mut warn),
            resources,
            labels: self.labels,
            ..CloudletInfo::at(self.endpoint.value)
        };
        FileEntry {
            cloudlet,
            token_file: self.token_file,
            metrics: self.metrics,
        }
    }
}

/// An endpoint that remembers whether its text had a query, which is worth a warning.
struct WrittenEndpoint {
    value: Endpoint,
    drops_query: bool,
}

impl FromStr for WrittenEndpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        Ok(Self {
            value: text.parse()?,
            drops_query: Endpoint::drops_query(text),
        })
    }
}

impl<'de> Deserialize<'de> for WrittenEndpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "a URL as text")
    }
}

/// What earlier documents hold, with their numbers.
#[derive(Default)]
struct Seen {
    endpoints: HashMap<Endpoint, usize>,
    uuids: HashMap<Uuid, usize>,
    names: HashMap<DisplayName, usize>,
}

impl Seen {
    fn check(
        &mut self,
        text: &str,
        number: usize,
        cloudlet: &CloudletInfo,
        warnings: &mut Vec<Warning>,
    ) -> Result<(), Diagnostic> {
        let duplicate = |field: &str, value: String, first: usize| {
            let message = format!(
                "{field}: {value} is that of document {first} already; give each cloudlet one document"
            );
            Diagnostic::new(text, yaml::position_of(text, number, field), message)
        };
        if let Some(first) = self.endpoints.insert(cloudlet.endpoint.clone(), number) {
            return Err(duplicate("endpoint", cloudlet.endpoint.to_string(), first));
        }
        if let Some(uuid) = cloudlet.uuid
            && let Some(first) = self.uuids.insert(uuid, number)
        {
            return Err(duplicate("uuid", uuid.to_string(), first));
        }
        if let Some(name) = &cloudlet.name
            && let Some(first) = self.names.insert(name.clone(), number)
        {
            warnings.push(Warning {
                document: number,
                field: "name",
                message: format!("{name} is the name of document {first} too"),
            });
        }
        Ok(())
    }
}

fn unless_empty<T>(
    field: &'static str,
    list: Option<Vec<T>>,
    warn: &mut impl FnMut(&'static str, &str),
) -> Option<Vec<T>> {
    let list = list?;
    if list.is_empty() {
        warn(field, "an empty list counts as absent");
        return None;
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::cloudlet::Measurement;

    const DOCUMENTED: &str = "\
name: Orchestrator@CMU
endpoint: http://cloudlet.elijah.cs.cmu.edu/api/v1/deploy
local_networks: [128.2.0.0/16, 128.237.0.0/16]
location: [40.4439, -79.9444]
accepted_clients: [0.0.0.0/0]
resources: {cpu_ratio: 0.1, mem_ratio: 0.5, gpu_ratio: 0.0, net_tx_rate: 11000, net_rx_rate: 1000}
---
name: Orchestrator@Home
endpoint: http://localhost:5000/api/v1/deploy
location: [40.4465, -79.9032]
local_networks: [192.168.0.0/16]
accepted_clients: [192.168.0.0/16]
";

    #[test]
    fn the_documented_file_is_read() {
        let file = CloudletFile::parse(DOCUMENTED).unwrap();

        let home = CloudletInfo {
            uuid: Some(
                "http://localhost:5000/api/v1/deploy"
                    .parse::<Endpoint>()
                    .unwrap()
                    .uuid(),
            ),
            name: Some("Orchestrator@Home".parse().unwrap()),
            locations: Some(vec![Location::new(40.4465, -79.9032).unwrap()]),
            local_networks: Some(vec!["192.168.0.0/16".parse().unwrap()]),
            accepted_clients: Some(vec!["192.168.0.0/16".parse().unwrap()]),
            ..CloudletInfo::at("http://localhost:5000/api/v1/deploy".parse().unwrap())
        };
        assert_eq!(file.warnings, []);
        assert_eq!(
            file.entries[1],
            FileEntry {
                cloudlet: home,
                token_file: None,
                metrics: None,
            }
        );
        let resources = file.entries[0].cloudlet.resources.as_ref().unwrap();
        assert_eq!(
            resources["net_tx_rate"],
            Measurement::try_from(11000.0).unwrap()
        );
    }

    #[rstest]
    #[case::cloudlets(include_str!("../../../examples/cloudlets.yaml"), 0)]
    #[case::metrics(include_str!("../../../examples/metrics.yaml"), 2)]
    fn the_examples_are_good_files(#[case] text: &str, #[case] expected: usize) {
        let file = CloudletFile::parse(text).unwrap();

        assert_eq!(file.warnings, []);
        let scraped = file.entries.iter().filter(|entry| entry.metrics.is_some());
        assert_eq!((file.entries.len(), scraped.count()), (2, expected));
    }

    #[test]
    fn empty_documents_are_skipped() {
        let file =
            CloudletFile::parse("---\n---\nendpoint: http://c/api/v1/deploy\n---\n# nothing\n")
                .unwrap();

        assert_eq!(file.entries.len(), 1);
        assert_eq!(CloudletFile::parse("").unwrap().entries, []);
    }

    #[test]
    fn location_comes_before_locations() {
        let file = CloudletFile::parse(
            "endpoint: http://c/api/v1/deploy\nlocations: [[1, 2]]\nlocation: [3, 4]\n",
        )
        .unwrap();

        let expected = [
            Location::new(3.0, 4.0).unwrap(),
            Location::new(1.0, 2.0).unwrap(),
        ];
        assert_eq!(
            file.entries[0].cloudlet.locations.as_deref(),
            Some(&expected[..])
        );
    }

    #[test]
    fn a_gpu_ratio_above_1_is_in_per_cent() {
        let text = "endpoint: http://c/api/v1/deploy\nresources: {gpu_ratio: 40, cpu_ratio: 2}\n";

        let file = CloudletFile::parse(text).unwrap();

        let expected = [("cpu_ratio", 2.0), ("gpu_ratio", 0.4)]
            .map(|(name, value)| (name.to_owned(), Measurement::try_from(value).unwrap()));
        assert_eq!(
            file.entries[0].cloudlet.resources,
            Some(Resources::from(expected))
        );
    }

    #[test]
    fn what_is_odd_but_usable_is_warned_about() {
        let text = "\
endpoint: http://c/api/v1/deploy?x=1
name: one
rejected_clients: []
---
endpoint: http://d/api/v1/deploy
name: one
";

        let file = CloudletFile::parse(text).unwrap();

        assert_eq!(file.entries[0].cloudlet.rejected_clients, None);
        let told: Vec<String> = file.warnings.iter().map(Warning::to_string).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        document 1: endpoint: its query is ignored
        document 1: rejected_clients: an empty list counts as absent
        document 2: name: one is the name of document 1 too
        ");
    }

    #[rstest]
    #[case::unknown_field("endpoint: http://d/api/v1/deploy\nnetworks: [10.0.0.0/8]")]
    #[case::no_endpoint("name: two")]
    #[case::endpoint_without_path("name: two\nendpoint: http://d/")]
    #[case::prefix_too_long(
        "endpoint: http://d/api/v1/deploy\naccepted_clients:\n  - 10.0.0.0/8\n  - 10.0.0.0/33"
    )]
    #[case::three_numbers("endpoint: http://d/api/v1/deploy\nlocation: [1, 2, 3]")]
    #[case::beyond_the_pole("endpoint: http://d/api/v1/deploy\nlocations: [[1, 2], [91, 0]]")]
    #[case::a_number_for_a_list("endpoint: http://d/api/v1/deploy\nlocal_networks: 10")]
    #[case::not_finite("endpoint: http://d/api/v1/deploy\nresources: {cpu_ratio: .nan}")]
    #[case::unknown_field_of_metrics(
        "endpoint: http://d/api/v1/deploy\nmetrics:\n  prometheus: http://p/\n  url: http://p/"
    )]
    #[case::not_a_mapping("- endpoint")]
    #[case::same_endpoint("name: two\nendpoint: HTTP://C:80/api/v2/deploy/")]
    #[case::same_uuid(
        "endpoint: http://d/api/v1/deploy\nuuid: 7c9e6679-7425-40de-944b-e07fc1f90ae7"
    )]
    #[case::broken_yaml("endpoint: [http://d/api/v1/deploy")]
    fn a_bad_file_is_refused_with_document_field_and_line(#[case] second: &str) {
        let text = format!(
            "endpoint: http://c/api/v1/deploy\nuuid: 7c9e6679-7425-40de-944b-e07fc1f90ae7\n---\n{second}\n"
        );

        let error = CloudletFile::parse(&text).unwrap_err().to_string();

        let name = std::thread::current()
            .name()
            .unwrap_or_default()
            .rsplit("::")
            .next()
            .unwrap_or_default()
            .to_owned();
        insta::assert_snapshot!(name, error);
    }

    proptest! {
        #[test]
        fn no_file_makes_the_parser_fail_badly(text in "(endpoint|name|location|- |: |\\[|\\]|\\{|&a|\\*a|\n|---\n|[0-9./]{1,8}| ){0,24}") {
            let _ = CloudletFile::parse(&text);
        }
    }
}
