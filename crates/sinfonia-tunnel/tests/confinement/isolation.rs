//! What applications can do in a confinement, and what they cannot, whoever confines them.

use std::net::{TcpListener, TcpStream, UdpSocket};

use rstest::rstest;

use crate::support::User::{Ordinary, Root, RootWithoutUserNamespaces};
use crate::support::{CONFINED, Confined, User, line, stdout};

#[rstest]
fn nothing_but_loopback_and_the_tunnel_exists(
    #[values(Root, Ordinary, RootWithoutUserNamespaces)] user: User,
) {
    let output = Confined::by(user).run(&["cat", "/proc/net/dev"]);

    let text = stdout(&output);
    let devices: Vec<&str> = text
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .collect();
    assert_eq!(devices, ["lo", "wg0"]);
}

#[rstest]
fn the_application_has_no_rights_and_cannot_get_any(
    #[values(Root, Ordinary, RootWithoutUserNamespaces)] user: User,
) {
    let output = Confined::by(user).run(&["cat", "/proc/self/status"]);

    let text = stdout(&output);
    for (name, value) in [
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("SigBlk", "0000000000000000"),
    ] {
        assert!(text.contains(&format!("{name}:\t{value}\n")), "{text}");
    }
}

#[rstest]
fn the_users_id_stays(#[values(Root, Ordinary)] user: User) {
    let output = Confined::by(user).run(&["id", "-u"]);

    let expected = if user == Root { "0\n" } else { "1001\n" };
    assert_eq!(stdout(&output), expected);
}

#[rstest]
fn the_hosts_network_cannot_be_entered_again(
    #[values(Root, Ordinary, RootWithoutUserNamespaces)] user: User,
) {
    let script = "for type in net mnt user; do nsenter --$type=/proc/$PPID/ns/$type true && echo entered $type; done; \
                  ip link set wg0 down && echo set down; umount /etc/resolv.conf && echo unmounted; \
                  unshare -Ur ip link set wg0 down && echo set down from a namespace of its own; \
                  unshare -Urm umount /etc/resolv.conf && echo unmounted from a namespace of its own; \
                  readlink /proc/$PPID/fd/0 && echo looked; cat /proc/$PPID/environ && echo read; echo tried";

    let output = Confined::by(user).run(&["sh", "-c", script]);

    assert_eq!(String::from_utf8_lossy(&output.stdout), "tried\n");
}

#[rstest]
fn services_of_the_host_are_out_of_reach(
    #[values(Root, Ordinary, RootWithoutUserNamespaces)] user: User,
) {
    let service = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = service.local_addr().unwrap().port();
    for address in ["127.0.0.1".to_owned(), address_of_host()] {
        let address = format!("{address}:{port}");
        TcpStream::connect(&address).unwrap();
        service.accept().unwrap();

        let output = Confined::by(user).run(&[CONFINED, "connect", &address]);

        assert_ne!(stdout(&output), "connected\n", "{address}");
        service.set_nonblocking(true).unwrap();
        assert!(service.accept().is_err(), "{address}");
        service.set_nonblocking(false).unwrap();
    }
}

#[rstest]
fn packets_leave_through_the_device_and_come_back_through_it(
    #[values(Root, Ordinary, RootWithoutUserNamespaces)] user: User,
) {
    let output = Confined::by(user).run(&[CONFINED, "ask", "203.0.113.7:7", "hello"]);

    assert_eq!(stdout(&output), "hello\n");
}

#[rstest]
fn pings_need_no_rights(#[values(Root, Ordinary, RootWithoutUserNamespaces)] user: User) {
    let output = Confined::by(user).run(&[CONFINED, "ping"]);

    assert_eq!(stdout(&output), "may ping\n");
}

#[rstest]
fn no_descriptor_is_inherited_but_the_first_three(#[values(Root, Ordinary)] user: User) {
    let outer = Confined::by(user).after("exec 7</etc/passwd 9</etc/hosts;");

    let output = outer.run(&["sh", "-c", "ls /proc/$$/fd; true"]);

    assert_eq!(stdout(&output), "0\n1\n2\n");
}

#[test]
fn stdin_is_the_applications() {
    let outer = Confined::by(Ordinary).after("exec 0</etc/passwd;");

    let output = outer.run(&["cat"]);

    assert_eq!(
        stdout(&output),
        std::fs::read_to_string("/etc/passwd").unwrap()
    );
}

#[test]
fn the_environment_is_what_was_asked_for() {
    let output = Confined::by(Ordinary).run(&["sh", "-c", "echo $GIVEN, $WITHHELD"]);

    assert_eq!(stdout(&output), "to the application,\n");
}

#[rstest]
fn a_confinement_moves_to_another_cloudlet(#[values(Root, Ordinary)] user: User) {
    let script = "cat /etc/resolv.conf; ip -o address show dev wg0 | awk '{ print $4 }'; \
                  ip route show default; ip -6 route show default";

    let output = Confined::by(user).call("move", &["sh", "-c", script]);

    assert_eq!(
        stdout(&output).replace(" \n", "\n"),
        "nameserver 10.43.0.10\nsearch svc.cluster.local\noptions ndots:5\n\
         10.5.17.4/32\nfd00::4/128\n\
         default dev wg0 proto static\ndefault dev wg0 proto static metric 1024 pref medium\n\
         nameserver 10.44.0.1\nsearch svc.cluster.local\noptions ndots:5\n\
         10.6.1.9/32\n\
         default dev wg0 proto static\n"
    );
}

#[rstest]
fn another_process_starts_a_second_application_in_the_same_namespaces(
    #[values(Root, Ordinary)] user: User,
) {
    let script = format!(
        "echo $(readlink /proc/self/ns/net /proc/self/ns/mnt; grep -E 'Cap(Prm|Bnd)|NoNew' /proc/self/status; pwd; \
         {CONFINED} ask 203.0.113.7:7 hello)"
    );
    let mut first = Confined::by(user).start(
        "run",
        &["sh", "-c", &format!("echo $$; {script}; exec sleep 60")],
    );
    let application = line(&mut first);
    let told = line(&mut first);

    let second = Confined::by(user).call("enter", &[&application, "sh", "-c", &script]);

    assert_eq!(stdout(&second), told + "\n");
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn namespaces_of_another_user_cannot_be_entered() {
    let mut first = Confined::by(Root).start("run", &["sh", "-c", "echo $$; exec sleep 60"]);
    let application = line(&mut first);

    let second = Confined::by(Ordinary).call("enter", &[&application, "true"]);

    assert_eq!(second.status.code(), Some(125));
    first.kill().unwrap();
    first.wait().unwrap();
}

#[rstest]
fn the_start_is_measured(#[values(Root, Ordinary)] user: User) {
    let run = || stdout(&Confined::by(user).run(&[CONFINED, "age"]));
    let mut times: Vec<u64> = (0..20).map(|_| run().trim().parse().unwrap()).collect();

    times.sort_unstable();
    println!("{user:?}: microseconds from one main to the other: {times:?}");
}

fn address_of_host() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Without a route there is loopback alone.
    let _ = socket.connect("203.0.113.1:9");
    match socket.local_addr().unwrap().ip() {
        address if address.is_unspecified() => "127.0.0.2".to_owned(),
        address => address.to_string(),
    }
}
