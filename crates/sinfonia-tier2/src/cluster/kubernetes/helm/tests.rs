//! helm's part is played by shell scripts, for what the real one does not do on demand.

use std::fs;
use std::future::ready;
use std::time::Instant;

use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

use super::*;

#[tokio::test]
async fn values_go_through_stdin_and_only_known_options_are_given() {
    let fake = Fake::new("echo \"$@\" > $0.args; cat > $0.stdin");
    let values = json!({"a": {"b": 1}}).as_object().cloned();

    let helm = fake.helm();
    helm.install(
        &name(),
        "deployer",
        Path::new("/c.tgz"),
        values.as_ref(),
        ready(()),
    )
    .await
    .unwrap();

    assert_eq!(
        fake.said("args"),
        "install brave-otter-x7k2p /c.tgz --namespace brave-otter-x7k2p --kube-as-user \
         system:serviceaccount:brave-otter-x7k2p:deployer --timeout 1s --kubeconfig /k --skip-crds -f -\n"
    );
    assert_eq!(fake.said("stdin"), "{\"a\":{\"b\":1}}");
}

#[tokio::test]
async fn nothing_of_our_environment_is_passed_on() {
    let fake = Fake::new("/usr/bin/env > $0.env");

    fake.helm().uninstall(&name(), "deployer").await.unwrap();

    let environment = fake.said("env");
    let mut names: Vec<_> = environment
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .filter(|name| {
            !matches!(
                *name,
                "PWD" | "SHLVL" | "_" | "SSL_CERT_FILE" | "SSL_CERT_DIR"
            )
        })
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "HELM_CACHE_HOME",
            "HELM_CONFIG_HOME",
            "HELM_DATA_HOME",
            "HOME",
            "PATH",
            "TMPDIR",
            "XDG_CACHE_HOME",
            "XDG_CONFIG_HOME",
            "XDG_DATA_HOME",
            "XDG_STATE_HOME"
        ]
    );
}

#[tokio::test]
async fn a_hook_that_fails_does_not_keep_a_release() {
    let fake = Fake::new(
        "echo \"$@\" >> $0.args
         case \"$*\" in *--no-hooks) exit 0;; esac
         echo 'Error: 1 error occurred:' >&2; echo ' * job h failed: BackoffLimitExceeded' >&2; exit 1",
    );

    fake.helm().uninstall(&name(), "deployer").await.unwrap();

    assert_eq!(fake.said("args").lines().count(), 2);
}

#[rstest]
#[case::absent("uninstall: Release not loaded: x: release: not found", true, 1)]
#[case::unreachable("Kubernetes cluster unreachable: connection refused", false, 1)]
#[case::refused("secrets is forbidden: User \"x\"", false, 2)]
#[tokio::test]
async fn only_a_release_that_is_gone_is_uninstalled(
    #[case] message: &str,
    #[case] done: bool,
    #[case] tries: usize,
) {
    let fake = Fake::new(&format!(
        "echo >> $0.tries; echo 'Error: {message}' >&2; exit 1"
    ));

    let result = fake.helm().uninstall(&name(), "deployer").await;

    assert_eq!(result.is_ok(), done);
    assert_eq!(fake.said("tries").len(), tries);
}

#[tokio::test]
async fn rights_that_are_late_cost_a_second_try() {
    let denied = "Error: INSTALLATION FAILED: unable to continue with install: could not get information about the resource \
        ConfigMap \"a\" in namespace \"brave-otter-x7k2p\": configmaps \"a\" is forbidden: User \
        \"system:serviceaccount:brave-otter-x7k2p:deployer\" cannot get resource \"configmaps\" in API group \"\" in the \
        namespace \"brave-otter-x7k2p\"";
    let fake = Fake::new(&format!(
        "echo \"$1\" >> $0.did; [ -e $0.tried ] && exit 0; touch $0.tried; echo '{denied}' >&2; exit 1"
    ));

    let installed = fake
        .helm()
        .install(&name(), "deployer", Path::new("/c.tgz"), None, ready(()))
        .await;

    assert!(installed.is_ok());
    assert_eq!(fake.said("did"), "install\nuninstall\ninstall\n");
}

#[tokio::test]
async fn helm_starts_before_it_may_do_anything() {
    let fake = Fake::new("echo started > $0.did; cat > /dev/null; echo ended >> $0.did");
    let helm = fake.helm();
    let until_started = async {
        // What the shell opens it writes to a moment later.
        while fs::read_to_string(fake.program.with_extension("did")).unwrap_or_default()
            != "started\n"
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };

    let name = name();
    let installed = helm.install(&name, "deployer", Path::new("/c.tgz"), None, until_started);

    installed.await.unwrap();
    assert_eq!(fake.said("did"), "started\nended\n");
}

#[tokio::test]
async fn helm_that_is_given_up_before_it_may_do_anything_reads_no_values() {
    let fake = Fake::new("cat > $0.stdin");
    let helm = fake.helm();
    let stdin = fake.program.with_extension("stdin");
    let until_read = async {
        while fs::read_to_string(&stdin).is_ok_and(|read| read.is_empty()) || !stdin.exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };

    let name = name();
    let never = std::future::pending();
    let installing = helm.install(&name, "deployer", Path::new("/c.tgz"), None, never);
    let given_up = tokio::select! {
        _ = installing => false,
        read = tokio::time::timeout(Duration::from_secs(10), until_read) => read.is_ok(),
    };

    assert!(given_up);
    // An empty text would be good values.
    assert_eq!(fake.said("stdin"), "{");
}

#[tokio::test]
async fn of_much_output_the_end_is_kept() {
    let fake = Fake::new(
        "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo 'Error: the end' >&2; exit 1",
    );

    let error = fake
        .helm()
        .install(&name(), "deployer", Path::new("/c.tgz"), None, ready(()))
        .await;

    let Err(HelmError::Failed { text, .. }) = error else {
        panic!("{error:?}");
    };
    assert!(text.ends_with("Error: the end\n"));
    assert_eq!(text.len(), 16 * 1024);
}

#[tokio::test]
async fn helm_is_killed_with_the_future_that_runs_it() {
    let fake = Fake::new("echo $$ > $0.pid; exec sleep 60");
    let helm = fake.helm();

    let given_up = tokio::time::timeout(
        Duration::from_millis(500),
        helm.install(&name(), "deployer", Path::new("/c.tgz"), None, ready(())),
    )
    .await;

    assert!(given_up.is_err());
    let process = format!("/proc/{}", fake.said("pid").trim());
    let begun = Instant::now();
    // Its entry goes when it is reaped.
    while Path::new(&process).exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{process} is there"
        );
        // Children are reaped when the runtime looks at them.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(helm.permits.available_permits(), 1);
}

#[tokio::test]
async fn helm_that_does_not_end_is_killed_and_timed_out() {
    let fake = Fake::new("exec sleep 60");
    let helm = fake.helm();

    let error = helm
        .run("install", vec![], None, Duration::from_millis(100))
        .await
        .err()
        .unwrap();

    assert_eq!(error.kind(), HelmFailure::TimedOut);
    assert_eq!(error.failure(), HelmFailure::TimedOut.failure());
}

#[tokio::test]
async fn no_more_work_at_once_than_allowed() {
    let fake = Fake::new("mkdir $0.lock || exit 1; sleep 0.05; rmdir $0.lock");
    let helm = fake.helm();
    let name = name();

    let (first, second) = tokio::join!(helm.uninstall(&name, "d"), helm.uninstall(&name, "d"));

    assert!(first.is_ok() && second.is_ok());
}

#[rstest]
#[case::three("v3.22.0+g1234567", true)]
#[case::four("v4.3", true)]
#[case::two("Client: v2.17.0+ga690bad", false)]
#[case::five("v5.0.0", false)]
#[tokio::test]
async fn helm_3_and_4_are_supported(#[case] version: &str, #[case] supported: bool) {
    let fake = Fake::new(&format!("echo '{version}'"));

    let found = fake.helm().version().await;

    assert_eq!(found.ok().as_deref(), supported.then_some(version));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told() {
    let folder = TempDir::new().unwrap();
    let helm = Helm::new(settings(&folder, Path::new("/no/such/helm"))).unwrap();

    let error = helm.version().await.unwrap_err();

    assert_eq!(error.to_string(), "cannot run /no/such/helm");
}

/// A shell script in helm's place; `$0.x` in it is a file that [`Fake::said`] reads.
struct Fake {
    folder: TempDir,
    program: PathBuf,
}

impl Fake {
    fn new(script: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let program = folder.path().join("helm");
        // Another process writes it: one that we hold open for writing cannot be run, and a child of another test inherits it.
        let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 700 \"$0\"";
        let written = std::process::Command::new("/bin/sh")
            .args(["-c", write])
            .args([program.as_os_str(), script.as_ref()])
            .status();
        assert!(written.unwrap().success());
        Self { folder, program }
    }

    fn helm(&self) -> Helm {
        Helm::new(settings(&self.folder, &self.program)).unwrap()
    }

    fn said(&self, what: &str) -> String {
        fs::read_to_string(self.program.with_extension(what)).unwrap()
    }
}

fn settings(folder: &TempDir, program: &Path) -> HelmSettings {
    HelmSettings {
        program: program.to_owned(),
        home: folder.path().join("home"),
        concurrency: 1,
        timeout: Duration::from_secs(1),
        kubeconfig: Some(PathBuf::from("/k")),
        context: None,
    }
}

fn name() -> DeploymentName {
    "brave-otter-x7k2p".parse().unwrap()
}
