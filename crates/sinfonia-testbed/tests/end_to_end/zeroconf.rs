//! A device that finds a cloudlet on its own network, by a real announcement.

use std::process::{Child, Command, Stdio};

use sinfonia_testbed::command;

use super::local_network::Host;
use super::support::{HELLOWORLD, Ran, World, eventually, run};

/// An application that asks the cloudlet's web server for its page.
const GET_PAGE: [&str; 3] = [
    "bash",
    "-c",
    r"exec 3<>/dev/tcp/helloworld/80; printf 'GET / HTTP/1.0\r\nHost: helloworld\r\n\r\n' >&3; cat <&3",
];

#[tokio::test]
async fn a_device_finds_a_cloudlet_and_runs_an_application_in_its_tunnel() {
    let world = World::new();
    let [cloudlet, device] = Host::pair();
    let _tier2 = Announced::start(&world, &cloudlet).await;

    let deploy = ["deploy", "helloworld", "--zeroconf", "--"];
    let new = tier3(&world, &device, &[&deploy[..], &GET_PAGE].concat()).await;
    let older = [&["--zeroconf", HELLOWORLD][..], &GET_PAGE].concat();
    let older = tier3(&world, &device, &older).await;

    for ran in [new, older] {
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stdout.contains("Hello from a Sinfonia sandbox."));
        assert!(
            ran.stderr.contains("http://192.0.2.1:5000"),
            "{}",
            ran.stderr
        );
    }
}

#[tokio::test]
async fn a_deployment_of_a_found_cloudlet_is_looked_at_and_deleted() {
    let world = World::new();
    let [cloudlet, device] = Host::pair();
    let _tier2 = Announced::start(&world, &cloudlet).await;

    let deployed = tier3(&world, &device, &["deploy", "helloworld", "--zeroconf"]).await;
    let status = tier3(&world, &device, &["status", "helloworld", "--zeroconf"]).await;
    let deleted = tier3(&world, &device, &["delete", "helloworld", "--zeroconf"]).await;
    let gone = tier3(&world, &device, &["status", "helloworld", "--zeroconf"]).await;

    for ran in [&deployed, &status, &deleted] {
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    assert!(
        status.stdout.contains("192.0.2.1:51820"),
        "{}",
        status.stdout
    );
    assert_eq!(gone.code, 1, "{}", gone.stdout);
    assert!(gone.stderr.contains("--zeroconf"), "{}", gone.stderr);
}

#[tokio::test]
async fn a_network_without_cloudlets_is_told() {
    let world = World::new();
    let [_, device] = Host::pair();

    let ran = tier3(&world, &device, &["deploy", "helloworld", "--zeroconf"]).await;

    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(
        ran.stderr.contains("no cloudlet has answered"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("\nhint: "), "{}", ran.stderr);
}

#[tokio::test]
async fn a_cloudlet_that_only_its_own_machine_reaches_is_not_announced() {
    let world = World::new();
    let mut tier2 = sandbox(&world);
    tier2.args(["--listen", "127.0.0.1", "--port", "0"]);

    let ran = run(tier2).await;

    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("who do not reach"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
}

/// A Tier 2 that announces itself; it is killed when this is dropped.
struct Announced(Child);

impl Announced {
    /// Starts it on this host, until it answers. Devices that look for it before it has announced itself hear of it all the same.
    async fn start(world: &World, host: &Host) -> Self {
        let mut command = host.command(&sandbox(world));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let started = Self(command.spawn().unwrap());
        eventually("Tier 2 answers", async || {
            let mut ask = Command::new("curl");
            ask.args(["--silent", "--max-time", "1", "http://127.0.0.1:5001/livez"]);
            (run(host.command(&ask)).await.code == 0).then_some(())
        })
        .await;
        started
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sandbox(world: &World) -> Command {
    let mut command = command(&world.binaries().tier2);
    command.args(["--cluster", "sandbox", "--zeroconf"]);
    world.with_recipes(command, &[])
}

async fn tier3(world: &World, host: &Host, arguments: &[&str]) -> Ran {
    let mut command = command(&world.binaries().tier3);
    command
        .args(arguments)
        .env("XDG_CACHE_HOME", world.path().join("cache"));
    run(host.command(&command)).await
}
