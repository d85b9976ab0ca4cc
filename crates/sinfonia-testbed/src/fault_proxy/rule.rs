//! What happens to which calls.

use std::fmt;
use std::time::Duration;

use super::ApiCall;

/// What a proxy does instead of passing on a call or its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Answers in the API server's place.
    Answer(Answer),
    /// Waits, then goes on.
    Delay(Duration),
    /// Never answers; the connection stays open until the client gives up or all connections are cut.
    Hang,
    /// Cuts the connection without an answer.
    Cut,
}

/// An answer that the API server did not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The API server's word for it, such as `Conflict`.
    pub reason: &'static str,
    /// The header `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

impl Answer {
    /// 409: somebody else has changed the object.
    pub const CONFLICT: Self = Self::new(409, "Conflict");
    /// 409: an object of this name exists.
    pub const ALREADY_EXISTS: Self = Self::new(409, "AlreadyExists");
    /// 500.
    pub const INTERNAL_ERROR: Self = Self::new(500, "InternalError");
    /// 503.
    pub const UNAVAILABLE: Self = Self::new(503, "ServiceUnavailable");
    /// 504: the API server, or etcd behind it, took too long.
    pub const TIMEOUT: Self = Self::new(504, "Timeout");
    /// 403.
    pub const FORBIDDEN: Self = Self::new(403, "Forbidden");

    /// 403: a quota has no room for the object. The API server's word for it is Forbidden too, its words tell it.
    pub const OVER_QUOTA: Self = Self::new(403, "OverQuota");

    /// An answer with this status and reason.
    pub const fn new(status: u16, reason: &'static str) -> Self {
        Self {
            status,
            reason,
            retry_after: None,
        }
    }

    /// 429, to be asked again after this many seconds.
    pub const fn too_many_requests(retry_after: u64) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(429, "TooManyRequests")
        }
    }

    /// What an API server says with it, for those who go by its words.
    pub(super) const fn words(self) -> &'static str {
        match self.reason.as_bytes() {
            b"Conflict" => {
                "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again"
            }
            b"AlreadyExists" => "already exists",
            b"InternalError" => "Internal error occurred",
            b"ServiceUnavailable" => "the server is currently unable to handle the request",
            b"Timeout" => "Timeout: request did not complete within the allotted timeout",
            b"TooManyRequests" => "too many requests, please try again later",
            b"Forbidden" => "forbidden",
            b"OverQuota" => {
                "the object is forbidden: exceeded quota: storage, requested: a=1, used: a=1, limited: a=1"
            }
            _ => "failed",
        }
    }
}

type Condition = Box<dyn Fn(&ApiCall) -> bool + Send + Sync>;

/// Which calls meet which fault, before they reach the API server, and how often.
pub struct Rule {
    condition: Condition,
    fault: Fault,
    after: bool,
    left: Option<usize>,
}

/// What happens to one call.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub(super) fault: Fault,
    /// After the API server has answered, not before it is asked.
    pub(super) after: bool,
}

impl Rule {
    /// All calls with this verb to this resource meet the fault; `*` stands for all. [`ApiCall`] tells how they are called.
    pub fn on(verb: &str, resource: &str, fault: Fault) -> Self {
        let (verb, resource) = (verb.to_owned(), resource.to_owned());
        Self::when(move |call| call.is(&verb, &resource), fault)
    }

    /// All calls that satisfy a condition meet the fault.
    pub fn when(
        condition: impl Fn(&ApiCall) -> bool + Send + Sync + 'static,
        fault: Fault,
    ) -> Self {
        Self {
            condition: Box::new(condition),
            fault,
            after: false,
            left: None,
        }
    }

    /// Only the next so many calls meet it.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        self.left = Some(count);
        self
    }

    /// The fault comes after the API server has done what was asked: only its answer is lost, late or false.
    #[must_use]
    pub fn after_it_took_effect(mut self) -> Self {
        self.after = true;
        self
    }

    /// What this rule has for a call. One that counts counts down.
    pub(super) fn apply_to(&mut self, call: &ApiCall) -> Option<Verdict> {
        if self.left == Some(0) || !(self.condition)(call) {
            return None;
        }
        self.left = self.left.map(|left| left - 1);
        Some(Verdict {
            fault: self.fault.clone(),
            after: self.after,
        })
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Rule")
            .field("fault", &self.fault)
            .field("after", &self.after)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
