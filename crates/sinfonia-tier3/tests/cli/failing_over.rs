//! Cloudlets that fall silent while an application runs inside the tunnel. They need root.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::cloudlet::{BOSTON, Cloudlet, PITTSBURGH};
use crate::device::{Device, HELLOWORLD, URL_SAFE_KEY, answer, problem};
use crate::inside::PATH;

/// What the issue grants an application's request until another cloudlet answers it.
const LIMIT: Duration = Duration::from_secs(20);

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(40);

/// Sends a request each half second, and tells for each answer the address and the name server with which it came.
const REQUESTS: &str = r#"
while :; do
  exec 3<>/dev/udp/10.5.0.1/7
  echo request >&3
  if line=$(timeout 0.5 head -n 1 <&3); then
    address=$(ip -4 -o address show to 10.0.0.0/8 | tr -s ' ' | cut -d ' ' -f 4)
    echo "$line answered at $address with $(grep nameserver /etc/resolv.conf)"
  fi
  sleep 0.5
done"#;

const BY_PITTSBURGH: &str = "request answered at 10.5.17.4/32 with nameserver 10.43.0.10";
const BY_BOSTON: &str = "request answered at 10.6.1.9/32 with nameserver 10.44.0.10";

#[tokio::test]
async fn another_cloudlet_answers_when_the_first_is_dead() {
    let (device, first, second) = two_cloudlets().await;
    let mut application = Running::start(&device, &[]);
    application.expect(BY_PITTSBURGH);

    first.die();
    let begun = Instant::now();
    application.expect(BY_BOSTON);
    let took = begun.elapsed();
    let told = application.end();

    assert!(took <= LIMIT, "{took:?}\n{told}");
    assert!(second.packets() > 0);
    assert_eq!(
        device.asked().await,
        [
            deploy(""),
            deploy(&format!("?exclude={}", PITTSBURGH.uuid)),
            delete(BOSTON.uuid),
            delete(PITTSBURGH.uuid),
        ]
    );
    assert!(
        told.contains("note: the tunnel leads to Boston now"),
        "{told}"
    );
}

#[tokio::test]
async fn a_tunnel_without_traffic_is_found_dead_with_the_next_request() {
    let (device, first, _second) = two_cloudlets().await;
    let script = format!("echo ready; read -r go; {REQUESTS}");
    let mut application = Running::script(&device, &[], &script);
    application.expect("ready");
    // Its port is closed from now on.
    first.packets();
    thread::sleep(Duration::from_secs(5));

    let begun = Instant::now();
    application.say("go");
    application.expect(BY_BOSTON);
    let took = begun.elapsed();

    assert!(took <= LIMIT, "{took:?}\n{}", application.end());
}

#[tokio::test]
async fn a_cloudlet_that_comes_back_in_time_is_not_left() {
    let (device, first, _second) = two_cloudlets().await;
    let mut application = Running::start(&device, &["--failover-after", "12"]);
    application.expect(BY_PITTSBURGH);

    first.die();
    thread::sleep(Duration::from_secs(7));
    application.drain();
    first.revive();
    application.expect(BY_PITTSBURGH);
    let told = application.end();

    assert_eq!(
        device.asked().await,
        [deploy(""), delete(PITTSBURGH.uuid)],
        "{told}"
    );
    assert!(told.contains("note: Pittsburgh does not answer"), "{told}");
    assert!(told.contains("note: it answers again"), "{told}");
}

#[tokio::test]
async fn a_cloudlet_whose_name_leads_elsewhere_is_followed() {
    let (device, cloudlet) = (Device::new().await, Cloudlet::start());
    let mut deployment = cloudlet.deployment();
    let endpoint = deployment["TunnelConfig"]["endpoint"].as_str().unwrap();
    deployment["TunnelConfig"]["endpoint"] = endpoint.replace("127.0.0.1", "localhost").into();
    device.deploys(answer(&json!([deployment]))).await;
    device.deletes(ResponseTemplate::new(204)).await;
    let mut application = Running::start(&device, &["--failover-after", "0"]);
    application.expect(BY_PITTSBURGH);
    // The device learns of the other place, which no name leads to.
    cloudlet.go_elsewhere();
    thread::sleep(Duration::from_secs(2));

    cloudlet.come_home();
    thread::sleep(Duration::from_secs(2));
    application.drain();
    application.expect(BY_PITTSBURGH);
    let told = application.end();

    assert!(
        told.contains("note: its host name leads to 127.0.0.1:"),
        "{told}"
    );
}

#[tokio::test]
async fn a_lease_is_extended_where_it_is_and_a_new_deployment_there_is_followed() {
    let (device, cloudlet) = (Device::new().await, Cloudlet::start());
    let (mut first, mut second) = (cloudlet.deployment(), cloudlet.deployment());
    let soon = Timestamp::now() + SignedDuration::from_secs(12);
    first["Expires"] = soon.to_string().into();
    second["TunnelConfig"]["address"][0] = PITTSBURGH.device_later.into();
    let renewed = answer(&json!([second]));
    device.deploys_there(PITTSBURGH.uuid, renewed).await;
    device.deploys(answer(&json!([first]))).await;
    device.deletes(ResponseTemplate::new(204)).await;
    let mut application = Running::start(&device, &[]);

    application.expect(BY_PITTSBURGH);
    application.expect("request answered at 10.5.17.5/32 with nameserver 10.43.0.10");
    let told = application.end();

    assert_eq!(
        device.asked().await,
        [
            deploy(""),
            deploy(&format!("?cloudlet={}", PITTSBURGH.uuid)),
            delete(PITTSBURGH.uuid),
        ],
        "{told}"
    );
}

#[tokio::test]
async fn where_there_is_no_other_cloudlet_the_tunnel_stays_as_it_is() {
    let (device, first) = (Device::new().await, Cloudlet::start());
    let refusal = problem(503, "no cloudlet qualifies");
    device.deploys_elsewhere(PITTSBURGH.uuid, refusal).await;
    device.deploys(answer(&json!([first.deployment()]))).await;
    device.deletes(ResponseTemplate::new(204)).await;
    let mut application = Running::start(&device, &["--failover-after", "3"]);
    application.expect(BY_PITTSBURGH);

    first.die();
    let searched = deploy(&format!("?exclude={}", PITTSBURGH.uuid));
    wait_until(&device, &searched).await;
    application.drain();
    first.revive();
    application.expect(BY_PITTSBURGH);
    let told = application.end();

    assert!(
        told.contains("note: there is no other cloudlet: no cloudlet qualifies"),
        "{told}"
    );
    let asked = device.asked().await;
    assert_eq!(asked.last(), Some(&delete(PITTSBURGH.uuid)), "{told}");
}

#[tokio::test]
async fn a_cloudlet_that_does_not_answer_at_all_is_passed_over() {
    let (device, first, second) = two_cloudlets().await;
    second.die();
    let mut application = Running::start(&device, &["--failover-after", "3"]);
    application.expect(BY_PITTSBURGH);

    first.die();
    let neither = format!("?exclude={}&exclude={}", PITTSBURGH.uuid, BOSTON.uuid);
    wait_until(&device, &deploy(&neither)).await;
    second.revive();
    application.expect(BY_BOSTON);
    let told = application.end();

    let asked = device.asked().await;
    assert_eq!(
        asked[asked.len() - 2..],
        [delete(BOSTON.uuid), delete(PITTSBURGH.uuid)],
        "{told}"
    );
    assert!(
        told.contains("note: there is no other cloudlet: the cloudlet's end"),
        "{told}"
    );
}

#[tokio::test]
async fn a_search_is_given_up_when_the_cloudlet_comes_back() {
    let (device, first, second) = (Device::new().await, Cloudlet::start(), Cloudlet::of(BOSTON));
    let late = answer(&json!([second.deployment()])).set_delay(Duration::from_secs(6));
    device.deploys_elsewhere(PITTSBURGH.uuid, late).await;
    device.deploys(answer(&json!([first.deployment()]))).await;
    device.deletes(ResponseTemplate::new(204)).await;
    let mut application = Running::start(&device, &["--failover-after", "3"]);
    application.expect(BY_PITTSBURGH);

    first.die();
    wait_until(&device, &deploy(&format!("?exclude={}", PITTSBURGH.uuid))).await;
    first.revive();
    thread::sleep(Duration::from_secs(8));
    application.drain();
    application.expect(BY_PITTSBURGH);
    let told = application.end();

    assert_eq!(second.packets(), 0, "{told}");
    let asked = device.asked().await;
    // Whatever came of the request that nobody waited for is known to Tier 1 alone.
    let anywhere = delete("").replace("?cloudlet=", "");
    assert_eq!(
        asked[asked.len() - 2..],
        [delete(PITTSBURGH.uuid), anywhere],
        "{told}"
    );
}

#[tokio::test]
async fn a_cloudlet_is_never_left_on_demand() {
    let (device, first, _second) = two_cloudlets().await;
    let mut application = Running::start(&device, &["--failover-after", "0"]);
    application.expect(BY_PITTSBURGH);

    first.die();
    thread::sleep(LIMIT);
    let told = application.end();

    assert_eq!(
        device.asked().await,
        [deploy(""), delete(PITTSBURGH.uuid)],
        "{told}"
    );
    assert!(told.contains("note: Pittsburgh does not answer"), "{told}");
}

/// A device whose Tier 1 deploys on the first cloudlet, or on the second for those who do not want the first.
async fn two_cloudlets() -> (Device, Cloudlet, Cloudlet) {
    let device = Device::new().await;
    let (first, second) = (Cloudlet::start(), Cloudlet::of(BOSTON));
    let other = answer(&json!([second.deployment()]));
    device.deploys_elsewhere(PITTSBURGH.uuid, other).await;
    device.deploys(answer(&json!([first.deployment()]))).await;
    device.deletes(ResponseTemplate::new(204)).await;
    (device, first, second)
}

async fn wait_until(device: &Device, asked: &String) {
    let begun = Instant::now();
    while !device.asked().await.contains(asked) {
        assert!(begun.elapsed() < PATIENCE, "nobody asked {asked}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn deploy(query: &str) -> String {
    format!("POST /api/v1/deploy/{HELLOWORLD}/{URL_SAFE_KEY}{query}")
}

fn delete(cloudlet: &str) -> String {
    format!("DELETE /api/v1/deployments/{HELLOWORLD}/{URL_SAFE_KEY}?cloudlet={cloudlet}")
}

/// An application inside the tunnel, and what it says. It ends when this is dropped.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(device: &Device, options: &[&str]) -> Self {
        Self::script(device, options, REQUESTS)
    }

    fn script(device: &Device, options: &[&str], script: &str) -> Self {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("sinfonia-tier3"))
            .args(["deploy", "helloworld"])
            .args(options)
            .args(["--", "bash", "-c", script])
            .env_clear()
            .env("PATH", PATH)
            .env("XDG_CACHE_HOME", device.folder().join("caches"))
            .env("SINFONIA_TIER1_URL", device.tier1.uri())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut lines = stdout.lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    fn say(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        std::io::Write::write_all(stdin, format!("{line}\n").as_bytes()).unwrap();
    }

    /// Waits until it says this.
    fn expect(&mut self, wanted: &str) {
        let begun = Instant::now();
        let mut said = Vec::new();
        while !said.iter().any(|line| line == wanted) {
            let rest = PATIENCE.saturating_sub(begun.elapsed());
            match self.lines.recv_timeout(rest) {
                Ok(line) => said.push(line),
                Err(_) => unreachable!("not {wanted}, but {said:#?}\n{}", self.end()),
            }
        }
    }

    /// Forgets what it has said so far.
    fn drain(&self) {
        while self.lines.try_recv().is_ok() {}
    }

    /// Ends it, and tells what was on stderr.
    fn end(&mut self) -> String {
        let pid = i32::try_from(self.child.id()).unwrap();
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let mut told = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut told).unwrap();
        self.child.wait().unwrap();
        told
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
