//! The Secrets that images are pulled with: copies of Tier 2's own in each deployment's Namespace, on its `default` ServiceAccount, so that
//! charts need not name them.
//!
//! Tier 2 may read exactly the Secrets that it copies. It reads and writes the copies as the deployment's ServiceAccount, which has these
//! rights in its own Namespace anyway; so neither Tier 2 nor helm gets a right for it that reaches further.

use std::time::Duration;

use http::Request;
use http::header::CONTENT_TYPE;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::lifecycle::{Failure, FailureClass, Line};
use sinfonia_service::reload::causes;
use tokio::time::{Instant, sleep};

use super::FIELD_MANAGER;
use super::objects::{self, MANAGED_BY, MANAGED_BY_LABEL, deployer_account};
use crate::settings::SecretName;

/// The types of Secrets that images are pulled with.
const TYPES: [&str; 2] = ["kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"];
/// The ServiceAccount of Pods that name none.
const DEFAULT_ACCOUNT: &str = "default";
/// Time in which an API server learns of the RoleBinding that was just made.
const RIGHTS_LAG: Duration = Duration::from_secs(2);
/// Time between two tries meanwhile.
const RIGHTS_PAUSE: Duration = Duration::from_millis(50);
/// Time between two looks at Tier 2's own Secrets while the API server does not answer.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Why Secrets cannot be copied.
#[derive(Debug, thiserror::Error)]
pub(super) enum PullSecretError {
    /// There is none.
    #[error("the cloudlet's image pull secret {0} is missing")]
    Missing(SecretName),
    /// It is for something else.
    #[error("the cloudlet's image pull secret {name} is of type {found}, which pulls no images")]
    WrongType {
        /// The Secret.
        name: SecretName,
        /// Its type.
        found: Line,
    },
    /// The operator has not allowed it.
    #[error("the cloudlet may not read its image pull secret {0}")]
    Denied(SecretName),
    /// The API server does not answer.
    #[error("the image pull secret {name} cannot be read")]
    Ask {
        /// The Secret.
        name: SecretName,
        /// What was said.
        #[source]
        source: kube::Error,
    },
}

/// The Secrets of Tier 2 that are copied.
#[derive(Clone)]
pub(super) struct PullSecrets {
    client: Client,
    /// Where they are.
    namespace: String,
    names: Vec<SecretName>,
}

impl PullSecretError {
    /// What callers are told where trying again does not help.
    pub(super) fn failure(&self) -> Option<Failure> {
        match self {
            Self::Missing(_) | Self::WrongType { .. } | Self::Denied(_) => Some(Failure {
                class: FailureClass::Refused,
                message: self.to_string(),
                detail: None,
            }),
            Self::Ask { .. } => None,
        }
    }
}

impl PullSecrets {
    /// The Secrets of these names in Tier 2's own Namespace.
    pub(super) const fn new(client: Client, namespace: String, names: Vec<SecretName>) -> Self {
        Self {
            client,
            namespace,
            names,
        }
    }

    /// Whether there are any.
    pub(super) const fn are_wanted(&self) -> bool {
        !self.names.is_empty()
    }

    /// All of them, as they are now.
    ///
    /// # Errors
    /// One cannot be used.
    pub(super) async fn read(&self) -> Result<Vec<Secret>, PullSecretError> {
        let mut secrets = Vec::with_capacity(self.names.len());
        for name in &self.names {
            secrets.push(self.read_one(name).await?);
        }
        Ok(secrets)
    }

    async fn read_one(&self, name: &SecretName) -> Result<Secret, PullSecretError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let secret = match api.get_opt(name.as_str()).await {
            Ok(secret) => secret.ok_or_else(|| PullSecretError::Missing(name.clone()))?,
            Err(kube::Error::Api(status)) if status.code == 403 => {
                return Err(PullSecretError::Denied(name.clone()));
            }
            Err(source) => {
                let name = name.clone();
                return Err(PullSecretError::Ask { name, source });
            }
        };
        let found = secret.type_.as_deref().unwrap_or_default();
        if TYPES.contains(&found) {
            return Ok(secret);
        }
        Err(PullSecretError::WrongType {
            name: name.clone(),
            found: Line::new(found),
        })
    }

    /// Copies Secrets into a deployment's Namespace, which has all that helm needs to act in it, and puts them on its `default`
    /// ServiceAccount.
    ///
    /// # Errors
    /// The API server does not answer or refuses it.
    pub(super) async fn put(
        &self,
        name: &DeploymentName,
        secrets: &[Secret],
    ) -> Result<(), kube::Error> {
        if secrets.is_empty() {
            return Ok(());
        }
        for secret in secrets {
            self.put_one(name, secret).await?;
        }
        self.add_to_default_account(name, secrets).await
    }

    /// Has the ServiceAccount name the copies beside what others have put there: a list of ours alone would be undone by them for ever.
    async fn add_to_default_account(
        &self,
        name: &DeploymentName,
        secrets: &[Secret],
    ) -> Result<(), kube::Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name.as_str());
        let Some(account) = accounts.get_opt(DEFAULT_ACCOUNT).await? else {
            // The cluster makes it too, and keeps what is there when it comes second.
            let account = default_account(&names_of(secrets), None);
            return objects::apply(&self.client, Some(name), &account).await;
        };
        let mut held = held_by(&account);
        let missing: Vec<String> = names_of(secrets)
            .into_iter()
            .filter(|secret| !held.contains(secret))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        held.extend(missing);
        let patch = default_account(&held, account.resource_version());
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        accounts
            .patch(DEFAULT_ACCOUNT, &parameters, &Patch::Merge(&patch))
            .await?;
        Ok(())
    }

    async fn put_one(&self, name: &DeploymentName, secret: &Secret) -> Result<(), kube::Error> {
        let begun = Instant::now();
        loop {
            match self.apply_as_deployer(name, secret).await {
                Err(kube::Error::Api(status))
                    if status.code == 403 && begun.elapsed() < RIGHTS_LAG =>
                {
                    sleep(RIGHTS_PAUSE).await;
                }
                done => return done,
            }
        }
    }

    async fn apply_as_deployer(
        &self,
        name: &DeploymentName,
        secret: &Secret,
    ) -> Result<(), kube::Error> {
        let path = format!(
            "{}?fieldManager={FIELD_MANAGER}&force=true",
            path_of(name, secret)
        );
        let request = Request::patch(path)
            .header(CONTENT_TYPE, "application/apply-patch+yaml")
            .header("impersonate-user", deployer_account(name))
            .body(copy(secret).to_string().into_bytes())
            .map_err(kube::Error::HttpError)?;
        self.client.request::<IgnoredAny>(request).await?;
        Ok(())
    }

    /// Whether a deployment's Namespace, which has all that helm needs to act in it, has the copies as they are to be. A Secret of Tier 2's
    /// that cannot be used now is no reason to touch what is there.
    ///
    /// # Errors
    /// The API server does not answer.
    pub(super) async fn are_in_place(&self, name: &DeploymentName) -> Result<bool, kube::Error> {
        let secrets = match self.read().await {
            Ok(secrets) => secrets,
            Err(PullSecretError::Ask { source, .. }) => return Err(source),
            Err(_) => return Ok(true),
        };
        for secret in &secrets {
            let found = self.find_as_deployer(name, secret).await?;
            if !found.is_some_and(|found| found.type_ == secret.type_ && found.data == secret.data)
            {
                return Ok(false);
            }
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name.as_str());
        let account = accounts.get_opt(DEFAULT_ACCOUNT).await?;
        let held = account.as_ref().map(held_by).unwrap_or_default();
        Ok(names_of(&secrets).iter().all(|name| held.contains(name)))
    }

    async fn find_as_deployer(
        &self,
        name: &DeploymentName,
        secret: &Secret,
    ) -> Result<Option<Secret>, kube::Error> {
        let request = Request::get(path_of(name, secret))
            .header("impersonate-user", deployer_account(name))
            .body(Vec::new())
            .map_err(kube::Error::HttpError)?;
        match self.client.request(request).await {
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Looks once at each Secret of Tier 2's, as soon as the API server answers, and warns of those that cannot be used.
    pub(super) async fn look(&self) {
        for name in &self.names {
            while let Err(error) = self.read_one(name).await {
                let cause = causes(&error);
                tracing::warn!(%error, cause, "image pull secret cannot be used (--image-pull-secret), deployments fail without it");
                if error.failure().is_some() {
                    break;
                }
                sleep(LOOK_INTERVAL).await;
            }
        }
    }
}

fn path_of(name: &DeploymentName, secret: &Secret) -> String {
    let secret = secret.name_any();
    format!("/api/v1/namespaces/{name}/secrets/{secret}")
}

/// What a Secret is in a deployment's Namespace.
fn copy(secret: &Secret) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret.name_any(), "labels": {MANAGED_BY_LABEL: MANAGED_BY}},
        "type": secret.type_,
        "data": secret.data,
    })
}

fn names_of(secrets: &[Secret]) -> Vec<String> {
    secrets.iter().map(ResourceExt::name_any).collect()
}

/// The Secrets that a ServiceAccount pulls images with.
fn held_by(account: &ServiceAccount) -> Vec<String> {
    let held = account.image_pull_secrets.iter().flatten();
    held.map(|secret| secret.name.clone()).collect()
}

/// The ServiceAccount of Pods that name none, with these Secrets, where nobody has changed it since this version.
fn default_account(secrets: &[String], version: Option<String>) -> Value {
    let names = secrets.iter().map(|name| json!({"name": name}));
    let mut metadata = json!({"name": DEFAULT_ACCOUNT});
    if let Some(version) = version {
        metadata["resourceVersion"] = json!(version);
    }
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata,
        "imagePullSecrets": names.collect::<Vec<_>>(),
    })
}
