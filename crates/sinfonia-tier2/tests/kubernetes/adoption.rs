//! What the older Tier 2, written in Python, left in a cluster: its Peers carry labels, its Namespaces carry nothing, and there is no
//! record of either.

use serde_json::{Value, json};
use sinfonia_testbed::{ControlPlane, Programs, SharedCluster, TestFolder, unique_name};

use crate::harness::{
    Cloudlet, OTHER, PLAIN, isolation_paths, items, key, name_of, namespace_path, peer_path,
};

const NAME: &str = "old-otter-abcde";
const PEERS: &str = "/apis/kilo.squat.ai/v1alpha1/peers";

/// A cluster of a test's own: adoption looks at all Peers there are.
struct World {
    cloudlet: Cloudlet,
    _control_plane: ControlPlane,
    _folder: TestFolder,
    _shared: SharedCluster,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_older_tier2_deployed_is_served_undisturbed_and_expires_like_all() {
    let world = World::new();
    let cloudlet = &world.cloudlet;
    world.deploy(NAME, 1, &key(1).label_value(), "10.5.200.1");
    world.deploy("older-heron-fghij", 2, &key(2).url_safe(), "10.5.200.2");
    let peers = [NAME, "older-heron-fghij"].map(|name| cloudlet.find_peer(name).unwrap());

    // A Tier 2 that took this request ended before it saw what there was.
    world.ask_for(OTHER, 2);

    // While nobody knows whether the tunnels are in use, no lease ends.
    let options = ["--lease", "2s", "--activity", "prometheus", "--prometheus"];
    let unanswered = [&options[..], &["http://127.0.0.1:9"]].concat();
    let tier2 = cloudlet.tier2(&unanswered).await;
    let first = tier2.post(PLAIN, 1).wait(60).granted().await;
    cloudlet.record_in(2, "Deployed");
    let second = tier2.post(PLAIN, 2).wait(60).granted().await;

    let expected = json!({
        "DeploymentName": NAME, "Status": "Deployed", "Ready": true, "Created": "2026-01-02T03:04:05+00:00",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(first[field], *value, "{field}");
    }
    assert_eq!(first["TunnelConfig"]["address"], json!(["10.5.200.1"]));
    assert_eq!(name_of(&second), "older-heron-fghij");
    for before in &peers {
        let name = before["metadata"]["name"].as_str().unwrap();
        let after = cloudlet.find_peer(name).unwrap();
        assert_eq!(after["spec"], before["spec"]);
        assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
        assert_eq!(revisions(cloudlet, name), 1);
        for path in isolation_paths(name) {
            assert_eq!(cloudlet.cluster().find(&path).unwrap(), None);
        }
        let namespace = cloudlet.find_namespace(name).unwrap();
        let labels = &namespace["metadata"]["labels"];
        assert!(
            labels["pod-security.kubernetes.io/enforce"].is_null(),
            "{labels}"
        );
    }
    let all = cloudlet.cluster().get_json(PEERS).unwrap();
    assert_eq!(items(&all).len(), peers.len());
    let conflict = tier2.post(OTHER, 2).answer().await;
    assert_eq!(conflict.status, 409, "{conflict:?}");

    tier2.stop().await;
    let _later = cloudlet.tier2(&["--lease", "2s", "--grace", "1s"]).await;
    cloudlet.record_in(1, "Expired");
    cloudlet.until_gone(&peer_path(NAME));
    cloudlet.until_gone(&namespace_path(NAME));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_without_a_release_is_left_alone() {
    let world = World::new();
    let cloudlet = &world.cloudlet;
    let (bare, homeless, odd) = ("bare-otter-abcde", "homeless-owl-abcde", "odd-newt-abcde");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": bare}});
    let cluster = cloudlet.cluster();
    cluster.create("/api/v1/namespaces", &namespace).unwrap();
    world.peer(bare, 1, &key(1).label_value(), &["10.5.200.1/32"]);
    world.peer(homeless, 2, &key(2).label_value(), &["10.5.200.2/32"]);
    world.peer(
        odd,
        3,
        &key(3).label_value(),
        &["10.5.200.3/32", "10.6.0.0/16"],
    );
    let before = [bare, homeless, odd].map(|name| cloudlet.find_peer(name));

    let tier2 = cloudlet.tier2(&[]).await;
    let deployment = tier2.post(PLAIN, 4).wait(60).granted().await;

    assert_eq!(deployment["Status"], "Deployed");
    assert_eq!(
        [bare, homeless, odd].map(|name| cloudlet.find_peer(name)),
        before
    );
    assert_eq!(cloudlet.records().len(), 1);
    assert!(cloudlet.find_namespace(bare).is_some());
    assert_eq!(deployers(cloudlet, bare), [None, None]);
    assert_eq!(tier2.get(PLAIN, 1).answer().await.status, 404);
}

impl World {
    fn new() -> Self {
        let shared = ControlPlane::shared();
        let folder = TestFolder::new().unwrap();
        let programs = Programs::find_or_hint().unwrap();
        let prefix = unique_name("adoption");
        let control_plane =
            ControlPlane::second(&shared, &programs, &prefix, folder.path()).unwrap();
        Self {
            cloudlet: Cloudlet::alone_on(&control_plane.cluster()),
            _control_plane: control_plane,
            _folder: folder,
            _shared: shared,
        }
    }

    /// A deployment as the older Tier 2 makes it: helm makes the Namespace too.
    fn deploy(&self, name: &str, number: u8, label: &str, address: &str) {
        self.peer(name, number, label, &[&format!("{address}/32")]);
        let chart = self.cloudlet.folder().join("recipes/plain-0.1.0.tgz");
        let arguments = [
            "install",
            name,
            chart.to_str().unwrap(),
            "--create-namespace",
        ];
        self.cloudlet.helm(name, &arguments);
    }

    /// A record as a request leaves it.
    fn ask_for(&self, recipe: &str, number: u8) {
        let record = json!({
            "apiVersion": "findcloudlet.org/v1alpha1",
            "kind": "CloudletDeployment",
            "metadata": {
                "name": key(number).record_name(),
                "finalizers": ["findcloudlet.org/reclaim"],
            },
            "spec": {
                "uuid": recipe,
                "publicKey": key(number).to_string(),
                "clientAddress": "192.0.2.7",
                "created": "2026-01-02T03:04:05Z",
                "createdBy": "a-request",
                "renewed": "2026-01-02T03:04:05Z",
                "renewedBy": "a-request",
                "renewals": 1,
            },
        });
        let path = format!(
            "/apis/findcloudlet.org/v1alpha1/namespaces/{}/cloudletdeployments",
            self.cloudlet.namespace()
        );
        self.cloudlet.cluster().create(&path, &record).unwrap();
    }

    fn peer(&self, name: &str, number: u8, label: &str, networks: &[&str]) {
        let client = networks[0].split('/').next().unwrap();
        let peer = json!({
            "apiVersion": "kilo.squat.ai/v1alpha1",
            "kind": "Peer",
            "metadata": {
                "name": name,
                "labels": {
                    "findcloudlet.org": "deployment",
                    "findcloudlet.org/uuid": PLAIN,
                    "findcloudlet.org/key": label,
                    "findcloudlet.org/client": client,
                },
                "annotations": {"findcloudlet.org/created": "2026-01-02T03:04:05+00:00"},
            },
            "spec": {
                "publicKey": key(number).to_string(),
                "allowedIPs": networks,
                "persistentKeepalive": 10,
            },
        });
        self.cloudlet.cluster().create(PEERS, &peer).unwrap();
    }
}

/// How many revisions the release in a Namespace has.
fn revisions(cloudlet: &Cloudlet, name: &str) -> usize {
    let path = format!(
        "{}/secrets?labelSelector=owner%3Dhelm",
        namespace_path(name)
    );
    items(&cloudlet.cluster().get_json(&path).unwrap()).len()
}

/// What helm acts with in a Namespace.
fn deployers(cloudlet: &Cloudlet, name: &str) -> [Option<Value>; 2] {
    let bindings = "/apis/rbac.authorization.k8s.io/v1";
    [
        format!("{}/serviceaccounts/sinfonia-deployer", namespace_path(name)),
        format!("{bindings}/namespaces/{name}/rolebindings/sinfonia-deployer"),
    ]
    .map(|path| cloudlet.cluster().find(&path).unwrap())
}
