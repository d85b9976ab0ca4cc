//! Deployments that do not come to run: what is said of them, when they are given up, and what nobody has to wait for.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sinfonia_testbed::FaultProxy;

use crate::harness::{Cloudlet, Tier2, WEB, eventually, items};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pod_waits_for_is_told_live_and_kept_in_the_record() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    tier2.post(WEB, 1).wait(0).granted().await;
    let name = cloudlet.name_of(1);

    let pod = cloudlet.play_container(&name, &json!({"waiting": {"reason": "ContainerCreating"}}));
    cloudlet.happens(&pod, "Pulling", "Pulling image \"web:1\"", 1);

    let pulling = format!("pulling image web:1 (pod {})", pod_name(&pod));
    until_message(&tier2, &pulling).await;
    cloudlet.record_when(1, |record| record["status"]["message"] == pulling.as_str());
    let posted = tier2.post(WEB, 1).wait(0).granted().await;
    assert_eq!(
        (&posted["Ready"], &posted["Message"]),
        (&json!(false), &json!(pulling))
    );

    cloudlet.run_pods(&name, true);
    let record = cloudlet.record_when(1, |record| !record["status"]["firstReady"].is_null());
    assert_eq!(record["status"]["message"], Value::Null);
    assert_eq!(tier2.get(WEB, 1).granted().await["Message"], "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_fails_the_deployment_long_before_its_deadline() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    let waiting = tokio::spawn(tier2.post(WEB, 1).wait(60).answer());
    let name = cloudlet.name_of(1);
    let begun = Instant::now();

    cloudlet.play(&name, &crashes(2));
    let twice = "container web crashed with exit code 137 (OOMKilled), restarted 2 times";
    until_message(&tier2, twice).await;
    cloudlet.play(&name, &crashes(3));

    let answer = waiting.await.unwrap();
    assert_eq!(answer.problem(), (500, Some("not-ready")), "{answer:?}");
    let thrice = "container web crashed with exit code 137 (OOMKilled), restarted 3 times";
    assert_eq!(answer.detail(), thrice);
    assert!(begun.elapsed() < Duration::from_secs(60));
    cloudlet.wait_until_reclaimed(&name);
    let read = tier2.get(WEB, 1).answer().await;
    assert_eq!(read.problem(), (404, Some("not-ready")));
    assert_eq!(read.detail(), thrice);
    let record = cloudlet.record_in(1, "Failed");
    assert_eq!(record["status"]["message"], thrice);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_had_fails_the_deployment_and_one_that_may_come_does_not() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    tier2.post(WEB, 1).wait(0).granted().await;
    let name = cloudlet.name_of(1);
    let refused = |why: &str| json!({"waiting": {"reason": "ErrImagePull", "message": why}});

    let pod = cloudlet.play_container(&name, &refused("dial tcp: i/o timeout"));
    let timeout = "image web:1 cannot be pulled: dial tcp: i/o timeout";
    let timeout = format!("{timeout} (pod {})", pod_name(&pod));
    until_message(&tier2, &timeout).await;
    cloudlet.record_when(1, |record| record["status"]["message"] == timeout.as_str());
    // Far longer than it takes to give up what is hopeless.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(tier2.get(WEB, 1).granted().await["Message"], timeout);
    cloudlet.play_container(&name, &refused("web:1: not found"));

    let record = cloudlet.record_in(1, "Failed");
    assert_eq!(record["status"]["failure"], "not-ready");
    let expected = format!(
        "image web:1 cannot be pulled: not found (pod {})",
        pod_name(&pod)
    );
    assert_eq!(record["status"]["message"], expected);
    cloudlet.wait_until_reclaimed(&name);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pod_security_forbids_fails_the_deployment() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    tier2.post(WEB, 1).wait(0).granted().await;
    let name = cloudlet.name_of(1);
    cloudlet.pod(&name);
    let of_the_node = json!({"spec": {"template": {"spec": {"hostNetwork": true}}}});
    let web = format!("/apis/apps/v1/namespaces/{name}/deployments/web");
    cloudlet.cluster().patch(&web, &of_the_node).unwrap();

    let answer = eventually(async || match tier2.get(WEB, 1).answer().await {
        answer if answer.status == 404 => Ok(answer),
        answer => Err(format!("{answer:?}")),
    })
    .await;

    assert_eq!(answer.problem(), (404, Some("not-ready")));
    let expected = "deployment web cannot create pods: violates PodSecurity \"baseline:latest\": ";
    assert!(answer.detail().starts_with(expected), "{answer:?}");
    cloudlet.wait_until_reclaimed(&name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_was_ready_once_is_not_given_up() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    tier2.post(WEB, 1).wait(0).granted().await;
    let name = cloudlet.name_of(1);
    cloudlet.run_pods(&name, true);
    tier2.post(WEB, 1).wait(60).granted().await;
    cloudlet.record_when(1, |record| !record["status"]["firstReady"].is_null());

    cloudlet.play(&name, &crashes(9));

    let crashed = "container web crashed with exit code 137 (OOMKilled), restarted 9 times";
    until_message(&tier2, crashed).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let deployment = tier2.get(WEB, 1).granted().await;
    assert_eq!(
        (&deployment["Ready"], &deployment["Message"]),
        (&json!(false), &json!(crashed))
    );
    assert_eq!(
        cloudlet.record(1).unwrap()["status"]["message"],
        Value::Null
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_is_not_written_more_often_than_every_two_seconds_nor_on_a_quick_way() {
    let cloudlet = Cloudlet::new();
    let proxy = FaultProxy::start(cloudlet.cluster()).unwrap();
    let tier2 = cloudlet.tier2_through(&proxy, &[]).await;
    let writes = || {
        let calls = proxy.calls();
        calls
            .iter()
            .filter(|call| call.is("update", "cloudletdeployments/status"))
            .count()
    };

    let quick = tokio::spawn(tier2.post(WEB, 1).wait(60).granted());
    cloudlet.run_pods(&cloudlet.name_of(1), true);
    quick.await.unwrap();
    cloudlet.record_when(1, |record| !record["status"]["firstReady"].is_null());
    let (of_a_quick_one, of_events) = (
        writes(),
        proxy
            .calls()
            .iter()
            .filter(|call| call.resource == "events")
            .count(),
    );
    // Started, deployed, ready.
    assert_eq!((of_a_quick_one, of_events), (3, 0));

    tier2.post(WEB, 2).wait(0).granted().await;
    let name = cloudlet.name_of(2);
    cloudlet.pod(&name);
    let before = writes();
    let begun = Instant::now();
    for restarts in 0..30 {
        let message = format!("try {restarts}");
        let waiting = json!({"waiting": {"reason": "CreateContainerError", "message": message}});
        cloudlet.play_container(&name, &waiting);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    cloudlet.record_when(2, |record| {
        let message = record["status"]["message"].as_str();
        message.is_some_and(|message| message.contains("try 29"))
    });

    // One more for the status before, if that came late.
    let most = usize::try_from(begun.elapsed().as_secs() / 2).unwrap() + 2;
    let written = writes() - before;
    assert!((2..=most).contains(&written), "{written} of {most}");
}

impl Cloudlet {
    /// The first pod of a deployment, once it is there.
    fn pod(&self, name: &str) -> Value {
        let pods = self.when(&pods_path(name), |pods| {
            pods.is_some_and(|pods| !items(pods).is_empty())
        });
        items(&pods.unwrap()).swap_remove(0)
    }

    /// Plays kubelet: the container `web` of a deployment's pod is in this state.
    fn play_container(&self, name: &str, state: &Value) -> Value {
        self.play(name, &container(state, 0, &json!({})))
    }

    /// Plays kubelet: a deployment's pod has a node, and a container with this status. Gives the pod.
    fn play(&self, name: &str, container: &Value) -> Value {
        let pod = self.pod(name);
        let status = json!({
            "phase": "Pending",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Ready", "status": "False"},
            ],
            "containerStatuses": [container],
        });
        let path = format!("{}/status", pod_path(&pod));
        self.cluster()
            .patch(&path, &json!({"status": status}))
            .unwrap();
        pod
    }

    /// Plays kubelet: tells that something happened to the container `web` of a pod.
    fn happens(&self, pod: &Value, reason: &str, message: &str, count: u32) {
        let metadata = &pod["metadata"];
        let (name, namespace) = (pod_name(pod), metadata["namespace"].as_str().unwrap());
        let now = jiff::Timestamp::now().to_string();
        let event = json!({
            "metadata": {"name": format!("{name}.{}", reason.to_lowercase()), "namespace": namespace},
            "involvedObject": {
                "kind": "Pod", "name": name, "namespace": namespace, "uid": metadata["uid"],
                "fieldPath": "spec.containers{web}",
            },
            "reason": reason, "message": message, "count": count, "type": "Normal",
            "firstTimestamp": now, "lastTimestamp": now,
        });
        let path = format!("/api/v1/namespaces/{namespace}/events");
        self.cluster().create(&path, &event).unwrap();
    }
}

/// Waits until a deployment says this of itself.
async fn until_message(tier2: &Tier2, expected: &str) {
    eventually(async || {
        let deployment = tier2.get(WEB, 1).answer().await;
        let as_expected = deployment.body["Message"] == expected;
        as_expected.then_some(()).ok_or(format!("{deployment:?}"))
    })
    .await;
}

/// A container that the kernel ends again and again.
fn crashes(restarts: u32) -> Value {
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}});
    let end = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    container(&waiting, restarts, &end)
}

fn container(state: &Value, restarts: u32, last: &Value) -> Value {
    json!({
        "name": "web", "ready": false, "restartCount": restarts, "image": "web:1", "imageID": "",
        "state": state, "lastState": last,
    })
}

fn pod_name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap()
}

fn pods_path(name: &str) -> String {
    format!("/api/v1/namespaces/{name}/pods")
}

fn pod_path(pod: &Value) -> String {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap();
    format!("{}/{}", pods_path(namespace), pod_name(pod))
}
