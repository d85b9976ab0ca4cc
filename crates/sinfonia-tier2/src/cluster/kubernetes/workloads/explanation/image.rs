//! What a container runtime's text about an image that it cannot pull means. There are no codes that all runtimes have.

use std::fmt;

/// Failed pulls after which trouble that cannot be told is taken for lasting.
const MOST_PULLS: i64 = 3;
/// How the kubelet's Events about a failed pull begin.
pub(super) const FAILED: &str = "Failed to pull image ";
/// How the kubelet's message about an image that it tries again later goes on, where it says why.
const TRIED: &str = ": ErrImagePull: ";

/// Words that mean trouble that passes: the registry cannot be reached or is busy, the node has no room or lost a part of what it had pulled.
/// They come first, because some of them are followed by `not found`.
const PASSING: [&str; 23] = [
    "dial tcp",
    "lookup ",
    "no such host",
    "i/o timeout",
    "timed out",
    "timeout",
    "deadline exceeded",
    "connection refused",
    "connection reset",
    "broken pipe",
    "no route to host",
    "network is unreachable",
    "too many requests",
    "toomanyrequests",
    "internal server error",
    "bad gateway",
    "service unavailable",
    "gateway timeout",
    "unexpected eof",
    ": eof",
    "temporary failure",
    "no space left on device",
    "content digest ",
];
/// Words that mean that there is no such image.
const ABSENT: [&str; 5] = [
    "not found",
    "manifest unknown",
    "name unknown",
    "does not exist",
    "no match for platform",
];
/// Words that mean that the registry does not give it to us. Some say that of what is not there, too.
const DENIED: [&str; 6] = [
    "unauthorized",
    "denied",
    "forbidden",
    "authorization failed",
    "authentication required",
    "no basic auth credentials",
];

/// Why an image cannot be pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ImageTrouble {
    /// There is none.
    Absent,
    /// The registry does not give it to us.
    Denied,
    /// Something that passes, in the runtime's words.
    Passing(String),
    /// Something else, in the runtime's words, which may be none.
    Unknown(String),
}

impl ImageTrouble {
    /// Reads what a container says that waits for its image, or else what was seen to happen.
    pub(super) fn read(image: &str, waiting: &str, seen: &str) -> Self {
        let waiting = waiting
            .split_once(TRIED)
            .map_or(waiting, |(_, reason)| reason);
        // That it tries again later says nothing.
        let reason = if waiting.is_empty() || waiting.starts_with("Back-off ") {
            seen.strip_prefix(FAILED).unwrap_or_default()
        } else {
            waiting
        };
        // The image's own name may hold any of the words.
        let words = reason.replace(image, "").to_lowercase();
        let says = |of: &[&str]| of.iter().any(|word| words.contains(word));
        match () {
            () if says(&PASSING) => Self::Passing(core(reason)),
            () if says(&ABSENT) => Self::Absent,
            () if says(&DENIED) => Self::Denied,
            () => Self::Unknown(core(reason)),
        }
    }

    /// Whether it may come right, after this many pulls that failed.
    pub(super) const fn may_pass(&self, failures: i64) -> bool {
        match self {
            Self::Absent | Self::Denied => false,
            Self::Passing(_) => true,
            Self::Unknown(_) => failures < MOST_PULLS,
        }
    }
}

impl fmt::Display for ImageTrouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => formatter.write_str(": not found"),
            Self::Denied => formatter.write_str(": access denied"),
            Self::Passing(reason) | Self::Unknown(reason) if reason.is_empty() => Ok(()),
            Self::Passing(reason) | Self::Unknown(reason) => write!(formatter, ": {reason}"),
        }
    }
}

/// The end of a chain of reasons, which says most.
fn core(reason: &str) -> String {
    let parts: Vec<&str> = reason.split(": ").collect();
    let kept = parts.len().saturating_sub(3);
    parts[kept..].join(": ")
}
