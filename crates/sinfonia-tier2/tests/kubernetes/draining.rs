//! Draining by the operator: what the command says, and what every replica makes of it.

use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Cloudlet, PLAIN, Tier2, eventually, name_of};

/// What a command said and ended with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_replica_keeps_what_there_is_and_takes_nothing_new_until_it_is_over() {
    let cloudlet = Cloudlet::new();
    let replicas = [
        cloudlet
            .tier2_with("first", cloudlet.kubeconfig(), &[])
            .await,
        cloudlet
            .tier2_with("second", cloudlet.kubeconfig(), &[])
            .await,
    ];
    let there = replicas[0].post(PLAIN, 1).wait(60).granted().await;

    let told = operate(&cloudlet, &["drain", "--reason", "new disks"]);

    let namespace = cloudlet.namespace();
    let expected = format!("{namespace}: draining: 1 deployment goes on, no new ones\n");
    assert_eq!(told, done(&expected));
    for (tier2, key) in replicas.iter().zip([2, 3]) {
        knows(tier2, "draining: no new deployments are taken", "new disks").await;
        refuses(&cloudlet, tier2, key).await;
        let renewed = tier2.post(PLAIN, 1).granted().await;
        assert_eq!(name_of(&renewed), name_of(&there));
        assert_eq!(tier2.readiness().await.status, 200);
    }
    assert_eq!(cloudlet.records().len(), 1);
    cloudlet.check_invariants().await;

    // It outlasts a restart, and who starts never takes one.
    let [first, second] = replicas;
    first.kill();
    let first = cloudlet
        .tier2_with("third", cloudlet.kubeconfig(), &[])
        .await;
    refuses(&cloudlet, &first, 2).await;

    let again = operate(&cloudlet, &["drain"]);
    let expected = format!("{namespace}: draining already: 1 deployment goes on, no new ones\n");
    assert_eq!(again, done(&expected));
    let over = operate(&cloudlet, &["undrain"]);
    let expected = format!("{namespace}: not draining any more, new deployments are taken\n");
    assert_eq!(over, done(&expected));
    for (tier2, key) in [(&first, 2), (&second, 3)] {
        knows(tier2, "draining is over", "").await;
        tier2.post(PLAIN, key).wait(60).granted().await;
    }
    let again = operate(&cloudlet, &["undrain"]);
    let expected = format!("{namespace}: not draining, new deployments are taken\n");
    assert_eq!(again, done(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_makes_by_hand_counts_alike_and_has_no_control_over_terminals() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    let path = format!("/api/v1/namespaces/{}/configmaps", cloudlet.namespace());
    let object = json!({
        "metadata": {"name": "sinfonia-tier2-drain"},
        "data": {"reason": "new\u{1b}[1m\ndisks"},
    });

    cloudlet.cluster().create(&path, &object).unwrap();

    knows(&tier2, "draining: no new deployments are taken", "disks").await;
    let refused = tier2.post(PLAIN, 1).answer().await;
    let expected = "the cloudlet takes no new deployments at present: new [1m disks";
    assert_eq!((refused.status, refused.detail()), (503, expected));
    let other = operate(&cloudlet, &["drain", "--reason", "no disks"]);
    let expected = format!(
        "{}: draining already, for another reason now: nothing is deployed, no new ones\n",
        cloudlet.namespace()
    );
    assert_eq!(other, done(&expected));
    assert_eq!(
        operate(&cloudlet, &["drain"]).stdout,
        format!(
            "{}: draining already: nothing is deployed, no new ones\n",
            cloudlet.namespace()
        )
    );
    let kept = cloudlet
        .cluster()
        .get_json(&format!("{path}/sinfonia-tier2-drain"))
        .unwrap();
    assert_eq!(kept["data"]["reason"], "no disks");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_without_a_tier_2_cannot_be_drained() {
    let cloudlet = Cloudlet::new();
    let namespace = cloudlet.cluster().namespace("empty").unwrap();
    let administrator = &cloudlet.cluster().kubeconfig();

    for command in ["drain", "undrain"] {
        let said = run(
            administrator,
            &[command, "--namespace", namespace.name()],
            &[],
        );

        let stderr = format!(
            "error: no Tier 2 works in the namespace {}\nhint: name the namespace of its records with --namespace; kubectl get cld -A lists them\n",
            namespace.name()
        );
        let expected = Said {
            code: Some(1),
            stdout: String::new(),
            stderr,
        };
        assert_eq!(said, expected);
    }
    let path = format!(
        "/api/v1/namespaces/{}/configmaps/sinfonia-tier2-drain",
        namespace.name()
    );
    assert_eq!(cloudlet.cluster().find(&path).unwrap(), None::<Value>);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_options_of_its_own_has_those_before_it() {
    let cloudlet = Cloudlet::new();
    let _tier2 = cloudlet.tier2(&[]).await;
    let administrator = &cloudlet.cluster().kubeconfig();

    let said = run(
        administrator,
        &[],
        &["--namespace", cloudlet.namespace(), "undrain"],
    );

    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.starts_with(cloudlet.namespace()), "{said:?}");
}

/// Runs a command of Tier 2 with Tier 2's own rights.
pub(crate) fn operate(cloudlet: &Cloudlet, arguments: &[&str]) -> Said {
    run(cloudlet.kubeconfig(), arguments, &[])
}

/// Runs a command of Tier 2 with these credentials, arguments before `--kubeconfig` and behind it.
pub(crate) fn run(kubeconfig: &Path, before: &[&str], behind: &[&str]) -> Said {
    let ran = Command::new(env!("CARGO_BIN_EXE_sinfonia-tier2"))
        .env_clear()
        .args(before)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(behind)
        .output()
        .unwrap();
    Said {
        code: ran.status.code(),
        stdout: String::from_utf8(ran.stdout).unwrap(),
        stderr: String::from_utf8(ran.stderr).unwrap(),
    }
}

fn done(stdout: &str) -> Said {
    Said {
        code: Some(0),
        stdout: stdout.to_owned(),
        stderr: String::new(),
    }
}

/// Waits until a replica has logged a line with these two parts.
async fn knows(tier2: &Tier2, message: &str, more: &str) {
    eventually(async || {
        let log = tier2.service().log_text();
        let told = |line: &str| line.contains(message) && line.contains(more);
        log.lines().any(told).then_some(()).ok_or(log)
    })
    .await;
}

/// Asserts that a key which no other test uses gets nothing.
async fn refuses(cloudlet: &Cloudlet, tier2: &Tier2, key: u8) {
    let key = cloudlet.own_key(key).url_safe();
    let path = format!("/api/v1/deploy/{PLAIN}/{key}");
    let refused = tier2.ask(Method::POST, &path).wait(60).answer().await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.headers["retry-after"], "60");
    let expected = "the cloudlet takes no new deployments at present: new disks";
    assert_eq!(refused.detail(), expected);
}
