//! Tunnels that stay for several commands. They need root, which makes an ordinary user of itself.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;

use crate::cloudlet::Cloudlet;
use crate::device::{CLOUDLET, Device, HELLOWORLD, URL_SAFE_KEY, mode};
use crate::inside::{ECHO, PATH, deployed};

/// Opens the TUN device to everybody, as on ordinary systems, and becomes a user without any right.
const AS_USER: &str = "mount -t tmpfs tmpfs /mnt && mknod -m 0666 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun \
    && umount -l /mnt && exec setpriv --reuid 1001 --regid 1001 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs \"$@\"";

#[derive(Debug, Clone, Copy)]
enum User {
    Root,
    Ordinary,
}

#[rstest]
#[case::root(User::Root)]
#[case::ordinary_user(User::Ordinary)]
#[tokio::test]
async fn a_tunnel_that_is_kept_serves_several_commands_until_it_is_ended(#[case] user: User) {
    let here = Here::new(user).await;
    let kept = here.keep(&[]);

    let first = here.exec(&["bash", "-c", ECHO]);
    let second = here.exec(&["sh", "-c", "id -u; cat /etc/resolv.conf; exit 3"]);
    let code = kept.end();
    let late = here.exec(&["true"]);

    assert_eq!(text(&first), "through the tunnel\n");
    assert_eq!(first.status.code(), Some(7));
    let (uid, resolver) = (text(&second), "nameserver 10.43.0.10\n");
    let expected = if matches!(user, User::Root) {
        "0\n"
    } else {
        "1001\n"
    };
    assert!(uid.starts_with(&format!("{expected}{resolver}")), "{uid}");
    assert_eq!(second.status.code(), Some(3));
    assert_eq!(code, Some(0));
    assert_eq!(late.status.code(), Some(125));
    assert_eq!(
        here.device.asked().await,
        [
            format!("POST /api/v1/deploy/{HELLOWORLD}/{URL_SAFE_KEY}"),
            format!("DELETE /api/v1/deployments/{HELLOWORLD}/{URL_SAFE_KEY}?cloudlet={CLOUDLET}"),
        ]
    );
}

#[tokio::test]
async fn a_tunnel_is_kept_when_its_first_command_has_ended() {
    let here = Here::new(User::Root).await;

    let kept = here.keep(&["--", "sh", "-c", "exit 7"]);
    let beside = here.exec(&["bash", "-c", ECHO]);
    let code = kept.end();

    assert_eq!(text(&beside), "through the tunnel\n");
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn a_request_to_end_is_the_commands_that_it_was_sent_to() {
    let here = Here::new(User::Root).await;
    let kept = here.keep(&[]);
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    let mut child = here
        .command(&["exec", "helloworld", "--", "bash", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();

    terminate(&child);

    assert_eq!(child.wait().unwrap().code(), Some(9));
    assert_eq!(here.exec(&["true"]).status.code(), Some(0));
    kept.end();
}

#[tokio::test]
async fn who_keeps_a_tunnel_is_told_to_its_user_alone_and_no_longer_than_it_is_kept() {
    let here = Here::new(User::Root).await;

    let kept = here.keep(&[]);
    let mode = mode(&here.file());
    kept.end();

    assert_eq!(mode, 0o600);
    assert!(!here.file().exists());
}

#[rstest]
#[case::never_kept("")]
#[case::another_process_with_the_same_number(r#"{"process": 1, "started": 1}"#)]
#[tokio::test]
async fn a_command_without_a_tunnel_is_told_how_to_keep_one(#[case] left_behind: &str) {
    let here = Here::new(User::Root).await;
    fs::create_dir_all(here.file().parent().unwrap()).unwrap();
    fs::write(here.file(), left_behind).unwrap();

    let told = here.exec(&["true"]);

    insta::allow_duplicates! {
        insta::assert_snapshot!(here.device.told(&told), @r"
        exit 125
        -- stdout
        -- stderr
        error: no tunnel to helloworld is kept
        hint: keep one, in another shell: sinfonia-tier3 deploy helloworld --keep
        ");
    }
}

/// A user of a device, and the cloudlet that its Tier 1 deploys on.
struct Here {
    device: Device,
    user: User,
    _cloudlet: Cloudlet,
}

impl Here {
    async fn new(user: User) -> Self {
        let (device, cloudlet) = deployed().await;
        let here = Self {
            device,
            user,
            _cloudlet: cloudlet,
        };
        fs::create_dir(here.runtime()).unwrap();
        if let User::Ordinary = user {
            let folder = here.device.folder().display().to_string();
            let done = Command::new("chown")
                .args(["-R", "1001:1001", &folder])
                .status();
            assert!(done.unwrap().success());
        }
        here
    }

    fn runtime(&self) -> PathBuf {
        self.device.folder().join("runtime")
    }

    /// What tells who keeps the tunnel.
    fn file(&self) -> PathBuf {
        self.runtime().join(format!("sinfonia/{HELLOWORLD}.kept"))
    }

    fn command(&self, words: &[&str]) -> Command {
        let program = assert_cmd::cargo::cargo_bin!("sinfonia-tier3");
        let mut command = match self.user {
            User::Root => Command::new(program),
            User::Ordinary => {
                let mut command = Command::new("unshare");
                command
                    .args(["--mount", "sh", "-c", AS_USER, "sh"])
                    .arg(program);
                command
            }
        };
        command
            .args(words)
            .current_dir(self.device.folder())
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", self.device.folder())
            .env("XDG_CACHE_HOME", self.device.folder().join("caches"))
            .env("XDG_RUNTIME_DIR", self.runtime())
            .env("SINFONIA_TIER1_URL", self.device.tier1.uri());
        command
    }

    fn exec(&self, command: &[&str]) -> Output {
        let words = [&["exec", "helloworld", "--"], command].concat();
        self.command(&words).output().unwrap()
    }

    /// Keeps a tunnel, and waits until it is there for others.
    fn keep(&self, more: &[&str]) -> Keeping {
        let words = [&["deploy", "helloworld", "--keep"], more].concat();
        let mut child = self.command(&words).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut told = String::new();
        while !told.contains("the tunnel stays until Ctrl-C") {
            let read = stderr.read_line(&mut told).unwrap();
            assert!(read > 0, "{told}");
        }
        Keeping { child, stderr }
    }
}

/// A run that keeps a tunnel. It is killed when this is dropped.
struct Keeping {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Keeping {
    /// Asks it to end, and tells its exit code.
    fn end(mut self) -> Option<i32> {
        terminate(&self.child);
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn terminate(child: &Child) {
    let pid = i32::try_from(child.id()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
