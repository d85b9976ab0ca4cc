//! Places where a test has the process die, as a crash would have it: before and after each request that changes something in the cluster,
//! and around each run of helm. Nobody places them by hand, so none is forgotten.
//!
//! `SINFONIA_FAIL_POINTS` names a folder. Nothing happens until there is a file `armed` in it. From then on each point that is passed is
//! appended as a line to the file `passed`: its name, and how often it was passed. The process kills itself at the point whose line `armed`
//! holds.

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::Body;
use nix::sys::signal::{Signal, kill};
use nix::unistd::getpid;
use tower::{Layer, Service};

static FOLDER: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| env::var_os("SINFONIA_FAIL_POINTS").map(PathBuf::from));

/// How often each point was passed since they were armed.
static PASSED: LazyLock<Mutex<HashMap<String, usize>>> = LazyLock::new(Mutex::default);

/// Puts a point before and after each request that changes something.
pub(crate) struct AroundRequests;

/// A client's service with points around it.
pub(crate) struct Surrounded<S>(S);

/// The points of one run of helm.
pub(crate) struct AroundHelm(Option<String>);

impl<S> Layer<S> for AroundRequests {
    type Service = Surrounded<S>;

    fn layer(&self, inner: S) -> Surrounded<S> {
        Surrounded(inner)
    }
}

impl<S, B> Service<Request<Body>> for Surrounded<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let change = change(request.method(), request.uri().path());
        if let Some(change) = &change {
            pass(&format!("before {change}"));
        }
        let answer = self.0.call(request);
        async move {
            let answer = answer.await;
            if let Some(change) = change {
                pass(&format!("after {change}"));
            }
            answer
        }
        .boxed()
    }
}

impl AroundHelm {
    /// The points of a run with these arguments; none where helm only tells its version.
    pub(crate) fn of(arguments: &[OsString]) -> Self {
        let command = arguments
            .first()
            .map(|command| command.to_string_lossy().into_owned());
        Self(command.filter(|command| command != "version"))
    }

    /// It is not started yet.
    pub(crate) fn before(&self) {
        self.pass("before");
    }

    /// It has just been started.
    pub(crate) fn begun(&self) {
        self.pass("within");
    }

    /// It has ended.
    pub(crate) fn after(&self) {
        self.pass("after");
    }

    fn pass(&self, place: &str) {
        if let Some(command) = &self.0 {
            pass(&format!("{place} helm {command}"));
        }
    }
}

/// What a request changes, in the words of RBAC rules; nothing if it only reads.
fn change(method: &Method, path: &str) -> Option<String> {
    let segments: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (["api", _, rest @ ..] | ["apis", _, _, rest @ ..]) = segments.as_slice() else {
        return None;
    };
    let (resource, name, subresource) = match rest {
        ["namespaces", _, resource, rest @ ..] => (resource, rest.first(), rest.get(1)),
        [resource, rest @ ..] => (resource, rest.first(), rest.get(1)),
        [] => return None,
    };
    let verb = match (method, name) {
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, Some(_)) => "delete",
        (&Method::DELETE, None) => "deletecollection",
        _ => return None,
    };
    Some(match subresource {
        Some(subresource) => format!("{verb} {resource}/{subresource}"),
        None => format!("{verb} {resource}"),
    })
}

/// Counts a point, writes it down, and dies there if that is wanted.
fn pass(name: &str) {
    let Some(folder) = &*FOLDER else { return };
    let Ok(wanted) = fs::read_to_string(folder.join("armed")) else {
        return;
    };
    // Held while it is written down, so that the lines are in order.
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    let count = passed.entry(name.to_owned()).or_default();
    *count += 1;
    let point = format!("{name} {count}");
    let file = File::options()
        .create(true)
        .append(true)
        .open(folder.join("passed"));
    // A test that misses a line fails.
    let _ = file.and_then(|mut file| writeln!(file, "{point}"));
    if point == wanted {
        let _ = kill(getpid(), Signal::SIGKILL);
        loop {
            std::thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::read(Method::GET, "/api/v1/nodes", None)]
    #[case::no_resource(Method::POST, "/version", None)]
    #[case::cluster_scoped(Method::DELETE, "/api/v1/namespaces/a", Some("delete namespaces"))]
    #[case::namespaced(
        Method::PATCH,
        "/api/v1/namespaces/a/serviceaccounts/b",
        Some("patch serviceaccounts")
    )]
    #[case::collection(
        Method::DELETE,
        "/api/v1/namespaces/a/pods",
        Some("deletecollection pods")
    )]
    #[case::group(
        Method::POST,
        "/apis/kilo.squat.ai/v1alpha1/peers",
        Some("create peers")
    )]
    #[case::subresource(
        Method::PUT,
        "/apis/findcloudlet.org/v1alpha1/namespaces/a/cloudletdeployments/b/status",
        Some("update cloudletdeployments/status")
    )]
    fn a_point_is_named_after_what_the_request_changes(
        #[case] method: Method,
        #[case] path: &str,
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(change(&method, path).as_deref(), expected);
    }
}
