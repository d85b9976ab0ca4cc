//! What is told of a tunnel while an application runs inside. They need root.

use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use wiremock::ResponseTemplate;

use crate::device::Device;
use crate::inside::{PATH, deployed, run};

#[tokio::test]
async fn programs_read_what_happens_in_lines_on_stderr() {
    let (device, _cloudlet) = deployed().await;

    let told = run(
        &device,
        &[
            "deploy",
            "helloworld",
            "--output",
            "json",
            "--",
            "sh",
            "-c",
            "echo mine; exit 7",
        ],
    );

    assert_eq!(told.stdout, b"mine\n");
    assert_eq!(told.status.code(), Some(7));
    insta::assert_json_snapshot!(events(&told), {
        "[].time" => "[time]",
        "[].pid" => "[pid]",
        "[].endpoint" => "[endpoint]",
        "[].round_trip_ms" => "[time]",
        "[].sent_bytes" => "[bytes]",
        "[].received_bytes" => "[bytes]",
        "[].deployment" => "[deployment]",
    });
}

#[tokio::test]
async fn programs_read_of_failures_in_the_same_way() {
    let device = Device::new().await;
    device.deploys(ResponseTemplate::new(503)).await;

    let told = run(
        &device,
        &["deploy", "helloworld", "--output", "json", "--", "true"],
    );

    let [event] = events(&told).try_into().unwrap();
    assert_eq!(told.status.code(), Some(125));
    assert_eq!(
        (&event["event"], &event["exit_code"]),
        (&"error".into(), &125.into())
    );
    let message = event["message"].as_str().unwrap();
    assert!(message.contains("503 Service Unavailable"), "{message}");
    assert!(!event["hint"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn the_title_of_a_terminal_tells_the_state_until_the_application_ends() {
    let (device, _cloudlet) = deployed().await;

    let shown = on_terminal(&device, "deploy helloworld -- sleep 2");

    let (before, rest) = shown.split_once("\u{1b}[22;2t").unwrap();
    let (titles, after) = rest.split_once("\u{1b}[23;2t").unwrap();
    assert!(
        titles.starts_with("\u{1b}]2;Pittsburgh · rtt "),
        "{titles:?}"
    );
    assert!(titles.ends_with('\u{7}'), "{titles:?}");
    assert!(!before.contains("Pittsburgh"), "{before:?}");
    assert_eq!(after, "");
}

#[tokio::test]
async fn a_line_tells_the_state_on_demand_and_is_gone_at_the_end() {
    let (device, _cloudlet) = deployed().await;

    let shown = on_terminal(&device, "deploy helloworld --status line -- sleep 2");

    assert!(shown.contains("Pittsburgh · rtt "), "{shown:?}");
    assert!(shown.ends_with("\r\u{1b}[2K"), "{shown:?}");
    assert!(!shown.contains("\u{1b}]2;"), "{shown:?}");
}

#[tokio::test]
async fn trouble_is_told_in_the_title_and_not_among_what_the_application_writes() {
    let (device, cloudlet) = deployed().await;
    let started = device.folder().join("started");
    let script = format!(
        "touch {}; sleep 1; echo >/dev/udp/10.5.0.1/7; sleep 8",
        started.display()
    );

    let line = format!("deploy helloworld -- bash -c '{script}'");
    let shown = thread::scope(|scope| {
        let shown = scope.spawn(|| on_terminal(&device, &line));
        while !started.exists() && !shown.is_finished() {
            thread::sleep(Duration::from_millis(10));
        }
        cloudlet.die();
        shown.join().unwrap()
    });

    assert!(
        shown.contains("\u{1b}]2;Pittsburgh · silent for "),
        "{shown:?}"
    );
    assert!(!shown.contains("note:"), "{shown:?}");
}

#[tokio::test]
async fn nothing_is_shown_of_the_state_where_that_is_not_wanted() {
    let (device, _cloudlet) = deployed().await;

    for options in ["--status off", "--quiet"] {
        let shown = on_terminal(&device, &format!("deploy helloworld {options} -- sleep 1"));

        assert!(!shown.contains("Pittsburgh"), "{shown:?}");
        assert!(!shown.contains("\u{1b}[22;2t"), "{shown:?}");
    }
}

fn events(told: &Output) -> Vec<Value> {
    let text = String::from_utf8(told.stderr.clone()).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Runs the program on a terminal of its own, and tells what that got.
fn on_terminal(device: &Device, line: &str) -> String {
    let program = assert_cmd::cargo::cargo_bin!("sinfonia-tier3");
    let shown = Command::new("script")
        .args(["--quiet", "--return", "--command"])
        .arg(format!("{} {line}", program.display()))
        .arg("/dev/null")
        .env_clear()
        .env("PATH", PATH)
        .env("TERM", "xterm-256color")
        .env("XDG_CACHE_HOME", device.folder().join("caches"))
        .env("SINFONIA_TIER1_URL", device.tier1.uri())
        .output()
        .unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success(), "{text}");
    text
}
