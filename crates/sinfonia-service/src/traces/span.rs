//! The spans that traces are made of.

use std::fmt;

use http::{Method, StatusCode};
use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tracing::{Instrument as _, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::TARGET;
use crate::trace_parent::TraceParent;

/// A span that has failed unless something else is noted before it ends.
#[derive(Debug)]
struct Pending {
    span: Span,
    is_over: bool,
}

/// A question to another service. One that is given up before its answer counts as failed.
#[derive(Debug)]
pub struct Question(Pending);

/// Something that takes several questions. It has failed when it is given up.
#[derive(Debug)]
pub struct Undertaking(Pending);

/// A request that this service answers. One whose caller goes away before the answer counts as failed.
#[cfg(feature = "server")]
#[derive(Debug)]
pub(crate) struct Answer(Pending);

impl Pending {
    const fn new(span: Span) -> Self {
        Self {
            span,
            is_over: false,
        }
    }

    /// Lets it not fail for its end, and gives the span, to note what came of it.
    fn over(&mut self) -> &Span {
        self.is_over = true;
        &self.span
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_over {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

impl Question {
    /// Asks `what` of `whom`, on behalf of the request that stands at this place of its trace, or else of what goes on here.
    pub fn new(
        method: &Method,
        what: &str,
        whom: impl fmt::Display,
        on_behalf: Option<TraceParent>,
    ) -> Self {
        let span = tracing::trace_span!(
            target: TARGET,
            "question",
            otel.name = %format_args!("{method} {what}"),
            otel.kind = "client",
            otel.status_code = field::Empty,
            http.request.method = %method,
            http.response.status_code = field::Empty,
            peer.service = %whom,
        );
        set_parent(&span, on_behalf);
        Self(Pending::new(span))
    }

    /// The place of the question in its trace, to be told to whoever is asked; nothing where traces are off.
    pub fn parent(&self) -> Option<TraceParent> {
        parent_of(&self.0.span)
    }

    /// Notes the answer.
    pub fn answered(mut self, status: StatusCode) {
        note_status(self.0.over(), status, StatusCode::BAD_REQUEST);
    }
}

impl Undertaking {
    /// Begins it, for a recipe.
    pub fn new(name: &'static str, recipe: impl fmt::Display) -> Self {
        Self(Pending::new(tracing::trace_span!(
            target: TARGET,
            "undertaking",
            otel.name = name,
            otel.status_code = field::Empty,
            sinfonia.recipe = %recipe,
        )))
    }

    /// Does its work, the questions of which are parts of it.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn of<T, E>(mut self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let done = work.instrument(self.0.span.clone()).await;
        if done.is_ok() {
            self.0.over();
        }
        done
    }
}

#[cfg(feature = "server")]
impl Answer {
    /// Continues the caller's trace if there is one.
    pub(crate) fn new(
        method: &'static str,
        route: &str,
        request_id: impl fmt::Display,
        caller: Option<TraceParent>,
    ) -> Self {
        let span = tracing::trace_span!(
            target: TARGET,
            "answer",
            otel.name = %format_args!("{method} {route}"),
            otel.kind = "server",
            otel.status_code = field::Empty,
            http.request.method = method,
            http.route = route,
            http.response.status_code = field::Empty,
            sinfonia.request_id = %request_id,
        );
        set_parent(&span, caller);
        Self(Pending::new(span))
    }

    /// To a request that is in no trace.
    pub(crate) fn untraced() -> Self {
        Self(Pending::new(Span::none()))
    }

    /// The place of the request in its trace; nothing where traces are off.
    pub(crate) fn parent(&self) -> Option<TraceParent> {
        parent_of(&self.0.span)
    }

    /// Notes the answer. That a caller is refused is no failure of the service.
    pub(crate) fn given(mut self, status: StatusCode) {
        note_status(self.0.over(), status, StatusCode::INTERNAL_SERVER_ERROR);
    }
}

/// The place of a span in its trace, as others are told; nothing where traces are off.
fn parent_of(span: &Span) -> Option<TraceParent> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let place = span.span_context();
    TraceParent::from_parts(
        u128::from_be_bytes(place.trace_id().to_bytes()),
        u64::from_be_bytes(place.span_id().to_bytes()),
        place.trace_flags().to_u8(),
    )
}

fn set_parent(span: &Span, parent: Option<TraceParent>) {
    let Some(parent) = parent.filter(|_| !span.is_disabled()) else {
        return;
    };
    let (trace, id, flags) = parent.parts();
    let context = Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from_bytes(trace.to_be_bytes()),
        SpanId::from_bytes(id.to_be_bytes()),
        TraceFlags::new(flags),
        true,
        TraceState::NONE,
    ));
    // It cannot have begun yet, and where nobody listens there is nothing to continue.
    let _ = span.set_parent(context);
}

fn note_status(span: &Span, status: StatusCode, least_error: StatusCode) {
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status >= least_error {
        span.record("otel.status_code", "ERROR");
    }
}

#[cfg(test)]
mod tests;
