//! Paths as they arrive, made the paths that the router knows.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http::Uri;
use http::uri::PathAndQuery;
use tower::util::MapRequest;

/// A router behind path normalisation: what a server serves and a test calls.
pub type App = MapRequest<Router, fn(Request<Body>) -> Request<Body>>;

/// Puts path normalisation before the routing of a router; a layer of the router itself would come after it.
///
/// Doubled slashes in front are merged and one at the end is dropped: every route answers with and without it. Slashes in between stay,
/// because a WireGuard key in the path may hold or start with one (an unpadded key never ends in one). Percent-encoding stays as it came.
pub fn normalised(router: Router) -> App {
    MapRequest::new(router, normalise_request)
}

fn normalise_request(mut request: Request<Body>) -> Request<Body> {
    if let Some(uri) = normalise(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// The URI with its path normalised, or nothing where it is already.
fn normalise(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let normal = normal_path(path);
    if normal.len() == path.len() {
        return None;
    }
    let path_and_query = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{normal}?{query}")),
        None => PathAndQuery::try_from(normal),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.ok()?);
    Uri::from_parts(parts).ok()
}

fn normal_path(path: &str) -> &str {
    let leading = path.bytes().take_while(|&byte| byte == b'/').count();
    let single = &path[leading.saturating_sub(1)..];
    match single.strip_suffix('/') {
        Some("") | None => single,
        Some(shorter) => shorter,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::as_it_is("/api/v1/cloudlets", "/api/v1/cloudlets")]
    #[case::trailing_slash("/api/v1/cloudlets/", "/api/v1/cloudlets")]
    #[case::doubled_in_front("//api/v1/cloudlets/", "/api/v1/cloudlets")]
    #[case::trebled_in_front("///api/v1/cloudlets", "/api/v1/cloudlets")]
    #[case::root("/", "/")]
    #[case::doubled_root("//", "/")]
    #[case::a_key_may_start_with_a_slash("/api/v1/deploy/u//ab/c=", "/api/v1/deploy/u//ab/c=")]
    #[case::the_query_stays("//api/?results=2&x=/", "/api?results=2&x=/")]
    #[case::percent_encoding_stays("//a%2Fb%2f/", "/a%2Fb%2f")]
    #[case::absolute_form("http://tier1//api/v1/", "http://tier1/api/v1")]
    #[case::asterisk("*", "*")]
    fn paths_are_normalised(#[case] uri: &str, #[case] expected: &str) {
        let uri: Uri = uri.parse().unwrap();

        let normal = normalise(&uri).unwrap_or(uri);

        assert_eq!(normal, expected);
    }
}
