//! The program while it runs.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::device::Device;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that forwards ports.
pub(crate) struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// What it told so far.
    told: String,
    /// The ports in the order in which it told them.
    pub(crate) ports: Vec<SocketAddr>,
}

impl Running {
    /// Starts it, and waits until it has told so many ports.
    pub(crate) fn start(device: &Device, words: &[&str], ports: usize) -> Self {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("sinfonia-tier3"));
        command.args(words);
        Self::of(device, command, ports)
    }

    /// Starts a program that becomes ours.
    pub(crate) fn of(device: &Device, mut command: Command, ports: usize) -> Self {
        let mut child = command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", device.folder())
            .env("XDG_CACHE_HOME", device.folder().join("caches"))
            .env("SINFONIA_TIER1_URL", device.tier1.uri())
            .current_dir(device.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut running = Self {
            stderr: BufReader::new(child.stderr.take().unwrap()),
            child,
            told: String::new(),
            ports: Vec::new(),
        };
        while running.ports.len() < ports {
            let line = running.line();
            running.ports.extend(port_of(&line));
        }
        running
    }

    /// The next line that it tells.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it ended: {}", self.told);
        self.told.push_str(&line);
        line
    }

    /// The next line that it writes to stdout.
    pub(crate) fn output_line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        line
    }

    /// Sends a signal, and waits for the end. Gives the exit code, and all that it told.
    pub(crate) fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "it goes on");
            std::thread::sleep(Duration::from_millis(10));
        }
        let code = self.child.wait().unwrap().code();
        let mut told = std::mem::take(&mut self.told);
        self.stderr.read_to_string(&mut told).unwrap();
        (code, told)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, or the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port of a line such as `127.0.0.1:8080 -> web:80` or `socks5h://127.0.0.1:1080`.
fn port_of(line: &str) -> Option<SocketAddr> {
    let line = line.trim_end();
    let address = line
        .strip_prefix("socks5h://")
        .or_else(|| Some(line.split_once(" -> ")?.0))?;
    address.parse().ok()
}
