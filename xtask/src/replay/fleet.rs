//! A fleet: a cloudlet file whose cloudlets say how many deployments they hold.

use anyhow::{anyhow, ensure};
use serde::de::IgnoredAny;
use sinfonia_core::cloudlet::{Cloudlet, CloudletInfo, Surroundings};
use sinfonia_core::cloudlet_file::CloudletFile;
use sinfonia_core::yaml;

/// The resource that tells how many deployments a cloudlet holds at once.
const CAPACITY: &str = "capacity";
/// Most deployments that a cloudlet may be said to hold.
const MOST_CAPACITY: f64 = 1e6;

/// A cloudlet with its size.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Site {
    /// The cloudlet as the file describes it.
    pub(crate) cloudlet: Cloudlet,
    /// Deployments that it holds at once, at least 1.
    pub(crate) capacity: u32,
}

/// A fleet, and what is odd about its file but usable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fleet {
    /// Its cloudlets, in the file's order.
    pub(crate) sites: Vec<Site>,
    /// Warnings, each with document and field.
    pub(crate) warnings: Vec<String>,
}

/// Reads a fleet. Names are not resolved: cloudlets are where the file says, and in no network that it does not name.
///
/// # Errors
/// The first document that cannot be used, with line, field and what is expected; or there is no cloudlet.
pub(crate) fn parse(text: &str) -> anyhow::Result<Fleet> {
    let file = CloudletFile::parse(text)?;
    ensure!(!file.entries.is_empty(), "it holds no cloudlets");
    let numbered = (1..).zip(yaml::documents::<IgnoredAny>(text)?);
    let numbers = numbered.filter_map(|(number, document)| document.map(|_| number));
    let sites = file.entries.into_iter().zip(numbers);
    let sites = sites.map(|(entry, number)| {
        let capacity = capacity(&entry.cloudlet).map_err(|fault| {
            let position = yaml::position_of(text, number, "resources");
            anyhow!("{position}: resources.{CAPACITY}: {fault}")
        })?;
        Ok(Site {
            cloudlet: Cloudlet::new(entry.cloudlet, &Surroundings::default()),
            capacity,
        })
    });
    Ok(Fleet {
        sites: sites.collect::<anyhow::Result<_>>()?,
        warnings: file.warnings.iter().map(ToString::to_string).collect(),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is a whole number within the bounds"
)]
fn capacity(cloudlet: &CloudletInfo) -> anyhow::Result<u32> {
    let expected = "the deployments that it holds at once, such as `resources: {capacity: 40}`";
    let resources = cloudlet.resources.as_ref();
    let capacity = resources
        .and_then(|resources| resources.get(CAPACITY))
        .ok_or_else(|| anyhow!("missing: expected {expected}"))?
        .value();
    ensure!(
        capacity.fract() == 0.0 && (1.0..=MOST_CAPACITY).contains(&capacity),
        "{capacity} is not a whole number from 1 to {MOST_CAPACITY}: expected {expected}"
    );
    Ok(capacity as u32)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_cloudlet_says_how_many_deployments_it_holds() {
        let text = "\
# Two, with an empty document between them.
endpoint: http://a/api/v1/deploy
resources: {capacity: 40, price: 0.2}
---
---
endpoint: http://b/api/v1/deploy
resources: {capacity: 1}
rejected_clients: []
";

        let fleet = parse(text).unwrap();

        let told = fleet
            .sites
            .iter()
            .map(|site| (site.cloudlet.name.as_str(), site.capacity));
        assert_eq!(told.collect::<Vec<_>>(), [("a", 40), ("b", 1)]);
        assert_eq!(
            fleet.warnings,
            ["document 3: rejected_clients: an empty list counts as absent"]
        );
    }

    #[rstest]
    #[case::no_cloudlets("---\n", "it holds no cloudlets")]
    #[case::no_capacity(
        "endpoint: http://a/api/v1/deploy\n",
        "document 1: resources.capacity: missing: expected the deployments that it holds at once, such as `resources: {capacity: 40}`"
    )]
    #[case::half_a_deployment(
        "---\n---\nendpoint: http://a/api/v1/deploy\nresources: {capacity: 1.5}\n",
        "document 2, line 4, column 12: resources.capacity: 1.5 is not a whole number from 1 to 1000000: \
         expected the deployments that it holds at once, such as `resources: {capacity: 40}`"
    )]
    #[case::nothing(
        "endpoint: http://a/api/v1/deploy\nresources:\n  capacity: 0\n",
        "document 1, line 3, column 3: resources.capacity: 0 is not a whole number from 1 to 1000000: \
         expected the deployments that it holds at once, such as `resources: {capacity: 40}`"
    )]
    #[case::unknown_field(
        "endpoint: http://a/api/v1/deploy\ncapacity: 3\n",
        "document 1, line 2, column 1: unknown field `capacity`, expected one of `endpoint`, `name`, `location`, `locations`, \
         `local_networks`, `accepted_clients`, `rejected_clients`, `resources`, `uuid`, `labels`, `token_file`, `metrics`"
    )]
    fn a_bad_fleet_is_refused_with_what_is_expected(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(parse(text).unwrap_err().to_string(), expected);
    }
}
