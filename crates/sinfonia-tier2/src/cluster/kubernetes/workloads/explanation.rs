//! Why what was installed does not run, told from what the objects say and from what was seen to happen to them; and whether it never will.

mod image;

use std::collections::BTreeMap;

use sinfonia_core::lifecycle::{Failure, FailureClass, Line, Readiness};

use self::image::ImageTrouble;
use super::occurrence::Occurrences;
use super::standing::{State as WorkloadState, unready};
use super::unready::{Container, Lack, State, Unready, exit};

/// Starts of a container after which one that crashes is given up: with the kubelet's pauses they take about a minute.
const MOST_RESTARTS: i32 = 3;
/// Failed tries after which a configuration is taken for wrong that may lack what comes a moment later: the kubelet makes about one in ten
/// seconds.
const MOST_CONFIGURATIONS: i64 = 6;
/// Troubles that one message tells.
const MOST_TOLD: usize = 3;

/// Something that keeps a workload from running. The order is that in which people want to know of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Trouble {
    /// Whether it may pass. What cannot comes first.
    may_pass: bool,
    kind: Kind,
    text: String,
}

/// The kinds of trouble, what needs somebody's help first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Image,
    Crash,
    Configuration,
    NoPods,
    NoNode,
    Start,
    Pull,
    Other,
    /// How much is missing, which says little beside the reasons.
    Count,
}

/// Whether everything runs, of all kinds of workload, and why not.
pub(super) fn readiness<'a>(
    kinds: impl IntoIterator<Item = &'a BTreeMap<String, WorkloadState>>,
    occurrences: Occurrences<'_>,
) -> Readiness {
    let workloads: Vec<&Unready> = kinds.into_iter().flat_map(unready).collect();
    if workloads.is_empty() {
        return Readiness::Ready;
    }
    let of_workloads = workloads.iter().flat_map(|workload| {
        let lacks = workload.lacks.iter();
        lacks.filter_map(|lack| trouble(workload, lack, occurrences))
    });
    let mut troubles: Vec<Trouble> = of_workloads.chain(of_jobs(occurrences)).collect();
    troubles.sort();
    troubles.dedup();
    tell(&troubles)
}

fn tell(troubles: &[Trouble]) -> Readiness {
    let Some(worst) = troubles.first() else {
        return Readiness::default();
    };
    let told = troubles
        .iter()
        .filter(|trouble| trouble.kind != Kind::Count || worst.kind == Kind::Count);
    let texts: Vec<&str> = told
        .take(MOST_TOLD)
        .map(|trouble| trouble.text.as_str())
        .collect();
    let message = Line::new(&texts.join("; "));
    if worst.may_pass {
        return Readiness::NotYet(Some(message));
    }
    Readiness::Never(Failure {
        class: FailureClass::NotReady,
        message: message.to_string(),
        detail: None,
    })
}

fn trouble(workload: &Unready, lack: &Lack, occurrences: Occurrences<'_>) -> Option<Trouble> {
    match lack {
        Lack::Pods(reason) => Some(no_pods(&workload.name, reason)),
        Lack::Replicas {
            count,
            pods_missing,
        } => {
            let refused = pods_missing.then(|| refused(&workload.uid, occurrences));
            let refused = refused.flatten();
            let refused = refused.map(|reason| no_pods(&workload.name, reason));
            Some(refused.unwrap_or_else(|| passing(Kind::Count, count.clone())))
        }
        Lack::Node(reason) => Some(no_node(&workload.name, reason)),
        Lack::Container(container) => of_container(workload, container, occurrences),
        Lack::Other(text) => Some(passing(Kind::Other, text.clone())),
    }
}

/// Why Pods of a workload are not created, if that is so.
fn refused<'a>(uid: &str, occurrences: Occurrences<'a>) -> Option<&'a str> {
    let last = occurrences.last_of(uid, &["FailedCreate", "SuccessfulCreate"])?;
    (last.reason == "FailedCreate").then_some(last.message.as_str())
}

/// Jobs whose Pods are not created. What they run does not count before it is there, but others may wait for it.
fn of_jobs(occurrences: Occurrences<'_>) -> impl Iterator<Item = Trouble> {
    let failed = occurrences.for_reasons(&["FailedCreate"]);
    let jobs = failed.filter(|occurrence| occurrence.kind == "Job");
    jobs.filter_map(move |job| {
        let reason = refused(&job.uid, occurrences)?;
        let trouble = no_pods(&format!("job {}", job.name), reason);
        Some(Trouble {
            may_pass: true,
            ..trouble
        })
    })
}

/// A workload whose Pods the API server refuses. Its quota may have room later; what Pod Security forbids, it will forbid again, and what
/// makes no sense, such as a request above the limit that a container gets that names none, will make no more of it.
fn no_pods(name: &str, reason: &str) -> Trouble {
    let after = |words| reason.split_once(words).map(|(_, reason)| reason);
    let invalid = after(" is invalid: ");
    let reason = after(" is forbidden: ").or(invalid).unwrap_or(reason);
    Trouble {
        may_pass: invalid.is_none() && !reason.starts_with("violates PodSecurity"),
        kind: Kind::NoPods,
        text: format!("{name} cannot create pods: {reason}"),
    }
}

fn no_node(name: &str, reason: &str) -> Trouble {
    // What follows is about making room by ending others.
    let reason = reason.split(". ").next().unwrap_or_default();
    let is_of_gpu = |part: &str| {
        let lacking = part.split_once("Insufficient ");
        let lacking = lacking.and_then(|(_, resource)| resource.split_whitespace().next());
        lacking.is_some_and(|resource| resource.contains("gpu"))
    };
    let what = if reason.split(',').any(is_of_gpu) {
        "no GPU free"
    } else {
        "unschedulable"
    };
    let reason = if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    };
    passing(Kind::NoNode, format!("{what}{reason} ({name})"))
}

fn of_container(
    pod: &Unready,
    container: &Container,
    occurrences: Occurrences<'_>,
) -> Option<Trouble> {
    let State::Waiting { reason, message } = &container.state else {
        return Some(crash(container, true).unwrap_or_else(|| unwell(pod, container, occurrences)));
    };
    match reason.as_str() {
        "CrashLoopBackOff" => {
            let may_pass = container.restarts < MOST_RESTARTS;
            crash(container, may_pass).or_else(|| Some(starting(pod, container, occurrences)))
        }
        "ErrImageNeverPull" => {
            let text = format!(
                "image {} is not there and may not be pulled",
                container.image
            );
            Some(hopeless(Kind::Image, format!("{text} ({})", pod.name)))
        }
        "InvalidImageName" => {
            let text = format!("{} is no name of an image ({})", container.image, pod.name);
            Some(hopeless(Kind::Image, text))
        }
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" => {
            Some(no_image(pod, container, message, occurrences))
        }
        "CreateContainerConfigError" => Some(misconfigured(pod, container, message, occurrences)),
        "" | "ContainerCreating" | "PodInitializing" => Some(starting(pod, container, occurrences)),
        _ => {
            let text = format!("{} does not start: {reason}: {message}", named(container));
            Some(passing(Kind::Start, format!("{text} ({})", pod.name)))
        }
    }
}

/// A container that has ended, now or before it was started again.
fn crash(container: &Container, may_pass: bool) -> Option<Trouble> {
    let (code, reason) = container.last_end.as_ref()?;
    let verb = if *code == 0 { "ended" } else { "crashed" };
    let restarts = match container.restarts {
        ..=0 => String::new(),
        1 => ", restarted once".to_owned(),
        restarts => format!(", restarted {restarts} times"),
    };
    let name = named(container);
    Some(Trouble {
        may_pass,
        kind: Kind::Crash,
        text: format!("{name} {verb} with {}{restarts}", exit(*code, reason)),
    })
}

/// A container that runs and is not ready.
fn unwell(pod: &Unready, container: &Container, occurrences: Occurrences<'_>) -> Trouble {
    let name = named(container);
    if container.is_initial {
        return passing(Kind::Other, format!("{name} runs ({})", pod.name));
    }
    let probe = occurrences.last_of_container(&pod.uid, &container.name, &["Unhealthy"]);
    let probe = probe.map_or_else(String::new, |seen| format!(": {}", seen.message));
    let text = format!("{name} runs and is not ready yet{probe} ({})", pod.name);
    passing(Kind::Other, text)
}

/// A container that is about to start, as far as can be seen.
fn starting(pod: &Unready, container: &Container, occurrences: Occurrences<'_>) -> Trouble {
    let pull = ["Pulling", "Failed", "Pulled"];
    let pull = occurrences.last_of_container(&pod.uid, &container.name, &pull);
    if pull.is_some_and(|last| last.reason == "Pulling") {
        let text = format!("pulling image {} ({})", container.image, pod.name);
        return passing(Kind::Pull, text);
    }
    let hindrance = [
        "FailedMount",
        "FailedAttachVolume",
        "FailedCreatePodSandBox",
    ];
    match occurrences.last_of(&pod.uid, &hindrance) {
        Some(seen) => {
            let text = format!("{} cannot start: {}", pod.name, seen.message);
            passing(Kind::Start, text)
        }
        None => passing(Kind::Other, format!("{} starts", pod.name)),
    }
}

fn no_image(
    pod: &Unready,
    container: &Container,
    message: &str,
    occurrences: Occurrences<'_>,
) -> Trouble {
    let image = &container.image;
    let seen = occurrences.last_of_container(&pod.uid, &container.name, &["Failed"]);
    let seen = seen.map_or("", |seen| &seen.message);
    let trouble = ImageTrouble::read(image, message, seen);
    let failures = occurrences.failures(&pod.uid, &container.name, image::FAILED);
    Trouble {
        may_pass: trouble.may_pass(failures),
        kind: Kind::Image,
        text: format!("image {image} cannot be pulled{trouble} ({})", pod.name),
    }
}

/// A container that refers to a Secret or ConfigMap that is not there, for instance.
fn misconfigured(
    pod: &Unready,
    container: &Container,
    message: &str,
    occurrences: Occurrences<'_>,
) -> Trouble {
    let beginning = format!("Error: {message}");
    let failures = occurrences.failures(&pod.uid, &container.name, &beginning);
    let name = named(container);
    Trouble {
        may_pass: failures < MOST_CONFIGURATIONS,
        kind: Kind::Configuration,
        text: format!("{name} cannot be configured: {message} ({})", pod.name),
    }
}

fn named(container: &Container) -> String {
    let kind = if container.is_initial {
        "init container"
    } else {
        "container"
    };
    format!("{kind} {}", container.name)
}

const fn passing(kind: Kind, text: String) -> Trouble {
    Trouble {
        may_pass: true,
        kind,
        text,
    }
}

const fn hopeless(kind: Kind, text: String) -> Trouble {
    Trouble {
        may_pass: false,
        kind,
        text,
    }
}

#[cfg(test)]
mod tests;
