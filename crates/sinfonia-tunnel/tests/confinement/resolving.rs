//! How names are resolved in a confinement, whatever the host's files are like.

use rstest::rstest;

use crate::support::User::{Ordinary, Root, RootWithoutUserNamespaces};
use crate::support::{CONFINED, Confined, User, output, stdout};

const EXPECTED: &str = "nameserver 10.43.0.10\nsearch svc.cluster.local\noptions ndots:5\n";

/// Gives the call an `/etc` of its own to change.
const OWN_ETC: &str = "mount -t tmpfs tmpfs /mnt && cp -a /etc /mnt/etc && { umount /etc/resolv.conf 2>/dev/null; mount --bind /mnt/etc /etc; } \
                       && umount -l /mnt";
/// Gives it a `/run` of its own, on which the services are that would resolve names.
const OWN_RUN: &str = "mount -t tmpfs tmpfs /run && mkdir -p /run/nscd /run/systemd/resolve /run/dbus /run/other \
                       && touch /run/nscd/socket /run/systemd/resolve/io.systemd.Resolve /run/dbus/system_bus_socket /run/other/socket";

#[rstest]
fn the_resolver_is_the_deployments(
    #[values(Root, Ordinary, RootWithoutUserNamespaces)] user: User,
) {
    let output = Confined::by(user).run(&["cat", "/etc/resolv.conf"]);

    assert_eq!(stdout(&output), EXPECTED);
}

#[rstest]
#[case::link_into_a_masked_folder(
    "ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf && echo host > /run/systemd/resolve/stub-resolv.conf"
)]
#[case::link_elsewhere(
    "ln -sf /run/other/resolv.conf /etc/resolv.conf && echo host > /run/other/resolv.conf"
)]
#[case::link_to_nowhere("ln -sf /run/missing/resolv.conf /etc/resolv.conf")]
#[case::link_to_nowhere_in_a_masked_folder(
    "ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf"
)]
#[case::no_file("rm /etc/resolv.conf")]
fn it_is_so_whatever_the_hosts_file_is(#[case] host: &str, #[values(Root, Ordinary)] user: User) {
    let outer = Confined::by(user)
        .on_host(OWN_ETC)
        .on_host(OWN_RUN)
        .on_host(host);

    let output = outer.run(&["cat", "/etc/resolv.conf"]);

    assert_eq!(stdout(&output), EXPECTED);
}

#[rstest]
#[case::file("true")]
#[case::no_file("rm /etc/resolv.conf")]
fn the_application_cannot_change_it(#[case] host: &str, #[values(Root, Ordinary)] user: User) {
    let outer = Confined::by(user).on_host(OWN_ETC).on_host(host);

    let output = outer.run(&[
        "sh",
        "-c",
        "echo nameserver 192.0.2.1 > /etc/resolv.conf; cat /etc/resolv.conf",
    ]);

    assert_eq!(String::from_utf8(output.stdout).unwrap(), EXPECTED);
}

#[rstest]
fn services_that_resolve_names_outside_are_hidden(#[values(Root, Ordinary)] user: User) {
    let outer = Confined::by(user).on_host(OWN_RUN);

    let output = outer.run(&["find", "/run", "-type", "f"]);

    assert_eq!(stdout(&output), "/run/other/socket\n");
}

#[rstest]
fn nothing_can_be_put_where_they_were(#[values(Root, Ordinary)] user: User) {
    let outer = Confined::by(user).on_host(OWN_RUN);

    let output = outer.run(&["touch", "/run/nscd/socket"]);

    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("Read-only file system"), "{told}");
}

#[test]
fn hosts_come_from_files_and_dns_alone() {
    let outer = Confined::by(Ordinary)
        .on_host(OWN_ETC)
        .on_host("echo \"hosts: resolve mymachines dns\" > /etc/nsswitch.conf");

    let output = outer.run(&["cat", "/etc/nsswitch.conf"]);

    assert_eq!(stdout(&output), "hosts: files dns\n");
}

/// Mounts of a host are usually shared with namespaces that are made from it.
#[rstest]
fn the_host_keeps_its_own(#[values(Root, RootWithoutUserNamespaces)] user: User) {
    let outer = Confined::by(user).on_host("mount --make-rshared /");
    let script = format!("cat /etc/resolv.conf; {CONFINED} run true; cat /etc/resolv.conf");

    let output = output(outer.start_program(&["sh", "-c", &script]));

    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert_eq!(stdout(&output), host.clone() + &host);
}
