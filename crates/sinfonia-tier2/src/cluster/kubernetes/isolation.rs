//! What keeps a deployment apart from the others and from the cluster: a NetworkPolicy, a ResourceQuota, a LimitRange, and the level of Pod
//! Security that its Namespace enforces. The rights that helm has in the Namespace include none of these.

mod compare;
mod policy;
mod quota;
mod surroundings;
mod wanted;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::try_join_all;
use kube::Client;
use serde_json::{Value, json};
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::isolation::{Limits, PodSecurity};
use tokio::time::{Instant, sleep};

use self::compare::{is_as_wanted, is_counted};
pub(super) use self::surroundings::{NodePlace, Surroundings, networks_of};
use super::objects::{self, MANAGED_BY, MANAGED_BY_LABEL};

/// The name of each object.
const NAME: &str = "sinfonia-isolation";
/// Label of a Namespace with what its pods may do: others are not let in.
const ENFORCE_LABEL: &str = "pod-security.kubernetes.io/enforce";
/// Label with what helm is warned of: a Deployment whose pods will not be let in. Warnings beyond that would be noise.
const WARN_LABEL: &str = "pod-security.kubernetes.io/warn";
/// Kinds and versions of the objects.
const KINDS: [(&str, &str); 3] = [
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("v1", "ResourceQuota"),
    ("v1", "LimitRange"),
];

/// The place of the ResourceQuota among them.
const QUOTA: usize = 1;
/// Longest time that the cluster may need to count for a quota that is new.
const COUNTING: Duration = Duration::from_secs(5);
/// Time between the first two looks, which is usually enough, and longest time between later ones, of which each is twice the one before.
const COUNTING_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_COUNTING_PAUSE: Duration = Duration::from_millis(250);

/// What keeps a deployment apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Isolation {
    pod_security: PodSecurity,
    objects: [Value; 3],
}

/// What is expected to keep a deployment apart.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected<'a> {
    /// Nothing: it is another program's.
    Nothing,
    /// Something: what exactly cannot be told now.
    Something,
    /// This.
    This(&'a Isolation),
}

impl Isolation {
    /// What keeps the deployment of the device with this address apart.
    pub(super) fn new(surroundings: &Surroundings, client: IpAddr, limits: &Limits) -> Self {
        let specs = [
            policy::spec(surroundings, client),
            quota::quota_spec(&limits.quota),
            quota::limits_spec(&limits.quota),
        ];
        let mut specs = specs.into_iter();
        let objects = KINDS.map(|(version, kind)| {
            json!({
                "apiVersion": version,
                "kind": kind,
                "metadata": {"name": NAME, "labels": {MANAGED_BY_LABEL: MANAGED_BY}},
                "spec": specs.next(),
            })
        });
        Self {
            pod_security: limits.pod_security,
            objects,
        }
    }

    /// The objects in the Namespace.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter()
    }

    /// Waits until the cluster has counted what the quota is about: before that, it lets everything through.
    ///
    /// # Errors
    /// The API server does not answer.
    pub(super) async fn until_counted(
        &self,
        client: &Client,
        name: &DeploymentName,
    ) -> Result<bool, kube::Error> {
        let begun = Instant::now();
        let mut pause = COUNTING_PAUSE;
        loop {
            let (version, kind) = KINDS[QUOTA];
            let quota = objects::get(client, name, version, kind, NAME).await?;
            if quota.is_some_and(|quota| is_counted(&self.objects[QUOTA], &quota)) {
                return Ok(true);
            }
            if begun.elapsed() > COUNTING {
                return Ok(false);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_COUNTING_PAUSE);
        }
    }

    /// The labels of the Namespace.
    pub(super) fn labels(&self) -> [(&'static str, String); 2] {
        [ENFORCE_LABEL, WARN_LABEL].map(|label| (label, self.pod_security.to_string()))
    }
}

impl Expected<'_> {
    /// Whether a Namespace with these labels, and what is in it, is as expected.
    ///
    /// # Errors
    /// The API server does not answer.
    pub(super) async fn is_met(
        self,
        client: &Client,
        name: &DeploymentName,
    ) -> Result<bool, kube::Error> {
        if matches!(self, Self::Nothing) {
            return Ok(true);
        }
        let looks = KINDS.map(|(version, kind)| objects::get(client, name, version, kind, NAME));
        let found = try_join_all(looks).await?;
        Ok(found
            .iter()
            .zip(0..)
            .all(|(found, index)| match (found, self) {
                (None, _) => false,
                (Some(found), Self::This(isolation)) => {
                    let wanted = &isolation.objects[index];
                    is_as_wanted(wanted, found) && (index != QUOTA || is_counted(wanted, found))
                }
                (Some(_), Self::Nothing | Self::Something) => true,
            }))
    }

    /// Whether these are labels of a Namespace that enforces what is expected.
    pub(super) fn is_enforced(self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Nothing => true,
            Self::Something => labels.contains_key(ENFORCE_LABEL),
            Self::This(isolation) => {
                let mut wanted = isolation.labels().into_iter();
                wanted.all(|(label, value)| labels.get(label) == Some(&value))
            }
        }
    }
}
