//! Traces for OpenTelemetry. They cross the tiers in the header `traceparent`, and go to a collector by OTLP (protobuf over HTTP).
//!
//! They are off unless a collector is named, and cost nothing then: nobody listens to their spans. No request ever waits for the collector:
//! spans go into a bounded queue, which a thread of its own empties, and what finds no room there is dropped.

mod delivery;
mod endpoint;
mod sampler;
mod span;

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector as _};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};
use url::Url;

use self::delivery::Delivery;
pub use self::endpoint::{OtlpEndpoint, OtlpEndpointError, WhereError};
pub use self::sampler::SamplerError;
#[cfg(feature = "server")]
pub(crate) use self::span::Answer;
pub use self::span::{Question, Undertaking};
use crate::client::{ClientError, may_carry_token};
use crate::settings::{ClientArgs, TraceArgs};

/// Target of the spans that are exported, and of no others. At their level, no usual log shows them.
const TARGET: &str = "sinfonia_traces";
/// Name that the user gives to the program, as OpenTelemetry has it.
const NAME_VARIABLE: &str = "OTEL_SERVICE_NAME";
/// What is shown to the collector beside the spans, a token mostly, as OpenTelemetry has it.
const TOKEN_VARIABLES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
];
/// How what is sent is compressed, as OpenTelemetry has it.
const COMPRESSION_VARIABLES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
];
/// What it may be.
const COMPRESSIONS: [&str; 2] = ["gzip", "none"];
/// Most time to deliver what is left when the program ends.
const LAST_DELIVERY: Duration = Duration::from_secs(2);

/// What delivers the spans of this process.
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// What hears of the spans of this process, below all other layers.
pub type SpanLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// A program that takes part in traces, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// A service, which has time to try again what cannot be delivered.
    Service(&'static str),
    /// A command, for whose end somebody waits.
    Command(&'static str),
}

/// Whose spans are exported, and where to.
#[derive(Debug, Clone, Copy)]
pub struct Export<'a> {
    /// The program.
    pub program: Program,
    /// Where to.
    pub args: &'a TraceArgs,
    /// How other services are asked, the collector among them.
    pub client: &'a ClientArgs,
}

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The environment names something else than a collector.
    #[error(transparent)]
    Where(#[from] WhereError),
    /// The environment names something else than what chooses traces.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// What is said to be shown to the collector would be shown to everyone on the way.
    #[error(
        "OTEL_EXPORTER_OTLP_HEADERS would travel over plain http to {0}: use https, or allow it by --insecure-http"
    )]
    Token(Url),
    /// The environment asks for a compression that there is not.
    #[error("{0} is `{1}`, expected gzip or none")]
    Compression(&'static str, String),
    /// What asks the collector cannot be made.
    #[error("what delivers traces cannot be set up")]
    Client(#[from] ClientError),
    /// The system gives no resources for it.
    #[error("what delivers traces cannot be set up")]
    Runtime(#[source] std::io::Error),
    /// Another variable of OpenTelemetry asks for what there is not.
    #[error("a variable OTEL_… asks for what cannot be done")]
    Exporter(#[from] ExporterBuildError),
}

impl TracesError {
    /// Whether a variable of OpenTelemetry is at fault that cannot be used anywhere, whatever options say.
    pub const fn is_of_variables(&self) -> bool {
        match self {
            Self::Where(_) | Self::Sampler(_) | Self::Compression(..) | Self::Exporter(_) => true,
            Self::Token(_) | Self::Client(_) | Self::Runtime(_) => false,
        }
    }
}

impl Program {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service(name) | Self::Command(name) => name,
        }
    }
}

/// What exports the spans of this process; nothing where no collector is named. [`finish`] delivers the last ones.
///
/// # Errors
/// A variable of OpenTelemetry is malformed, or what delivers spans cannot be set up.
pub fn layer(export: Export<'_>) -> Result<Option<SpanLayer>, TracesError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let Some(endpoint) = endpoint::choose(export.args, variable)? else {
        return Ok(None);
    };
    let Export {
        program, client, ..
    } = export;
    check_token(&endpoint, client.insecure_http, variable)?;
    check_compression(variable)?;
    let sampler = sampler::choose(variable)?;
    let resource = resource(program, &EnvResourceDetector::new().detect(), variable);
    let delivery = Delivery::new(endpoint, program, client)?;
    let provider = PROVIDER.get_or_init(|| {
        SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(sampler)
            .with_batch_exporter(delivery)
            .build()
    });
    Ok(Some(layer_of(provider.tracer(program.name()))))
}

/// Delivers what is left, for two seconds at most. To be called at the program's end, outside of any runtime.
pub fn finish() {
    if let Some(provider) = PROVIDER.get() {
        // The log tells already of what was dropped, and that time was up.
        let _ = provider.shutdown_with_timeout(LAST_DELIVERY);
    }
}

fn check_token(
    endpoint: &Url,
    insecure_http: bool,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(), TracesError> {
    let shows_token = TOKEN_VARIABLES.iter().any(|name| variable(name).is_some());
    if shows_token && !may_carry_token(endpoint, insecure_http) {
        return Err(TracesError::Token(endpoint.clone()));
    }
    Ok(())
}

/// The exporter passes over what it does not know, and sends everything as it is.
fn check_compression(variable: impl Fn(&str) -> Option<String>) -> Result<(), TracesError> {
    for name in COMPRESSION_VARIABLES {
        let known = |text: &String| {
            COMPRESSIONS
                .iter()
                .any(|known| text.eq_ignore_ascii_case(known))
        };
        if let Some(text) = variable(name).filter(|text| !known(text)) {
            return Err(TracesError::Compression(name, text));
        }
    }
    Ok(())
}

/// Who exports: the program, unless the environment gives it another name among its attributes, or, which wins, in a variable of its own.
fn resource(
    program: Program,
    attributes: &Resource,
    variable: impl Fn(&str) -> Option<String>,
) -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let attributes = attributes.iter();
    let attributes = attributes.map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let resource = Resource::builder()
        .with_service_name(program.name())
        .with_attribute(version)
        .with_attributes(attributes);
    match variable(NAME_VARIABLE) {
        Some(name) => resource.with_service_name(name).build(),
        None => resource.build(),
    }
}

fn layer_of(tracer: SdkTracer) -> SpanLayer {
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false);
    let ours = filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET);
    spans.with_filter(ours).boxed()
}

#[cfg(test)]
mod tests {
    use opentelemetry::Key;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing(&[], None, "program", env!("CARGO_PKG_VERSION"))]
    #[case::attributes(&[("service.name", "other"), ("service.version", "7")], None, "other", "7")]
    #[case::a_name(&[("service.version", "7")], Some("named"), "named", "7")]
    #[case::both(&[("service.name", "other")], Some("named"), "named", env!("CARGO_PKG_VERSION"))]
    fn the_environment_may_say_who_exports(
        #[case] attributes: &[(&'static str, &'static str)],
        #[case] named: Option<&str>,
        #[case] name: &'static str,
        #[case] version: &'static str,
    ) {
        let attributes = attributes.iter();
        let attributes = attributes.map(|(name, value)| KeyValue::new(*name, *value));
        let attributes = Resource::builder_empty()
            .with_attributes(attributes)
            .build();
        let variable = |name: &str| named.filter(|_| name == NAME_VARIABLE).map(str::to_owned);

        let resource = resource(Program::Service("program"), &attributes, variable);

        let told = ["service.name", "service.version"].map(|name| resource.get(&Key::new(name)));
        assert_eq!(told, [Some(name.into()), Some(version.into())]);
    }

    #[rstest]
    #[case::nothing(None, true)]
    #[case::none(Some("none"), true)]
    #[case::compressed(Some("GZIP"), true)]
    #[case::another(Some("zstd"), false)]
    fn what_cannot_be_compressed_so_is_told(#[case] set: Option<&str>, #[case] is_taken: bool) {
        for compression in COMPRESSION_VARIABLES {
            let variable = |name: &str| set.filter(|_| name == compression).map(str::to_owned);

            assert_eq!(check_compression(variable).is_ok(), is_taken);
        }
    }

    #[rstest]
    #[case::no_token("http://collector:4318", false, None, true)]
    #[case::encrypted(
        "https://collector:4318",
        false,
        Some("OTEL_EXPORTER_OTLP_HEADERS"),
        true
    )]
    #[case::this_machine(
        "http://127.0.0.1:4318",
        false,
        Some("OTEL_EXPORTER_OTLP_HEADERS"),
        true
    )]
    #[case::allowed(
        "http://collector:4318",
        true,
        Some("OTEL_EXPORTER_OTLP_HEADERS"),
        true
    )]
    #[case::for_all_to_read(
        "http://collector:4318",
        false,
        Some("OTEL_EXPORTER_OTLP_HEADERS"),
        false
    )]
    #[case::of_traces(
        "http://collector:4318",
        false,
        Some("OTEL_EXPORTER_OTLP_TRACES_HEADERS"),
        false
    )]
    fn a_collectors_token_does_not_travel_over_plain_http_unless_that_is_allowed(
        #[case] collector: &str,
        #[case] insecure_http: bool,
        #[case] set: Option<&str>,
        #[case] is_taken: bool,
    ) {
        let variable = |name: &str| (set == Some(name)).then(|| "authorization=secret".to_owned());

        let checked = check_token(&collector.parse().unwrap(), insecure_http, variable);

        assert_eq!(checked.is_ok(), is_taken);
    }
}
