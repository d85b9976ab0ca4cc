//! How a confined application begins and ends, and what that means to whoever confined it.

use std::io::Write as _;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;

use crate::support::User::{Ordinary, Root, WithoutUserNamespaces};
use crate::support::{CONFINED, Confined, User, has_ended, line, output, state, stdout, until};

#[rstest]
#[case::success("exit 0", 0)]
#[case::failure("exit 7", 7)]
#[case::killed("kill -KILL $$", 137)]
#[case::terminated("kill -TERM $$", 143)]
fn its_exit_code_passes_through(
    #[case] script: &str,
    #[case] expected: i32,
    #[values(Root, Ordinary)] user: User,
) {
    let output = Confined::by(user).run(&["sh", "-c", script]);

    assert_eq!(output.status.code(), Some(expected));
}

#[rstest]
#[case::not_there(
    "/no/such/program",
    127,
    "cannot execute /no/such/program: No such file"
)]
#[case::not_in_path("no-such-program", 127, "cannot execute no-such-program: No such file")]
#[case::not_executable("/etc/passwd", 126, "cannot execute /etc/passwd: Permission denied")]
#[case::a_folder("/etc", 126, "cannot execute /etc: Permission denied")]
fn what_cannot_be_executed_is_told_as_by_a_shell(
    #[case] program: &str,
    #[case] code: i32,
    #[case] message: &str,
    #[values(Root, Ordinary)] user: User,
) {
    let output = Confined::by(user).run(&[program]);

    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(message), "{told}");
    assert_eq!(output.status.code(), Some(code));
}

#[test]
fn a_device_that_is_closed_is_told_with_its_remedy() {
    let output = Confined::by(Ordinary).with_closed_tun().run(&["true"]);

    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("error: cannot open /dev/net/tun: Permission denied"),
        "{told}"
    );
    assert!(told.contains("hint: "), "{told}");
    assert!(told.contains("chmod 0666 /dev/net/tun"), "{told}");
    assert!(told.contains("--forward"), "{told}");
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn namespaces_that_are_switched_off_are_told_with_their_setting() {
    let output = Confined::by(WithoutUserNamespaces).run(&["true"]);

    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: cannot make namespaces for the application: No space left on device (os error 28)\n\
         hint: /proc/sys/user/max_user_namespaces is 0: there are no user namespaces. Allow them with `sysctl \
         user.max_user_namespaces=15000` as root.\n\
         Or run with --forward, which needs no namespaces.\n"
    );
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn what_is_not_wanted_any_more_never_starts() {
    let output = Confined::by(Ordinary).call("abandon", &["echo", "started"]);

    assert_eq!(stdout(&output), "");
    assert_eq!(output.status.code(), Some(0));
}

#[rstest]
fn it_dies_with_whoever_confined_it(#[values(Root, Ordinary)] user: User) {
    let mut outer = Confined::by(user).start("run", &["sh", "-c", "echo $$; exec sleep 60"]);
    let application: u32 = line(&mut outer).parse().unwrap();

    outer.kill().unwrap();

    until("the application ends", || has_ended(application));
    outer.wait().unwrap();
}

#[rstest]
fn whoever_confined_it_ends_with_it(#[values(Root, Ordinary)] user: User) {
    let mut outer = Confined::by(user).start("run", &["sh", "-c", "echo $$; exec sleep 60"]);
    let application = line(&mut outer).parse().unwrap();

    kill(Pid::from_raw(application), Signal::SIGKILL).unwrap();

    assert_eq!(output(outer).status.code(), Some(137));
}

#[rstest]
#[case::term(Signal::SIGTERM, "TERM")]
#[case::hup(Signal::SIGHUP, "HUP")]
#[case::int(Signal::SIGINT, "INT")]
#[case::usr1(Signal::SIGUSR1, "USR1")]
fn signals_to_whoever_confined_it_are_its(#[case] signal: Signal, #[case] name: &str) {
    let script =
        format!("trap 'exit 3' {name}; echo ready; for i in $(seq 100); do sleep 0.05; done");
    let mut outer = Confined::by(Ordinary).start("run", &["sh", "-c", &script]);
    line(&mut outer);

    kill(pid(outer.id()), signal).unwrap();

    assert_eq!(output(outer).status.code(), Some(3));
}

/// `script` gives it a terminal of its own, which sends the signal to all processes in the foreground.
#[rstest]
#[case::in_the_foreground("sh", 1)]
#[case::in_a_session_of_its_own("setsid sh", 0)]
fn an_interrupt_from_the_terminal_is_not_passed_on(#[case] shell: &str, #[case] expected: usize) {
    let application =
        "trap 'echo interrupted' INT; echo ready; for i in 1 2 3 4 5; do sleep 0.1; done; exit 4";
    let call = format!("exec {CONFINED} run {shell} -c \"{application}\"");
    let mut outer = Confined::by(Root).start_program(&["script", "-qfec", &call, "/dev/null"]);
    line(&mut outer);

    outer.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();

    let output = output(outer);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told.matches("interrupted").count(), expected, "{told}");
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn both_stop_and_continue_together() {
    let script = "echo $$; sleep 60 & wait";
    let mut outer = Confined::by(Ordinary).start("run", &["sh", "-c", script]);
    let application: u32 = line(&mut outer).parse().unwrap();

    kill(pid(application), Signal::SIGSTOP).unwrap();
    until("both stop", || {
        state(application) == Some('T') && state(outer.id()) == Some('T')
    });
    kill(pid(outer.id()), Signal::SIGCONT).unwrap();
    until("both continue", || {
        state(application) == Some('S') && state(outer.id()) == Some('S')
    });

    outer.kill().unwrap();
    outer.wait().unwrap();
}

#[test]
fn the_inner_process_is_nothing_to_be_called_by_hand() {
    let output = std::process::Command::new(CONFINED)
        .args(["--sinfonia-inner-process", "id"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();

    assert_eq!(output.stdout, b"");
    assert_eq!(output.status.code(), Some(125));
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.try_into().unwrap())
}
