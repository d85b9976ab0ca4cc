use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use sinfonia_testbed::{ControlPlane, Programs, RunFolder, TestFolder, unique_name};

const SOON: Duration = Duration::from_secs(10);
/// Set for the process that is killed.
const VICTIM: &str = "TESTBED_VICTIM";

#[test]
fn the_programs_end_when_the_control_plane_is_dropped() {
    let first = ControlPlane::shared();
    let folder = TestFolder::new().unwrap();
    let programs = Programs::find_or_hint().unwrap();
    let name = unique_name("dropped");
    let second = ControlPlane::second(&first, &programs, &name, folder.path()).unwrap();
    let processes = second.process_ids();
    assert_eq!(processes.iter().filter(|id| runs(**id)).count(), 2);

    drop(second);

    assert_eq!(processes.iter().filter(|id| runs(**id)).count(), 0);
}

#[test]
fn nothing_is_left_of_a_control_plane_whose_owner_was_killed() {
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", "control_plane::processes::victim", "--nocapture"])
        .env(VICTIM, "1")
        .env_remove("SINFONIA_TESTBED")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (folder, processes) = what_it_says(&mut victim);
    let left = || {
        let running = processes.iter().filter(|id| runs(**id)).count();
        (running, Path::new(&folder).exists())
    };
    assert_eq!(left(), (3, true));

    victim.kill().unwrap();
    victim.wait().unwrap();

    let begun = Instant::now();
    while left() != (0, false) && begun.elapsed() < SOON {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(left(), (0, false));
}

/// Not a test of its own: what the test above starts, and kills.
#[test]
fn victim() {
    if env::var_os(VICTIM).is_none() {
        return;
    }
    let folder = RunFolder::new().unwrap();
    let programs = Programs::find_or_hint().unwrap();
    let control_plane = ControlPlane::start(&programs, folder.path()).unwrap();
    let processes: Vec<_> = control_plane
        .process_ids()
        .iter()
        .map(u32::to_string)
        .collect();
    let line = format!("RUNS {} {}", folder.path().display(), processes.join(" "));
    writeln!(io::stdout(), "\n{line}").unwrap();
    thread::sleep(Duration::from_secs(600));
}

fn what_it_says(victim: &mut Child) -> (String, Vec<u32>) {
    let stdout = BufReader::new(victim.stdout.take().unwrap());
    let line = stdout
        .lines()
        .map_while(Result::ok)
        .find_map(|line| Some(line.strip_prefix("RUNS ")?.to_owned()))
        .unwrap();
    let (folder, processes) = line.split_once(' ').unwrap();
    let processes = processes.split(' ').map(|id| id.parse().unwrap()).collect();
    (folder.to_owned(), processes)
}

/// Whether this process is there and not merely waiting to be reaped.
fn runs(id: u32) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .starts_with(" Z")
    })
}
