//! A page that shows an API and sends requests to it. It is part of the program: no request leaves the host, whatever the page is told.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

/// What the browser may do for the page: ask this host, and nothing else. No text becomes markup or script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The parts of the page: path, type and content.
const PARTS: [(&str, &str, &str); 3] = [
    (
        "/api/v1/ui",
        "text/html; charset=utf-8",
        include_str!("page.html"),
    ),
    (
        "/api/v1/ui/page.css",
        "text/css; charset=utf-8",
        include_str!("page.css"),
    ),
    (
        "/api/v1/ui/page.js",
        "text/javascript; charset=utf-8",
        include_str!("page.js"),
    ),
];

/// The routes of the page.
pub(super) fn router() -> Router {
    let add = |router: Router, (path, kind, content)| {
        router.route(path, get(async move || part(kind, content)))
    };
    PARTS.into_iter().fold(Router::new(), add)
}

fn part(kind: &'static str, content: &'static str) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, content)
}
