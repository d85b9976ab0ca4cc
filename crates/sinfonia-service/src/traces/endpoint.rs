//! Where traces go.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::settings::TraceArgs;

/// Where the collector may be named, as OpenTelemetry has it.
const VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Where the URL of its traces may be, whole, as OpenTelemetry has it.
const TRACES_VARIABLE: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// What switches everything of OpenTelemetry off when it is `true`, as OpenTelemetry has it.
const DISABLED_VARIABLE: &str = "OTEL_SDK_DISABLED";
/// What follows the collector's URL in that of its traces.
const PATH: &str = "v1/traces";

/// The base URL of a collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpEndpoint(Url);

/// A text that is no base URL of a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the base URL of a collector, http:// or https:// without user name, `?` and `#`, such as http://collector.example:4318"
)]
pub struct OtlpEndpointError;

/// Why it is not known where spans are sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhereError {
    /// The variable for everything names something else than a collector.
    #[error("{VARIABLE} names no collector")]
    Collector(#[from] OtlpEndpointError),
    /// The variable for traces names something else than a URL.
    #[error(
        "{TRACES_VARIABLE} is no URL that takes traces: expected http:// or https:// without user name and `#`, such as http://collector.example:4318/v1/traces"
    )]
    Traces,
}

impl OtlpEndpoint {
    /// Where spans are sent to.
    fn traces(&self) -> Url {
        let mut url = self.0.clone();
        let base = self.0.path().trim_end_matches('/');
        url.set_path(&format!("{base}/{PATH}"));
        url
    }
}

impl FromStr for OtlpEndpoint {
    type Err = OtlpEndpointError;

    fn from_str(text: &str) -> Result<Self, OtlpEndpointError> {
        let url = collector(text).filter(|url| url.query().is_none());
        url.map(Self).ok_or(OtlpEndpointError)
    }
}

impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Where spans are sent to, by the options or else by the environment, if traces are wanted at all.
///
/// # Errors
/// The environment names something else.
pub(super) fn choose(
    args: &TraceArgs,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Url>, WhereError> {
    if variable(DISABLED_VARIABLE).is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    if let Some(endpoint) = &args.otlp_endpoint {
        return Ok(Some(endpoint.traces()));
    }
    if let Some(text) = variable(TRACES_VARIABLE) {
        return collector(&text).map(Some).ok_or(WhereError::Traces);
    }
    let endpoint: Option<OtlpEndpoint> = variable(VARIABLE).map(|text| text.parse()).transpose()?;
    Ok(endpoint.as_ref().map(OtlpEndpoint::traces))
}

/// The URL of a collector, or of something in it.
fn collector(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let is_http = matches!(url.scheme(), "http" | "https");
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    (is_http && is_anonymous && url.fragment().is_none()).then_some(url)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nobody(None, &[], None)]
    #[case::the_option(Some("http://one:4318"), &[], Some("http://one:4318/v1/traces"))]
    #[case::the_option_with_a_path(Some("https://one/otlp"), &[], Some("https://one/otlp/v1/traces"))]
    #[case::the_option_with_a_folder(Some("https://one/otlp/"), &[], Some("https://one/otlp/v1/traces"))]
    #[case::the_environment(None, &[(VARIABLE, "http://two")], Some("http://two/v1/traces"))]
    #[case::for_traces(None, &[(TRACES_VARIABLE, "http://three/a?b=c")], Some("http://three/a?b=c"))]
    #[case::for_traces_and_everything(None, &[(TRACES_VARIABLE, "http://three"), (VARIABLE, "http://two")], Some("http://three/"))]
    #[case::the_option_and_for_traces(Some("http://one"), &[(TRACES_VARIABLE, "http://three")], Some("http://one/v1/traces"))]
    #[case::both(Some("http://one"), &[(VARIABLE, "http://two")], Some("http://one/v1/traces"))]
    #[case::disabled(Some("http://one"), &[(DISABLED_VARIABLE, "TRUE")], None)]
    #[case::not_disabled(Some("http://one"), &[(DISABLED_VARIABLE, "no")], Some("http://one/v1/traces"))]
    fn spans_go_where_the_option_or_else_the_environment_says(
        #[case] option: Option<&str>,
        #[case] environment: &[(&str, &str)],
        #[case] expected: Option<&str>,
    ) {
        let args = TraceArgs {
            otlp_endpoint: option.map(|text| text.parse().unwrap()),
        };
        let variable = |name: &str| {
            let mut variables = environment.iter();
            let (_, value) = variables.find(|(of, _)| *of == name)?;
            Some((*value).to_owned())
        };

        let chosen = choose(&args, variable).unwrap();

        assert_eq!(chosen.as_ref().map(Url::as_str), expected);
    }

    #[rstest]
    #[case(VARIABLE, WhereError::Collector(OtlpEndpointError))]
    #[case(TRACES_VARIABLE, WhereError::Traces)]
    fn a_malformed_environment_is_an_error(#[case] variable: &str, #[case] expected: WhereError) {
        let args = TraceArgs {
            otlp_endpoint: None,
        };

        let chosen = choose(&args, |name| {
            (name == variable).then(|| "collector:4318".to_owned())
        });

        assert_eq!(chosen, Err(expected));
    }

    #[rstest]
    #[case::no_scheme("collector")]
    #[case::another_scheme("grpc://collector:4317")]
    #[case::a_host_in_its_place("collector:4318")]
    #[case::a_password("http://user:secret@collector:4318")]
    #[case::a_query("http://collector:4318/?a=b")]
    #[case::a_fragment("http://collector:4318/#a")]
    fn what_is_no_base_url_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<OtlpEndpoint>(), Err(OtlpEndpointError));
    }
}
