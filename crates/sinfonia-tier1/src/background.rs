//! What Tier 1 does beside requests, each for ever.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_service::readiness::Condition;
use sinfonia_service::recipes::RecipeRepository;

use crate::circuits::Circuits;
use crate::deploy::Budget;
use crate::placements::Placements;
use crate::registry::Registry;

/// Time between two looks for cloudlets that fell silent and placements that ended; small beside the 5 minutes that both have.
const EXPIRIES: Duration = Duration::from_secs(5);
/// Most cloudlets that one line of the log names.
const MOST_NAMED: usize = 10;
/// Time between two looks for circuits that can be forgotten; they are few, and small.
const TIDIES: Duration = Duration::from_secs(60);
/// Time between two looks at the recipe folder.
const FOLDER_CHECKS: Duration = Duration::from_secs(10);

/// Cloudlets to which the same happened at once: how many, and the first of them by name.
#[derive(Debug, Default)]
struct Together {
    count: usize,
    named: Vec<Endpoint>,
}

impl Together {
    fn add(&mut self, endpoints: Vec<Endpoint>) {
        self.count += endpoints.len();
        let room = MOST_NAMED.saturating_sub(self.named.len());
        self.named.extend(endpoints.into_iter().take(room));
    }
}

impl fmt::Display for Together {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<&str> = self.named.iter().map(Endpoint::as_str).collect();
        formatter.write_str(&named.join(", "))?;
        match self.count - named.len() {
            0 => Ok(()),
            more => write!(formatter, " and {more} more"),
        }
    }
}

/// Forgets cloudlets that fell silent, and placements that ended.
pub(crate) async fn expire(registry: Registry, placements: Arc<Placements>) {
    loop {
        tokio::time::sleep(EXPIRIES).await;
        placements.expire(Timestamp::now());
        let (dropped, silent) = expire_all(&registry, Timestamp::now()).await;
        if dropped.count > 0 {
            let count = dropped.count;
            tracing::info!(count, endpoints = %dropped, "cloudlets fell silent and are no longer known");
        }
        if silent.count > 0 {
            let count = silent.count;
            tracing::info!(count, endpoints = %silent, "cloudlets of the file fell silent and have no measurements now");
        }
    }
}

/// All that fell silent: those that are no longer known, and those of the file.
async fn expire_all(registry: &Registry, now: Timestamp) -> (Together, Together) {
    let (mut dropped, mut silent) = (Together::default(), Together::default());
    loop {
        let expired = registry.expire(now);
        if expired.is_empty() {
            return (dropped, silent);
        }
        dropped.add(expired.dropped);
        silent.add(expired.silent);
        // Reports wait for the registry meanwhile.
        tokio::task::yield_now().await;
    }
}

/// Forgets the circuits of cloudlets that are not known any more, and those that have nothing to tell.
pub(crate) async fn tidy_circuits(circuits: Circuits, registry: Registry) {
    loop {
        tokio::time::sleep(TIDIES).await;
        circuits.tidy(Budget::longest(), |endpoint| {
            registry.at(endpoint).is_some()
        });
    }
}

/// Tells whether the folder of recipes can be listed.
pub(crate) async fn watch_folder(recipes: RecipeRepository, folder: PathBuf, condition: Condition) {
    let mut was_there = true;
    loop {
        let is_there = recipes.offered().await.is_some();
        if is_there {
            condition.ready();
        } else {
            condition.not_ready(format_args!("cannot list the folder {}", folder.display()));
        }
        if was_there && !is_there {
            tracing::warn!(folder = %folder.display(), "recipe folder cannot be listed (--recipes)");
        }
        was_there = is_there;
        tokio::time::sleep(FOLDER_CHECKS).await;
    }
}

#[cfg(test)]
mod tests {
    use sinfonia_core::cloudlet::CloudletInfo;
    use sinfonia_service::tokens::Scope;
    use uuid::Uuid;

    use super::*;
    use crate::registry::{FileCloudlet, ReportAuthority};

    #[tokio::test]
    async fn all_that_fell_silent_are_told_in_one_line_and_a_few_of_them_by_name() {
        let registry = Registry::new();
        let of_file = |number| FileCloudlet {
            info: info(number),
            token: None,
        };
        registry.replace_file((0..2).map(of_file).collect());
        for number in 0..1_234 {
            let authority = ReportAuthority::Token(Scope::Any);
            registry.report(info(number), &authority, at(0)).unwrap();
        }

        let (dropped, silent) = expire_all(&registry, at(300)).await;

        let expected: Vec<String> = (2..12).map(url).collect();
        assert_eq!(
            dropped.to_string(),
            format!("{} and 1222 more", expected.join(", "))
        );
        assert_eq!(silent.to_string(), format!("{}, {}", url(0), url(1)));
        assert_eq!((dropped.count, silent.count), (1_232, 2));
    }

    fn info(number: u32) -> CloudletInfo {
        CloudletInfo {
            uuid: Some(Uuid::from_u128(number.into())),
            ..CloudletInfo::at(url(number).parse().unwrap())
        }
    }

    fn url(number: u32) -> String {
        format!("http://cloudlet-{number:04}.example/api/v1/deploy")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }
}
