//! The files that other WireGuard programs take, given to such programs.

use std::process::{Child, Command, Stdio};

use sinfonia_testbed::{Programs, Service, command};

use super::local_network::Host;
use super::support::{HELLOWORLD, NEAR, Ran, World, cloudlet, eventually, run};

/// How long the page may take.
const PATIENCE: &str = "20";

#[tokio::test]
async fn wg_and_wireguard_go_open_the_tunnel_with_the_files_of_the_older_form() {
    let world = World::new();
    let host = Host::new();
    let (_near, tier1) = cloudlet_and_tier1(&world, &host).await;

    let written = ["--config-debug", &tier1.url(), HELLOWORLD];
    let written = tier3(&world, &host, &written).await;
    assert_eq!(written.code, 0, "{}", written.stderr);
    let status = ["status", "helloworld", "--tier1-url", &tier1.url()];
    let status = tier3(
        &world,
        &host,
        &[&status[..], &["--output", "json"]].concat(),
    )
    .await;
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    let address = status["TunnelConfig"]["address"][0].as_str().unwrap();
    let device = Device::start(&host).await;
    let file = world.path().join("wg.conf");
    host.does(wg(), &["setconf", &device.name, file.to_str().unwrap()]);
    host.ip(&["address", "add", address, "dev", &device.name]);
    host.ip(&["link", "set", &device.name, "mtu", "1420", "up"]);
    host.ip(&["route", "add", "10.5.0.0/16", "dev", &device.name]);
    let get = "exec 3<>/dev/tcp/10.5.0.1/80; printf 'GET / HTTP/1.0\\r\\nHost: helloworld\\r\\n\\r\\n' >&3; cat <&3";
    let mut page = Command::new("timeout");
    page.args([PATIENCE, "bash", "-c", get]);
    let page = run(host.command(&page)).await;

    let own = format!("you are:    {address}\n");
    assert!(page.stdout.contains(&own), "{}{}", page.stdout, page.stderr);
}

/// A sandbox and a Tier 1 that knows it, both on this host.
async fn cloudlet_and_tier1(world: &World, host: &Host) -> (Service, Service) {
    let mut tier2 = command(&world.binaries().tier2);
    tier2.args(["--cluster", "sandbox"]);
    let tier2 = host.command(&world.with_recipes(tier2, &[]));
    let tier2 = world.start(None, "near", tier2).await;
    let file = world.file("cloudlets.yaml", &cloudlet("near", &tier2.url(), NEAR));
    let mut tier1 = command(&world.binaries().tier1);
    tier1.args(["--cloudlets", &file]);
    let tier1 = host.command(&world.with_recipes(tier1, &[]));
    let tier1 = world.start(None, "tier1", tier1).await;
    (tier2, tier1)
}

/// A network device of wireguard-go. It ends when this is dropped.
struct Device {
    name: String,
    program: Child,
}

impl Device {
    async fn start(host: &Host) -> Self {
        let program = Programs::wireguard_or_hint().unwrap_or_else(|missing| panic!("{missing}"));
        // Its control socket is in a folder that all namespaces share.
        let name = format!("wg{}", std::process::id());
        let socket = format!("/var/run/wireguard/{name}.sock");
        let mut command = host.run(&program);
        command
            .args(["-f", &name])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let device = Self {
            name,
            program: command.spawn().unwrap(),
        };
        eventually("wireguard-go is there", async || {
            std::fs::exists(&socket).is_ok_and(|is| is).then_some(())
        })
        .await;
        device
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
        let _ = std::fs::remove_file(format!("/var/run/wireguard/{}.sock", self.name));
    }
}

/// The program of WireGuard's own tools.
fn wg() -> &'static str {
    let found = Command::new("wg").arg("--version").output();
    assert!(
        found.is_ok(),
        "wg is missing\nhint: apt install wireguard-tools"
    );
    "wg"
}

async fn tier3(world: &World, host: &Host, arguments: &[&str]) -> Ran {
    let mut command = command(&world.binaries().tier3);
    command
        .args(arguments)
        .env("XDG_CACHE_HOME", world.path().join("cache"));
    let mut command = host.command(&command);
    command.current_dir(world.path());
    run(command).await
}
