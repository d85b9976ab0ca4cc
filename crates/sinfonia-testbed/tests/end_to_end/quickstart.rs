//! The quickstart, as somebody without any right runs it.

use std::process::{Command, Output};

use sinfonia_testbed::Binaries;

/// Lets everybody open the TUN device, as ordinary systems do, without touching the one of this machine.
const OPEN_TUN: &str = "mount -t tmpfs tmpfs /mnt && mknod -m 0666 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun && umount -l /mnt";
/// A device that nobody may open.
const CLOSE_TUN: &str = "mount -t tmpfs tmpfs /mnt && mknod -m 0000 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun && umount -l /mnt";

#[test]
fn an_ordinary_user_sees_the_page_of_the_cloudlet() {
    let ran = quickstart_of_a_user(OPEN_TUN);

    let (told, page) = (text(&ran), "Hello from a Sinfonia sandbox.");
    assert_eq!(ran.status.code(), Some(0), "{told}");
    assert!(told.contains(page), "{told}");
}

#[test]
fn a_user_who_may_not_make_a_tunnel_is_told_why_and_sees_the_page_through_a_port() {
    let ran = quickstart_of_a_user(CLOSE_TUN);

    let told = text(&ran);
    assert_eq!(ran.status.code(), Some(0), "{told}");
    assert!(told.contains("/dev/net/tun"), "{told}");
    assert!(told.contains("hint: "), "{told}");
    assert!(told.contains("Hello from a Sinfonia sandbox."), "{told}");
    assert!(told.contains("deleted helloworld"), "{told}");
}

/// Needs root, which gives all its rights away.
fn quickstart_of_a_user(prepare: &str) -> Output {
    let xtask = Binaries::of_this_build()
        .unwrap()
        .tier3
        .with_file_name("xtask");
    let home = tempfile::tempdir().unwrap();
    let own = format!("chown 1001:1001 {}", home.path().display());
    let drop = "setpriv --reuid 1001 --regid 1001 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs";
    let script = format!("{prepare} && {own} && exec {drop} \"$@\"");
    Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(xtask)
        .args(["quickstart", "--no-build"])
        .current_dir(home.path())
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        .output()
        .unwrap()
}

fn text(ran: &Output) -> String {
    let (out, err) = (&ran.stdout, &ran.stderr);
    String::from_utf8_lossy(&[&out[..], &err[..]].concat()).into_owned()
}
