//! The files of the page, as they are in the program.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};

/// Lets the page load what this host serves and nothing else, run no script that stands in the page, and be shown in no other page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";
const SVG: &str = "image/svg+xml";

/// A file of the folder `dashboard`.
macro_rules! asset {
    ($name:literal, $media_type:expr) => {
        Asset {
            name: $name,
            media_type: $media_type,
            text: include_str!(concat!("../../dashboard/", $name)),
        }
    };
}
/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

/// The page.
pub(super) const PAGE: Asset = asset!("index.html", HTML);

/// What it loads.
pub(super) const ASSETS: [Asset; 15] = [
    asset!("app.js", JAVASCRIPT),
    asset!("detail.js", JAVASCRIPT),
    asset!("dom.js", JAVASCRIPT),
    asset!("draw.js", JAVASCRIPT),
    asset!("feed.js", JAVASCRIPT),
    asset!("fleet.js", JAVASCRIPT),
    asset!("grid.js", JAVASCRIPT),
    asset!("icon.svg", SVG),
    asset!("map.js", JAVASCRIPT),
    asset!("map.json", JSON),
    asset!("question.js", JAVASCRIPT),
    asset!("states.js", JAVASCRIPT),
    asset!("style.css", CSS),
    asset!("table.js", JAVASCRIPT),
    asset!("view.js", JAVASCRIPT),
];

impl Asset {
    /// The file of this name that the page loads.
    pub(super) fn named(name: &str) -> Option<Self> {
        ASSETS.into_iter().find(|asset| asset.name == name)
    }

    /// The file, or that the caller has it already.
    pub(super) fn answer(self, headers: &HeaderMap) -> Response {
        let tag = self.tag();
        let described = [
            (ETAG, tag.as_str()),
            (CACHE_CONTROL, "no-cache"),
            (VARY, "accept"),
        ];
        if has(headers, &tag) {
            return (StatusCode::NOT_MODIFIED, described).into_response();
        }
        let content = [
            (CONTENT_TYPE, self.media_type),
            (CONTENT_SECURITY_POLICY, POLICY),
            (REFERRER_POLICY, "no-referrer"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (described, content, self.text).into_response()
    }

    /// What changes with the text. Who has another text by the same tag has it from another host.
    fn tag(self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }
}

/// Whether the caller names the tag among those that it has. Proxies that compress make tags weak.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let named = headers.get_all(IF_NONE_MATCH).iter();
    named
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == tag || one == "*")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[test]
    fn all_of_it_has_at_most_300_kib() {
        let bytes: usize = ASSETS.iter().chain([&PAGE]).map(|one| one.text.len()).sum();

        assert!(bytes <= 300 * 1024, "{bytes} bytes");
    }

    #[test]
    fn nothing_in_it_leads_to_another_host_or_runs_in_the_page() {
        for asset in ASSETS.iter().chain([&PAGE]) {
            // The name space of SVG is no address that is asked.
            let text = asset.text.replace("http://www.w3.org/2000/svg", "");
            for foreign in [
                "http:",
                "https:",
                "<style",
                "style=\"",
                " onclick",
                "innerHTML",
            ] {
                assert!(!text.contains(foreign), "{} has {foreign}", asset.name);
            }
        }
        assert!(!PAGE.text.contains("<script>"));
    }

    #[rstest]
    #[case::nothing("", StatusCode::OK)]
    #[case::another("\"0\"", StatusCode::OK)]
    #[case::the_same("TAG", StatusCode::NOT_MODIFIED)]
    #[case::made_weak("W/TAG", StatusCode::NOT_MODIFIED)]
    #[case::one_of_several("\"0\", TAG", StatusCode::NOT_MODIFIED)]
    #[case::any("*", StatusCode::NOT_MODIFIED)]
    fn who_has_a_file_is_not_sent_it_again(#[case] has: &str, #[case] expected: StatusCode) {
        let value = has.replace("TAG", &PAGE.tag());
        let headers =
            HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::try_from(value).unwrap())]);

        let answer = PAGE.answer(&headers);

        assert_eq!(answer.status(), expected);
    }
}
