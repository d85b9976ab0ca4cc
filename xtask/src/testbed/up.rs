//! Starting and stopping the control plane that stays.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anstream::{eprintln, print, println};
use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sinfonia_testbed::{Cluster, Machine, Node, NodePrograms, Programs, VARIABLE, cache_folder};

use super::build_missing;
use super::serve::{WAITING_FOR, folder, lock_file, ready_file, remove_folder};
use crate::cargo::cargo;

/// Time that the control plane has to start, and to end.
const PATIENCE: Duration = Duration::from_secs(300);
/// Time between two looks at whether it has.
const POLL: Duration = Duration::from_millis(50);

pub(super) fn up(with_node: bool) -> anyhow::Result<()> {
    if with_node && let Some(obstacle) = Node::obstacle() {
        bail!("{obstacle}");
    }
    // The build below replaces the file of this program, which then has no name any more.
    let this_program = std::env::current_exe().context("cannot tell which program this is")?;
    build_missing(with_node)?;
    let programs = Programs::find_or_hint()?;
    if running().is_none() {
        if with_node {
            NodePrograms::find_or_hint()?;
            cargo(&["build", "--locked", "--workspace", "--bins"])?;
        }
        remove_folder()?;
        let begun = Instant::now();
        wait_until_up(&mut start(&this_program, with_node)?)?;
        eprintln!(
            "The control plane runs, after {:.1} s.",
            begun.elapsed().as_secs_f64()
        );
    } else {
        eprintln!("The control plane runs already.");
    }
    let cluster = Cluster::open(&folder())?;
    let machine = fs::read_to_string(ready_file()).unwrap_or_default();
    if with_node && machine.is_empty() {
        bail!("it runs without a node\nhint: cargo xtask testbed down");
    }
    eprintln!("`cargo xtask testbed down` stops it. Commands to use it:");
    print_exports(&cluster, &programs);
    print!("{machine}");
    Ok(())
}

pub(super) fn down() -> anyhow::Result<()> {
    if let Some(process) = running() {
        end(process)?;
        eprintln!("The control plane is stopped.");
    } else {
        eprintln!("No control plane runs.");
    }
    // What was killed has left its name.
    Machine::remove_left();
    remove_folder()?;
    for file in [lock_file(), log_file()] {
        // What is not there need not be removed.
        let _ = fs::remove_file(file);
    }
    Ok(())
}

/// What the process says when it cannot start.
fn log_file() -> PathBuf {
    folder().with_extension("log")
}

/// The process that is the control plane.
fn running() -> Option<Pid> {
    let path = lock_file();
    File::open(&path).ok()?.try_lock().err()?;
    let text = fs::read_to_string(&path).ok()?;
    Some(Pid::from_raw(text.parse().ok()?))
}

fn start(this_program: &Path, with_node: bool) -> anyhow::Result<Child> {
    let cache = cache_folder();
    fs::create_dir_all(&cache)
        .and_then(|()| File::create(log_file()))
        .and_then(|log| {
            Command::new(this_program)
                .args(["testbed", "serve"])
                .args(with_node.then_some("--node"))
                .current_dir(&cache)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                // It is not interrupted with what runs in this terminal.
                .process_group(0)
                .spawn()
        })
        .context("cannot start the control plane")
}

fn wait_until_up(process: &mut Child) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut told = 0;
    while !ready_file().exists() {
        told += tell_progress(told);
        if process.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
            let said = fs::read_to_string(log_file()).unwrap_or_default();
            bail!("the control plane did not come up: {}", said.trim());
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Tells what is new in the log since a line of this number about how far it is, and how many lines that are.
fn tell_progress(told: usize) -> usize {
    let log = fs::read_to_string(log_file()).unwrap_or_default();
    let lines = log.lines().filter(|line| line.starts_with(WAITING_FOR));
    lines
        .skip(told)
        .inspect(|line| eprintln!("{line}…"))
        .count()
}

fn end(process: Pid) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut signal = Signal::SIGTERM;
    while running() == Some(process) {
        if kill(process, signal).is_err() {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            // Its programs die with it in any case.
            signal = Signal::SIGKILL;
        }
        thread::sleep(POLL);
    }
    Ok(())
}

fn print_exports(cluster: &Cluster, programs: &Programs) {
    let helm = programs.helm4.parent().unwrap_or(Path::new("."));
    println!("export KUBECONFIG={}", quoted(&cluster.kubeconfig()));
    println!("export {VARIABLE}={}", quoted(cluster.folder()));
    println!("export PATH={}:\"$PATH\"", quoted(helm));
    println!("# helm 3 is {}", programs.helm3.display());
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_path_as_it_is() {
        let path = Path::new("/tmp/it's a folder");

        assert_eq!(quoted(path), r"'/tmp/it'\''s a folder'");
    }
}
