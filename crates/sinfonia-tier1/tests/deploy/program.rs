use std::fs;
use std::io::{self, BufRead, BufReader, Lines, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use insta::assert_snapshot;
use rstest::rstest;
use tempfile::TempDir;

const RECIPE: &str = "00000000-0000-0000-0000-000000000000";

#[test]
fn matchers_are_listed() {
    let output = run(&["--list-matchers"]);

    assert!(output.status.success());
    assert_snapshot!(text(&output.stdout), @r"
    network   cloudlets whose local_networks hold the client
    location  cloudlets by distance from the client, nearest first
    random    whatever is left, in an order that is the same for the same request
    ");
}

#[test]
fn a_missing_cloudlet_file_is_told_with_a_hint() {
    let output = run(&["--port=0", "--cloudlets=/nowhere/cloudlets.yaml"]);

    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    let told: Vec<&str> = stderr
        .lines()
        .skip_while(|line| !line.starts_with("error"))
        .collect();
    assert_snapshot!(told.join("\n"), @r"
    error: there is no cloudlet file /nowhere/cloudlets.yaml
    hint: name one with --cloudlets FILE, or leave the option out to know only cloudlets that report
    ");
}

#[test]
fn a_bad_cloudlet_file_is_shown_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = "endpoint: http://c/api/v1/deploy\n---\nendpoint: http://d/api/v1/deploy\naccepted_clients: [10.0.0.0/8, 10.0.0.0/33]\n";
    fs::write(folder.path().join("cloudlets.yaml"), file).unwrap();

    let output = Command::new(env!("CARGO_BIN_EXE_sinfonia-tier1"))
        .args(["--port=0", "--cloudlets=cloudlets.yaml"])
        .current_dir(&folder)
        .env_clear()
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    let told = stderr.lines().skip_while(|line| !line.starts_with("error"));
    assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r"
    error: document 2: accepted_clients[1]: `10.0.0.0/33` is not a network: what follows the slash is neither a prefix length (0 to 32, IPv6 to 128) nor a netmask
     --> cloudlets.yaml:4:32
      |
    4 | accepted_clients: [10.0.0.0/8, 10.0.0.0/33]
      |                                ^^^^^^^^^^^
    ");
}

#[test]
fn wrong_usage_exits_with_1() {
    let output = run(&["--match=nearest"]);

    assert_eq!(output.status.code(), Some(1));
    assert_snapshot!(text(&output.stderr), @r"
    error: invalid value 'nearest' for '--match <NAME>': `nearest` is not a matcher: expected network, location or random

    For more information, try '--help'.
    ");
}

#[test]
fn shells_are_given_completions() {
    let output = run(&["completions", "bash"]);

    assert!(output.status.success());
    assert!(text(&output.stdout).contains("--allow-anonymous-reports"));
}

#[rstest]
#[case::matchers(&["--list-matchers"])]
#[case::completions(&["completions", "bash"])]
#[case::description(&["openapi"])]
fn a_reader_that_stops_early_is_no_failure(#[case] arguments: &[&str]) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);

    let status = Command::new(env!("CARGO_BIN_EXE_sinfonia-tier1"))
        .args(arguments)
        .env_clear()
        .stdout(writer)
        .status()
        .unwrap();

    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let cloudlet = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut program = Program::start(&cloudlet, &[]);
    let _client = program.is_asked_to_deploy();
    let _asked_and_silent = cloudlet.accept().unwrap();

    program.terminate();
    program.told("shutting down");
    program.terminate();

    assert_eq!(program.process.wait().unwrap().code(), Some(128 + 15));
}

#[test]
fn no_proxy_is_taken_from_the_environment() {
    let cloudlet = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let mut program = Program::start(&cloudlet, &[("http_proxy", &url), ("ALL_PROXY", &url)]);

    let (told, asked) = mpsc::channel();
    std::thread::spawn(move || told.send(cloudlet.accept().is_ok()));
    let _client = program.is_asked_to_deploy();

    assert_eq!(asked.recv_timeout(Duration::from_secs(20)), Ok(true));
    assert!(proxy.accept().is_err(), "the proxy was asked");
    program.process.kill().unwrap();
    program.process.wait().unwrap();
}

/// A running Tier 1 that knows one cloudlet and one recipe.
struct Program {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
    address: String,
    _folder: TempDir,
}

impl Program {
    fn start(cloudlet: &TcpListener, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let recipe_file = folder.path().join(format!("{RECIPE}.yaml"));
        fs::write(recipe_file, "{chart: charts/example, version: 0.1.0}").unwrap();
        let place = cloudlet.local_addr().unwrap();
        let cloudlets = format!("endpoint: http://{place}/api/v1/deploy");
        fs::write(folder.path().join("cloudlets.yaml"), cloudlets).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_sinfonia-tier1"))
            .args(["--listen=127.0.0.1", "--port=0", "--recipes=."])
            .arg("--cloudlets=cloudlets.yaml")
            .current_dir(&folder)
            .env_clear()
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut program = Self {
            process,
            log,
            address: String::new(),
            _folder: folder,
        };
        let listening = program.told(" listening address=");
        program.address = listening.rsplit_once('=').unwrap().1.to_owned();
        program
    }

    /// The next line of its log with this in it.
    fn told(&mut self, word: &str) -> String {
        let line = |line: io::Result<String>| line.ok().filter(|line| line.contains(word));
        self.log.find_map(line).unwrap()
    }

    /// Sends a request of a client that waits for as long as what is given lives.
    fn is_asked_to_deploy(&self) -> TcpStream {
        let mut client = TcpStream::connect(&self.address).unwrap();
        let key = "A".repeat(43);
        write!(
            client,
            "POST /api/v1/deploy/{RECIPE}/{key} HTTP/1.1\r\n\r\n"
        )
        .unwrap();
        client
    }

    fn terminate(&self) {
        let line = format!("kill -TERM {}", self.process.id());
        let status = Command::new("sh").args(["-c", &line]).status().unwrap();
        assert!(status.success());
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sinfonia-tier1"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
