use std::future::pending;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use opentelemetry::trace::{SpanKind, Status, TracerProvider as _};
use opentelemetry::{Key, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use rstest::rstest;
use tracing::subscriber::with_default;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

use super::*;
use crate::traces::layer_of;

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// Spans that have ended, oldest first.
#[derive(Debug, Clone, Default)]
struct Ended(Arc<Mutex<Vec<SpanData>>>);

#[test]
fn an_answer_continues_the_trace_of_the_caller() {
    let (told, ended) = traced(|| {
        let answer = Answer::new("POST", "/deploy/{uuid}", "id", caller());
        let told = answer.parent();
        answer.given(StatusCode::OK);
        told
    });

    let [span] = ended.as_slice() else {
        panic!("{ended:?}")
    };
    assert_eq!(told, Some(place_of(span)));
    assert_eq!(told.unwrap().trace_id(), caller().unwrap().trace_id());
    assert_eq!(span.parent_span_id.to_string(), "b7ad6b7169203331");
    assert_eq!(
        (&*span.name, &span.span_kind, &span.status),
        ("POST /deploy/{uuid}", &SpanKind::Server, &Status::Unset)
    );
    assert_eq!(
        attribute(span, "http.response.status_code"),
        Some(Value::I64(200))
    );
    assert_eq!(attribute(span, "sinfonia.request_id"), Some("id".into()));
}

#[test]
fn a_question_is_asked_on_behalf_of_a_request_wherever_it_is_asked() {
    let (told, ended) = traced(|| {
        let question = Question::new(&Method::GET, "something", "somebody", caller());
        let told = question.parent();
        question.answered(StatusCode::OK);
        told
    });

    let [span] = ended.as_slice() else {
        panic!("{ended:?}")
    };
    assert_eq!(told, Some(place_of(span)));
    assert_eq!(span.parent_span_id.to_string(), "b7ad6b7169203331");
    assert_eq!(span.span_kind, SpanKind::Client);
}

#[test]
fn questions_of_an_undertaking_are_its_children() {
    let (_, ended) = traced(|| undertake(Ok(())));

    let [question, undertaking] = ended.as_slice() else {
        panic!("{ended:?}")
    };
    assert_eq!(&*undertaking.name, "deploy");
    assert_eq!(question.parent_span_id, undertaking.span_context.span_id());
    assert_eq!(
        question.span_context.trace_id(),
        undertaking.span_context.trace_id()
    );
}

#[rstest]
#[case::done(Some(Ok(())), Status::Unset)]
#[case::not_done(Some(Err(())), Status::error(""))]
#[case::given_up(None, Status::error(""))]
fn an_undertaking_that_comes_to_nothing_has_failed(
    #[case] result: Option<Result<(), ()>>,
    #[case] expected: Status,
) {
    let (_, ended) = traced(|| match result {
        Some(result) => undertake(result),
        None => {
            let work = Undertaking::new("deploy", "recipe").of(pending::<Result<(), ()>>());
            work.now_or_never().unwrap_or(Ok(()))
        }
    });

    assert_eq!(ended.last().unwrap().status, expected);
}

#[rstest]
#[case::granted(Some(StatusCode::OK), Status::Unset)]
#[case::refused(Some(StatusCode::NOT_FOUND), Status::error(""))]
#[case::given_up(None, Status::error(""))]
fn a_question_that_is_not_granted_has_failed(
    #[case] answer: Option<StatusCode>,
    #[case] expected: Status,
) {
    let ((), ended) = traced(|| {
        let question = Question::new(&Method::GET, "something", "somebody", None);
        if let Some(status) = answer {
            question.answered(status);
        }
    });

    assert_eq!(ended[0].status, expected);
}

#[rstest]
#[case::refused(Some(StatusCode::NOT_FOUND), Status::Unset)]
#[case::failed(Some(StatusCode::BAD_GATEWAY), Status::error(""))]
#[case::the_caller_went_away(None, Status::error(""))]
fn a_refusal_is_no_failure_of_who_answers(
    #[case] status: Option<StatusCode>,
    #[case] expected: Status,
) {
    let ((), ended) = traced(|| {
        let answer = Answer::new("GET", "/", "id", None);
        if let Some(status) = status {
            answer.given(status);
        }
    });

    assert_eq!(ended[0].status, expected);
}

#[test]
fn where_traces_are_off_there_are_no_spans() {
    let logs = fmt::layer().with_filter(EnvFilter::new("debug"));
    let subscriber = registry().with(None::<crate::traces::SpanLayer>).with(logs);

    let (answer, question) = with_default(subscriber, || {
        (
            Answer::new("GET", "/", "id", caller()),
            Question::new(&Method::GET, "something", "somebody", caller()),
        )
    });

    assert!(answer.0.span.is_disabled());
    assert_eq!((answer.parent(), question.parent()), (None, None));
}

/// Undertakes something that takes a question.
fn undertake(result: Result<(), ()>) -> Result<(), ()> {
    let work = async {
        Question::new(&Method::GET, "something", "somebody", None).answered(StatusCode::OK);
        result
    };
    Undertaking::new("deploy", "recipe")
        .of(work)
        .now_or_never()
        .unwrap()
}

/// Does something while spans are exported; gives what came of it, and the spans.
fn traced<T>(work: impl FnOnce() -> T) -> (T, Vec<SpanData>) {
    let ended = Ended::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(ended.clone())
        .with_sampler(opentelemetry_sdk::trace::Sampler::AlwaysOn)
        .build();
    let subscriber = registry().with(layer_of(provider.tracer("test")));
    let done = with_default(subscriber, work);
    let ended = ended.0.lock().unwrap().clone();
    (done, ended)
}

fn caller() -> Option<TraceParent> {
    CALLER.parse().ok()
}

/// Where a span stands, as others are told. All of them are recorded.
fn place_of(span: &SpanData) -> TraceParent {
    let (trace, id) = (span.span_context.trace_id(), span.span_context.span_id());
    format!("00-{trace}-{id}-01").parse().unwrap()
}

fn attribute(span: &SpanData, name: &'static str) -> Option<Value> {
    let mut attributes = span.attributes.iter();
    let found = attributes.find(|attribute| attribute.key == Key::from_static_str(name))?;
    Some(found.value.clone())
}

impl SpanExporter for Ended {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}
