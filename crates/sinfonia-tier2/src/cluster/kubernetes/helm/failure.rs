//! What helm's text means. helm has no codes for its failures, so they are told by its words, those of helm 3 and of helm 4.

use std::fmt;

use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::lifecycle::{Failure, FailureClass};

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HelmFailure {
    /// The chart does not render with the values, or what it renders to is malformed.
    BadValues,
    /// A hook did not end in time, or helm itself.
    TimedOut,
    /// The cluster does not take it.
    Refused,
    /// The chart makes what keeps deployments apart, which is not for charts to make.
    OwnIsolation,
    /// A quota has no room for it.
    OverQuota,
    /// A hook failed.
    NotReady,
    /// The chart, or one that it depends on, is not there.
    ChartNotFound,
    /// The API server or the network failed: trying again may help.
    Unreachable,
    /// Something of this release is there, or its Namespace is on its way out: trying again may help after looking.
    NameInUse,
}

use HelmFailure::{
    BadValues, ChartNotFound, NameInUse, NotReady, OverQuota, OwnIsolation, Refused, TimedOut,
    Unreachable,
};

/// How messages begin that quote the chart: what follows may hold any words, and so may not be searched.
const CHARTS_OWN: [&str; 9] = [
    "execution error at (",
    "parse error at (",
    "template: ",
    "values don't meet the specifications of the schema",
    "YAML parse error on ",
    "failed to parse ",
    "failed parsing ",
    "cannot load values",
    "error unmarshaling",
];

/// Words and what they mean, in lower case, in the order in which they are searched.
const WORDS: [(&str, HelmFailure); 57] = [
    ("cluster unreachable", Unreachable),
    ("cannot re-use a name that is still in use", NameInUse),
    ("cannot reuse a name that is still in use", NameInUse),
    (
        "another operation (install/upgrade/rollback) is in progress",
        NameInUse,
    ),
    ("release: already exists", NameInUse),
    ("because it is being terminated", NameInUse),
    // A release does not fit into a Secret.
    ("data: too long", Refused),
    ("library charts are not installable", ChartNotFound),
    ("missing in charts/ directory", ChartNotFound),
    ("no such file or directory", ChartNotFound),
    ("chart requires kubeversion", Refused),
    // Field errors quote the field's value, so they come before words that such a value might hold.
    (" is invalid: ", BadValues),
    ("cannot be handled as a ", BadValues),
    ("failed to create typed patch object", BadValues),
    ("error validating data", BadValues),
    ("error parsing", BadValues),
    ("unable to decode", BadValues),
    ("resource \"networkpolicies\" in api group", OwnIsolation),
    ("resource \"resourcequotas\" in api group", OwnIsolation),
    ("resource \"limitranges\" in api group", OwnIsolation),
    // That of the deployment itself holds nothing else, so what is too much for it always is.
    ("exceeded quota: sinfonia-isolation", Refused),
    ("exceeded quota: ", OverQuota),
    ("status unknown for quota: ", OverQuota),
    ("is forbidden", Refused),
    ("denied the request", Refused),
    ("no matches for kind", Refused),
    (
        "exists and cannot be imported into the current release",
        Refused,
    ),
    ("not ready. status: failed", NotReady),
    ("backofflimitexceeded", NotReady),
    ("deadlineexceeded", NotReady),
    ("podfailurepolicy", NotReady),
    // Somebody wrote the same object at the same time, the quota of a Namespace for instance.
    ("operation cannot be fulfilled", Unreachable),
    ("too many requests", Unreachable),
    ("try again later", Unreachable),
    ("unable to handle the request", Unreachable),
    (
        "unable to return a response in the time allotted",
        Unreachable,
    ),
    ("did not complete within the allotted timeout", Unreachable),
    ("an error on the server", Unreachable),
    ("internal error occurred", Unreachable),
    ("provide credentials", Unreachable),
    ("unauthorized", Unreachable),
    ("etcdserver: ", Unreachable),
    ("connection refused", Unreachable),
    ("connection reset", Unreachable),
    ("connection lost", Unreachable),
    ("broken pipe", Unreachable),
    ("no route to host", Unreachable),
    ("network is unreachable", Unreachable),
    ("no such host", Unreachable),
    ("i/o timeout", Unreachable),
    ("tls handshake timeout", Unreachable),
    ("tls: ", Unreachable),
    (": eof", Unreachable),
    ("unexpected eof", Unreachable),
    ("context deadline exceeded", TimedOut),
    ("timed out waiting for the condition", TimedOut),
    ("already exists", Refused),
];

impl HelmFailure {
    /// What callers are told: never helm's text, which may hold the recipe's values.
    pub(crate) const fn public_message(self) -> &'static str {
        match self {
            BadValues => "the chart does not install with the values of the recipe",
            TimedOut => "the installation did not end in time",
            Refused => "the cluster refused a part of the chart",
            OwnIsolation => {
                "the chart makes a NetworkPolicy, ResourceQuota or LimitRange of its own, which every deployment here has already; switch it off in the values of the recipe, often with networkPolicy.enabled: false"
            }
            OverQuota => "a quota of the cloudlet stands in the way",
            NotReady => "a job that belongs to the installation failed",
            ChartNotFound => "the chart, or a chart that it depends on, cannot be found",
            Unreachable => "the cluster cannot be reached at present",
            NameInUse => "what is left of an earlier installation is being cleared",
        }
    }

    /// What callers are told when trying again does not help.
    pub(crate) fn failure(self) -> Option<Failure> {
        let class = match self {
            BadValues => FailureClass::BadValues,
            TimedOut => FailureClass::TimedOut,
            Refused | OwnIsolation => FailureClass::Refused,
            OverQuota => FailureClass::QuotaReached,
            NotReady => FailureClass::NotReady,
            ChartNotFound => FailureClass::ChartNotFound,
            Unreachable | NameInUse => return None,
        };
        Some(Failure {
            detail: None,
            class,
            message: self.public_message().to_owned(),
        })
    }
}

impl fmt::Display for HelmFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            BadValues => "bad values",
            TimedOut => "timed out",
            Refused => "refused",
            OwnIsolation => "refused, isolation of its own",
            OverQuota => "quota reached",
            NotReady => "a hook failed",
            ChartNotFound => "chart not found",
            Unreachable => "cluster unreachable",
            NameInUse => "name in use",
        })
    }
}

/// What helm means that failed to install or uninstall.
pub(super) fn classify(stderr: &str) -> HelmFailure {
    let message = message(stderr);
    if message.is_empty() {
        // It was killed, by the kernel for want of memory for instance.
        return Unreachable;
    }
    let quotes_chart = CHARTS_OWN.iter().any(|start| message.starts_with(start));
    // helm 4 breaks the line of an error in a template, and leaves out the word in front.
    if quotes_chart
        || message
            .lines()
            .nth(1)
            .is_some_and(|line| line.starts_with("  executing \""))
    {
        return BadValues;
    }
    if message.starts_with("path \"") && message.ends_with("\" not found") {
        return ChartNotFound;
    }
    let message = message.to_ascii_lowercase();
    WORDS
        .iter()
        .find(|(words, _)| message.contains(words))
        .map_or(Refused, |(_, kind)| *kind)
}

/// What helm means that failed to fetch a chart from a registry. Registries say `unauthorized` or `denied` of what is not there too.
pub(super) fn classify_pull(stderr: &str) -> HelmFailure {
    let message = message(stderr).to_ascii_lowercase();
    let not_there = [
        "not found",
        "manifest unknown",
        "unauthorized",
        "denied",
        "status code 401",
        "status code 403",
    ];
    if not_there.iter().any(|words| message.contains(words)) {
        ChartNotFound
    } else {
        Unreachable
    }
}

/// Whether helm says that there is no such release.
pub(super) fn is_absent(stderr: &str) -> bool {
    let message = message(stderr);
    message.starts_with("uninstall: Release not loaded: ")
        && message.ends_with(": release: not found")
}

/// Whether the deployment was denied something in its own Namespace.
pub(super) fn is_denied_at_home(release: &DeploymentName, stderr: &str) -> bool {
    let (message, name) = (message(stderr), release.as_str());
    let denied = format!("is forbidden: User \"system:serviceaccount:{name}:");
    message.contains(&denied) && message.contains(&format!("in the namespace \"{name}\""))
}

/// The error itself, without warnings and log lines before it.
fn message(stderr: &str) -> &str {
    let start = if stderr.starts_with("Error: ") {
        Some(0)
    } else {
        stderr.find("\nError: ").map(|newline| newline + 1)
    };
    let message = start.map_or(stderr, |start| &stderr[start + "Error: ".len()..]);
    message
        .strip_prefix("INSTALLATION FAILED: ")
        .unwrap_or(message)
        .trim()
}

#[cfg(test)]
mod tests;
