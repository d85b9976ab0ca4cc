//! A lossy, slow or lying way to the API server, for Tier 2 and for helm: deployments reach their goal all the same, and once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use serde_json::{Value, json};
use sinfonia_testbed::{Answer, ApiCall, Fault, FaultProxy, Rule};

use crate::harness::{Cloudlet, PLAIN, Tier2, eventually};

/// Deployments of a test, so that none meets all faults. Each test has keys of its own, by which it knows what was made for it.
const KEYS: u8 = 4;
/// What a life writes, in the terms of the API server; for helm its own objects.
const WRITES: [(&str, &str); 14] = [
    ("create", "cloudletdeployments"),
    ("patch", "cloudletdeployments"),
    ("delete", "cloudletdeployments"),
    ("update", "cloudletdeployments/status"),
    ("patch", "namespaces"),
    ("patch", "serviceaccounts"),
    ("patch", "rolebindings"),
    ("patch", "peers"),
    ("delete", "peers"),
    ("delete", "namespaces"),
    ("create", "secrets"),
    ("delete", "secrets"),
    ("delete", "configmaps"),
    ("update", "leases"),
];

#[rstest]
#[case::conflict(200, Fault::Answer(Answer::CONFLICT), false)]
#[case::too_many_requests(204, Fault::Answer(Answer::too_many_requests(1)), false)]
#[case::internal_error(208, Fault::Answer(Answer::INTERNAL_ERROR), false)]
#[case::time_out(212, Fault::Answer(Answer::TIMEOUT), false)]
#[case::time_out_after_it_took_effect(216, Fault::Answer(Answer::TIMEOUT), true)]
#[case::cut(220, Fault::Cut, false)]
#[case::cut_after_it_took_effect(224, Fault::Cut, true)]
#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_write_may_fail(#[case] first: u8, #[case] fault: Fault, #[case] after: bool) {
    let cloudlet = Cloudlet::new();
    let proxy = FaultProxy::start(cloudlet.cluster()).unwrap();
    let kubeconfig = cloudlet.kubeconfig_through(&proxy);
    let tier2 = cloudlet.tier2_with("tier2", &kubeconfig, &[]).await;
    let each_once = Arc::new(EachOnce::default());
    let picking = Arc::clone(&each_once);
    let mut rule = Rule::when(move |call| picking.takes(call), fault);
    if after {
        rule = rule.after_it_took_effect();
    }
    proxy.inject(rule);

    live(&cloudlet, &tier2, first).await;

    assert_eq!(each_once.unmet(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_may_be_cut_again_and_again() {
    let cloudlet = Cloudlet::new();
    let proxy = FaultProxy::start(cloudlet.cluster()).unwrap();
    let kubeconfig = cloudlet.kubeconfig_through(&proxy);
    let tier2 = cloudlet.tier2_with("tier2", &kubeconfig, &[]).await;
    let cutting = async {
        loop {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            proxy.cut_connections();
        }
    };

    tokio::select! {
        () = live(&cloudlet, &tier2, 240) => {}
        () = cutting => {}
    }

    assert!(proxy.count("watch", "cloudletdeployments") > 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_may_be_slow() {
    let cloudlet = Cloudlet::new();
    let proxy = FaultProxy::start(cloudlet.cluster()).unwrap();
    let slow = Fault::Delay(Duration::from_millis(200));
    proxy.inject(Rule::on("*", "*", slow));
    let kubeconfig = cloudlet.kubeconfig_through(&proxy);
    let options = ["--leader-lease", "6s"];
    let tier2 = cloudlet.tier2_with("tier2", &kubeconfig, &options).await;

    live(&cloudlet, &tier2, 244).await;
}

#[rstest]
#[case::peer(228, "patch", "peers")]
#[case::status(232, "update", "cloudletdeployments/status")]
#[case::removal(236, "delete", "namespaces")]
#[tokio::test(flavor = "multi_thread")]
async fn a_write_may_hang_for_ever(#[case] first: u8, #[case] verb: &str, #[case] resource: &str) {
    let cloudlet = Cloudlet::new();
    let proxy = FaultProxy::start(cloudlet.cluster()).unwrap();
    let kubeconfig = cloudlet.kubeconfig_through(&proxy);
    let tier2 = cloudlet.tier2_with("tier2", &kubeconfig, &[]).await;
    proxy.inject(Rule::on(verb, resource, Fault::Hang).times(1));

    live(&cloudlet, &tier2, first).await;

    assert!(proxy.count(verb, resource) > 1);
}

/// Deployments that are asked for until they are ready, renewed, and deleted until nothing is left; each is there once.
async fn live(cloudlet: &Cloudlet, tier2: &Tier2, first: u8) {
    let keys = || first..first + KEYS;
    // Where a control plane outlives a test that failed.
    let before = cloudlet.made_for(keys());
    let made = || {
        let mut made = cloudlet.made_for(keys());
        made.retain(|name, _| !before.contains_key(name));
        made
    };
    let granted = join_all(keys().map(|key| until_ready(tier2, key))).await;
    for (deployment, key) in granted.iter().zip(keys()) {
        let name = cloudlet.name_of(key);
        assert_eq!(deployment["DeploymentName"], name);
        assert_eq!(cloudlet.release(&name).as_deref(), Some("deployed"));
    }
    // A Namespace and a Peer of each name, and no other.
    let once = keys().map(|key| (cloudlet.name_of(key), 2)).collect();
    assert_eq!(made(), once);

    for key in keys() {
        let renewed = Timestamp::now() - SignedDuration::from_secs(150);
        let patch = json!({"spec": {"renewed": renewed.to_string()}});
        let cluster = cloudlet.cluster();
        cluster.patch(&cloudlet.record_path(key), &patch).unwrap();
    }
    join_all(keys().map(|key| until_renewed(cloudlet, tier2, key))).await;

    join_all(keys().map(|key| until_deleted(tier2, key))).await;
    eventually(async || {
        let left = (cloudlet.records(), made());
        let nothing = left.0.is_empty() && left.1.is_empty();
        nothing.then_some(()).ok_or(format!("{left:?}"))
    })
    .await;
}

async fn until_renewed(cloudlet: &Cloudlet, tier2: &Tier2, key: u8) {
    eventually(async || {
        until_ready(tier2, key).await;
        let record = cloudlet.record(key).unwrap();
        let renewals = record["spec"]["renewals"].as_u64();
        (renewals > Some(1)).then_some(()).ok_or(record.to_string())
    })
    .await;
}

async fn until_ready(tier2: &Tier2, key: u8) -> Value {
    eventually(async || {
        let mut answer = tier2.post(PLAIN, key).wait(10).answer().await;
        match answer.status {
            200 if answer.body[0]["Ready"] == true => Ok(answer.body[0].take()),
            200 | 503 => Err(format!("{answer:?}")),
            _ => panic!("{answer:?}"),
        }
    })
    .await
}

async fn until_deleted(tier2: &Tier2, key: u8) {
    eventually(async || {
        let answer = tier2.delete(PLAIN, key).answer().await;
        match answer.status {
            204 => Ok(()),
            503 => Err(format!("{answer:?}")),
            _ => panic!("{answer:?}"),
        }
    })
    .await;
}

/// Picks of each kind of write one, and no more than three of one object's.
#[derive(Debug, Default)]
struct EachOnce(Mutex<Picked>);

#[derive(Debug, Default)]
struct Picked {
    kinds: HashSet<(&'static str, String, usize)>,
    by_object: HashMap<String, usize>,
    statuses: HashMap<String, usize>,
}

impl EachOnce {
    /// The kinds of which none was picked.
    fn unmet(&self) -> Vec<(&'static str, &'static str)> {
        let picked = self.0.lock().unwrap();
        let is_met = |(verb, resource): &(&str, &str)| {
            let mut kinds = picked.kinds.iter();
            kinds.any(|(met, of, _)| met == verb && of == resource)
        };
        WRITES.into_iter().filter(|write| !is_met(write)).collect()
    }

    fn takes(&self, call: &ApiCall) -> bool {
        if !WRITES
            .iter()
            .any(|(verb, resource)| call.is(verb, resource))
        {
            return false;
        }
        let mut picked = self.0.lock().unwrap();
        let of_a_record = call.resource.starts_with("cloudletdeployments");
        let object = if of_a_record || call.namespace.is_empty() {
            &call.name
        } else {
            &call.namespace
        };
        // A record's status is written for each of its phases.
        let turn = if call.resource == "cloudletdeployments/status" {
            let turns = picked.statuses.entry(object.clone()).or_default();
            *turns += 1;
            *turns
        } else {
            0
        };
        let met = picked.by_object.get(object).copied().unwrap_or_default();
        let kind = (call.verb, call.resource.clone(), turn);
        if turn > 3 || met >= 3 || !picked.kinds.insert(kind) {
            return false;
        }
        picked.by_object.insert(object.clone(), met + 1);
        true
    }
}
