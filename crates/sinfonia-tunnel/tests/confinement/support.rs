//! Starts the program that confines, as root and as an ordinary user.

use std::io::Read as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program that confines, and that applications of the tests are commands of.
pub(crate) const CONFINED: &str = env!("CARGO_BIN_EXE_confined");

/// Longer than anything here takes, on a busy machine as well.
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens the device to everyone, as it is on ordinary systems: a node of our own over that of the host, which may be 0600.
const OPEN_TUN: &str = "mount -t tmpfs tmpfs /mnt && mknod /mnt/tun c 10 200 && chmod 0666 /mnt/tun \
                        && mount --bind /mnt/tun /dev/net/tun && umount -l /mnt";

/// Becomes somebody without rights and without a way to get any.
const BECOME_ORDINARY: &str = "setpriv --reuid 1001 --regid 1001 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs";

/// The same where nobody but root exists.
const DROP: &str = "setpriv --inh-caps=-all --bounding-set=-all --no-new-privs";

/// Who confines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Root, with every right.
    Root,
    /// Somebody without rights, and without a way to get any.
    Ordinary,
    /// Root where user namespaces are switched off.
    RootWithoutUserNamespaces,
    /// Somebody without rights where user namespaces are switched off.
    WithoutUserNamespaces,
}

/// Builds a call of the program.
#[derive(Debug)]
pub(crate) struct Confined {
    user: User,
    preparation: Vec<String>,
    before: String,
}

impl Confined {
    pub(crate) fn by(user: User) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "run this test as root");
        Self {
            user,
            preparation: vec![OPEN_TUN.to_owned()],
            before: String::new(),
        }
    }

    /// With the host's files changed by a script, in a mount namespace that only this call sees.
    pub(crate) fn on_host(mut self, script: &str) -> Self {
        self.preparation.push(script.to_owned());
        self
    }

    /// Without anyone having opened the device.
    pub(crate) fn with_closed_tun(self) -> Self {
        self.on_host("chmod 0600 /dev/net/tun")
    }

    /// By a shell that does something first, for instance opens a descriptor.
    pub(crate) fn after(mut self, script: &str) -> Self {
        self.before = script.to_owned();
        self
    }

    /// `confined run` with an application.
    pub(crate) fn run(&self, application: &[&str]) -> Output {
        self.call("run", application)
    }

    pub(crate) fn call(&self, command: &str, arguments: &[&str]) -> Output {
        output(self.start(command, arguments))
    }

    /// Starts it without waiting. The process is the program itself, not something around it.
    pub(crate) fn start(&self, command: &str, arguments: &[&str]) -> Child {
        self.start_program(&[&[CONFINED, command], arguments].concat())
    }

    /// Starts something that starts it.
    pub(crate) fn start_program(&self, program: &[&str]) -> Child {
        let (namespaces, start) = match self.user {
            User::Root => ("-m", ""),
            User::Ordinary => ("-m", BECOME_ORDINARY),
            User::RootWithoutUserNamespaces => ("-mUr", ""),
            User::WithoutUserNamespaces => ("-mUr", DROP),
        };
        let mut script = self.preparation.clone();
        if namespaces.contains('U') {
            // Nothing can be made there, so the host's node has to do, which root may open.
            script[0] = "echo 0 > /proc/sys/user/max_user_namespaces".to_owned();
        }
        script.push(format!(
            "exec {start} sh -c '{} exec \"$0\" \"$@\"' \"$0\" \"$@\"",
            self.before
        ));
        // A shell cannot trap what it was started to ignore, and whoever runs the tests may ignore signals.
        Command::new("env")
            .args(["--default-signal=HUP,INT,QUIT,TERM", "unshare", namespaces])
            .args(["sh", "-c", &script.join(" && ")])
            .args(program)
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("WITHHELD", "from the application")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// What a child wrote, once it has ended.
pub(crate) fn output(child: Child) -> Output {
    child.wait_with_output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Waits until a child has written a line, and returns it.
pub(crate) fn line(child: &mut Child) -> String {
    let stdout = child.stdout.as_mut().unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while stdout.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.extend(byte);
    }
    String::from_utf8(line).unwrap()
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what} in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The state of a process as the kernel abbreviates it, if it is there.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// Whether a process is neither there nor waited for.
pub(crate) fn has_ended(pid: u32) -> bool {
    matches!(state(pid), None | Some('Z'))
}
