//! Deploy endpoints of Tier 2, the identity of a cloudlet.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::{Host, Url};
use uuid::Uuid;

use crate::key::PublicKey;
use crate::text;

/// Why a text is not a deploy endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not an absolute URL.
    #[error(
        "`{text}` is not a URL ({reason}): expected something like https://cloudlet.example/api/v1/deploy"
    )]
    Url {
        /// What was given, escaped and shortened.
        text: String,
        /// What the URL parser says.
        reason: String,
    },
    /// Neither http nor https.
    #[error("an endpoint starts with http:// or https://, not {0}:")]
    Scheme(String),
    /// The path does not end in `/vN/deploy`.
    #[error("the endpoint's path must end in /v1/deploy, but is `{0}`")]
    Path(String),
    /// User name or password in the URL.
    #[error("an endpoint must not hold a user name or password")]
    UserInfo,
    /// A fragment (`#…`) in the URL.
    #[error("an endpoint must not have a fragment (#…)")]
    Fragment,
}

/// A Tier 2 deploy endpoint in its normal form: http(s), lower-case host, no default port, `…/v1/deploy`, no query, no trailing slash.
///
/// Two spellings of one endpoint are equal, so the normal form can key a registry. A higher version is written as v1, a path
/// prefix is kept, a query is dropped ([`Endpoint::drops_query`] tells, for a warning). Clones share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(Arc<str>);

text::written_as!(Endpoint, "Endpoint", {
    "type": "string",
    "format": "uri",
    "description": "The deploy endpoint of a Tier 2: http or https, its path ends in /v1/deploy.",
    "pattern": "^\\s*[hH][tT][tT][pP][sS]?:.*/v[0-9]+/deploy",
    "examples": ["https://cloudlet.example/api/v1/deploy"],
});

impl Endpoint {
    /// Whether the text has a query, which parsing drops.
    pub fn drops_query(text: &str) -> bool {
        Url::parse(text).is_ok_and(|url| url.query().is_some())
    }

    /// The endpoint of the Tier 2 that is reached at this base URL: `<base>/api/v1/deploy`.
    ///
    /// # Errors
    /// The base is no http(s) URL, or holds user information or a fragment.
    pub fn of_tier2(base: &str) -> Result<Self, EndpointError> {
        let base = base.split_once('?').map_or(base, |(base, _)| base);
        format!("{}/api/v1/deploy", base.trim_end_matches('/')).parse()
    }

    /// The normal form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The normal form as a URL.
    #[expect(
        clippy::expect_used,
        reason = "the text is what a parsed URL was written as, and that can be parsed (URL Standard, section 4.5)"
    )]
    pub fn url(&self) -> Url {
        Url::parse(&self.0).expect("a written URL can be read")
    }

    /// The host: a name or an address.
    pub fn host(&self) -> Option<Host> {
        Host::parse(self.host_str()).ok()
    }

    /// The host as text, IPv6 addresses in brackets.
    pub fn host_str(&self) -> &str {
        let (_, rest) = self.0.split_once("://").unwrap_or_default();
        let authority = rest.split('/').next().unwrap_or_default();
        let after_host = authority.rfind(']').map_or(0, |bracket| bracket + 1);
        let port = authority[after_host..].find(':');
        port.map_or(authority, |port| &authority[..after_host + port])
    }

    /// The uuid of a cloudlet that is known by its endpoint alone: version 5 in the URL namespace (RFC 9562 §5.5).
    pub fn uuid(&self) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_URL, self.as_str().as_bytes())
    }

    /// The URL where the deployment of this recipe for this key is created, read and deleted: `<endpoint>/<uuid>/<URL-safe key>`.
    pub fn deployment(&self, recipe: Uuid, key: &PublicKey) -> String {
        format!("{self}/{recipe}/{}", key.url_safe())
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if is_plain(text) {
            return Ok(Self(text.into()));
        }
        let mut url = Url::parse(text).map_err(|error| EndpointError::Url {
            text: shorten(text),
            reason: error.to_string(),
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(EndpointError::Fragment);
        }
        let path = path_of_version_one(url.path())
            .ok_or_else(|| EndpointError::Path(shorten(url.path())))?;
        url.set_path(&path);
        url.set_query(None);
        Ok(Self(url.as_str().into()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Endpoint({self})")
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "a URL as text")
    }
}

/// Whether a text certainly is in the normal form. Most are, those of all reports among them, and need not be taken apart as URLs.
fn is_plain(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let Some((authority, path)) = rest.split_once('/') else {
        return false;
    };
    let (host, port) = match authority.split_once(':') {
        None => (authority, None),
        Some((host, port)) => (host, Some(port)),
    };
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let is_host = host.parse::<Ipv4Addr>().is_ok() || host.split('.').all(is_plain_label);
    let is_port = |port: &str| {
        let number = port.parse().is_ok_and(|port: u16| port != default_port);
        number && !port.starts_with(['0', '+'])
    };
    is_host && port.is_none_or(is_port) && is_plain_path(path)
}

/// Whether this is a label of a name that is no number and no encoded one (`xn--`).
fn is_plain_label(label: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    label.starts_with(|first: char| first.is_ascii_lowercase())
        && label.bytes().all(plain)
        && !label.ends_with('-')
        && !label.contains("--")
}

/// Whether these are segments without anything to escape, of which the last two are those of an endpoint.
fn is_plain_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut segments = path.split('/');
    segments.all(|segment| !segment.is_empty() && segment.bytes().all(plain))
        && (path == "v1/deploy" || path.ends_with("/v1/deploy"))
}

fn path_of_version_one(path: &str) -> Option<String> {
    let path = path.trim_end_matches('/').strip_suffix("/deploy")?;
    let (prefix, version) = path.rsplit_once('/')?;
    let number = version.strip_prefix('v')?;
    let positive = number.bytes().all(|byte| byte.is_ascii_digit())
        && !number.trim_start_matches('0').is_empty();
    positive.then(|| format!("{prefix}/v1/deploy"))
}

fn shorten(text: &str) -> String {
    text.escape_default().take(120).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::as_documented(
        "http://cloudlet.elijah.cs.cmu.edu/api/v1/deploy",
        "http://cloudlet.elijah.cs.cmu.edu/api/v1/deploy"
    )]
    #[case::higher_version("http://cloudlet/api/v2/deploy", "http://cloudlet/api/v1/deploy")]
    #[case::much_higher_version("http://cloudlet/api/v12/deploy", "http://cloudlet/api/v1/deploy")]
    #[case::trailing_slash("http://cloudlet/api/v1/deploy/", "http://cloudlet/api/v1/deploy")]
    #[case::host_in_capitals(
        "HTTP://CloudLet.Example/api/v1/deploy",
        "http://cloudlet.example/api/v1/deploy"
    )]
    #[case::default_port("https://cloudlet:443/api/v1/deploy", "https://cloudlet/api/v1/deploy")]
    #[case::other_port(
        "http://cloudlet:5000/api/v1/deploy",
        "http://cloudlet:5000/api/v1/deploy"
    )]
    #[case::prefix_is_kept(
        "http://cloudlet/edge/api/v1/deploy",
        "http://cloudlet/edge/api/v1/deploy"
    )]
    #[case::query_is_dropped("http://cloudlet/api/v1/deploy?a=b", "http://cloudlet/api/v1/deploy")]
    #[case::ipv6(
        "http://[2001:DB8::1]:5000/api/v1/deploy",
        "http://[2001:db8::1]:5000/api/v1/deploy"
    )]
    fn endpoints_have_one_normal_form(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(text.parse::<Endpoint>().unwrap().as_str(), expected);
    }

    #[rstest]
    #[case("http://cloudlet/api/v0/deploy", EndpointError::Path("/api/v0/deploy".into()))]
    #[case("http://cloudlet/api/v/deploy", EndpointError::Path("/api/v/deploy".into()))]
    #[case("http://cloudlet/api/v1/deployments", EndpointError::Path("/api/v1/deployments".into()))]
    #[case("http://cloudlet/", EndpointError::Path("/".into()))]
    #[case("ftp://cloudlet/api/v1/deploy", EndpointError::Scheme("ftp".into()))]
    #[case("http://me@cloudlet/api/v1/deploy", EndpointError::UserInfo)]
    #[case("http://:word@cloudlet/api/v1/deploy", EndpointError::UserInfo)]
    #[case("http://cloudlet/api/v1/deploy#top", EndpointError::Fragment)]
    fn what_is_no_deploy_endpoint_is_refused(#[case] text: &str, #[case] expected: EndpointError) {
        assert_eq!(text.parse::<Endpoint>(), Err(expected));
    }

    #[test]
    fn a_relative_address_says_what_was_expected() {
        let error = "cloudlet/api/v1/deploy".parse::<Endpoint>().unwrap_err();

        insta::assert_snapshot!(error, @"`cloudlet/api/v1/deploy` is not a URL (relative URL without a base): expected something like https://cloudlet.example/api/v1/deploy");
    }

    #[test]
    fn the_uuid_is_that_of_the_normal_form_in_the_url_namespace() {
        let one: Endpoint = "http://CLOUDLET:80/api/v3/deploy/".parse().unwrap();
        let other: Endpoint = "http://cloudlet/api/v1/deploy".parse().unwrap();

        assert_eq!(one.uuid(), other.uuid());
        assert_eq!(
            one.uuid(),
            Uuid::new_v5(&Uuid::NAMESPACE_URL, b"http://cloudlet/api/v1/deploy")
        );
    }

    proptest! {
        #[test]
        fn the_text_says_what_the_url_says(host in hosts(), port in prop::option::of(1u16..), path in "(/[ -~é]{0,8})?") {
            let port = port.map_or_else(String::new, |port| format!(":{port}"));
            let text = format!("http://{host}{port}{}/api/v1/deploy", path.replace(['?', '#'], ""));
            let endpoint: Endpoint = text.parse().unwrap();

            let url = endpoint.url();

            prop_assert_eq!(url.as_str(), endpoint.as_str());
            prop_assert_eq!(url.host_str(), Some(endpoint.host_str()));
            prop_assert_eq!(url.host().map(|host| host.to_owned()), endpoint.host());
        }
    }

    proptest! {
        #[test]
        fn what_is_plain_is_the_normal_form(
            scheme in "https?|HTTP|ftp",
            host in prop_oneof!["[a-z0-9.-]{1,6}", "[a-z]{1,3}(\\.[a-z]{1,3})?", "0?[0-9]{1,3}\\.0\\.0\\.0?1", "xn--[a-z]{3}", "[A-Za-zä]{2}", hosts()],
            port in prop_oneof!["(:[0-9+]{0,5})?", ":80", ":443", ":5000"],
            path in "(/[a-z0-9%._-]{0,3}){0,2}",
            version in "/v1|v1|/v2|/v01",
            end in "/?|\\?a",
        ) {
            let text = format!("{scheme}://{host}{port}{path}{version}/deploy{end}");

            if is_plain(&text) {
                let url = Url::parse(&text).unwrap();
                prop_assert_eq!(url.as_str(), &text);
                prop_assert_eq!(path_of_version_one(url.path()), Some(url.path().to_owned()));
                prop_assert_eq!((url.query(), url.fragment(), url.username()), (None, None, ""));
            }
        }
    }

    #[rstest]
    #[case("https://cloudlet.example/api/v1/deploy")]
    #[case("http://cloudlet:5000/edge-1/api/v1/deploy")]
    #[case("http://192.0.2.7:8080/v1/deploy")]
    fn the_endpoints_of_most_are_plain(#[case] text: &str) {
        assert!(is_plain(text));
    }

    fn hosts() -> impl Strategy<Value = String> {
        prop_oneof![
            "[A-Za-zäß][a-z0-9-]{0,5}[a-z](\\.[a-z]{2,5})?",
            any::<Ipv4Addr>().prop_map(|address| address.to_string()),
            any::<Ipv6Addr>().prop_map(|address| format!("[{address}]")),
        ]
    }

    #[test]
    fn a_deployment_is_addressed_by_uuid_and_url_safe_key() {
        let endpoint = Endpoint::of_tier2("http://cloudlet:5000/edge/").unwrap();
        let key = PublicKey::from_bytes([0xff; 32]);

        assert_eq!(
            endpoint.deployment(Uuid::nil(), &key),
            "http://cloudlet:5000/edge/api/v1/deploy/00000000-0000-0000-0000-000000000000/__________________________________________8"
        );
    }
}
