//! What helm is told by its environment: nothing of the user's but where the cluster and trusted certificates are.

use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{HelmError, HelmSettings};

/// What is passed on as it is.
const INHERITED: [&str; 3] = ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"];
/// Folders of helm and of the libraries in it, below its home.
const FOLDERS: [(&str, &str); 9] = [
    ("HOME", ""),
    ("TMPDIR", "tmp"),
    ("HELM_CACHE_HOME", "cache"),
    ("HELM_CONFIG_HOME", "config"),
    ("HELM_DATA_HOME", "data"),
    ("XDG_CACHE_HOME", "cache"),
    ("XDG_CONFIG_HOME", "config"),
    ("XDG_DATA_HOME", "data"),
    ("XDG_STATE_HOME", "state"),
];
/// Where a Pod finds the credentials of its ServiceAccount.
const POD_CREDENTIALS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// helm's whole environment, and the credentials that its arguments name.
#[derive(Debug)]
pub(super) struct Environment {
    variables: Vec<(&'static str, OsString)>,
    kubeconfig: Option<PathBuf>,
}

impl Environment {
    /// Makes helm's folders and finds out which credentials it uses; `lookup` reads our own environment.
    pub(super) fn prepare(
        settings: &HelmSettings,
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, HelmError> {
        let home = &settings.home;
        let mut variables = Vec::new();
        for (name, folder) in FOLDERS {
            let path = make_folder(home.join(folder))?;
            variables.push((name, path.into_os_string()));
        }
        let set = |name: &'static str| lookup(name).filter(|value| !value.is_empty());
        variables.extend(
            INHERITED
                .into_iter()
                .filter_map(|name| Some((name, set(name)?))),
        );
        let mut kubeconfig = settings.kubeconfig.clone();
        if kubeconfig.is_none() {
            // It may be a list of files, which only the variable can say.
            match set("KUBECONFIG") {
                Some(list) => variables.push(("KUBECONFIG", list)),
                None => kubeconfig = usual_kubeconfig(home, set)?,
            }
        }
        Ok(Self {
            variables,
            kubeconfig,
        })
    }

    pub(super) fn variables(&self) -> &[(&'static str, OsString)] {
        &self.variables
    }

    pub(super) fn kubeconfig(&self) -> Option<&OsStr> {
        self.kubeconfig.as_deref().map(Path::as_os_str)
    }
}

/// The user's credentials, else those of the Pod that this runs in.
fn usual_kubeconfig(
    home: &Path,
    set: impl Fn(&'static str) -> Option<OsString>,
) -> Result<Option<PathBuf>, HelmError> {
    let users = set("HOME").map(|home| Path::new(&home).join(".kube/config"));
    if let Some(users) = users.filter(|path| path.exists()) {
        return Ok(Some(users));
    }
    let (host, port) = (
        set("KUBERNETES_SERVICE_HOST"),
        set("KUBERNETES_SERVICE_PORT"),
    );
    let (Some(host), Some(port)) = (host, port) else {
        return Ok(None);
    };
    let path = home.join("in-cluster.json");
    let text = pod_kubeconfig(&host.to_string_lossy(), &port.to_string_lossy());
    match std::fs::write(&path, text) {
        Ok(()) => Ok(Some(path)),
        Err(source) => Err(HelmError::Home { path, source }),
    }
}

/// A Pod's credentials as a kubeconfig. helm 3 and 4 find them by themselves, but not together with `--kube-as-user`: then they ask
/// localhost:8080. The files are named, not copied, because they are renewed.
fn pod_kubeconfig(host: &str, port: &str) -> String {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "pod", "cluster": {
            "server": format!("https://{host}:{port}"),
            "certificate-authority": format!("{POD_CREDENTIALS}/ca.crt"),
        }}],
        "users": [{"name": "pod", "user": {"tokenFile": format!("{POD_CREDENTIALS}/token")}}],
        "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod"}}],
        "current-context": "pod",
    })
    .to_string()
}

fn make_folder(path: PathBuf) -> Result<PathBuf, HelmError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
    // helm runs in our working directory, but what it runs may not.
    match made.and_then(|()| std::path::absolute(&path)) {
        Ok(absolute) => Ok(absolute),
        Err(source) => Err(HelmError::Home { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn credentials_that_are_given_win() {
        let folder = TempDir::new().unwrap();
        let settings = HelmSettings {
            kubeconfig: Some("/given".into()),
            ..settings(&folder)
        };

        let environment = Environment::prepare(&settings, |_| Some("/other".into())).unwrap();

        assert_eq!(environment.kubeconfig(), Some(OsStr::new("/given")));
        assert_eq!(variable(&environment, "KUBECONFIG"), None);
    }

    #[test]
    fn a_list_of_credentials_is_passed_on() {
        let folder = TempDir::new().unwrap();
        let lookup = |name: &str| (name == "KUBECONFIG").then(|| OsString::from("/a:/b"));

        let environment = Environment::prepare(&settings(&folder), lookup).unwrap();

        assert_eq!(environment.kubeconfig(), None);
        assert_eq!(variable(&environment, "KUBECONFIG").unwrap(), "/a:/b");
    }

    #[test]
    fn the_users_credentials_are_found_although_the_home_is_helms_own() {
        let folder = TempDir::new().unwrap();
        let users = folder.path().join("user/.kube/config");
        fs::create_dir_all(users.parent().unwrap()).unwrap();
        fs::write(&users, "").unwrap();
        let home = folder.path().join("user").into_os_string();
        let lookup = |name: &str| (name == "HOME").then(|| home.clone());

        let environment = Environment::prepare(&settings(&folder), lookup).unwrap();

        assert_eq!(environment.kubeconfig(), Some(users.as_os_str()));
        assert_ne!(variable(&environment, "HOME").unwrap(), home);
    }

    #[test]
    fn in_a_pod_its_credentials_are_named() {
        let folder = TempDir::new().unwrap();
        let lookup = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("fd00::1".into()),
            "KUBERNETES_SERVICE_PORT" => Some("443".into()),
            _ => None,
        };

        let environment = Environment::prepare(&settings(&folder), lookup).unwrap();

        let text = fs::read_to_string(environment.kubeconfig().unwrap()).unwrap();
        assert!(text.contains("\"https://[fd00::1]:443\""), "{text}");
        assert!(text.contains("\"/var/run/secrets/kubernetes.io/serviceaccount/token\""));
    }

    #[test]
    fn only_we_look_into_helms_folders() {
        let folder = TempDir::new().unwrap();

        let environment = Environment::prepare(&settings(&folder), |_| None).unwrap();

        for (_, path) in environment.variables() {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
    }

    fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a OsStr> {
        let mut found = environment
            .variables()
            .iter()
            .filter(|found| found.0 == name);
        found.next().map(|(_, value)| value.as_os_str())
    }

    fn settings(folder: &TempDir) -> HelmSettings {
        HelmSettings {
            program: "helm".into(),
            home: folder.path().join("helm"),
            concurrency: 1,
            timeout: Duration::from_secs(1),
            kubeconfig: None,
            context: None,
        }
    }
}
