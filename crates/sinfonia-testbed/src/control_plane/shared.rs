//! The one control plane that the tests of a run share.

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;

use super::{ControlPlane, ControlPlaneError};
use crate::run_folder::RunFolder;
use crate::{Cluster, Programs};

/// The environment variable that names the folder of a control plane that runs already, for [`ControlPlane::shared`].
pub const VARIABLE: &str = "SINFONIA_TESTBED";

/// Lives as long as the process; statics are not dropped, but the processes die with this one, and the folder goes with it.
static OF_THIS_PROCESS: OnceLock<Result<Running, String>> = OnceLock::new();

struct Running {
    cluster: Cluster,
    _own: Option<(ControlPlane, RunFolder)>,
}

/// The control plane that all tests share: names are to be a test's own. Where a test fails while it holds this, the logs are kept, and
/// named on stderr.
#[derive(Debug, Clone)]
pub struct SharedCluster(Cluster);

impl ControlPlane {
    /// The control plane of this run: the one that `SINFONIA_TESTBED` names, else one that is started for this process.
    ///
    /// # Panics
    /// There is none and none can be started. The text says what to do.
    #[expect(
        clippy::panic,
        reason = "a test without a control plane has failed, and says why in the words of the error"
    )]
    pub fn shared() -> SharedCluster {
        let running =
            OF_THIS_PROCESS.get_or_init(|| running().map_err(|error| with_causes(&error)));
        match running {
            Ok(running) => SharedCluster(running.cluster.clone()),
            Err(error) => panic!("{error}"),
        }
    }
}

impl Deref for SharedCluster {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.0
    }
}

impl Drop for SharedCluster {
    fn drop(&mut self) {
        if thread::panicking() {
            RunFolder::keep(self.0.folder());
            // A test that has failed tells what it can.
            let _ = writeln!(
                io::stderr(),
                "logs of the control plane are kept in {}",
                self.0.folder().display()
            );
        }
    }
}

fn running() -> Result<Running, ControlPlaneError> {
    if let Some(folder) = env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) {
        return Ok(Running {
            cluster: Cluster::open(Path::new(&folder))?,
            _own: None,
        });
    }
    let programs = Programs::find_or_hint()?;
    let folder = RunFolder::new().map_err(|source| ControlPlaneError::Write {
        path: PathBuf::from("the folder of a run"),
        source,
    })?;
    let own = ControlPlane::start(&programs, folder.path())?;
    Ok(Running {
        cluster: own.cluster(),
        _own: Some((own, folder)),
    })
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestFolder;
    use crate::cluster::Access;
    use crate::control_plane::certificates;

    #[test]
    fn a_test_that_fails_keeps_the_logs_of_the_shared_control_plane() {
        let folder = TestFolder::new().unwrap();
        certificates::write_all(folder.path(), [127, 0, 0, 1].into()).unwrap();
        let access = Access {
            url: String::new(),
            etcd: String::new(),
            token: String::new(),
        };
        let shared = SharedCluster(Cluster::new(folder.path(), access).unwrap());
        let passing = shared.clone();
        let marker = folder.path().join("failed");

        drop(passing);
        let before = marker.exists();
        let failing = thread::spawn(move || {
            let _shared = shared;
            std::panic::resume_unwind(Box::new("failed"));
        });

        assert!(failing.join().is_err());
        assert_eq!((before, marker.exists()), (false, true));
    }
}
