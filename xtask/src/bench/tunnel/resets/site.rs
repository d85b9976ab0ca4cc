//! Where it is measured: a control plane with a gateway in a network of its own, both cloud tiers before it, and devices beside it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use sinfonia_core::key::{PrivateKey, PublicKey};
use sinfonia_core::recipe::HELLOWORLD;
use sinfonia_testbed::{
    Cloudlet, Cluster, ControlPlane, Gateway, GatewaySettings, Habits, Machine, NODE_NAME,
    Programs, Service, command, write_chart,
};
use tempfile::TempDir;

use super::stream::Stream;
use crate::bench::ready::until_ready;
use crate::bench::tunnel::ends::{Other, PORT, Place, Program, new_key};
use crate::bench::tunnel::namespace::{Namespace, User};
use crate::bench::tunnel::running::Running;
use crate::bench::tunnel::tools::Tools;

/// Where the gateway is inside its tunnels, and the echo with it.
const ECHO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 4, 0, 1)), 7);
/// Addresses of the ordinary device and of the one that comes and goes, which Tier 2 gives to nobody.
const ORDINARY: Ipv4Addr = Ipv4Addr::new(10, 4, 255, 1);
const VISITOR: Ipv4Addr = Ipv4Addr::new(10, 4, 255, 2);
/// The ordinary device's network to the gateway: the gateway's end and its own.
const CABLE: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
/// What WireGuard's own documentation recommends to those behind NAT, in seconds.
const KEEPALIVE: u16 = 25;
const PEERS: &str = "/apis/kilo.squat.ai/v1alpha1/peers";
const VISITOR_PEER: &str = "visitor";
/// Time in which the gateway has to follow its Peers.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// All that runs but the devices. Dropped in this order.
pub(super) struct Site {
    _echo: Running,
    ordinary: Option<(Running, Namespace)>,
    tier1: Service,
    _tier2: Service,
    _cloudlet: Cloudlet,
    gateway: Gateway,
    machine: Machine,
    control_plane: ControlPlane,
    visitor: PublicKey,
    is_visited: bool,
    folder: TempDir,
}

impl Site {
    /// Starts everything.
    ///
    /// # Errors
    /// A part of it does not come up.
    pub(super) fn start(tools: &Tools) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("sinfonia-bench-")?;
        let path = folder.path();
        let programs = Programs::find_or_hint()?;
        let control_plane = ControlPlane::start(&programs, &path.join("control-plane"))?;
        let machine = Machine::start(path)?;
        let gateway = gateway(&control_plane, &machine, path)?;
        let recipes = write_recipe(path)?;
        let cloudlet = Cloudlet::on(&control_plane, path)?;
        let mut tier2 = cloudlet.tier2(&tools.tier2, &programs.helm4, &path.join("cache"));
        // The streams are no matter of leases here.
        tier2.args(["--activity", "none", "--lease", "2h"]);
        let tier2 = Service::start("tier2", with_recipes(tier2, &recipes), path)?;
        until_ready(&tier2)?;
        let cloudlets = path.join("cloudlets.yaml");
        fs::write(
            &cloudlets,
            format!("endpoint: {}/api/v1/deploy\n", tier2.url()),
        )?;
        let mut tier1 = command(&tools.tier1);
        tier1.arg("--cloudlets").arg(cloudlets);
        let tier1 = Service::start("tier1", with_recipes(tier1, &recipes), path)?;
        let mut echo = machine.in_network(&tools.xtask);
        echo.args(["bench", "tunnel-part", "echo", &ECHO.to_string()]);
        let mut echo = Running::start("the echo", echo, "")?;
        echo.first_line()?;
        Ok(Self {
            _echo: echo,
            ordinary: None,
            tier1,
            _tier2: tier2,
            _cloudlet: cloudlet,
            gateway,
            machine,
            control_plane,
            visitor: new_key()?.public_key(),
            is_visited: false,
            folder,
        })
    }

    /// A device with our Tier 3, whose application is a stream.
    ///
    /// # Errors
    /// It gets no deployment, or hears nothing of its stream.
    pub(super) fn device(&self, tools: &Tools, number: usize) -> anyhow::Result<Stream> {
        let mut tier3 = command(&tools.tier3);
        tier3
            .env("SINFONIA_TIER1_URL", self.tier1.url())
            .env(
                "XDG_CACHE_HOME",
                self.folder.path().join(format!("device-{number}")),
            )
            .args(["deploy", "--quiet", "helloworld", "--"])
            .arg(&tools.xtask)
            .args(stream());
        let running = Running::start("a device of ours", tier3, "")?;
        Stream::of(running).context("a device of ours hears nothing")
    }

    /// A device with wireguard-go, beside the gateway, with the same stream.
    ///
    /// # Errors
    /// It does not come up, or hears nothing of its stream.
    pub(super) fn ordinary_device(&mut self, tools: &Tools) -> anyhow::Result<Stream> {
        let namespace = Namespace::new(User::Root)?;
        self.connect(&namespace)?;
        let key = new_key()?;
        self.make_peer("ordinary", key.public_key(), ORDINARY)?;
        let wireguard = self.wireguard(tools, &namespace, &key)?;
        let mut part = namespace.command(&tools.xtask, None);
        part.args(stream());
        let running = Running::start("an ordinary device", part, "")?;
        self.ordinary = Some((wireguard, namespace));
        Stream::of(running).context("the ordinary device hears nothing")
    }

    /// Makes the Peer of another device, or deletes it, and waits until the gateway has done what it does then.
    ///
    /// # Errors
    /// The gateway does not.
    pub(super) fn let_another_come_or_go(&mut self) -> anyhow::Result<()> {
        if self.is_visited {
            self.control_plane
                .delete(&format!("{PEERS}/{VISITOR_PEER}"))?;
        } else {
            self.make_peer(VISITOR_PEER, self.visitor, VISITOR)?;
        }
        self.is_visited = !self.is_visited;
        self.wait_until_known(self.visitor, self.is_visited)
    }

    fn make_peer(&self, name: &str, key: PublicKey, address: Ipv4Addr) -> anyhow::Result<()> {
        let peer = json!({
            "apiVersion": "kilo.squat.ai/v1alpha1", "kind": "Peer",
            "metadata": {"name": name},
            "spec": {
                "publicKey": key.to_string(), "allowedIPs": [format!("{address}/32")],
                "persistentKeepalive": 10,
            },
        });
        self.control_plane.create(PEERS, &peer)?;
        Ok(())
    }

    fn wait_until_known(&self, key: PublicKey, is_known: bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.gateway.latest_handshakes()?.contains_key(&key) != is_known {
            ensure!(
                begun.elapsed() < PATIENCE,
                "the gateway does not follow its Peers"
            );
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Connects the ordinary device with the gateway's network.
    fn connect(&self, namespace: &Namespace) -> anyhow::Result<()> {
        namespace.cable(self.machine.init())?;
        let [there, here] = CABLE;
        namespace.ip(&format!("address add {here}/24 dev veth0"))?;
        namespace.ip("link set veth0 up")?;
        for line in [
            format!("address add {there}/24 dev veth0"),
            "link set veth0 up".to_owned(),
        ] {
            let mut ip = self.machine.in_network("ip");
            let ended = ip.args(line.split(' ')).stdin(Stdio::null()).status()?;
            ensure!(ended.success(), "`ip {line}` failed");
        }
        Ok(())
    }

    fn wireguard(
        &self,
        tools: &Tools,
        namespace: &Namespace,
        key: &PrivateKey,
    ) -> anyhow::Result<Running> {
        let place = Place {
            namespace,
            cores: None,
            key,
            inside: ORDINARY.into(),
        };
        let other = Other {
            key: self.gateway.public_key(),
            inside: ECHO.ip(),
            endpoint: Some(SocketAddr::new(CABLE[0].into(), PORT)),
            keepalive: Some(KEEPALIVE),
        };
        let running = Program::WireguardGo.start(tools, &place, &other)?;
        namespace.ip(&format!("route add {} dev wg0", ECHO.ip()))?;
        Ok(running)
    }
}

fn stream() -> [String; 4] {
    ["bench", "tunnel-part", "stream", &ECHO.to_string()].map(str::to_owned)
}

fn gateway(cluster: &Cluster, machine: &Machine, folder: &Path) -> anyhow::Result<Gateway> {
    let endpoint = SocketAddrV4::new(machine.address(), PORT);
    let mut settings = GatewaySettings::new(NODE_NAME, machine.name(), endpoint);
    settings.habits = Habits::KILO;
    Ok(Gateway::start(cluster, folder, settings)?)
}

/// Writes the recipe of an application of which nothing runs.
fn write_recipe(folder: &Path) -> anyhow::Result<PathBuf> {
    let recipes = folder.join("recipes");
    fs::create_dir(&recipes)?;
    write_chart(&recipes, "nothing", "0.1.0", &[])?;
    let recipe = "chart: nothing\nversion: 0.1.0\n";
    fs::write(recipes.join(format!("{HELLOWORLD}.yaml")), recipe)?;
    Ok(recipes)
}

fn with_recipes(mut command: Command, recipes: &Path) -> Command {
    command.arg("--recipes").arg(recipes);
    command
}
