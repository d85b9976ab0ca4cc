//! Where traces go.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::settings::TraceArgs;

/// Where the collector may be named, as OpenTelemetry has it.
pub(super) const VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
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

impl OtlpEndpoint {
    /// Where spans are sent to.
    pub(super) fn traces(&self) -> String {
        let base = self.0.as_str();
        let slash = if base.ends_with('/') { "" } else { "/" };
        format!("{base}{slash}{PATH}")
    }
}

impl FromStr for OtlpEndpoint {
    type Err = OtlpEndpointError;

    fn from_str(text: &str) -> Result<Self, OtlpEndpointError> {
        let url: Url = text.parse().map_err(|_| OtlpEndpointError)?;
        let is_http = matches!(url.scheme(), "http" | "https");
        let is_anonymous = url.username().is_empty() && url.password().is_none();
        let is_base = url.query().is_none() && url.fragment().is_none();
        if is_http && is_anonymous && is_base {
            Ok(Self(url))
        } else {
            Err(OtlpEndpointError)
        }
    }
}

impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The collector that the options or else the environment name, if traces are wanted at all.
///
/// # Errors
/// The environment names something else.
pub(super) fn choose(
    args: &TraceArgs,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<OtlpEndpoint>, OtlpEndpointError> {
    if variable(DISABLED_VARIABLE).is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    if args.otlp_endpoint.is_some() {
        return Ok(args.otlp_endpoint.clone());
    }
    variable(VARIABLE).map(|text| text.parse()).transpose()
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

        assert_eq!(
            chosen.map(|endpoint| endpoint.traces()).as_deref(),
            expected
        );
    }

    #[test]
    fn a_malformed_environment_is_an_error() {
        let args = TraceArgs {
            otlp_endpoint: None,
        };

        let chosen = choose(&args, |name| {
            (name == VARIABLE).then(|| "collector:4318".to_owned())
        });

        assert_eq!(chosen, Err(OtlpEndpointError));
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
