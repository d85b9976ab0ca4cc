//! One end of a tunnel: the product's own data path in a process of its own, or wireguard-go.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sinfonia_core::key::{PrivateKey, PublicKey};

use super::namespace::Namespace;
use super::running::Running;
use super::tools::Tools;

/// The name of each end's device.
const DEVICE: &str = "wg0";
/// Longest packet inside the tunnel, the same for both programs.
const MTU: u16 = 1420;
/// Where each end listens.
pub(super) const PORT: u16 = 51_820;
/// Time that wireguard-go has to be up.
const START: Duration = Duration::from_secs(10);

/// Which program speaks WireGuard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    Ours,
    WireguardGo,
}

/// Where an end runs, and who it is.
pub(super) struct Place<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) cores: Option<&'static str>,
    pub(super) key: &'a PrivateKey,
    pub(super) inside: IpAddr,
}

/// The other end, as this one has to know it.
pub(super) struct Other {
    pub(super) key: PublicKey,
    pub(super) inside: IpAddr,
    /// Where it is, if this end is the one that begins.
    pub(super) endpoint: Option<SocketAddr>,
    /// Seconds after which wireguard-go sends something to it in any case.
    pub(super) keepalive: Option<u16>,
}

impl Program {
    /// Starts an end, and gives its device its address.
    ///
    /// # Errors
    /// The program does not come up.
    pub(super) fn start(
        self,
        tools: &Tools,
        place: &Place<'_>,
        other: &Other,
    ) -> anyhow::Result<Running> {
        let mut running = match self {
            Self::Ours => ours(tools, place, other),
            Self::WireguardGo => wireguard_go(tools, place, other),
        }?;
        let Place {
            namespace, inside, ..
        } = place;
        namespace.ip(&format!("address add {inside}/24 dev {DEVICE}"))?;
        namespace.ip(&format!("link set {DEVICE} mtu {MTU} up"))?;
        running.check()?;
        Ok(running)
    }
}

fn ours(tools: &Tools, place: &Place<'_>, other: &Other) -> anyhow::Result<Running> {
    let mut command = tools.part(place.namespace, place.cores);
    command
        .args(["end", "--device", DEVICE, "--mtu", &MTU.to_string()])
        .args(["--port", &PORT.to_string()])
        .args(["--peer", &other.key.to_string()])
        .args(["--allowed-ip", &host(other.inside)]);
    if let Some(endpoint) = other.endpoint {
        command.args(["--endpoint", &endpoint.to_string()]);
    }
    // Not among the arguments, which everybody may read.
    let key = format!("{}\n", place.key.to_base64());
    let mut running = Running::start("our end of the tunnel", command, &key)?;
    running.first_line()?;
    Ok(running)
}

fn wireguard_go(tools: &Tools, place: &Place<'_>, other: &Other) -> anyhow::Result<Running> {
    let socket = place
        .namespace
        .wireguard_sockets()
        .join(format!("{DEVICE}.sock"));
    let mut command = place.namespace.command(&tools.wireguard_go, place.cores);
    command
        .args(["--foreground", DEVICE])
        .env("LOG_LEVEL", "error")
        .stderr(Stdio::null());
    let mut running = Running::start("wireguard-go", command, "")?;
    let begun = Instant::now();
    while UnixStream::connect(&socket).is_err() {
        running.check()?;
        ensure!(begun.elapsed() < START, "wireguard-go does not come up");
        thread::sleep(Duration::from_millis(10));
    }
    configure(&socket, &settings(place.key, other))?;
    Ok(running)
}

/// What wireguard-go is told, in the form of its configuration protocol.
fn settings(key: &PrivateKey, other: &Other) -> String {
    let mut text = format!(
        "private_key={}\nlisten_port={PORT}\npublic_key={}\n",
        hex(key.as_bytes()),
        hex(other.key.as_bytes()),
    );
    // Writing to a string cannot fail.
    if let Some(endpoint) = other.endpoint {
        let _ = writeln!(text, "endpoint={endpoint}");
    }
    if let Some(seconds) = other.keepalive {
        let _ = writeln!(text, "persistent_keepalive_interval={seconds}");
    }
    let _ = writeln!(text, "allowed_ip={}", host(other.inside));
    text
}

fn configure(socket: &Path, settings: &str) -> anyhow::Result<()> {
    let exchange = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(format!("set=1\n{settings}\n").as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().context("cannot configure wireguard-go")?;
    ensure!(
        answer.starts_with("errno=0"),
        "wireguard-go refuses its configuration: {answer}"
    );
    Ok(())
}

/// Keys that nobody has had before: handshakes of the two programs carry times that differ by 27 s, and an end that has seen the later
/// time takes the earlier one for a replay.
pub(super) fn new_key() -> anyhow::Result<PrivateKey> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy)?;
    Ok(PrivateKey::from_entropy(entropy))
}

/// The version of wireguard-go, if it tells.
pub(super) fn wireguard_go_version(program: &Path) -> Option<String> {
    // The link that its build made says more than the program, whose own text is that of a development version.
    let folder = fs::canonicalize(program).ok()?;
    let output = std::process::Command::new("go")
        .args(["version", "-m"])
        .arg(folder)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    module_version(&text).map(str::to_owned)
}

/// The version of the main module in what `go version -m` prints.
fn module_version(text: &str) -> Option<&str> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| match (words.next(), words.next()) {
        (Some("mod" | "dep"), Some("golang.zx2c4.com/wireguard")) => words.next(),
        _ => None,
    })
}

fn host(address: IpAddr) -> String {
    let length = if address.is_ipv4() { 32 } else { 128 };
    format!("{address}/{length}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wireguard_go_is_told_all_that_it_has_to_know() {
        let key = PrivateKey::from_entropy([1; 32]);
        let other = Other {
            key: PublicKey::from_bytes([0xab; 32]),
            inside: [10, 9, 0, 2].into(),
            endpoint: Some(([192, 0, 2, 2], 51_820).into()),
            keepalive: Some(25),
        };

        let text = settings(&key, &other);

        let (first, rest) = text.split_once('\n').unwrap();
        assert_eq!(first.len(), "private_key=".len() + 64);
        let expected = format!(
            "listen_port=51820\npublic_key={}\nendpoint=192.0.2.2:51820\npersistent_keepalive_interval=25\nallowed_ip=10.9.0.2/32\n",
            "ab".repeat(32)
        );
        assert_eq!(rest, expected);
    }

    #[test]
    fn the_version_of_wireguard_go_is_that_of_its_module() {
        let text = "wireguard: go1.26.8\n\tpath\tgolang.zx2c4.com/wireguard\n\tmod\tbench\t(devel)\n\tdep\tgolang.zx2c4.com/wireguard\tv0.0.0-2026\th1:x=\n";

        assert_eq!(module_version(text), Some("v0.0.0-2026"));
        assert_eq!(module_version(""), None);
    }
}
