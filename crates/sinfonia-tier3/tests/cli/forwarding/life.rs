//! How forwarding begins and ends, alone and with a command.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};

use nix::sys::signal::Signal;
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::{connect, deployed, forward};
use crate::backend::{Backend, COUNT, ECHO};
use crate::device::{CLOUDLET, Device, HELLOWORLD, URL_SAFE_KEY, answer};
use crate::running::Running;

#[tokio::test]
async fn a_port_in_use_is_told_before_anything_is_deployed() {
    let (device, _backend) = deployed().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();

    let told = device.run(&format!(
        "deploy helloworld --socks 0 --forward {port}:web:80 --forward 0:web:81"
    ));

    insta::assert_snapshot!(told.replace(&port.to_string(), "PORT"), @r"
    exit 1
    -- stdout
    -- stderr
    error: cannot listen at 127.0.0.1:PORT for --forward PORT:web:80: Address already in use (os error 98)
    hint: another program or option has port PORT; take another one, or any that is free: --forward 0:web:80
    ");
    assert_eq!(device.asked().await, [""; 0]);
}

#[tokio::test]
async fn what_is_no_forward_is_told_before_anything_is_deployed() {
    let (device, _backend) = deployed().await;

    insta::assert_snapshot!(device.run("deploy helloworld --forward web:80"), @r"
    exit 1
    -- stdout
    -- stderr
    error: invalid value 'web:80' for '--forward <[ADDRESS:]PORT:HOST:PORT[/tcp|/udp]>': expected [ADDRESS:]PORT:HOST:PORT[/tcp|/udp], such as 8080:helloworld:80 or [::1]:5353:10.43.0.10:53/udp

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(device.run("deploy helloworld --forward 8080:web:80 --no-wait"), @r"
    exit 1
    -- stdout
    -- stderr
    error: the argument '--forward <[ADDRESS:]PORT:HOST:PORT[/tcp|/udp]>' cannot be used with '--no-wait'

    Usage: sinfonia-tier3 deploy --forward <[ADDRESS:]PORT:HOST:PORT[/tcp|/udp]> --tier1-url <URL> <UUID|ALIAS> [-- <COMMAND>...]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(device.run("deploy helloworld --forward 0:web:80 --output wg"), @r"
    exit 1
    -- stdout
    -- stderr
    error: --output wg writes a file for a tunnel of wg-quick, not for forwarded ports
    hint: leave it out, or take --output json
    ");
    assert_eq!(device.asked().await, [""; 0]);
}

#[rstest]
#[case::terminate(Signal::SIGTERM)]
#[case::interrupt(Signal::SIGINT)]
#[tokio::test]
async fn a_signal_ends_it_and_what_was_deployed_is_deleted(#[case] signal: Signal) {
    let (device, _backend) = deployed().await;
    let running = forward(&device, &["0:web:80"]);
    let _open = connect(running.ports[0]);

    let (code, told) = running.end(signal);

    assert_eq!(code, Some(0), "{told}");
    assert_eq!(device.asked().await, [deploying(), deleting()]);
}

#[tokio::test]
async fn what_was_deployed_stays_on_demand() {
    let (device, _backend) = deployed().await;
    let words = [
        "deploy",
        "helloworld",
        "--no-release",
        "--forward",
        "0:web:80",
    ];

    Running::start(&device, &words, 1).end(Signal::SIGTERM);

    assert_eq!(device.asked().await, [deploying()]);
}

#[tokio::test]
async fn programs_are_told_the_ports_in_a_line() {
    let (device, backend) = deployed().await;
    let words = "deploy helloworld --output json --socks 0 --forward 0:web.:80 --forward [::1]:0:[fd00:5::1]:7/udp";
    let words: Vec<&str> = words.split(' ').collect();
    let mut running = Running::start(&device, &words, 3);

    let told: Value = serde_json::from_str(&running.output_line()).unwrap();

    let [web, udp, socks] = running.ports.as_slice() else {
        panic!("{:?}", running.ports);
    };
    assert_eq!(
        told,
        json!({
            "forwards": [
                {"protocol": "tcp", "local": web, "host": "web.", "port": 80},
                {"protocol": "udp", "local": udp, "host": "fd00:5::1", "port": 7},
            ],
            "socks": [socks],
            "deployment": backend.deployment(),
        })
    );
}

#[tokio::test]
async fn a_command_runs_meanwhile_and_gives_its_exit_code() {
    let (device, _backend) = deployed().await;
    let port = free_port();
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; echo through the port >&3; head -n 1 <&3; exit 7"
    );

    let told = device
        .command(&format!("deploy helloworld --forward {port}:web:{ECHO} --"))
        .args(["bash", "-c", &script])
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();

    insta::assert_snapshot!(device.told(&told).replace(&port.to_string(), "PORT"), @r"
    exit 7
    -- stdout
    through the port
    -- stderr
    deploying helloworld through http://tier1…
    127.0.0.1:PORT -> web:7
    ");
    assert_eq!(device.asked().await, [deploying(), deleting()]);
}

#[tokio::test]
async fn what_a_command_has_sent_arrives_although_it_has_ended() {
    let (device, backend) = deployed().await;
    let port = free_port();
    let script = format!("head -c 4000000 /dev/zero >/dev/tcp/127.0.0.1/{port}");

    let told = device
        .command(&format!(
            "deploy helloworld --forward {port}:web:{COUNT} --"
        ))
        .args(["bash", "-c", &script])
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();

    assert_eq!(backend.counts(), [4_000_000], "{}", device.told(&told));
}

#[tokio::test]
async fn a_request_to_end_is_the_commands() {
    let (device, _backend) = deployed().await;
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    let words = [
        "deploy",
        "helloworld",
        "--socks",
        "0",
        "--",
        "bash",
        "-c",
        script,
    ];
    let mut running = Running::start(&device, &words, 1);
    assert_eq!(running.output_line(), "ready\n");

    let (code, told) = running.end(Signal::SIGTERM);

    assert_eq!(code, Some(9), "{told}");
    assert_eq!(device.asked().await, [deploying(), deleting()]);
}

#[tokio::test]
async fn a_command_that_a_signal_ended_gives_the_code_of_a_shell() {
    let (device, _backend) = deployed().await;

    let told = device
        .command("deploy helloworld --socks 0 -- sh -c")
        .arg("kill -KILL $$")
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();

    assert_eq!(told.status.code(), Some(137), "{}", device.told(&told));
}

#[tokio::test]
async fn a_command_that_is_not_there_is_told_with_the_code_of_a_shell() {
    let (device, _backend) = deployed().await;

    let told = device.run("deploy helloworld --quiet --socks 0 -- no-such-program");

    insta::assert_snapshot!(told, @r"
    exit 127
    -- stdout
    -- stderr
    error: cannot execute no-such-program: No such file or directory (os error 2)
    hint: check its name, its mode and PATH
    ");
    assert_eq!(device.asked().await, [deploying(), deleting()]);
}

#[tokio::test]
async fn the_older_form_either_shows_or_forwards() {
    let (device, _backend) = deployed().await;

    for option in ["--config-debug", "--qrcode compact"] {
        let told = device.run(&format!("{option} --socks 0 http://tier1 helloworld"));

        assert!(told.contains("cannot be used with"), "{told}");
    }
}

#[tokio::test]
async fn two_runs_of_one_application_do_not_share_a_key() {
    let (device, _backend) = deployed().await;
    let first = File::open(device.key_entry()).unwrap();
    first.lock().unwrap();

    let told = device.run("deploy helloworld --socks 0");

    insta::assert_snapshot!(told, @r"
    exit 1
    -- stdout
    -- stderr
    error: helloworld runs already on this device, with the same key
    hint: wait until that has ended, or run this one with a key of its own: --new-key
    ");
    assert_eq!(device.asked().await, [""; 0]);
}

#[tokio::test]
async fn a_cloudlet_that_does_not_answer_is_told_and_what_was_deployed_is_deleted() {
    let device = Device::new().await;
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = silent.local_addr().unwrap().to_string();
    let mut deployment = Backend::start().deployment();
    deployment["TunnelConfig"]["endpoint"] = endpoint.as_str().into();
    device.deploys(answer(&json!([deployment]))).await;
    device.deletes(ResponseTemplate::new(204)).await;

    let told = device.run("deploy helloworld --socks 0");

    insta::assert_snapshot!(told.replace(&endpoint, "ENDPOINT"), @r"
    exit 1
    -- stdout
    -- stderr
    deploying helloworld through http://tier1…
    error: the cloudlet's end of the tunnel at ENDPOINT does not answer
    hint: check that UDP to this address is let through; the deployment can be tried by other means with --output wg
    ");
    assert_eq!(device.asked().await, [deploying(), deleting()]);
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn deploying() -> String {
    format!("POST /api/v1/deploy/{HELLOWORLD}/{URL_SAFE_KEY}")
}

fn deleting() -> String {
    format!("DELETE /api/v1/deployments/{HELLOWORLD}/{URL_SAFE_KEY}?cloudlet={CLOUDLET}")
}
