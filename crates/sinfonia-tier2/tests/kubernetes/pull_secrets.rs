//! The Secrets that images are pulled with.

use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::{Cloudlet, PLAIN, Tier2, name_of, namespace_path};

const OPTIONS: [&str; 4] = ["--image-pull-secret", "registry", "--resync-interval", "1s"];

#[tokio::test(flavor = "multi_thread")]
async fn they_are_copied_put_on_the_default_account_and_kept_so() {
    let (cloudlet, tier2) = with_secret().await;

    let deployment = tier2.post(PLAIN, 1).wait(60).granted().await;

    let name = name_of(&deployment);
    let secret = format!("{}/secrets/registry", namespace_path(name));
    let account = format!("{}/serviceaccounts/default", namespace_path(name));
    let has = |data: &'static str| {
        move |found: Option<&Value>| {
            found.is_some_and(|found| found["data"][".dockerconfigjson"] == data)
        }
    };
    let is_on_account = |found: Option<&Value>| {
        found.is_some_and(|found| found["imagePullSecrets"] == json!([{"name": "registry"}]))
    };
    let first = cloudlet.cluster().get_json(&secret).unwrap();
    assert_eq!(first["type"], "kubernetes.io/dockerconfigjson");
    assert!(has("e30=")(Some(&first)), "{first}");
    let found = cloudlet.cluster().find(&account).unwrap();
    assert!(is_on_account(found.as_ref()), "{found:?}");

    let changed = json!({"data": {".dockerconfigjson": "eyAgfQ=="}});
    cloudlet
        .cluster()
        .patch(&cloudlet.secret_path(), &changed)
        .unwrap();
    cloudlet.when(&secret, has("eyAgfQ=="));
    cloudlet.cluster().delete(&secret).unwrap();
    cloudlet.when(&secret, has("eyAgfQ=="));
    let none = json!({"imagePullSecrets": []});
    cloudlet.cluster().patch(&account, &none).unwrap();
    cloudlet.when(&account, is_on_account);
    cloudlet.record_in(1, "Deployed");
}

#[tokio::test(flavor = "multi_thread")]
async fn they_stand_beside_those_of_others() {
    let (cloudlet, tier2) = with_secret().await;
    let deployment = tier2.post(PLAIN, 1).wait(60).granted().await;
    let name = name_of(&deployment);
    let account = format!("{}/serviceaccounts/default", namespace_path(name));

    let of_another = json!({"imagePullSecrets": [{"name": "default-dockercfg"}]});
    cloudlet.cluster().patch(&account, &of_another).unwrap();

    let both = json!([{"name": "default-dockercfg"}, {"name": "registry"}]);
    cloudlet.when(&account, |found| {
        found.is_some_and(|found| found["imagePullSecrets"] == both)
    });
}

#[rstest]
#[case::missing(None, "the cloudlet's image pull secret registry is missing")]
#[case::for_something_else(
    Some("Opaque"),
    "the cloudlet's image pull secret registry is of type Opaque, which pulls no images"
)]
#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_used_is_warned_of_and_told_and_nothing_is_made(
    #[case] secret_type: Option<&str>,
    #[case] expected: &str,
) {
    let cloudlet = Cloudlet::new();
    cloudlet.allow_to_read("registry");
    if let Some(secret_type) = secret_type {
        cloudlet.make_secret(secret_type, "e30=");
    }
    let tier2 = cloudlet.tier2(&OPTIONS).await;

    let answer = tier2.post(PLAIN, 1).wait(60).answer().await;

    assert_eq!(answer.problem(), (500, Some("refused")), "{answer:?}");
    assert_eq!(answer.detail(), expected);
    let name = cloudlet.name_of(1);
    assert_eq!(cloudlet.find_namespace(&name), None);
    assert_eq!(cloudlet.find_peer(&name), None);
    let log = tier2.service().log_text();
    assert!(log.contains("image pull secret cannot be used"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_may_not_be_read_is_told_as_such() {
    let cloudlet = Cloudlet::new();
    cloudlet.make_secret("kubernetes.io/dockerconfigjson", "e30=");
    let tier2 = cloudlet.tier2(&OPTIONS).await;

    let answer = tier2.post(PLAIN, 1).wait(60).answer().await;

    let expected = "the cloudlet may not read its image pull secret registry";
    assert_eq!(answer.detail(), expected, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_runs_outlives_the_secret() {
    let (cloudlet, tier2) = with_secret().await;
    let deployment = tier2.post(PLAIN, 1).wait(60).granted().await;
    cloudlet.record_when(1, |record| !record["status"]["firstReady"].is_null());
    let name = name_of(&deployment);
    let binding = format!(
        "/apis/rbac.authorization.k8s.io/v1/namespaces/{name}/rolebindings/sinfonia-deployer"
    );

    cloudlet.cluster().delete(&cloudlet.secret_path()).unwrap();
    cloudlet.cluster().delete(&binding).unwrap();

    cloudlet.when(&binding, |binding| binding.is_some());
    let again = tier2.post(PLAIN, 1).wait(60).granted().await;
    assert_eq!((name_of(&again), &again["Ready"]), (name, &json!(true)));
    let secret = format!("{}/secrets/registry", namespace_path(name));
    assert!(cloudlet.cluster().find(&secret).unwrap().is_some());
}

/// A cloudlet with a Secret that Tier 2 copies.
async fn with_secret() -> (Cloudlet, Tier2) {
    let cloudlet = Cloudlet::new();
    cloudlet.allow_to_read("registry");
    cloudlet.make_secret("kubernetes.io/dockerconfigjson", "e30=");
    let tier2 = cloudlet.tier2(&OPTIONS).await;
    (cloudlet, tier2)
}

impl Cloudlet {
    fn secret_path(&self) -> String {
        format!("{}/secrets/registry", namespace_path(self.namespace()))
    }

    fn make_secret(&self, secret_type: &str, data: &str) {
        let secret = json!({
            "metadata": {"name": "registry"},
            "type": secret_type,
            "data": {".dockerconfigjson": data},
        });
        let path = format!("{}/secrets", namespace_path(self.namespace()));
        self.cluster().create(&path, &secret).unwrap();
    }

    /// Lets Tier 2 read a Secret, as an operator does who names it.
    fn allow_to_read(&self, secret: &str) {
        let rule = json!({
            "apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret], "verbs": ["get"],
        });
        let role = json!({"metadata": {"name": "pull"}, "rules": [rule]});
        let binding = json!({
            "metadata": {"name": "pull"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pull"},
            "subjects": [{"kind": "ServiceAccount", "name": "sinfonia-tier2", "namespace": self.namespace()}],
        });
        let rights = format!(
            "/apis/rbac.authorization.k8s.io/v1/namespaces/{}",
            self.namespace()
        );
        for (kind, object) in [("roles", role), ("rolebindings", binding)] {
            self.cluster()
                .create(&format!("{rights}/{kind}"), &object)
                .unwrap();
        }
    }
}
