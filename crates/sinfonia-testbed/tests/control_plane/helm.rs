use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use sinfonia_testbed::{ControlPlane, FaultProxy, Programs, TestFolder};

#[rstest]
#[case::helm_3("v3.", |programs: Programs| programs.helm3)]
#[case::helm_4("v4.", |programs: Programs| programs.helm4)]
fn helm_installs_a_chart_as_the_administrator_and_through_a_proxy(
    #[case] version: &str,
    #[case] choose: fn(Programs) -> PathBuf,
) {
    let cluster = ControlPlane::shared();
    let folder = TestFolder::new().unwrap();
    let namespace = cluster.namespace("helm").unwrap();
    let program = choose(Programs::find_or_hint().unwrap());
    let proxy = FaultProxy::start(&cluster).unwrap();
    let through_proxy = folder.path().join("proxy.kubeconfig");
    cluster
        .write_kubeconfig(&through_proxy, proxy.url(), cluster.token(), "default")
        .unwrap();
    let chart = chart(folder.path());
    let install = |kubeconfig: &Path, release: &str| {
        helm(&program, folder.path())
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--namespace", namespace.name(), "install", release])
            .arg(&chart)
            .output()
            .unwrap()
    };

    let outputs = [
        install(&cluster.kubeconfig(), "direct"),
        install(&through_proxy, "proxied"),
    ];

    assert!(
        outputs.iter().all(|output| output.status.success()),
        "{outputs:?}"
    );
    for release in ["direct", "proxied"] {
        let maps = format!("/api/v1/namespaces/{}/configmaps", namespace.name());
        let map = cluster.get_json(&format!("{maps}/{release}")).unwrap();
        assert_eq!(map["data"]["greeting"], "hello");
    }
    assert_eq!(
        proxy.count("create", "configmaps") + proxy.count("patch", "configmaps"),
        1
    );
    let output = helm(&program, folder.path())
        .args(["version", "--short"])
        .output();
    assert!(
        String::from_utf8(output.unwrap().stdout)
            .unwrap()
            .starts_with(version)
    );
}

fn helm(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", folder);
    command
}

fn chart(folder: &Path) -> PathBuf {
    let chart = folder.join("chart");
    fs::create_dir_all(chart.join("templates")).unwrap();
    let about = "apiVersion: v2\nname: greeting\nversion: 1.0.0\n";
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}'}\ndata: {greeting: hello}\n";
    fs::write(chart.join("Chart.yaml"), about).unwrap();
    fs::write(chart.join("templates/map.yaml"), map).unwrap();
    chart
}
