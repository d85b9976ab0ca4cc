//! The spans that traces are made of.

use std::fmt;

use http::{Method, StatusCode};
use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::TARGET;
use crate::trace_parent::TraceParent;

/// A question to another service. One that is given up before its answer counts as failed.
#[derive(Debug)]
pub struct Question {
    span: Span,
    is_answered: bool,
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
        Self {
            span,
            is_answered: false,
        }
    }

    /// The place of the question in its trace, to be told to whoever is asked; nothing where traces are off.
    pub fn parent(&self) -> Option<TraceParent> {
        parent_of(&self.span)
    }

    /// Notes the answer.
    pub fn answered(mut self, status: StatusCode) {
        self.is_answered = true;
        note_status(&self.span, status, StatusCode::BAD_REQUEST);
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if !self.is_answered {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

/// The span of something that takes several questions, to be entered for them.
pub fn undertaking(name: &'static str, recipe: impl fmt::Display) -> Span {
    tracing::trace_span!(target: TARGET, "undertaking", otel.name = name, sinfonia.recipe = %recipe)
}

/// The span of a request that this service answers, and that continues the caller's trace if there is one.
#[cfg(feature = "server")]
pub(crate) fn answering(
    method: &Method,
    route: &str,
    request_id: impl fmt::Display,
    caller: Option<TraceParent>,
) -> Span {
    let span = tracing::trace_span!(
        target: TARGET,
        "answer",
        otel.name = %format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = %method,
        http.route = route,
        http.response.status_code = field::Empty,
        sinfonia.request_id = %request_id,
    );
    set_parent(&span, caller);
    span
}

/// Notes the answer that this service gives. That a caller is refused is no failure of the service.
#[cfg(feature = "server")]
pub(crate) fn note_answer(span: &Span, status: StatusCode) {
    note_status(span, status, StatusCode::INTERNAL_SERVER_ERROR);
}

/// The place of a span in its trace, as others are told; nothing where traces are off.
pub fn parent_of(span: &Span) -> Option<TraceParent> {
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
