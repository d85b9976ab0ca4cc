//! Which traces are exported.

use opentelemetry_sdk::trace::Sampler;

/// What chooses, as OpenTelemetry has it.
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
/// Which share of traces it chooses, from 0 to 1, as OpenTelemetry has it.
const SHARE: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Why it is not known which traces are exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SamplerError {
    /// It is none of those that there are.
    #[error(
        "{SAMPLER} is `{0}`, expected always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio"
    )]
    Unknown(String),
    /// The share is no number from 0 to 1.
    #[error("{SHARE} is `{0}`, expected a number from 0 to 1")]
    Share(String),
}

/// What chooses the traces that are exported: what the environment names, else all of them. The SDK itself would take the caller's word: of a
/// caller whose own spans go nowhere, it would export nothing.
///
/// # Errors
/// The environment names something else.
pub(super) fn choose(variable: impl Fn(&str) -> Option<String>) -> Result<Sampler, SamplerError> {
    let Some(name) = variable(SAMPLER) else {
        return Ok(Sampler::AlwaysOn);
    };
    let (is_parent_based, own) = match name.strip_prefix("parentbased_") {
        Some(own) => (true, own),
        None => (false, name.as_str()),
    };
    let sampler = match own {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => Sampler::TraceIdRatioBased(share(variable(SHARE))?),
        _ => return Err(SamplerError::Unknown(name)),
    };
    Ok(if is_parent_based {
        Sampler::ParentBased(Box::new(sampler))
    } else {
        sampler
    })
}

fn share(text: Option<String>) -> Result<f64, SamplerError> {
    let Some(text) = text else { return Ok(1.0) };
    let share = text.parse().ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or(SamplerError::Share(text))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::unset(None, None, "AlwaysOn")]
    #[case::all(Some("always_on"), None, "AlwaysOn")]
    #[case::none(Some("always_off"), None, "AlwaysOff")]
    #[case::a_share(Some("traceidratio"), Some("0.25"), "TraceIdRatioBased(0.25)")]
    #[case::a_share_of_all(Some("traceidratio"), None, "TraceIdRatioBased(1.0)")]
    #[case::the_callers_word(Some("parentbased_always_on"), None, "ParentBased(AlwaysOn)")]
    #[case::else_a_share(
        Some("parentbased_traceidratio"),
        Some("0.01"),
        "ParentBased(TraceIdRatioBased(0.01))"
    )]
    fn the_environment_chooses(
        #[case] sampler: Option<&str>,
        #[case] share: Option<&str>,
        #[case] expected: &str,
    ) {
        let chosen = choose(environment(sampler, share)).unwrap();

        assert_eq!(format!("{chosen:?}"), expected);
    }

    #[rstest]
    #[case::unknown("sometimes", None, SamplerError::Unknown("sometimes".into()))]
    #[case::unknown_beside_the_callers_word("parentbased_", None, SamplerError::Unknown("parentbased_".into()))]
    #[case::no_number("traceidratio", Some("few"), SamplerError::Share("few".into()))]
    #[case::too_much("traceidratio", Some("1.5"), SamplerError::Share("1.5".into()))]
    #[case::not_a_number("traceidratio", Some("NaN"), SamplerError::Share("NaN".into()))]
    fn what_cannot_choose_is_refused(
        #[case] sampler: &str,
        #[case] share: Option<&str>,
        #[case] expected: SamplerError,
    ) {
        let error = choose(environment(Some(sampler), share)).unwrap_err();

        assert_eq!(error, expected);
    }

    fn environment(sampler: Option<&str>, share: Option<&str>) -> impl Fn(&str) -> Option<String> {
        move |name| match name {
            SAMPLER => sampler.map(str::to_owned),
            SHARE => share.map(str::to_owned),
            _ => None,
        }
    }
}
