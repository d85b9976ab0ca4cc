//! Ports of this device that lead into the tunnel, with real sockets and real WireGuard. They need no privilege.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::backend::{BREAK, Backend, CLOSED, COUNT, DOMAIN, ECHO, HTTP, PAGE};
use crate::device::{Device, HELLOWORLD, URL_SAFE_KEY, answer};
use crate::running::Running;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_port_leads_to_a_host_by_its_name() {
    let (device, backend) = deployed().await;
    let running = forward(&device, &[&format!("0:web:{ECHO}")]);

    let exchanges: Vec<_> = [8 << 20, 1, 0, 100_000, 1 << 20, 65_536]
        .into_iter()
        .map(|length| {
            let mut stream = connect(running.ports[0]);
            thread::spawn(move || {
                let sent = noise(length);
                exchange(&mut stream, &sent) == sent
            })
        })
        .collect();

    for exchange in exchanges {
        assert!(exchange.join().unwrap(), "what came back differs");
    }
    let first = &backend.questions()[..2];
    assert!(first.contains(&format!("web.{DOMAIN} A")), "{first:?}");
}

#[tokio::test]
async fn an_end_of_one_direction_leaves_the_other_open() {
    let (device, _backend) = deployed().await;
    let running = forward(&device, &[&format!("0:web:{COUNT}")]);
    let mut stream = connect(running.ports[0]);

    let told = exchange(&mut stream, &noise(12_345));

    assert_eq!(told, b"12345");
}

#[rstest]
#[case::address(&format!("0:10.5.0.1:{ECHO}"))]
#[case::address_of_ipv6(&format!("0:[fd00:5::1]:{ECHO}"))]
#[case::name_of_ipv6(&format!("0:six:{ECHO}"))]
#[case::alias(&format!("0:www:{ECHO}"))]
#[case::complete_name(&format!("0:web.{DOMAIN}:{ECHO}"))]
#[case::from_ipv6(&format!("[::1]:0:web:{ECHO}"))]
#[tokio::test]
async fn a_port_leads_there_however_the_host_is_written(#[case] option: &str) {
    let (device, _backend) = deployed().await;
    let running = forward(&device, &[option]);

    let mut stream = connect(running.ports[0]);

    assert_eq!(exchange(&mut stream, b"hello"), b"hello");
}

#[tokio::test]
async fn names_are_asked_of_the_tunnel_alone() {
    let (device, backend) = deployed().await;
    let mut running = forward(&device, &["0:localhost:80"]);

    let mut stream = connect(running.ports[0]);

    assert_eq!(broken_off(&mut stream), ErrorKind::ConnectionReset);
    let note = running.line();
    assert!(
        note.ends_with("the deployment knows no localhost\n"),
        "{note}"
    );
    let mut asked: Vec<String> = backend.questions();
    asked.sort();
    asked.dedup();
    let expected = [
        "localhost. A".to_owned(),
        "localhost. AAAA".to_owned(),
        format!("localhost.{DOMAIN} A"),
        format!("localhost.{DOMAIN} AAAA"),
        "localhost.svc.cluster.local. A".to_owned(),
        "localhost.svc.cluster.local. AAAA".to_owned(),
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn what_is_not_reached_breaks_off_and_is_told_once() {
    let (device, _backend) = deployed().await;
    let running = forward(&device, &[&format!("0:web:{CLOSED}")]);
    let port = running.ports[0];

    for _ in 0..3 {
        let kind = broken_off(&mut connect(port));
        assert_eq!(kind, ErrorKind::ConnectionReset);
    }

    let (_, told) = running.end(Signal::SIGTERM);
    let notes: Vec<&str> = told
        .lines()
        .filter(|line| line.starts_with("note"))
        .collect();
    let refused = format!(
        "note: {port} -> web:{CLOSED}: cannot connect to 10.5.0.1:{CLOSED}: connection refused"
    );
    assert_eq!(notes, [refused]);
}

#[tokio::test]
async fn a_connection_that_breaks_off_inside_breaks_off_here() {
    let (device, _backend) = deployed().await;
    let running = forward(&device, &[&format!("0:web:{BREAK}")]);

    let kind = broken_off(&mut connect(running.ports[0]));

    assert_eq!(kind, ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn datagrams_return_to_their_sender() {
    let (device, _backend) = deployed().await;
    let running = forward(&device, &[&format!("0:web:{ECHO}/udp")]);
    let senders = [(); 3].map(|()| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(running.ports[0]).unwrap();
        socket
    });

    for round in 0..2u8 {
        for (sender, number) in senders.iter().zip(0u8..) {
            sender.send(&[round, number]).unwrap();
        }
        for (sender, number) in senders.iter().zip(0u8..) {
            let mut buffer = [0; 10];
            let length = sender.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..length], [round, number]);
        }
    }
}

#[rstest]
#[case::name(b"\x05\x01\0\x03\x03web\0\x07")]
#[case::address(b"\x05\x01\0\x01\x0a\x05\0\x01\0\x07")]
#[case::address_of_ipv6(b"\x05\x01\0\x04\xfd\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\x01\0\x07")]
#[tokio::test]
async fn a_proxy_leads_to_any_host(#[case] request: &[u8]) {
    let (device, _backend) = deployed().await;
    let running = socks(&device);

    let (mut stream, reply) = ask(running.ports[0], request);

    assert_eq!(reply, 0);
    let sent = noise(1 << 20);
    assert!(
        exchange(&mut stream, &sent) == sent,
        "what came back differs"
    );
}

#[rstest]
#[case::nobody_listens(b"\x05\x01\0\x03\x03web\0\x51", 5)]
#[case::no_such_host(b"\x05\x01\0\x03\x06nobody\0\x07", 4)]
#[case::udp(b"\x05\x03\0\x01\0\0\0\0\0\0", 7)]
#[case::unknown_address(b"\x05\x01\0\x09", 8)]
#[tokio::test]
async fn a_proxy_tells_why_it_does_not(#[case] request: &[u8], #[case] expected: u8) {
    let (device, _backend) = deployed().await;
    let running = socks(&device);

    let (mut stream, reply) = ask(running.ports[0], request);

    assert_eq!(reply, expected);
    assert_eq!(stream.read(&mut [0; 30]).unwrap(), 0, "it goes on");
}

#[tokio::test]
async fn a_proxy_wants_no_password() {
    let (device, _backend) = deployed().await;
    let running = socks(&device);
    let mut stream = connect(running.ports[0]);

    stream.write_all(&[5, 1, 2]).unwrap();

    let mut told = Vec::new();
    stream.read_to_end(&mut told).unwrap();
    assert_eq!(told, [5, 0xff]);
}

#[tokio::test]
async fn what_an_eager_client_sends_early_arrives() {
    let (device, _backend) = deployed().await;
    let running = socks(&device);
    let mut stream = connect(running.ports[0]);

    stream
        .write_all(b"\x05\x01\0\x05\x01\0\x03\x03web\0\x07early")
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();

    let mut told = Vec::new();
    stream.read_to_end(&mut told).unwrap();
    assert!(told.ends_with(b"early"), "{told:?}");
}

#[tokio::test]
async fn a_client_that_is_refused_may_finish_what_it_is_sending() {
    let (device, _backend) = deployed().await;
    let running = socks(&device);
    let mut request = b"\x05\x01\0\x03\x06nobody\0\x07".to_vec();
    request.extend(noise(10_000));

    let (mut stream, reply) = ask(running.ports[0], &request);

    assert_eq!(reply, 4);
    for _ in 0..5 {
        // On many systems an error here would take the reply with it, had it not been read yet.
        stream.write_all(b"more").unwrap();
        thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn an_ordinary_user_without_any_device_forwards() {
    let (device, _backend) = deployed().await;
    let own = format!("chown -R 1001:1001 {}", device.folder().display());
    let drop = "setpriv --reuid 1001 --regid 1001 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs";
    // No user would find a TUN device here.
    let script = format!("mount -t tmpfs tmpfs /dev/net && {own} && exec {drop} \"$@\"");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(assert_cmd::cargo::cargo_bin!("sinfonia-tier3"))
        .args(["deploy", "helloworld", "--forward"])
        .arg(format!("0:web:{HTTP}"));
    let running = Running::of(&device, command, 1);

    let page = exchange(&mut connect(running.ports[0]), b"GET / HTTP/1.0\r\n\r\n");

    assert!(String::from_utf8(page).unwrap().ends_with(PAGE));
}

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
async fn the_older_form_forwards_too() {
    let (device, _backend) = deployed().await;
    let url = device.tier1.uri();
    let option = format!("0:web:{HTTP}");
    let running = Running::start(&device, &["--forward", &option, &url, HELLOWORLD], 1);

    let page = exchange(&mut connect(running.ports[0]), b"GET / HTTP/1.0\r\n\r\n");

    assert!(String::from_utf8(page).unwrap().ends_with(PAGE));
    assert_eq!(running.end(Signal::SIGTERM).0, Some(0));
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

/// A device, and the cloudlet that its Tier 1 deploys on.
async fn deployed() -> (Device, Backend) {
    let (device, backend) = (Device::new().await, Backend::start());
    device.deploys(answer(&json!([backend.deployment()]))).await;
    device.deletes(ResponseTemplate::new(204)).await;
    (device, backend)
}

fn forward(device: &Device, options: &[&str]) -> Running {
    let mut words = vec!["deploy", "helloworld"];
    words.extend(options.iter().flat_map(|option| ["--forward", option]));
    Running::start(device, &words, options.len())
}

fn socks(device: &Device) -> Running {
    Running::start(device, &["deploy", "helloworld", "--socks", "0"], 1)
}

/// Sends a greeting and a request to a proxy, and gives the reply's code.
fn ask(proxy: SocketAddr, request: &[u8]) -> (TcpStream, u8) {
    let mut stream = connect(proxy);
    stream.write_all(&[5, 1, 0]).unwrap();
    let mut method = [0; 2];
    stream.read_exact(&mut method).unwrap();
    assert_eq!(method, [5, 0]);
    stream.write_all(request).unwrap();
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let address = if head[3] == 4 { 16 } else { 4 };
    stream.read_exact(&mut vec![0; address + 2]).unwrap();
    (stream, head[1])
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes, and gives what comes back until the end.
fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut writer = stream.try_clone().unwrap();
    let bytes = bytes.to_vec();
    let writing = thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    received
}

/// The error with which a connection ends.
fn broken_off(stream: &mut TcpStream) -> ErrorKind {
    stream.read(&mut [0]).unwrap_err().kind()
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

fn deploying() -> String {
    format!("POST /api/v1/deploy/{HELLOWORLD}/{URL_SAFE_KEY}")
}

fn deleting() -> String {
    format!("DELETE /api/v1/deployments/{HELLOWORLD}/{URL_SAFE_KEY}")
}
