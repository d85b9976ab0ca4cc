//! Where Tier 1 is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sinfonia_core::key::PublicKey;
use url::Url;

use crate::application::Application;
use crate::printable::Printable;

/// The part of a URL that all calls share; users may give it or leave it out.
pub(crate) const API: &str = "/api/v1";

/// Why a text is not the URL of a Tier 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Tier1UrlError {
    /// Nothing says how it is reached.
    #[error("`{0}` is not a URL: http:// or https:// is missing")]
    NoScheme(Printable),
    /// Not a URL for another reason.
    #[error("`{text}` is not a URL ({reason})")]
    Url {
        /// What was given.
        text: Printable,
        /// What the URL parser says.
        reason: url::ParseError,
    },
    /// Neither http nor https.
    #[error("Tier 1 is reached over http:// or https://, not {0}://")]
    Scheme(String),
    /// User name, password, query or fragment in the URL.
    #[error("the URL of Tier 1 holds no user name, no password, no `?` and no `#`")]
    Extra,
}

/// The base URL of a Tier 1, or of the Tier 2 of a cloudlet that was found on the local network and takes its place: http(s), host, port
/// and a path prefix, without `/api/v1`. Shared, because every error repeats it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tier1Url {
    url: Arc<Url>,
    is_cloudlet: bool,
}

impl Tier1Url {
    /// Where the application is deployed for this key, and its candidates are listed.
    pub(crate) fn deploy(&self, application: Application, key: &PublicKey) -> Url {
        self.call(&format!("deploy/{}/{}", application.uuid(), key.url_safe()))
    }

    /// The same place, but as one of a Tier 2.
    pub(crate) fn of_a_cloudlet(self) -> Self {
        Self {
            is_cloudlet: true,
            ..self
        }
    }

    /// Whether a Tier 2 is there.
    pub(crate) const fn is_cloudlet(&self) -> bool {
        self.is_cloudlet
    }

    /// Where the deployment for this key is read and deleted.
    pub(crate) fn deployment(&self, application: Application, key: &PublicKey) -> Url {
        if self.is_cloudlet {
            return self.deploy(application, key);
        }
        self.call(&format!(
            "deployments/{}/{}",
            application.uuid(),
            key.url_safe()
        ))
    }

    /// Where it is explained who would be tried for this key.
    pub(crate) fn explain(&self, application: Application, key: &PublicKey) -> Url {
        let mut url = self.call("explain");
        url.query_pairs_mut()
            .append_pair("uuid", &application.uuid().to_string())
            .append_pair("key", &key.url_safe());
        url
    }

    /// Where the recipe is read.
    pub(crate) fn recipe(&self, application: Application) -> Url {
        self.call(&format!("recipe/{}/", application.uuid()))
    }

    /// The base URL itself.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The same place over https instead of http, or the other way round; a port stays.
    pub(crate) fn with_other_scheme(&self) -> String {
        let text = self.to_string();
        match text.strip_prefix("https://") {
            Some(rest) => format!("http://{rest}"),
            None => text.replacen("http://", "https://", 1),
        }
    }

    fn call(&self, path: &str) -> Url {
        let mut url = Url::clone(&self.url);
        let prefix = self.url.path().trim_end_matches('/');
        url.set_path(&format!("{prefix}{API}/{path}"));
        url
    }
}

impl FromStr for Tier1Url {
    type Err = Tier1UrlError;

    fn from_str(text: &str) -> Result<Self, Tier1UrlError> {
        if !text.contains("://") {
            return Err(Tier1UrlError::NoScheme(Printable::new(text)));
        }
        let mut url = Url::parse(text).map_err(|reason| Tier1UrlError::Url {
            text: Printable::new(text),
            reason,
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Tier1UrlError::Scheme(url.scheme().to_owned()));
        }
        let user = !url.username().is_empty() || url.password().is_some();
        if user || url.query().is_some() || url.fragment().is_some() {
            return Err(Tier1UrlError::Extra);
        }
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix(API).unwrap_or(path).to_owned();
        url.set_path(&path);
        Ok(Self {
            url: Arc::new(url),
            is_cloudlet: false,
        })
    }
}

impl fmt::Display for Tier1Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("http://tier1:5000", "http://tier1:5000")]
    #[case::trailing_slash("http://tier1:5000/", "http://tier1:5000")]
    #[case::api("https://tier1.example/api/v1", "https://tier1.example")]
    #[case::api_and_slash("https://tier1.example/api/v1/", "https://tier1.example")]
    #[case::prefix("https://tier1.example/edge/", "https://tier1.example/edge")]
    #[case::prefix_and_api("https://tier1.example/edge/api/v1", "https://tier1.example/edge")]
    #[case::ipv6("http://[2001:DB8::1]:5000", "http://[2001:db8::1]:5000")]
    fn every_usual_spelling_is_one_place(#[case] text: &str, #[case] expected: &str) {
        let url: Tier1Url = text.parse().unwrap();

        assert_eq!(url.to_string(), expected);
        assert_eq!(
            url.recipe("helloworld".parse().unwrap()).as_str(),
            format!("{expected}/api/v1/recipe/00000000-0000-0000-0000-000000000000/")
        );
    }

    #[rstest]
    #[case(
        "localhost:5000",
        Tier1UrlError::NoScheme(Printable::new("localhost:5000"))
    )]
    #[case("", Tier1UrlError::NoScheme(Printable::new("")))]
    #[case("ftp://tier1", Tier1UrlError::Scheme("ftp".into()))]
    #[case("http://", Tier1UrlError::Url { text: Printable::new("http://"), reason: url::ParseError::EmptyHost })]
    #[case("http://me@tier1", Tier1UrlError::Extra)]
    #[case("http://tier1?a=b", Tier1UrlError::Extra)]
    #[case("http://tier1#a", Tier1UrlError::Extra)]
    fn what_is_no_tier1_is_refused(#[case] text: &str, #[case] expected: Tier1UrlError) {
        assert_eq!(text.parse::<Tier1Url>(), Err(expected));
    }

    #[rstest]
    #[case("http://tier1:5000", "https://tier1:5000")]
    #[case("https://tier1/edge", "http://tier1/edge")]
    fn the_other_scheme_keeps_the_rest(#[case] text: &str, #[case] expected: &str) {
        let url: Tier1Url = text.parse().unwrap();

        assert_eq!(url.with_other_scheme(), expected);
    }

    #[test]
    fn a_cloudlet_has_one_path_for_all_calls() {
        let url: Tier1Url = "http://tier2:5000".parse().unwrap();
        let (application, key) = (
            "helloworld".parse().unwrap(),
            PublicKey::from_bytes([1; 32]),
        );

        let url = url.of_a_cloudlet();

        assert_eq!(
            url.deployment(application, &key),
            url.deploy(application, &key)
        );
    }

    #[test]
    fn keys_travel_url_safe_and_without_padding() {
        let url: Tier1Url = "http://tier1".parse().unwrap();
        let key = PublicKey::from_bytes([0xff; 32]);

        assert_eq!(
            url.deploy("helloworld".parse().unwrap(), &key).as_str(),
            "http://tier1/api/v1/deploy/00000000-0000-0000-0000-000000000000/__________________________________________8"
        );
    }
}
