//! A Kubernetes control plane of real programs: etcd, kube-apiserver, kube-controller-manager.

mod certificates;
mod commands;
mod node;
mod objects;
mod shared;
mod site;

use std::fs;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use self::commands::AUDIT_LOG_FILE;
pub use self::node::{
    KUBE_DNS_ADDRESS, NODE_ENDPOINT, NODE_NAME, NODE_PUBLIC_KEY, NODE_WIREGUARD_IP,
};
pub use self::shared::{SharedCluster, VARIABLE};
pub(crate) use self::site::{Etcd, Site};
use crate::cluster::{Access, STATE_FILE, random_hex, write_private};
use crate::machine::Machine;
use crate::process::Process;
use crate::{Cluster, ClusterError, MissingProgram, Programs, ServiceError};

/// Time that a control plane has to become ready: ten times what a small machine needs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks at whether it is.
const POLL: Duration = Duration::from_millis(50);
/// Where an API server keeps its objects in etcd, unless it is told otherwise.
const DEFAULT_PREFIX: &str = "registry";
/// Random bytes of the administrator's token.
const TOKEN_BYTES: usize = 24;

/// Why a control plane does not run.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// A program is nowhere.
    #[error(transparent)]
    Programs(#[from] MissingProgram),
    /// A program does not run.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The API server does not do what it should.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Files cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No port is left.
    #[error("cannot reserve a port")]
    Port(#[source] io::Error),
    /// Certificates cannot be made.
    #[error("cannot make certificates")]
    Certificates(#[from] rcgen::Error),
}

/// A control plane of this process. Its programs are killed when it is dropped, and when the process ends, however it does.
///
/// It derefs to the [`Cluster`] that it serves.
#[derive(Debug)]
pub struct ControlPlane {
    cluster: Cluster,
    programs: Programs,
    prefix: String,
    site: Site,
    // Dropped in this order: those that ask before those that answer.
    node: Option<node::Refresher>,
    controller_manager: Option<Process>,
    api_server: Option<Process>,
    etcd: Option<Etcd>,
}

impl Deref for ControlPlane {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl ControlPlane {
    /// Starts a control plane, with its files and logs in this folder, and waits until it is ready: Kilo's `Peer` is known, a node
    /// carries Kilo's annotations, and there is a `kube-dns` Service.
    ///
    /// # Errors
    /// A program does not run, or is not ready within a minute.
    pub fn start(programs: &Programs, folder: &Path) -> Result<Self, ControlPlaneError> {
        create_folder(folder)?;
        let site = Site::loopback()?;
        let etcd = site.start_etcd(programs, folder)?;
        let url = etcd.url().to_owned();
        let mut control_plane = Self::start_on(site, programs, folder, url, DEFAULT_PREFIX)?;
        control_plane.etcd = Some(etcd);
        control_plane.finish(true)
    }

    /// Starts a control plane on a machine with a node: there are no annotations of Kilo until somebody makes them.
    ///
    /// # Errors
    /// As for [`ControlPlane::start`].
    pub(crate) fn start_on_machine(
        machine: &Arc<Machine>,
        programs: &Programs,
        folder: &Path,
    ) -> Result<Self, ControlPlaneError> {
        create_folder(folder)?;
        let site = Site::Machine(Arc::clone(machine));
        let etcd = site.start_etcd(programs, folder)?;
        let url = etcd.url().to_owned();
        let mut control_plane = Self::start_on(site, programs, folder, url, DEFAULT_PREFIX)?;
        control_plane.etcd = Some(etcd);
        control_plane.finish(false)
    }

    /// Starts another API server and controller manager on the etcd of `first`. They share no object with it: they make a cluster of
    /// their own, for tests that stop its API server or change what is there once per cluster. `prefix` names it in etcd.
    ///
    /// # Errors
    /// As for [`ControlPlane::start`].
    pub fn second(
        first: &Cluster,
        programs: &Programs,
        prefix: &str,
        folder: &Path,
    ) -> Result<Self, ControlPlaneError> {
        create_folder(folder)?;
        let etcd = first.access().etcd.clone();
        Self::start_on(Site::loopback()?, programs, folder, etcd, prefix)?.finish(true)
    }

    /// Starts the programs.
    fn start_on(
        site: Site,
        programs: &Programs,
        folder: &Path,
        etcd_url: String,
        prefix: &str,
    ) -> Result<Self, ControlPlaneError> {
        let access = Access {
            url: format!("https://{}", site.api_server()),
            etcd: etcd_url,
            token: random_hex::<TOKEN_BYTES>(),
        };
        certificates::write_all(folder, site.api_server().ip())?;
        write(&folder.join(commands::TOKEN_FILE), &users(&access.token))?;
        let cluster = Cluster::new(folder, access)?;
        cluster.write_kubeconfig(
            &cluster.kubeconfig(),
            cluster.url(),
            cluster.token(),
            "default",
        )?;
        let mut control_plane = Self {
            cluster,
            programs: programs.clone(),
            prefix: prefix.to_owned(),
            site,
            node: None,
            controller_manager: None,
            api_server: None,
            etcd: None,
        };
        control_plane.start_api_server()?;
        control_plane.start_controller_manager()?;
        Ok(control_plane)
    }

    /// Makes what a cluster with Kilo holds, a node that stands for one too where there is no real one.
    fn finish(mut self, with_node: bool) -> Result<Self, ControlPlaneError> {
        objects::make(&self.cluster)?;
        if with_node {
            self.node = Some(node::Refresher::start(&self.cluster)?);
        }
        self.write_state()?;
        Ok(self)
    }

    /// The cluster that it serves, for other threads.
    pub fn cluster(&self) -> Cluster {
        self.cluster.clone()
    }

    /// Stops the API server at once. Connections to its port are refused from now on.
    pub fn stop_api_server(&mut self) {
        self.api_server = None;
    }

    /// Starts the API server, on the port that it always had, and waits until it is ready. One that runs goes on.
    ///
    /// # Errors
    /// It does not run, or is not ready within a minute.
    pub fn start_api_server(&mut self) -> Result<(), ControlPlaneError> {
        if self.api_server.is_some() {
            return Ok(());
        }
        let command = commands::api_server(&self.programs, &self.cluster, &self.site, &self.prefix);
        let folder = self.cluster.folder();
        let mut process = self.site.start("kube-apiserver", command, folder)?;
        wait_until(&mut process, || {
            matches!(self.cluster.request("GET", "/readyz", "", ""), Ok((200, _)))
        })?;
        self.api_server = Some(process);
        Ok(())
    }

    /// Stops the controller manager at once: Namespaces are no longer finished, new ones get no ServiceAccount.
    pub fn stop_controller_manager(&mut self) {
        self.controller_manager = None;
    }

    /// Starts the controller manager and waits until it does its work. One that runs goes on.
    ///
    /// # Errors
    /// It does not run, or does nothing within a minute.
    pub fn start_controller_manager(&mut self) -> Result<(), ControlPlaneError> {
        if self.controller_manager.is_some() {
            return Ok(());
        }
        let folder = self.cluster.folder();
        let command = commands::controller_manager(&self.programs, &self.cluster, &self.site);
        let mut process = self
            .site
            .start("kube-controller-manager", command, folder)?;
        wait_until(&mut process, || {
            let path = "/api/v1/namespaces/default/serviceaccounts/default";
            matches!(self.cluster.find(path), Ok(Some(_)))
        })?;
        self.controller_manager = Some(process);
        Ok(())
    }

    /// Refreshes what Kilo's agent would refresh on the node no longer: it becomes stale after 3 minutes, or at once when a test changes
    /// the annotation.
    pub fn abandon_node(&mut self) {
        self.node = None;
    }

    /// The ids of its processes.
    pub fn process_ids(&self) -> Vec<u32> {
        [
            self.etcd.as_ref().map(Etcd::process),
            self.api_server.as_ref(),
            self.controller_manager.as_ref(),
        ]
        .into_iter()
        .flatten()
        .map(Process::id)
        .collect()
    }

    /// Tells others how to reach the cluster, now that it is ready.
    fn write_state(&self) -> Result<(), ControlPlaneError> {
        let path = self.cluster.folder().join(STATE_FILE);
        let text = serde_json::to_string(self.cluster.access()).unwrap_or_default();
        write(&path, &text)
    }
}

fn wait_until(
    process: &mut Process,
    mut is_ready: impl FnMut() -> bool,
) -> Result<(), ServiceError> {
    let begun = Instant::now();
    while !is_ready() {
        if !process.runs() || begun.elapsed() > PATIENCE {
            return Err(process.not_up());
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// The file of static tokens: token, user, uid, groups.
fn users(token: &str) -> String {
    format!("{token},testbed-admin,testbed-admin,system:masters\n")
}

fn create_folder(path: &Path) -> Result<(), ControlPlaneError> {
    fs::create_dir_all(path).map_err(|source| ControlPlaneError::Write {
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, text: &str) -> Result<(), ControlPlaneError> {
    write_private(path, text).map_err(|source| ControlPlaneError::Write {
        path: path.to_owned(),
        source,
    })
}
