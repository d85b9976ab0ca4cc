//! What Tier 2 makes of a real Prometheus: which tunnels are in use, and what is used of the cluster.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde_json::{Value, json};
use sinfonia_testbed::{Exporter, Programs, Prometheus};
use tokio::task::JoinHandle;
use uuid::Uuid;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::{Cloudlet, PATIENCE, PLAIN, Tier2, eventually, key, phase_of};

/// A lease that spans several of the test bed's scrapes, one a second.
const LEASE: &str = "5s";

/// A cloudlet with a Prometheus that scrapes a page.
struct World {
    exporter: Arc<Exporter>,
    prometheus: Prometheus,
    cloudlet: Cloudlet,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_in_use_keeps_its_lease_and_an_idle_one_ends() {
    let world = World::new("", "");
    let use_of_first = keep_using(&world.exporter, 1, &idle(2));
    let tier2 = world.tier2(&["--grace", "1h"]).await;
    tier2.post(PLAIN, 1).wait(60).granted().await;
    tier2.post(PLAIN, 2).wait(60).granted().await;

    let second = world.cloudlet.record_in(2, "Expiring");

    let first = world.cloudlet.record(1).unwrap();
    assert_eq!(phase_of(&first), "Deployed", "{first}");
    assert!(time(&first, "leaseEnd") > time(&second, "leaseEnd"));
    use_of_first.abort();
    world.exporter.set(&idle(1));
    world.cloudlet.record_in(1, "Expiring");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_keeps_a_lease_until_it_becomes_known() {
    let soon = now() + 3600;
    let vanished = idle(5);
    let odd = [
        tunnel(2, "NaN", "NaN"),
        tunnel(3, &soon.to_string(), "7"),
        format!(
            "wireguard_received_bytes_total{{public_key=\"{}\"}} 7\n",
            key(4)
        ),
    ]
    .concat();
    let world = World::new(&format!("{odd}{vanished}"), "");
    world.until_scraped(5);
    world.exporter.set(&odd);
    let tier2 = world.tier2(&["--grace", "1h"]).await;
    for number in 1..=5 {
        tier2.post(PLAIN, number).wait(60).granted().await;
    }

    for number in 1..=5 {
        let record = world.cloudlet.record_when(number, is_unknown);
        assert_eq!(phase_of(&record), "Deployed");
    }

    world.exporter.set(&(1..=5).map(idle).collect::<String>());
    for number in 1..=5 {
        world.cloudlet.record_in(number, "Expiring");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_prometheus_ends_no_lease_and_is_asked_again() {
    let mut world = World::new(&idle(2), "");
    let _use_of_first = keep_using(&world.exporter, 1, &idle(2));
    world.prometheus.stop();
    let tier2 = world.tier2(&["--grace", "1h"]).await;
    tier2.post(PLAIN, 1).wait(60).granted().await;
    tier2.post(PLAIN, 2).wait(60).granted().await;
    world.cloudlet.record_when(1, is_unknown);
    world.cloudlet.record_when(2, is_unknown);

    world.prometheus.restart().unwrap();

    world.cloudlet.record_in(2, "Expiring");
    let used = world.cloudlet.record_when(1, |record| !is_unknown(record));
    assert_eq!(phase_of(&used), "Deployed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_unknown_ends_after_the_time_for_that() {
    let mut world = World::new("", "");
    world.prometheus.stop();
    let tier2 = world.tier2(&["--grace", "1h", "--max-unknown", "3s"]).await;
    tier2.post(PLAIN, 1).wait(60).granted().await;

    let unknown = world.cloudlet.record_when(1, is_unknown);
    let ended = world.cloudlet.record_in(1, "Expiring");

    let lasted = time(&ended, "since").duration_since(time(&unknown, "unknownSince"));
    assert!(lasted.as_secs() >= 3, "{lasted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_tell_who_the_cloudlet_is_and_what_prometheus_measures() {
    let world = World::new(NODE_METRICS, NODE_RULES);
    let rate = "instance:node_network_transmit_bytes_excluding_lo:rate5m";
    let scraped = |result: &Value| result.as_array().is_some_and(|found| found.len() == 2);
    world.prometheus.wait_for(rate, PATIENCE, scraped).unwrap();
    let cpu = "rate(node_cpu_seconds_total{mode=\"user\"}[1m])";
    let counted = |result: &Value| !result[0].is_null();
    world.prometheus.wait_for(cpu, PATIENCE, counted).unwrap();
    let tier1 = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/v1/cloudlets/"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&tier1)
        .await;
    let url = tier1.uri();
    let tier2_url = "http://cloudlet.example";
    let _tier2 = world
        .tier2(&["--tier1-url", &url, "--tier2-url", tier2_url])
        .await;

    let report = eventually(async || {
        let requests = tier1.received_requests().await.unwrap_or_default();
        let first = requests.first().ok_or("no report")?;
        first
            .body_json::<Value>()
            .map_err(|error| error.to_string())
    })
    .await;

    let cluster = world.cloudlet.cluster();
    let system = cluster.get_json("/api/v1/namespaces/kube-system").unwrap();
    let uid: Uuid = system["metadata"]["uid"].as_str().unwrap().parse().unwrap();
    let endpoint = "http://cloudlet.example/api/v1/deploy";
    assert_eq!(report["endpoint"], endpoint);
    assert_eq!(
        report["uuid"],
        json!(Uuid::new_v5(&uid, endpoint.as_bytes()))
    );
    let expected = json!({
        "cpu_ratio": 0.0, "mem_ratio": 0.75, "net_rx_rate": 30.0, "net_tx_rate": 3.0, "gpu_ratio": 0.5,
    });
    assert_eq!(report["resources"], expected);
}

/// Two nodes, of which one has a GPU.
const NODE_METRICS: &str = "\
node_cpu_seconds_total{instance=\"a\",cpu=\"0\",mode=\"user\"} 100
node_cpu_seconds_total{instance=\"a\",cpu=\"0\",mode=\"idle\"} 900
node_memory_MemAvailable_bytes{node=\"a\"} 100
node_memory_MemAvailable_bytes{node=\"b\"} 400
node_memory_MemTotal_bytes{node=\"a\"} 1000
node_memory_MemTotal_bytes{node=\"b\"} 1000
received{node=\"a\"} 10
received{node=\"b\"} 20
DCGM_FI_DEV_GPU_UTIL{gpu=\"0\"} 50
";
const NODE_RULES: &str = "\
groups:
  - name: nodes
    rules:
      - {record: 'node:node_num_cpu:sum', expr: 'sum by (node) (received * 0 + 2)'}
      - {record: 'instance:node_network_receive_bytes_excluding_lo:rate5m', expr: received}
      - {record: 'instance:node_network_transmit_bytes_excluding_lo:rate5m', expr: received / 10}
";

impl World {
    fn new(page: &str, rules: &str) -> Self {
        let cloudlet = Cloudlet::new();
        let programs = Programs::find_or_hint().unwrap();
        let exporter = Exporter::start(page).unwrap();
        let targets = [exporter.address()];
        let folder = cloudlet.folder();
        let prometheus = Prometheus::start(&programs, folder, &targets, rules).unwrap();
        Self {
            exporter: Arc::new(exporter),
            prometheus,
            cloudlet,
        }
    }

    async fn tier2(&self, options: &[&str]) -> Tier2 {
        let url = self.prometheus.url();
        let asking = [
            "--activity",
            "prometheus",
            "--prometheus",
            &url,
            "--lease",
            LEASE,
        ];
        self.cloudlet.tier2(&[&asking[..], options].concat()).await
    }

    /// Waits until Prometheus knows the tunnel of a key.
    fn until_scraped(&self, number: u8) {
        let query = format!(
            "wireguard_received_bytes_total{{public_key=\"{}\"}}",
            key(number)
        );
        let wanted = |result: &Value| !result[0].is_null();
        self.prometheus.wait_for(&query, PATIENCE, wanted).unwrap();
    }
}

/// Shows a tunnel through which something comes all the time, beside others.
fn keep_using(exporter: &Arc<Exporter>, number: u8, others: &str) -> JoinHandle<()> {
    let (exporter, others) = (Arc::clone(exporter), others.to_owned());
    tokio::spawn(async move {
        for received in 1.. {
            let (handshake, received) = (now().to_string(), f64::from(received).to_string());
            exporter.set(&format!(
                "{}{others}",
                tunnel(number, &handshake, &received)
            ));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

/// What a tunnel shows through which nothing came.
fn idle(number: u8) -> String {
    tunnel(number, "0", "7")
}

fn tunnel(number: u8, handshake: &str, received: &str) -> String {
    let labels = format!(
        "{{interface=\"kilo0\",public_key=\"{}\",allowed_ips=\"10.5.0.{number}/32\"}}",
        key(number)
    );
    format!(
        "wireguard_latest_handshake_seconds{labels} {handshake}\nwireguard_received_bytes_total{labels} {received}\n"
    )
}

fn is_unknown(record: &Value) -> bool {
    !record["status"]["unknownSince"].is_null()
}

fn time(record: &Value, field: &str) -> Timestamp {
    record["status"][field].as_str().unwrap().parse().unwrap()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}
