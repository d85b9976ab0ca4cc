//! All three tiers, with two Tier 2s on Kubernetes control planes of their own: one that fails is passed over within the request, and
//! keeps nothing of what it did in vain.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sinfonia_testbed::{
    Cloudlet, ControlPlane, Programs, ReservedPort, Service, SharedCluster, TestFolder,
    unique_name, write_chart,
};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::support::{ALLOW_LOOPBACK, DEVICE, OTHER, Ran, World, eventually, logged};

/// A chart without workloads, because nobody runs pods here.
const CONFIG_MAP: (&str, &str) = (
    "templates/greeting.yaml",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: greeting}\ndata: {greeting: hello}\n",
);
/// A helm that can do nothing but say its version.
const BROKEN_HELM: &str = "#!/bin/sh\n[ \"$1\" = version ] && echo v4.0.0 && exit\necho 'Error: out of order' >&2\nexit 1\n";
/// A helm that does nothing, slowly, and tells in `<itself>.called` that it was asked to.
const SLOW_HELM: &str =
    "#!/bin/sh\n[ \"$1\" = version ] && echo v4.0.0 && exit\ntouch \"$0.called\"\nsleep 60\n";
/// Where the two cloudlets are, as a report says it.
const NEAR: &str = "40.4439,-79.9444";
const FAR: &str = "48.8566,2.3522";

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_api_server_is_gone_is_passed_over_and_serves_again_when_it_is_back() {
    let mut edge = Edge::new().await;
    let near = edge.tier2("near", NEAR, &edge.near, &edge.helm()).await;
    let far = edge.tier2("far", FAR, &edge.far, &edge.helm()).await;
    for reporter in [&near, &far] {
        logged(reporter, "reports are accepted").await;
    }
    let known = edge
        .world
        .get(&format!("{}/api/v1/cloudlets", edge.tier1.url()))
        .await;

    let first = json_of(
        &edge
            .tier3(&["deploy", "helloworld", "--location", DEVICE, "-o", "json"])
            .await,
    );
    let status = json_of(&edge.tier3(&["status", "helloworld", "-o", "json"]).await);
    edge.second.stop_api_server();
    let second = json_of(
        &edge
            .tier3(&["deploy", OTHER, "--location", DEVICE, "-o", "json"])
            .await,
    );
    let elsewhere = json_of(&edge.tier3(&["status", OTHER, "-o", "json"]).await);
    let deleted = edge.tier3(&["delete", OTHER]).await;
    edge.second.start_api_server().unwrap();

    let (near_name, far_name) = (name_of(&first[0]), name_of(&second[0]));
    for (cloudlet, tier2) in [(&edge.near, &near), (&edge.far, &far)] {
        let uuid = uuid_of(cloudlet, tier2);
        let mut known = known.json().as_array().unwrap().clone();
        known.retain(|known| known["uuid"] == uuid);
        assert_eq!(known.len(), 1, "{uuid}");
        assert_eq!(
            known[0]
                .get("resources")
                .and_then(Value::as_object)
                .map_or(0, |all| all.len()),
            0
        );
    }
    for (deployment, cloudlet) in [(&first[0], "near"), (&second[0], "far")] {
        assert_eq!(deployment["Cloudlet"]["name"], cloudlet);
        assert_eq!(deployment["Status"], "Deployed");
        assert_eq!(deployment["Ready"], true);
    }
    assert_eq!(
        [name_of(&status), name_of(&elsewhere)],
        [near_name.clone(), far_name.clone()]
    );
    assert!(holds(&edge.near, &near_name) && !holds(&edge.far, &near_name));
    assert_eq!(
        (deleted.code, deleted.stdout.as_str()),
        (0, ""),
        "{}",
        deleted.stderr
    );
    gone(&edge.far, &far_name).await;
    let back = eventually("the near cluster serves again", async || {
        let again = json_of(
            &edge
                .tier3(&["deploy", OTHER, "--location", DEVICE, "-o", "json"])
                .await,
        );
        (again[0]["Cloudlet"]["name"] == "near").then(|| name_of(&again[0]))
    });
    let back = back.await;
    for application in ["helloworld", OTHER] {
        let deleted = edge.tier3(&["delete", application]).await;
        assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    }
    for name in [&near_name, &back] {
        gone(&edge.near, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_helm_is_broken_is_passed_over_and_keeps_nothing() {
    let edge = Edge::new().await;
    let near = edge
        .tier2(
            "near",
            NEAR,
            &edge.near,
            &edge.script("broken-helm", BROKEN_HELM),
        )
        .await;
    let far = edge.tier2("far", FAR, &edge.far, &edge.helm()).await;
    for reporter in [&near, &far] {
        logged(reporter, "reports are accepted").await;
    }

    let answer = json_of(
        &edge
            .tier3(&["deploy", "helloworld", "--location", DEVICE, "-o", "json"])
            .await,
    );

    assert_eq!(answer[0]["Cloudlet"]["name"], "far");
    assert!(holds(&edge.far, &name_of(&answer[0])));
    logged(&near, "installation failed").await;
    eventually("the near cluster has no record any more", async || {
        let records = edge
            .near
            .cluster()
            .get_json(&edge.near.records_path())
            .unwrap();
        records["items"]
            .as_array()
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    let peers = edge
        .near
        .cluster()
        .get_json("/apis/kilo.squat.ai/v1alpha1/peers")
        .unwrap();
    assert_eq!(peers["items"].as_array().map(Vec::len), Some(0));
    let path = "/api/v1/namespaces?labelSelector=findcloudlet.org%3Ddeployment";
    eventually(
        "the near cluster has no namespace of a deployment any more",
        async || {
            let namespaces = edge.near.cluster().get_json(path).unwrap();
            namespaces["items"]
                .as_array()
                .unwrap()
                .is_empty()
                .then_some(())
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_2_that_dies_at_work_is_passed_over_within_the_request() {
    let edge = Edge::new().await;
    let helm = edge.script("slow-helm", SLOW_HELM);
    let near = edge.tier2("near", NEAR, &edge.near, &helm).await;
    let far = edge.tier2("far", FAR, &edge.far, &edge.helm()).await;
    for reporter in [&near, &far] {
        logged(reporter, "reports are accepted").await;
    }
    let arguments = ["deploy", "helloworld", "--location", DEVICE, "-o", "json"];
    let called = helm.with_extension("called");
    let killed = async {
        eventually("helm is at work", async || called.exists().then_some(())).await;
        spawn_blocking(move || near.kill()).await.unwrap().unwrap()
    };

    let (ran, _) = tokio::join!(edge.tier3(&arguments), killed);

    let answer = json_of(&ran);
    assert_eq!(answer[0]["Cloudlet"]["name"], "far");
    assert_eq!(answer[0]["Ready"], true);
    assert!(holds(&edge.far, &name_of(&answer[0])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_drains_is_passed_over_until_it_does_not_and_keeps_who_is_there() {
    let edge = Edge::new().await;
    let near = edge.tier2("near", NEAR, &edge.near, &edge.helm()).await;
    let far = edge.tier2("far", FAR, &edge.far, &edge.helm()).await;
    for reporter in [&near, &far] {
        logged(reporter, "reports are accepted").await;
    }
    let deploy = async |application: &str| {
        let arguments = ["deploy", application, "--location", DEVICE, "-o", "json"];
        json_of(&edge.tier3(&arguments).await)
    };
    let there = deploy("helloworld").await;

    let drained = edge.operate_near(&["drain", "--reason", "new disks"]).await;
    edge.near_is_known_to_drain(true).await;
    let candidates = edge
        .tier3(&["candidates", OTHER, "--location", DEVICE, "-o", "json"])
        .await;
    let renewed = deploy("helloworld").await;
    let new = deploy(OTHER).await;
    let deleted = edge.tier3(&["delete", OTHER]).await;
    let undrained = edge.operate_near(&["undrain"]).await;
    edge.near_is_known_to_drain(false).await;
    let back = deploy(OTHER).await;

    assert!(
        drained.contains("1 deployment goes on, no new ones"),
        "{drained}"
    );
    assert!(
        undrained.contains("new deployments are taken"),
        "{undrained}"
    );
    let candidates = json_of(&candidates);
    let order: Vec<_> = candidates.as_array().unwrap().iter().collect();
    let names: Vec<_> = order.iter().map(|known| &known["name"]).collect();
    assert_eq!(names, ["far", "near"]);
    assert_eq!(there[0]["Cloudlet"]["name"], "near");
    assert_eq!(name_of(&renewed[0]), name_of(&there[0]));
    assert_eq!(renewed[0]["Ready"], true);
    assert_eq!(new[0]["Cloudlet"]["name"], "far");
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    assert_eq!(back[0]["Cloudlet"]["name"], "near");
}

/// Two clusters and a Tier 1 that learns of their Tier 2s from their reports.
struct Edge {
    near: Cloudlet,
    far: Cloudlet,
    tier1: Service,
    second: ControlPlane,
    programs: Programs,
    world: World,
    _shared: SharedCluster,
    _folder: TestFolder,
}

impl Edge {
    /// The near cluster is the test's own.
    async fn new() -> Self {
        let world = World::new();
        let charts = world.path().join("recipes/charts");
        fs::create_dir(&charts).unwrap();
        write_chart(&charts, "helloworld", "0.1.0", &[CONFIG_MAP]).unwrap();
        write_chart(&charts, "other", "2.0.0", &[CONFIG_MAP]).unwrap();
        let programs = Programs::find_or_hint().unwrap();
        let folder = TestFolder::new().unwrap();
        let shared = ControlPlane::shared();
        let prefix = unique_name("edge");
        let second = ControlPlane::second(&shared, &programs, &prefix, folder.path()).unwrap();
        let options = [&["--allow-anonymous-reports"], &ALLOW_LOOPBACK[..]].concat();
        Self {
            near: Cloudlet::on(&second, world.path()).unwrap(),
            far: Cloudlet::on(&shared, world.path()).unwrap(),
            tier1: world.tier1_without_cloudlets(&options).await,
            second,
            programs,
            world,
            _shared: shared,
            _folder: folder,
        }
    }

    fn helm(&self) -> PathBuf {
        self.programs.helm4.clone()
    }

    /// Writes a program that stands in for helm.
    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.world.write(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Starts a Tier 2 that reports where it is and leads soon.
    async fn tier2(&self, name: &str, location: &str, cloudlet: &Cloudlet, helm: &Path) -> Service {
        let port = ReservedPort::new().unwrap();
        let cache = self.world.path().join(format!("{name}-cache"));
        let mut command = cloudlet.tier2(&self.world.binaries().tier2, helm, &cache);
        command
            .args([
                "--activity",
                "none",
                "--leader-lease",
                "2s",
                "--prometheus",
                "http://127.0.0.1:9",
            ])
            .args(["--tier1-url", &self.tier1.url(), "--tier2-url", &port.url()])
            .args(["--name", name, "--location", location]);
        let command = self.world.with_recipes(command, &[]);
        self.world.start(Some(&port), name, command).await
    }

    /// Runs a command of Tier 2 for the near cluster, and gives what it says.
    async fn operate_near(&self, arguments: &[&str]) -> String {
        let program = &self.world.binaries().tier2;
        let helm = self.helm();
        let mut command = self.near.tier2(program, &helm, self.world.path());
        command.args(arguments);
        let ran = spawn_blocking(move || command.output().unwrap());
        let ran = ran.await.unwrap();
        let stderr = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{stderr}");
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Waits until Tier 1 was told whether the near cluster drains.
    async fn near_is_known_to_drain(&self, drains: bool) {
        let url = format!("{}/api/v1/cloudlets", self.tier1.url());
        eventually("Tier 1 knows whether the near one drains", async || {
            let known = self.world.get(&url).await.json();
            let known = known.as_array().unwrap().clone();
            let near = known.iter().find(|known| known["name"] == "near")?;
            (near["draining"] == true).eq(&drains).then_some(())
        })
        .await;
    }

    async fn tier3(&self, arguments: &[&str]) -> Ran {
        let url = self.tier1.url();
        self.world
            .tier3(&[arguments, &["--tier1-url", &url]].concat())
            .await
    }
}

/// The identity of a Tier 2 in this cluster.
fn uuid_of(cloudlet: &Cloudlet, tier2: &Service) -> String {
    let cluster = cloudlet
        .cluster()
        .get_json("/api/v1/namespaces/kube-system")
        .unwrap();
    let cluster: Uuid = cluster["metadata"]["uid"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let endpoint = format!("{}/api/v1/deploy", tier2.url());
    Uuid::new_v5(&cluster, endpoint.as_bytes()).to_string()
}

/// Whether a cluster holds a deployment: its Namespace, its Peer and its release.
fn holds(cloudlet: &Cloudlet, name: &str) -> bool {
    let release = format!("/api/v1/namespaces/{name}/secrets/sh.helm.release.v1.{name}.v1");
    let paths = [namespace_path(name), peer_path(name), release];
    paths
        .iter()
        .all(|path| cloudlet.cluster().find(path).unwrap().is_some())
}

/// Waits until nothing is left of a deployment.
async fn gone(cloudlet: &Cloudlet, name: &str) {
    eventually(&format!("{name} is gone"), async || {
        let paths = [namespace_path(name), peer_path(name)];
        let gone = |path: &String| cloudlet.cluster().find(path).unwrap().is_none();
        paths.iter().all(gone).then_some(())
    })
    .await;
}

fn namespace_path(name: &str) -> String {
    format!("/api/v1/namespaces/{name}")
}

fn peer_path(name: &str) -> String {
    format!("/apis/kilo.squat.ai/v1alpha1/peers/{name}")
}

fn name_of(deployment: &Value) -> String {
    deployment["DeploymentName"].as_str().unwrap().to_owned()
}

/// What a command that succeeded has printed.
fn json_of(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}
