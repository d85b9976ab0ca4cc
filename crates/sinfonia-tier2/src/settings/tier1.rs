//! The Tier 1s to report to.

use std::fmt;
use std::str::FromStr;

use clap::builder::ValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use sinfonia_service::settings::List;
use url::Url;

/// Path of Tier 1's API; a URL may come with it or without.
const API: &str = "/api/v1";

const ONE: &str = "tier1_url";
const MANY: &str = "tier1_urls";

/// Why a text is not the URL of a Tier 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Tier1UrlError {
    /// It is no URL, or none of http or https.
    #[error("expected a URL such as https://tier1.example")]
    Url,
    /// It holds what no request would carry, or should not.
    #[error("the URL of a Tier 1 has no user name, password, query or fragment")]
    Parts,
}

/// The base URL of a Tier 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier1Url(Url);

/// Whom to report to. On the command line `--tier1-url` is repeated; in the environment `SINFONIA_TIER1_URL` holds one, and
/// `SINFONIA_TIER1_URLS`, which wins over it, a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier1Args {
    /// The Tier 1s.
    pub tier1_urls: Vec<Tier1Url>,
}

impl Tier1Url {
    /// Where reports go.
    pub fn reports(&self) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!(
            "{}{API}/cloudlets/",
            self.0.path().trim_end_matches('/')
        ));
        url
    }

    /// The base URL.
    pub const fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for Tier1Url {
    type Err = Tier1UrlError;

    fn from_str(text: &str) -> Result<Self, Tier1UrlError> {
        let mut url = Url::parse(text).map_err(|_| Tier1UrlError::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Tier1UrlError::Url);
        }
        let user = !url.username().is_empty() || url.password().is_some();
        if user || url.query().is_some() || url.fragment().is_some() {
            return Err(Tier1UrlError::Parts);
        }
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix(API).unwrap_or(path).to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }
}

impl fmt::Display for Tier1Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Args for Tier1Args {
    fn augment_args(command: Command) -> Command {
        let one = Arg::new(ONE)
            .long("tier1-url")
            .env("SINFONIA_TIER1_URL")
            .value_name("URL")
            .action(ArgAction::Append)
            .value_parser(|text: &str| text.parse::<Tier1Url>())
            .help_heading("Reports")
            .help("Tier 1 to report to; repeatable, SINFONIA_TIER1_URLS holds a list");
        let many = Arg::new(MANY)
            .long("tier1-urls")
            .env("SINFONIA_TIER1_URLS")
            .value_name("URLS")
            .value_parser(ValueParser::new(|text: &str| {
                text.parse::<List<Tier1Url>>()
            }))
            .hide(true);
        command.arg(one).arg(many)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Tier1Args {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let one = || matches.get_many::<Tier1Url>(ONE).into_iter().flatten();
        let many = matches.get_one::<List<Tier1Url>>(MANY);
        let tier1_urls = match many {
            Some(List(many)) if matches.value_source(ONE) != Some(ValueSource::CommandLine) => {
                many.clone()
            }
            _ => one().cloned().collect(),
        };
        Ok(Self { tier1_urls })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://tier1.example", "https://tier1.example/api/v1/cloudlets/")]
    #[case("https://tier1.example/", "https://tier1.example/api/v1/cloudlets/")]
    #[case(
        "http://tier1.example:5000/api/v1/",
        "http://tier1.example:5000/api/v1/cloudlets/"
    )]
    #[case(
        "https://example/sinfonia/",
        "https://example/sinfonia/api/v1/cloudlets/"
    )]
    fn reports_go_below_the_base_url(#[case] text: &str, #[case] expected: &str) {
        let tier1: Tier1Url = text.parse().unwrap();

        assert_eq!(tier1.reports().as_str(), expected);
    }

    #[rstest]
    #[case("tier1.example", Tier1UrlError::Url)]
    #[case("ftp://tier1.example", Tier1UrlError::Url)]
    #[case("https://user:secret@tier1.example", Tier1UrlError::Parts)]
    #[case("https://tier1.example?a=b", Tier1UrlError::Parts)]
    fn what_is_no_tier1_is_refused(#[case] text: &str, #[case] expected: Tier1UrlError) {
        assert_eq!(text.parse::<Tier1Url>(), Err(expected));
    }
}
