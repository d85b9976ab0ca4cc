//! Applications inside the tunnel, with a real device and real WireGuard. They need root, which makes an ordinary user of itself.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::cloudlet::Cloudlet;
use crate::device::{CLOUDLET, Device, HELLOWORLD, URL_SAFE_KEY, answer, ready};

/// Sends a line to the backend, and shows what comes back.
pub(crate) const ECHO: &str =
    "exec 3<>/dev/udp/10.5.0.1/7; echo through the tunnel >&3; timeout 10 head -n 1 <&3; exit 7";

#[tokio::test]
async fn an_application_talks_through_the_tunnel_and_gives_its_exit_code() {
    let (device, cloudlet) = deployed().await;

    let told = run(&device, &["deploy", "helloworld", "--", "bash", "-c", ECHO]);

    insta::assert_snapshot!(device.told(&told), @r"
    exit 7
    -- stdout
    through the tunnel
    -- stderr
    deploying helloworld through http://tier1…
    ");
    assert_eq!(cloudlet.packets(), 1);
}

#[tokio::test]
async fn what_was_deployed_is_deleted_when_the_application_ends() {
    let (device, _cloudlet) = deployed().await;

    run(&device, &["deploy", "helloworld", "--", "true"]);

    assert_eq!(
        device.asked().await,
        [
            format!("POST /api/v1/deploy/{HELLOWORLD}/{URL_SAFE_KEY}"),
            format!("DELETE /api/v1/deployments/{HELLOWORLD}/{URL_SAFE_KEY}?cloudlet={CLOUDLET}"),
        ]
    );
}

#[tokio::test]
async fn what_was_deployed_stays_on_demand() {
    let (device, _cloudlet) = deployed().await;

    run(
        &device,
        &["deploy", "helloworld", "--no-release", "--", "true"],
    );

    assert_eq!(device.asked().await.len(), 1);
}

#[tokio::test]
async fn the_older_form_runs_an_application_too() {
    let (device, _cloudlet) = deployed().await;
    let url = device.tier1.uri();

    let told = run(&device, &[&url, HELLOWORLD, "bash", "-c", ECHO]);

    assert_eq!(told.stdout, b"through the tunnel\n");
    assert_eq!(told.status.code(), Some(7));
}

#[tokio::test]
async fn without_an_application_the_older_form_opens_a_shell() {
    let (device, _cloudlet) = deployed().await;
    let url = device.tier1.uri();
    let mut command = device.command(&format!("{url} helloworld"));

    let told = command
        .write_stdin("cat /etc/resolv.conf\nexit 3\n")
        .output()
        .unwrap();

    insta::assert_snapshot!(device.told(&told), @r"
    exit 3
    -- stdout
    nameserver 10.43.0.10
    search brave-otter-x7k2p.svc.cluster.local svc.cluster.local
    options ndots:5
    -- stderr
    this shell's only way out is the tunnel to helloworld; it closes with the shell
    deploying helloworld through http://tier1…
    ");
}

#[tokio::test]
async fn an_ordinary_user_needs_no_root() {
    let (device, cloudlet) = deployed().await;

    let told = as_user(&device, &["deploy", "helloworld", "--", "bash", "-c", ECHO]);

    assert_eq!(
        (
            told.status.code(),
            String::from_utf8_lossy(&told.stdout).as_ref()
        ),
        (Some(7), "through the tunnel\n"),
        "{}",
        device.told(&told)
    );
    assert_eq!(cloudlet.packets(), 1);
}

#[tokio::test]
async fn nothing_but_the_tunnel_is_reachable() {
    let (device, _cloudlet) = deployed().await;
    let host = device.tier1.address();
    let script = format!("exec 3<>/dev/tcp/{}/{}", host.ip(), host.port());

    let told = run(
        &device,
        &["deploy", "helloworld", "--", "bash", "-c", &script],
    );

    assert_eq!(told.status.code(), Some(1), "{}", device.told(&told));
    assert!(String::from_utf8_lossy(&told.stderr).contains("Connection refused"));
}

#[tokio::test]
async fn an_application_that_is_not_there_is_told_with_the_code_of_a_shell() {
    let (device, _cloudlet) = deployed().await;

    let told = run(&device, &["deploy", "helloworld", "--", "no-such-program"]);

    insta::assert_snapshot!(device.told(&told));
}

#[tokio::test]
async fn a_request_to_end_is_the_applications() {
    let (device, _cloudlet) = deployed().await;
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("sinfonia-tier3"))
        .args(["deploy", "helloworld", "--", "bash", "-c", script])
        .env("XDG_CACHE_HOME", device.folder().join("caches"))
        .env("SINFONIA_TIER1_URL", device.tier1.uri())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();

    let pid = i32::try_from(child.id()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();

    assert_eq!(
        (line.as_str(), child.wait().unwrap().code()),
        ("ready\n", Some(9))
    );
    assert_eq!(device.asked().await.len(), 2, "nothing was deleted");
}

#[tokio::test]
async fn two_runs_of_one_application_do_not_share_a_key() {
    let (device, _cloudlet) = deployed().await;
    let first = File::open(device.key_entry()).unwrap();
    first.lock().unwrap();

    let told = run(&device, &["deploy", "helloworld", "--", "true"]);

    insta::assert_snapshot!(device.told(&told), @r"
    exit 125
    -- stdout
    -- stderr
    error: helloworld runs already on this device, with the same key
    hint: wait until that has ended, or run this one with a key of its own: --new-key
    ");
    assert_eq!(device.asked().await, [""; 0]);
}

#[tokio::test]
async fn a_run_can_have_a_key_of_its_own() {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready()]))).await;

    run(
        &device,
        &["deploy", "helloworld", "--new-key", "--", "true"],
    );

    let asked = device.asked().await;
    assert!(asked[0].starts_with("POST /api/v1/deploy/"), "{asked:?}");
    assert!(!asked[0].contains(URL_SAFE_KEY), "{asked:?}");
}

#[tokio::test]
async fn a_cloudlet_that_does_not_answer_is_told_and_what_was_deployed_is_deleted() {
    let device = Device::new().await;
    let mut deployment = Cloudlet::start().deployment();
    deployment["TunnelConfig"]["publicKey"] = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".into();
    device.deploys(answer(&json!([deployment]))).await;
    device.deletes(ResponseTemplate::new(204)).await;

    let told = run(&device, &["deploy", "helloworld", "--", "true"]);

    let shown = device.told(&told);
    assert!(shown.starts_with("exit 125"), "{shown}");
    assert!(shown.contains("does not answer"), "{shown}");
    assert_eq!(device.asked().await.len(), 2);
}

#[tokio::test]
async fn a_failed_deployment_ends_with_a_code_that_applications_do_not_use() {
    let device = Device::new().await;
    device.deploys(ResponseTemplate::new(503)).await;

    let told = run(&device, &["deploy", "helloworld", "--", "true"]);

    assert_eq!(told.status.code(), Some(125), "{}", device.told(&told));
}

/// A device, and the cloudlet that its Tier 1 deploys on.
pub(crate) async fn deployed() -> (Device, Cloudlet) {
    let (device, cloudlet) = (Device::new().await, Cloudlet::start());
    assert_eq!(cloudlet.deployment()["Cloudlet"]["uuid"], CLOUDLET);
    device
        .deploys(answer(&json!([cloudlet.deployment()])))
        .await;
    device.deletes(ResponseTemplate::new(204)).await;
    (device, cloudlet)
}

pub(crate) fn run(device: &Device, words: &[&str]) -> Output {
    device
        .command("")
        .args(words)
        .env("PATH", PATH)
        .output()
        .unwrap()
}

pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the program as a user without any right, where everybody may open the TUN device, as on ordinary systems.
fn as_user(device: &Device, words: &[&str]) -> Output {
    let open_tun = "mount -t tmpfs tmpfs /mnt && mknod -m 0666 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun && umount -l /mnt";
    let own = format!("chown -R 1001:1001 {}", device.folder().display());
    let drop = "setpriv --reuid 1001 --regid 1001 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs";
    let script = format!("{open_tun} && {own} && exec {drop} \"$@\"");
    let program = assert_cmd::cargo::cargo_bin!("sinfonia-tier3");
    Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(program)
        .args(words)
        .current_dir(device.folder())
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", device.folder())
        .env("XDG_CACHE_HOME", device.folder().join("caches"))
        .env("SINFONIA_TIER1_URL", device.tier1.uri())
        .output()
        .unwrap()
}
