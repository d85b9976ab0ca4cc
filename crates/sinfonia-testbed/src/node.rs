//! A whole cloudlet of real programs on a machine of its own: a control plane, one node, and what a cluster has besides.

mod files;
mod images;
mod sinfonia;

use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use serde_json::{Value, json};

pub use self::sinfonia::{Application, Installation, InstallationError};

use self::files::{CONTAINERD_SOCKET, Files, NODE_NAME, POD_NETWORK};
use crate::control_plane::AUDIT_LOG_FILE;
use crate::process::Process;
use crate::{
    Binaries, Cluster, ClusterError, Compression, ControlPlane, ControlPlaneError, Gateway,
    GatewayError, GatewaySettings, Image, ImageError, Machine, MachineError, MissingBinary,
    MissingNodeProgram, MissingProgram, NodePrograms, Programs, ServiceError, WireguardExporter,
    WireguardExporterError,
};

/// Time that a node, or a Pod on it, has to become ready: many times what a small machine needs.
const PATIENCE: Duration = Duration::from_secs(120);
/// Where WireGuard usually is, and its exporter.
const WIREGUARD_PORT: u16 = 51820;
const EXPORTER_PORT: u16 = 9586;
/// The label by which kubelet leaves an image alone.
const PINNED: &str = "io.cri-containerd.pinned=pinned";
/// Time between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(100);

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A program of the node is nowhere.
    #[error(transparent)]
    Programs(#[from] MissingNodeProgram),
    /// A program of the control plane is nowhere.
    #[error(transparent)]
    ControlPlanePrograms(#[from] MissingProgram),
    /// A program of ours was not built.
    #[error(transparent)]
    Binaries(#[from] MissingBinary),
    /// There is no machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The control plane does not run.
    #[error(transparent)]
    ControlPlane(#[from] ControlPlaneError),
    /// The API server does not do what it should.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A program does not run.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The gateway does not run.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The exporter of WireGuard's metrics does not run.
    #[error(transparent)]
    Exporter(#[from] WireguardExporterError),
    /// An image cannot be made.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// containerd does not take an image, or does not give it up.
    #[error("containerd does not do what it should with the image {image}: {said}")]
    Containerd {
        /// The image.
        image: String,
        /// What `ctr` said.
        said: String,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl NodeError {
    fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}

/// A program of a node, that a test may stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeProgram {
    /// What runs containers; those that run go on without it.
    Containerd,
    /// What runs Pods.
    Kubelet,
}

/// A real node with its control plane. All of it ends when this is dropped, and when the process ends, however it does.
#[derive(Debug)]
pub struct Node {
    folder: PathBuf,
    programs: Programs,
    node_programs: NodePrograms,
    files: Files,
    // Dropped in this order: those that ask before those that answer.
    exporter: Option<WireguardExporter>,
    gateway: Option<Gateway>,
    kubelet: Option<Process>,
    containerd: Option<Process>,
    _others: Vec<Process>,
    control_plane: ControlPlane,
    machine: Arc<Machine>,
}

impl Node {
    /// Starts a node, with its files and logs in this folder, and waits until its cluster's name server and monitoring run. `report` is
    /// told what is waited for.
    ///
    /// # Errors
    /// This is not root on Linux, a program is nowhere, or something does not become ready within two minutes.
    pub fn start(folder: &Path, mut report: impl FnMut(&str)) -> Result<Self, NodeError> {
        let programs = Programs::find_or_hint()?;
        let node_programs = NodePrograms::find_or_hint()?;
        std::fs::create_dir_all(folder).map_err(NodeError::writing(folder))?;
        report("a machine");
        let machine = Arc::new(Machine::start(folder)?);
        let files = Files::write(folder, &node_programs, machine.name())?;
        report("the control plane");
        let control_plane = ControlPlane::start_on_machine(&machine, &programs, folder)?;
        let mut node = Self {
            folder: folder.to_owned(),
            programs,
            node_programs,
            files,
            exporter: None,
            gateway: None,
            kubelet: None,
            containerd: None,
            _others: Vec::new(),
            control_plane,
            machine,
        };
        node.start_programs()?;
        report("the images");
        for image in images::of_the_cluster(&node.programs, &node.node_programs) {
            node.import(&image)?;
        }
        report("the node");
        node.wait_until_ready()?;
        report("the gateway");
        let endpoint = SocketAddrV4::new(node.machine.address(), WIREGUARD_PORT);
        let settings = GatewaySettings::new(NODE_NAME, node.machine.name(), endpoint);
        let interface = settings.interface.clone();
        node.gateway = Some(Gateway::start(&node.cluster(), folder, settings)?);
        let exporter = SocketAddrV4::new(node.machine.address(), EXPORTER_PORT);
        let machine = node.machine.name();
        node.exporter = Some(WireguardExporter::start(
            folder, machine, &interface, exporter,
        )?);
        let objects = files::cluster_objects(node.machine.address());
        node.control_plane.apply(&objects)?;
        report("the name server and Prometheus");
        node.wait_for_deployment("kube-system", "coredns")?;
        node.wait_for_deployment("monitoring", "prometheus")?;
        Ok(node)
    }

    /// Why no node can be started here, if that is known before it is tried.
    pub fn obstacle() -> Option<&'static str> {
        if !cfg!(target_os = "linux") {
            return Some("a node needs Linux");
        }
        (!geteuid().is_root()).then_some("a node needs root")
    }

    /// The machine that it runs on.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Its cluster, as the administrator uses it.
    pub fn cluster(&self) -> Cluster {
        self.control_plane.cluster()
    }

    /// The name of the interface through which devices come.
    pub fn tunnel_interface(&self) -> &str {
        let gateway = self.gateway.as_ref();
        gateway.map_or("kilo0", |gateway| &gateway.settings().interface)
    }

    /// What plays Kilo's part.
    pub const fn gateway(&mut self) -> Option<&mut Gateway> {
        self.gateway.as_mut()
    }

    /// What its API server wrote about the requests of ServiceAccounts, an event in JSON in each line.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join(AUDIT_LOG_FILE)
    }

    /// The name of the Node object.
    pub const fn name(&self) -> &'static str {
        NODE_NAME
    }

    /// Makes Sinfonia's image of a build, and imports it under the name that the chart gives it.
    ///
    /// # Errors
    /// A program was not built, or containerd does not take the image.
    pub fn import_sinfonia(&self, binaries: &Binaries) -> Result<(), NodeError> {
        let image = images::of_sinfonia(binaries, &self.programs, &self.node_programs)?;
        self.import(&image)
    }

    /// The name of the image that the chart of helloworld runs.
    pub fn helloworld_image(&self) -> String {
        images::helloworld()
    }

    /// An image of a web server for Pods, which shows its folder `/usr/share/nginx/html` on port 8080.
    pub fn web_server(&self, name: &str) -> Image {
        images::web_server(name, &self.node_programs)
    }

    /// Gives its containers an image.
    ///
    /// # Errors
    /// The image cannot be made, or containerd does not take it.
    pub fn import(&self, image: &Image) -> Result<(), NodeError> {
        let archive = self.folder.join("image.tar");
        image.write(&archive, Compression::None)?;
        let imported = self.ctr(&["images", "import", &archive.to_string_lossy()]);
        let _ = std::fs::remove_file(&archive);
        // kubelet makes room by removing images, and nobody would bring this one back.
        let pinned = imported.and_then(|()| self.ctr(&["images", "label", image.name(), PINNED]));
        pinned.map_err(|said| NodeError::Containerd {
            image: image.name().to_owned(),
            said,
        })
    }

    /// Takes an image away. Containers that run keep it.
    ///
    /// # Errors
    /// containerd does not do it.
    pub fn remove_image(&self, image: &str) -> Result<(), NodeError> {
        let removed = self.ctr(&["images", "remove", "--sync", image]);
        removed.map_err(|said| NodeError::Containerd {
            image: image.to_owned(),
            said,
        })
    }

    /// Kills a program (SIGKILL).
    pub fn kill(&mut self, program: NodeProgram) {
        *self.process(program) = None;
    }

    /// Starts a program that was killed; one that runs goes on.
    ///
    /// # Errors
    /// It does not run.
    pub fn revive(&mut self, program: NodeProgram) -> Result<(), NodeError> {
        if self.process(program).is_none() {
            let (name, command) = match program {
                NodeProgram::Containerd => ("containerd", self.containerd_command()),
                NodeProgram::Kubelet => ("kubelet", self.kubelet_command()),
            };
            *self.process(program) = Some(self.spawn(name, command)?);
        }
        Ok(())
    }

    /// Has kubelet think that the disk is full, or no longer so.
    ///
    /// # Errors
    /// It does not start again.
    pub fn set_disk_pressure(&mut self, pressure: bool) -> Result<(), NodeError> {
        self.files.write_kubelet(self.machine.name(), pressure)?;
        self.kill(NodeProgram::Kubelet);
        self.revive(NodeProgram::Kubelet)
    }

    /// Waits until the node takes Pods.
    ///
    /// # Errors
    /// That takes longer than two minutes.
    pub fn wait_until_ready(&self) -> Result<(), NodeError> {
        let path = format!("/api/v1/nodes/{NODE_NAME}");
        self.control_plane
            .wait_for(&path, PATIENCE, |node| node.is_some_and(is_ready))?;
        Ok(())
    }

    /// Waits until all Pods of a Deployment are ready.
    ///
    /// # Errors
    /// That takes longer than two minutes.
    pub fn wait_for_deployment(&self, namespace: &str, name: &str) -> Result<(), NodeError> {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
        self.control_plane.wait_for(&path, PATIENCE, |deployment| {
            deployment.is_some_and(|deployment| {
                let status = &deployment["status"];
                status["observedGeneration"] == deployment["metadata"]["generation"]
                    && status["readyReplicas"] == deployment["spec"]["replicas"]
                    && status["updatedReplicas"] == deployment["spec"]["replicas"]
                    && status["replicas"] == deployment["spec"]["replicas"]
            })
        })?;
        Ok(())
    }

    fn start_programs(&mut self) -> Result<(), NodeError> {
        self.revive(NodeProgram::Containerd)?;
        self.wait_for_containerd()?;
        self.revive(NodeProgram::Kubelet)?;
        self._others = vec![
            self.spawn("kube-scheduler", self.scheduler_command())?,
            self.spawn("kube-proxy", self.proxy_command())?,
            self.spawn("node-exporter", self.node_exporter_command())?,
        ];
        let path = format!("/api/v1/nodes/{NODE_NAME}");
        self.control_plane
            .wait_for(&path, PATIENCE, |node| node.is_some())?;
        let pods = json!({"spec": {"podCIDR": POD_NETWORK, "podCIDRs": [POD_NETWORK]}});
        self.control_plane.patch(&path, &pods)?;
        Ok(())
    }

    fn wait_for_containerd(&mut self) -> Result<(), NodeError> {
        let begun = Instant::now();
        while self.ctr(&["version"]).is_err() {
            let process = self.containerd.as_mut();
            if let Some(process) = process
                && (!process.runs() || begun.elapsed() > PATIENCE)
            {
                return Err(process.not_up().into());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn process(&mut self, program: NodeProgram) -> &mut Option<Process> {
        match program {
            NodeProgram::Containerd => &mut self.containerd,
            NodeProgram::Kubelet => &mut self.kubelet,
        }
    }

    fn spawn(&self, name: &str, command: Command) -> Result<Process, ServiceError> {
        Process::start_on(&self.machine, name, command, &self.folder)
    }

    fn containerd_command(&self) -> Command {
        let containerd = &self.node_programs.containerd;
        let mut command = Command::new(containerd);
        command
            .arg("--config")
            .arg(self.files.containerd())
            .env("PATH", path_with(containerd));
        command
    }

    fn kubelet_command(&self) -> Command {
        let mut command = Command::new(&self.node_programs.kubelet);
        command
            .arg("--config")
            .arg(self.files.kubelet())
            .arg("--kubeconfig")
            .arg(self.control_plane.kubeconfig())
            // It knows how full a disk is, but nothing of a file system in memory.
            .arg("--root-dir")
            .arg(self.folder.join("kubelet"))
            .args(["--hostname-override", NODE_NAME])
            .arg(format!("--node-ip={}", self.machine.address()))
            .env("PATH", path_with(&self.node_programs.kubelet));
        command
    }

    fn scheduler_command(&self) -> Command {
        let mut command = Command::new(&self.node_programs.kube_scheduler);
        command
            .arg("--kubeconfig")
            .arg(self.control_plane.kubeconfig())
            .args(["--leader-elect=false", "--secure-port=0"]);
        command
    }

    fn proxy_command(&self) -> Command {
        let mut command = Command::new(&self.node_programs.kube_proxy);
        command
            .arg("--kubeconfig")
            .arg(self.control_plane.kubeconfig())
            .args(["--proxy-mode", "nftables"])
            .args(["--hostname-override", NODE_NAME])
            // The machine's limit is not a node's to change.
            .args(["--conntrack-max-per-core", "0"])
            .env("PATH", path_with(&self.node_programs.kube_proxy));
        command
    }

    fn node_exporter_command(&self) -> Command {
        let mut command = Command::new(&self.node_programs.node_exporter);
        command.arg(format!(
            "--web.listen-address={}:9100",
            self.machine.address()
        ));
        command
    }

    /// Asks containerd, for what belongs to Kubernetes.
    fn ctr(&self, arguments: &[&str]) -> Result<(), String> {
        let mut command = Command::new(&self.node_programs.ctr);
        command
            .args(["--address", CONTAINERD_SOCKET, "--namespace", "k8s.io"])
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped());
        let ran = self.machine.spawn(command);
        let ran = ran.and_then(std::process::Child::wait_with_output);
        match ran {
            Ok(ran) if ran.status.success() => Ok(()),
            Ok(ran) => Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// What is found by name: programs beside this one, and the system's.
fn path_with(program: &Path) -> String {
    let folder = program.parent().unwrap_or(Path::new("."));
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.display())
}
